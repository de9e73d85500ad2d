"""The ``deepseek-magic`` command: try it without a key, serve the demo, find out what is wrong, load the magics everywhere.

Each command returns its exit code: 0 when it did what it says, 1 when not, 2 for a command line that makes no sense.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import __version__
from .engine.hosts.endpoints import DEMO_PORT
from .protocol.errors import ConfigurationError, DeepSeekError
from .text.messages import Message

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
    typed = _parser().parse_args(argv)
    try:
        return int(typed.run(typed))
    except DeepSeekError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell reports a program that Ctrl-C ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deepseek-magic", description="DeepSeek in a notebook.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)

    demo = commands.add_parser("demo", help="open the tour in JupyterLab, on a DeepSeek that runs on this machine")
    demo.add_argument("--no-browser", action="store_true", help="do not open a browser; print the address")
    demo.add_argument("--port", type=int, default=8888, help="JupyterLab's port; the next free one if taken (8888)")
    demo.add_argument("--folder", type=Path, default=Path(DEMO_FOLDER), help=f"where the tour goes (./{DEMO_FOLDER})")
    demo.add_argument("--execute", action="store_true", help="run the tour without JupyterLab; the exit code tells")
    demo.set_defaults(run=_demo)

    serve = commands.add_parser("serve", help="run the demo's DeepSeek alone")
    serve.add_argument(
        "--port", type=int, default=DEMO_PORT, help=f"0 takes a free one; the first line tells ({DEMO_PORT})"
    )
    serve.add_argument("--fault", metavar="SPEC", help="what it should do wrong")
    serve.add_argument(
        "--pace", type=float, default=1.0, metavar="X", help="times as slow as a real model; 0: at once (1)"
    )
    serve.set_defaults(run=_serve)

    doctor = commands.add_parser("doctor", help="check key, network, models, balance and versions")
    doctor.add_argument("--endpoint", metavar="NAME", help="the endpoint to check, or several with commas (deepseek)")
    doctor.add_argument("--base-url", metavar="URL", help="the address to check")
    doctor.set_defaults(run=_doctor)

    install = commands.add_parser("install", help="make the magics ready in every IPython session, without %%load_ext")
    install.add_argument("--remove", action="store_true", help="undo it")
    install.add_argument("--profile", default="default", help="the IPython profile (default)")
    install.set_defaults(run=_install)
    return parser


# demo and serve


def _demo(typed: argparse.Namespace) -> int:
    from .demo import tour
    from .demo.server import DemoServer
    from .demo.wire.pace import PACE_VARIABLE
    from .engine.hosts.endpoints import DEMO_VARIABLE

    labapp = None if typed.execute else tour.import_extra("jupyterlab.labapp")
    folder = tour.copy_to(typed.folder)
    with DemoServer(pace=HEADLESS_PACE if typed.execute else 1.0) as server:
        # Kernels inherit this process's environment. The demo's answers stay out of the user's own journal.
        os.environ.update(DEEPSEEK_BASE_URL=server.base_url, DEEPSEEK_API_KEY=DEMO_KEY)
        os.environ[DEMO_VARIABLE] = server.base_url
        os.environ["DEEPSEEK_MAGIC_HOME"] = str(folder / ".deepseek-magic")
        if labapp is None:
            os.environ[PACE_VARIABLE] = str(HEADLESS_PACE)
            return 0 if tour.execute(folder) else 1
        print(f"The demo's DeepSeek answers at {server.base_url}: no key, no network.")
        print(f"The tour is {folder / tour.TOUR}; Ctrl-C ends everything.", flush=True)
        os.environ["JUPYTER_CONFIG_PATH"] = str(_quiet_lab(folder))
        # In this process, so that no process is left; kernels end with their server.
        labapp.LabApp.launch_instance(
            [
                f"--ServerApp.root_dir={folder}",
                f"--ServerApp.port={typed.port}",
                f"--ServerApp.open_browser={not typed.no_browser}",
                f"--LabApp.default_url=/lab/tree/{tour.TOUR}",
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
    serve(port=typed.port, fault=typed.fault, pace=typed.pace)
    return 0


# doctor


def _doctor(typed: argparse.Namespace) -> int:
    """Tell every finding in a line; 1 if one of them keeps an endpoint from answering."""
    from .engine.hosts.doctor import examine, is_well, verdict, versions
    from .engine.hosts.endpoints import in_order

    well = []
    for endpoint in in_order(typed.endpoint, typed.base_url):
        print(f"{endpoint.title}, {endpoint.base_url}")
        findings = asyncio.run(examine(endpoint))
        print(*findings, sep="\n")
        well.append(is_well(findings))
    print(*versions(), sep="\n")
    print(verdict(well))
    return 0 if all(well) else 1


# install


def _install(typed: argparse.Namespace) -> int:
    startup = _ipython_folder() / f"profile_{typed.profile}" / "startup" / STARTUP_FILE
    if typed.remove:
        existed = startup.exists()
        startup.unlink(missing_ok=True)
        print(f"Removed {startup}." if existed else f"Nothing to remove: there is no {startup}.")
        return 0
    if startup.exists() and startup.read_text("utf-8") == STARTUP_TEXT:
        print(f"Nothing to do: {startup} is there already.")
        return 0
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text(STARTUP_TEXT, "utf-8")
    print(f"Wrote {startup}: %%deepseek is ready in every new IPython session. --remove undoes it.")
    return 0


def _ipython_folder() -> Path:
    # IPython's own answer (IPYTHONDIR and older places count); it is not imported outside of the notebook floor.
    found = subprocess.run(
        [sys.executable, "-m", "IPython", "locate"], capture_output=True, text=True, check=True, timeout=60
    )
    return Path(found.stdout.strip())
