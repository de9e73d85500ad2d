"""A DeepSeek on this machine: HTTP on loopback that speaks the API, for use without a key, for teaching, for tests.

    with DemoServer() as server:             # in a thread of its own
        client = ds.Client(server.base_url, api_key="any")
    async with DemoServer(pace=0) as server: # on the running loop

Beside the API it answers ``GET /_demo`` (what is set, with a legend) and ``POST /_demo/fault`` with
``{"fault": "cut after=20"}`` or ``{"fault": null}``, so that a panel can switch faults while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from typing import Final, Unpack

from ..text.messages import say
from .faults.spec import Faults
from .routes import respond
from .sending import refuse_unread
from .state import DemoSettings, DemoState
from .wire.http import Answer, BadRequest, read_request
from .wire.pace import Pace

HOST: Final = "127.0.0.1"
_START_S: Final = 10.0
_STOP_S: Final = 5.0
_SETTLE_TURNS: Final = 4
_SUCCEEDS: Final = sys.platform == "linux"
"""Whether a socket may be bound to a port on which another one listens, and take nothing from it. Elsewhere it either may
not (Windows) or is given the connections and drops them (BSD)."""
_REOPEN_S: Final = 0.01


class DemoServer(DemoState):
    """The server on a port of 127.0.0.1 (0: any free one). Settings: see ``DemoState``."""

    def __init__(
        self, port: int = 0, fault: str | None = None, pace: float | Pace = 1.0, **settings: Unpack[DemoSettings]
    ) -> None:
        super().__init__(**settings)
        self.faults = Faults(fault)
        self.pace = pace
        self._port = port
        self.connections = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._successor: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_writers: set[asyncio.StreamWriter] = set()
        self._refusal: asyncio.Task[None] | None = None
        self._refused_enough = asyncio.Event()
        self._closing = False

    def __repr__(self) -> str:
        where = self.base_url if self._loop else "not started"
        return f"<DemoServer {where}{f', fault {self.fault!r}' if self.fault else ''}>"

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://{HOST}:{self._port}"

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._open_writers)

    def on_fault(self) -> None:
        """Open or close the port, as the new fault wants it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._open_or_close_port)

    # life: on a loop

    async def __aenter__(self) -> DemoServer:
        self._loop, self._closing = asyncio.get_running_loop(), False
        await self._listen()
        self._open_or_close_port()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _listen(self) -> None:
        """Open the port. Raises OSError when somebody else has it."""
        if self._successor is None:
            self._successor = self._bound()
        port, self._successor = self._successor, self._bound() if _SUCCEEDS else None
        self._server = await asyncio.start_server(self._connected, sock=port)

    def _bound(self) -> socket.socket:
        """A socket that has the port without listening: the machine gives it to nobody else."""
        # The protocol is named because asyncio switches off Nagle's algorithm for TCP that calls itself so, and for no other: an
        # answer would wait for the acknowledgement of its head, 40 ms.
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":  # elsewhere the option would let others share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((HOST, self._port))
        except OSError:
            bound.close()
            raise
        self._port = bound.getsockname()[1]
        return bound

    async def aclose(self) -> None:
        """Close the port and every connection, and wait until no task is left."""
        self._closing = True
        self._refused_enough.set()
        if self._refusal is not None:
            await asyncio.wait((self._refusal,))
        if self._server is not None:
            await self._stop_accepting(self._server)
        while tasks := [*self._tasks]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _settle()  # what these tasks closed is let go of by the loop, a turn later
        if self._server is not None:
            await self._server.wait_closed()
        if self._successor is not None:
            self._successor.close()
        self._server = self._successor = self._refusal = self._loop = None

    # life: in a thread

    def start(self) -> DemoServer:
        """Serve in a daemon thread; returns when the port is open. Raises OSError when it cannot be opened."""
        if self._thread is not None:
            return self
        ready: threading.Event = threading.Event()
        failed: list[BaseException] = []

        async def live() -> None:
            self._stop = asyncio.Event()
            try:
                await self.__aenter__()
            except BaseException as error:
                failed.append(error)
                ready.set()
                return
            ready.set()
            await self._stop.wait()
            await self.aclose()

        self._thread = threading.Thread(target=lambda: asyncio.run(live()), name="deepseek-magic demo", daemon=True)
        self._thread.start()
        if not ready.wait(_START_S):
            raise TimeoutError(f"the demo server did not start within {_START_S:g} s")
        if failed:
            self._thread = None
            raise failed[0]
        return self

    def stop(self) -> None:
        """Stop the thread that ``start`` began; safe to call again."""
        thread, loop, self._thread = self._thread, self._loop, None
        if thread is None:
            return
        if loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                loop.call_soon_threadsafe(self._stop.set)
        thread.join(_STOP_S)

    def __enter__(self) -> DemoServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # the closed port

    def _open_or_close_port(self) -> None:
        """End the refusal that is under way, if any; begin the one that the fault wants."""
        self._refused_enough.set()
        wanted = next((fault for fault in self.faults.faults if fault.kind == "refuse"), None)
        if wanted is not None and self._loop is not None:
            self._refused_enough = asyncio.Event()
            refusing = self._refuse(wanted.number("for") or 0.0, self._refused_enough, self._refusal)
            self._refusal = self._loop.create_task(refusing)

    async def _refuse(self, for_s: float, enough: asyncio.Event, previous: asyncio.Task[None] | None) -> None:
        """Close the port for a while: a knock is refused by the machine itself. Open connections are reset.

        Never cancelled: a port that is half closed would stay so. ``enough`` ends it early, at whatever step it is.
        """
        if previous is not None:
            await asyncio.wait((previous,))
        if enough.is_set():
            return
        assert self._server is not None
        await self._stop_accepting(self._server)
        if self._successor is None:
            with contextlib.suppress(OSError):  # somebody was faster, and has it for a while
                self._successor = self._bound()
        for writer in tuple(self._open_writers):
            writer.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await enough.wait()
        while not self._closing:
            with contextlib.suppress(OSError):
                await self._listen()
                return
            await asyncio.sleep(_REOPEN_S)

    async def _stop_accepting(self, server: asyncio.Server) -> None:
        """Close the port, leaving no connection half accepted: asyncio would drop such a one without closing it."""
        for listener in server.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows accepts in another way
                asyncio.get_running_loop().remove_reader(listener.fileno())
        await _settle()  # a connection that was just accepted becomes a task some turns of the loop later
        server.close()

    # connections

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: one that asyncio starts for a coroutine complains when it is cancelled.
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._tasks.add(task)
        self._open_writers.add(writer)

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._open_writers.discard(writer)
            writer.close()  # also when the task was cancelled before its first step

        task.add_done_callback(over)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        self.connections += 1
        number = self.connections
        try:
            if (fault := self.faults.take(connecting=True)) is not None:
                answer = Answer(reader, writer)
                await answer.close(rst=fault.kind == "reset")
                return
            while await self._one(reader, writer, number):
                pass
        except ConnectionError:
            pass  # the client has gone: nobody is left to answer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        """Answer one request; whether the connection stays open."""
        answer = Answer(reader, writer)
        try:
            request = await read_request(reader)
        except BadRequest as error:
            await refuse_unread(answer, error.status, str(error))
            return False
        if request is None:
            return False
        seen = self.see(request, number)
        try:
            reusable = await respond(self, request, answer, seen)
        except (ConnectionError, asyncio.CancelledError):
            seen.ended, seen.ended_at_s = seen.ended or "client left", time.monotonic()
            raise
        seen.ended, seen.ended_at_s = seen.ended or "done", time.monotonic()
        return reusable and request.keep_alive and not answer.closed


