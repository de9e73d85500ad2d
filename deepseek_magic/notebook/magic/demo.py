"""``%deepseek_demo``: a DeepSeek on this machine, in the kernel's own process, for trying and teaching without a key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ...engine.home import loopback
from ...engine.hosts.endpoints import DEMO_VARIABLE
from ...engine.tape.deck import deck
from ...protocol.errors import ConfigurationError
from ...session import session
from ...text.messages import Message, say
from ..view.settled import as_output
from .flags import arguments
from .manuals import helped

if TYPE_CHECKING:
    from ...demo.grpcweb.server import GRPCWebDemo
    from ...demo.server import DemoServer


def _new(fault: str | None, pace: float) -> DemoServer:
    from ...demo.inside import DemoInside
    from ...demo.server import DemoServer

    return DemoServer(fault=fault, pace=pace) if loopback is None else DemoInside(loopback, fault, pace)


def _in_front_of(server: DemoServer) -> GRPCWebDemo:
    from ...demo.grpcweb.server import GRPCWebDemo

    return GRPCWebDemo(server).start()


def kinds_of_fault() -> list[str]:
    """What ``--fault`` may begin with."""
    from ...demo.faults.kinds import KINDS

    return list(KINDS)


@magics_class
class DemoMagics(Magics):
    """Starts and stops the demo server, and points the session at it. ``server`` is None while there is none."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.server: DemoServer | None = None
        self._front: GRPCWebDemo | None = None
        self._before: dict[str, Any] = {}
        self._beside: str | None = None

    @magic_arguments()
    @argument("action", nargs="?", choices=("start", "stop"), default="start", help="start it (again), or stop it")
    @argument(
        "--fault",
        metavar="SPEC",
        help='let it fail, for example "cut at=content after=20 times=1" (once, after 20 pieces of one or two tokens) or "429 times=3"; without times= every answer fails',
    )
    @argument("--pace", type=float, default=1.0, metavar="X", help="times as slow as a real model; 0: at once")
    @argument(
        "--grpc-web",
        action="store_true",
        help="have it asked by gRPC-Web, with xAI's chat interface, through an Envoy (extra grpc)",
    )
    @line_magic
    def deepseek_demo(self, line: str) -> None:
        """Answer from a demo server in this kernel: no key, no network, no cost.

        It has no model: it tells what reached it. It does sums, such as "What is 17 × 24?", which come out right or wrong by
        chance, and more often right with thinking or step by step, so that an experiment has something to find.
        """
        if helped(self, "deepseek_demo", line):
            return
        typed = arguments(self.deepseek_demo, line)
        if (why := _not_needed()) is not None:
            _tell(why.localized())
            return
        if typed.action == "stop":
            self._stop()
            return
        server = self.start(typed.fault, typed.pace, grpc_web=typed.grpc_web)
        url = server.base_url if self._front is None else self._front.base_url
        _tell(say("Demo server at {url}: this machine answers cells until %deepseek_demo stop.", url=url))
        for wrong in self.legend:
            _tell(say("What it does wrong: {sentence}", sentence=wrong))

    @property
    def legend(self) -> list[Message]:
        """What the server does wrong at the moment, one sentence a fault."""
        return [fault.legend for fault in self.server.faults.faults] if self.server is not None else []

    def does(self, fault: str | None, pace: float) -> bool:
        """Whether a server runs that does this already."""
        from ...demo.wire.pace import LIKE_A_MODEL

        server = self.server
        return server is not None and (server.fault, server.pace) == (fault, LIKE_A_MODEL.scaled(pace))

    def set_up(self, fault: str | None, pace: float) -> None:
        """Have the server do this from now on, and start one where none runs; its counts begin again. Raises
        ConfigurationError, and has then changed nothing."""
        from ...demo.faults.spec import parse

        if (why := _not_needed()) is not None:
            raise ConfigurationError(why, hint=Message("%deepseek_replay off takes the tape out."))
        parse(fault)
        server = self.server or self.start()
        server.pace, server.fault = pace, fault

    def start(self, fault: str | None = None, pace: float = 1.0, *, grpc_web: bool = False) -> DemoServer:
        """Start a server, in the place of the one before, and have cells answered by it; through an Envoy with ``grpc_web``."""
        from ...demo.wire.pace import PACE_VARIABLE

        if pace < 0:
            sentence = Message("--pace cannot be below 0: it is a factor on the time a real model takes.")
            raise ConfigurationError(sentence)
        server = _new(fault, pace * float(os.environ.get(PACE_VARIABLE, "1"))).start()
        try:
            front = _in_front_of(server) if grpc_web else None
        except BaseException:
            server.stop()
            raise
        if self.server is None:
            self._before = {name: session().defaults.get(name) for name in ("endpoint", "base_url")}
            self._beside = os.environ.get(DEMO_VARIABLE)
        else:
            self._end()
        self.server, self._front = server, front
        # Also for what asks past the session: ds.Client(), !deepseek-magic doctor.
        os.environ[DEMO_VARIABLE] = server.base_url if front is None else front.base_url
        # By its name alone: an address would go with whatever endpoint a cell names.
        session().defaults = session().defaults.replace(endpoint="demo", base_url=None)
        return server

    def _end(self) -> None:
        for each in (self._front, self.server):
            if each is not None:
                each.stop()
        self.server = self._front = None

    def _stop(self) -> None:
        if self.server is None:
            _tell(say("No demo server is running."))
            return
        self._end()
        session().defaults = session().defaults.replace(**self._before)
        os.environ.pop(DEMO_VARIABLE, None)
        if self._beside is not None:
            os.environ[DEMO_VARIABLE] = self._beside
        _tell(say("Demo server stopped."))


def _not_needed() -> Message | None:
    """A lesson that was recorded with the demo needs none when it is played; None without a tape."""
    if deck.playing is None:
        return None
    return Message("The tape {name} answers, so no demo server is started or stopped.", name=deck.playing.name)


def _tell(said: str) -> None:
    display(as_output(said), raw=True)
