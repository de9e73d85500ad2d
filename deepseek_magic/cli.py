"""The ``deepseek-magic`` command: try it without a key, serve the demo, find out what is wrong, load the magics everywhere.

Each command returns its exit code: 0 when it did what it says, 1 when not, 2 for a command line that makes no sense.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from . import __version__
from .engine.hosts.endpoints import DEMO_PORT, DEMO_VARIABLE, in_order
from .notebook import labextension
from .notebook.frontend import locales
from .notebook.magic.flags import parsed
from .protocol.errors import ConfigurationError, DeepSeekError
from .relay import command as relay
from .text.language import of_locales, use
from .text.messages import Message, say

PROGRAM: Final = "deepseek-magic"
DEMO_FOLDER: Final = "deepseek-magic-demo"
DEMO_KEY: Final = "sk-demo-needs-no-key"
"""What the demo's notebooks send in place of a key, so that a real one in the environment never leaves its place."""

HEADLESS_PACE: Final = 0.1
"""Nobody reads along when the tour is only executed: a tenth of a model's time is enough to stream."""

LAB_SETTINGS: Final = (
    "--ServerApp.answer_yes=True",  # one Ctrl-C ends it
    "--ServerApp.allow_root=True",  # a container's only user is root; it listens on this machine alone
    "--Application.log_level=WARN",
    "--LabApp.news_url=None",  # a demo asks nothing of the internet
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)