async def _settle() -> None:
    for _ in range(_SETTLE_TURNS):
        await asyncio.sleep(0)


def serve(
    port: int = 0,
    fault: str | None = None,
    pace: float = 1.0,
    *,
    allow_origins: tuple[str, ...] = (),
    grpc_web: int | None = None,
) -> None:
    """Serve until interrupted. The first line printed is the base URL, the second says how to use it; with ``grpc_web`` the
    third has the address of an Envoy in front of the same demo as a gRPC service, which has that port (0: a free one).

    Raises ConfigurationError for a bad fault spec or a missing extra, and OSError when the port is taken.
    """
    server = DemoServer(port, fault, pace, allow_origins=allow_origins)
    with server, contextlib.ExitStack() as beside:
        print(server.base_url, flush=True)
        use = f"%%deepseek --base-url {server.base_url}"
        print(say("Demo server without a model. {use}    Ctrl-C stops it.", use=use), flush=True)
        if grpc_web is not None:
            from .grpcweb.server import GRPCWebDemo

            front = beside.enter_context(GRPCWebDemo(server, grpc_web))
            use = f"%%deepseek --endpoint demo --base-url {front.base_url}"
            print(say("Over gRPC-Web: {use}", use=use), flush=True)
        for origin in allow_origins:
            every = origin == "*"
            print(say("All web pages may ask it." if every else "Web pages of {origin} may ask it.", origin=origin))
        for wanted in server.faults.faults:
            print(say("Fault: {legend}", legend=wanted.legend), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