STARTUP_FILE: Final = "50-deepseek-magic.py"
STARTUP_TEXT: Final = """\
# Written by `deepseek-magic install`; `deepseek-magic install --remove` takes it away.
# The first use of a magic loads the extension; until then nothing heavy is imported.
try:
    from deepseek_magic.notebook.lazy import register
except ImportError:  # the package is gone, or this is another environment
    pass
else:
    register(get_ipython())
    del register
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (of this process, if None) and return the exit code."""
    try:
        try:
            return _main(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # as by `| head -3`: whoever read has read enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else Python complains when it flushes at the end
        return 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1  # as a shell reports it


def _main(argv: Sequence[str] | None) -> int:
    use(of_locales(locales()))
    parser, see_help = _parser(), Message("{command} explains it.", command=f"{PROGRAM} --help")
    try:
        typed = parsed(parser, argv, see_help)
        if not hasattr(typed, "run"):
            raise ConfigurationError(Message("A command is missing."), hint=see_help)
    except ConfigurationError as error:
        parser.print_usage(sys.stderr)
        print(error.localized(), file=sys.stderr)
        return 2
    try:
        return int(typed.run(typed))
    except DeepSeekError as error:
        print(error.localized(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell reports a program that Ctrl-C ended


class _Help(argparse.HelpFormatter):
    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, say("usage: ") if prefix is None else prefix)


class _Parser(argparse.ArgumentParser):
    """Help in the reader's language: argparse's own headings are English."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, formatter_class=_Help, add_help=False, exit_on_error=False)
        self.flags = self.add_argument_group(say("options"))
        self.flags.add_argument("-h", "--help", action="help", help=say("show this help and exit"))


def _parser() -> _Parser:
    parser = _Parser(prog=PROGRAM, description=say("DeepSeek in a notebook."))
    parser.flags.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}", help=say("show the version and exit")
    )
    commands = parser.add_subparsers(title=say("commands"), metavar="command")

    demo = commands.add_parser("demo", help=say("open the tour in JupyterLab, with a demo server on this machine"))
    add = demo.flags.add_argument
    add("--no-browser", action="store_true", help=say("do not open a browser; print the address"))
    add("--port", type=int, default=8888, help=say("JupyterLab's port; the next free one if taken (8888)"))
    where = say("where the tour goes ({folder})", folder=f"./{DEMO_FOLDER}")
    add("--folder", type=Path, default=Path(DEMO_FOLDER), help=where)
    add("--execute", action="store_true", help=say("run the tour without JupyterLab; the exit code says how it went"))
    demo.set_defaults(run=_demo)

    serve = commands.add_parser("serve", help=say("run the demo server alone"))
    add = serve.flags.add_argument
    port = say("0 takes a free one; the first line printed has it ({port})", port=DEMO_PORT)
    add("--port", type=int, help=port)
    add("--fault", metavar="SPEC", help=say("what it should do wrong"))
    add("--pace", type=float, default=1.0, metavar="X", help=say("times as slow as a real model; 0: at once (1)"))
    pages = say("let web pages of this origin ask too, as JupyterLite's at https://example.org; * lets all")
    add("--allow-origin", metavar="ORIGIN", action="append", default=[], help=pages)
    grpc_web = say(
        "answer gRPC-Web as well, with xAI's chat interface, through an Envoy, which then has --port (extra grpc)"
    )
    add("--grpc-web", action="store_true", help=grpc_web)
    serve.set_defaults(run=_serve)

    doctor = commands.add_parser("doctor", help=say("check key, network, models, balance and versions"))
    add = doctor.flags.add_argument
    add("--endpoint", metavar="NAME", help=say("the endpoint to check, or several with commas (deepseek)"))
    add("--base-url", metavar="URL", help=say("the address to check"))
    doctor.set_defaults(run=_doctor)

    cost = commands.add_parser(
        "cost", help=say("what running all cells of a notebook would cost; nothing is run or sent")
    )
    add = cost.flags.add_argument
    add("--json", action="store_true", help=say("for programs: a JSON array with an object for each notebook"))
    cost.add_argument("notebooks", nargs="+", type=Path, metavar="FILE.ipynb", help=say("the notebooks"))
    cost.set_defaults(run=_cost)

    relay.add_to(commands)

    ready = say("make the magics ready in every IPython session, without %%load_ext")
    install = commands.add_parser("install", help=ready)
    add = install.flags.add_argument
    add("--remove", action="store_true", help=say("undo it"))
    add("--profile", default="default", help=say("the IPython profile (default)"))
    install.set_defaults(run=_install)
    return parser


def _demo(typed: argparse.Namespace) -> int:
    from .demo import tour
    from .demo.server import DemoServer
    from .demo.wire.pace import PACE_VARIABLE

    labapp = None if typed.execute else tour.import_extra("jupyterlab.labapp")
    folder = tour.copy_to(typed.folder)
    with DemoServer(pace=HEADLESS_PACE if typed.execute else 1.0) as server:
        # Kernels inherit this process's environment. The demo's answers stay out of the user's own journal.
        os.environ.update(DEEPSEEK_BASE_URL=server.base_url, DEEPSEEK_API_KEY=DEMO_KEY)
        os.environ.update({DEMO_VARIABLE: server.base_url, "DEEPSEEK_MAGIC_HOME": str(folder / ".deepseek-magic")})
        if labapp is None:
            os.environ[PACE_VARIABLE] = str(HEADLESS_PACE)
            return 0 if tour.execute(folder, tour.of_reader()) else 1
        print(say("The demo server answers at {url}: no key, no network.", url=server.base_url))
        print(say("The tour is {path}; Ctrl-C ends everything.", path=folder / tour.of_reader()), flush=True)
        os.environ["JUPYTER_CONFIG_PATH"] = str(_quiet_lab(folder))
        # In this process, so that no process is left; kernels end with their server.
        labapp.LabApp.launch_instance(
            [
                f"--ServerApp.root_dir={folder}",
                f"--ServerApp.port={typed.port}",
                f"--ServerApp.open_browser={not typed.no_browser}",
                f"--LabApp.default_url=/lab/tree/{tour.of_reader()}",
                f"--LabServerApp.extra_labextensions_path={labextension.folder()}",
                *LAB_SETTINGS,
            ]
        )
    return 0


def _quiet_lab(folder: Path) -> Path:
    """A configuration in which JupyterLab does not ask whether it may fetch news. Its folder."""
    config = folder / ".jupyter"
    (config / "labconfig").mkdir(parents=True, exist_ok=True)
    page = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(page), "utf-8")
    return config


def _serve(typed: argparse.Namespace) -> int:
    from .demo.server import serve

    if typed.pace < 0:
        raise ConfigurationError(Message("--pace cannot be below 0: it is a factor on the time a real model takes."))
    origins = tuple(map(_origin, typed.allow_origin))
    # Of two servers the one that was asked for has the port that was typed.
    port, envoy = DEMO_PORT if typed.port is None else typed.port, None
    if typed.grpc_web:
        port, envoy = (DEMO_PORT, 0) if typed.port is None else (0, typed.port)
    try:
        serve(port=port, fault=typed.fault, pace=typed.pace, allow_origins=origins, grpc_web=envoy)
    except OSError:
        said = Message(
            "The demo server cannot have port {port} of this machine, because another program has it.",
            port=envoy or port,
        )
        raise ConfigurationError(said, hint=Message("Give another one with --port; 0 takes a free one.")) from None
    return 0


def _origin(typed: str) -> str:
    """A web page's origin as its browser writes it: ``*``, or scheme, host and port of its address, without the port that
    goes without saying. Raises ConfigurationError."""
    if typed == "*":
        return typed
    with contextlib.suppress(ValueError):  # of a bracket or a port that is none, or a name that no browser could write
        parts = urlsplit(typed)
        host = (parts.hostname or "").encode("idna").decode()
        usual = {"http": 80, "https": 443}
        if parts.scheme in usual and re.fullmatch(r"[\w.:-]+", host) and "@" not in parts.netloc:
            port = "" if parts.port in (None, usual[parts.scheme]) else f":{parts.port}"
            return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"
    said = Message("--allow-origin {text} is no origin of a web page.", text=typed[:60])
    raise ConfigurationError(said, hint=Message("Write it like https://example.org or http://localhost:8000."))


def _doctor(typed: argparse.Namespace) -> int:
    """Tell every finding in a line; 1 if one of them keeps an endpoint from answering."""
    from .engine.hosts.doctor import report, verdict
    from .session import session

    endpoints, here = in_order(typed.endpoint, typed.base_url), session()
    well = report(endpoints, asyncio.run, here.lately(endpoints), here.rails.shut(here.wall()))
    print(verdict(well).localized())
    return 0 if all(well) else 1


def _cost(typed: argparse.Namespace) -> int:
    from .notebook.cost.calls import cost

    found = [cost(path) for path in typed.notebooks]
    if typed.json:
        print(json.dumps([each.to_json() for each in found], ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(map(repr, found)))
    return 0


def _install(typed: argparse.Namespace) -> int:
    # IPython's own answer (IPYTHONDIR and older places count); it is not imported outside of the notebook floor.
    locate = [sys.executable, "-m", "IPython", "locate"]
    folder = subprocess.run(locate, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    startup = Path(folder) / f"profile_{typed.profile}" / "startup" / STARTUP_FILE
    if typed.remove:
        existed = startup.exists()
        startup.unlink(missing_ok=True)
        print(say("Removed {path}." if existed else "Nothing to remove: there is no {path}.", path=startup))
        return 0
    if startup.exists() and startup.read_text("utf-8") == STARTUP_TEXT:
        print(say("Nothing to do: {path} is there already.", path=startup))
        return 0
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text(STARTUP_TEXT, "utf-8")
    print(say("Wrote {path}: %%deepseek is ready in every new IPython session. --remove undoes it.", path=startup))
    return 0
