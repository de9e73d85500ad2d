"""``deepseek-magic relay``: serve a class, make its tokens, tell how it stands. Each returns an exit code."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from ..engine.hosts.classroom import of_environment, read
from ..engine.hosts.endpoints import Endpoints, in_order, resolve
from ..protocol.errors import ConfigurationError
from ..text.messages import Message, say
from .file import RelayFile, default_folder
from .hub import HubService
from .roster import make, names_of, take_back

PORT: Final = 8700
_EXTRA: Final = ("starlette", "uvicorn")


def add_to(commands: Any) -> None:
    """Add the command and its subcommands to the program's parser."""
    relay = commands.add_parser("relay", help=say("hold the key of a class, and give each student a token"))
    add = relay.flags.add_argument
    add("--class", dest="classroom", type=Path, metavar="FILE", help=say("the rules of the class (classroom.toml)"))
    add("--host", default="127.0.0.1", help=say("where to listen; beyond this machine with a certificate (127.0.0.1)"))
    add(
        "--port",
        type=int,
        default=PORT,
        help=say("0 takes a free one; the first line printed has it ({port})", port=PORT),
    )
    add("--endpoint", metavar="NAME", help=say("the endpoint to ask, or several with commas (deepseek)"))
    add("--demo", action="store_true", help=say("ask a demo server in this process: no key, no money"))
    add(
        "--pace",
        type=float,
        default=1.0,
        metavar="X",
        help=say("of the demo: times as slow as a real model; 0: at once (1)"),
    )
    add(
        "--replay-pace",
        type=float,
        default=0.0,
        metavar="X",
        help=say(
            "an answer that is there already: in X times the time that it took, as on a projector; 0: at once (0)"
        ),
    )
    add("--tls-cert", type=Path, metavar="FILE", help=say("the certificate, for https"))
    add("--tls-key", type=Path, metavar="FILE", help=say("its private key"))
    add("--clear-text", action="store_true", help=say("listen beyond this machine without a certificate"))
    _data(relay)
    relay.set_defaults(run=_serve)

    parts = relay.add_subparsers(title=say("commands"), metavar="task", required=False)
    tokens = parts.add_parser("tokens", help=say("make tokens for the students of a list; shown once, as CSV"))
    tokens.add_argument("students", type=Path, metavar="FILE.csv", help=say("the list, with a column of names"))
    tokens.flags.add_argument("--renew", action="store_true", help=say("new tokens also for those who have one"))
    tokens.flags.add_argument("--revoke", action="store_true", help=say("take their tokens back instead"))
    _data(tokens)
    tokens.set_defaults(run=_tokens)

    status = parts.add_parser("status", help=say("who asked how much, and what it cost"))
    status.flags.add_argument("--json", action="store_true", help=say("for programs: a JSON object"))
    _data(status)
    status.set_defaults(run=_status)


def _data(parser: Any) -> None:
    folder = argparse.SUPPRESS if parser.prog.endswith(("tokens", "status")) else None
    parser.flags.add_argument(
        "--data", type=Path, metavar="FOLDER", default=folder, help=say("where tokens and sums are kept")
    )


def _serve(typed: argparse.Namespace) -> int:
    for module in _EXTRA:
        try:
            importlib.import_module(module)
        except ImportError as error:
            said = Message("The relay needs {name}, which is not installed.", name=module)
            hint = Message("pip install 'deepseek-magic[{extra}]' brings it.", extra="relay")
            raise ConfigurationError(said, hint=hint) from error
    from .web.serving import Address, serve

    classroom = read(typed.classroom) if typed.classroom is not None else of_environment()
    if classroom is None:
        said = Message("The relay needs the rules of the class.")
        raise ConfigurationError(said, hint=Message("Name their file with --class; an empty one has no rules."))
    address = Address(
        host=typed.host, port=typed.port, certificate=typed.tls_cert, key=typed.tls_key, clear_text=typed.clear_text
    )
    if not 0 <= typed.replay_pace < float("inf"):
        raise ConfigurationError.of_setting("--replay-pace", typed.replay_pace, Message("it takes a number from 0"))
    hub = HubService.of_environment()
    if hub is None:
        try:
            address.check()
        except ConfigurationError as error:
            print(error.localized(), file=sys.stderr)
            return 2
    with ExitStack() as beside:
        endpoint: Endpoints = in_order(typed.endpoint)
        if typed.demo:
            from ..demo.server import DemoServer

            endpoint = resolve("demo", beside.enter_context(DemoServer(pace=typed.pace)).base_url)
        folder = typed.data or default_folder()
        serve(classroom, endpoint, address, folder, say=_say, hub=hub, replay_pace=typed.replay_pace)
    return 0


def _say(message: Message) -> None:
    print(message.localized(), flush=True)


def _tokens(typed: argparse.Namespace) -> int:
    names = names_of(typed.students)
    file = RelayFile(typed.data or default_folder())
    try:
        if typed.revoke:
            gone = take_back(file, names)
            print(say("{count} tokens were taken back.", count=len(gone)))
            return 0
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("name", "token"))
        made = list(make(file, names, renew=typed.renew))
        writer.writerows(made)
    finally:
        file.close()
    if len(made) < len(names):
        count = len(names) - len(made)
        print(say("{count} have a token already; --renew makes them new ones.", count=count), file=sys.stderr)
    return 0


def _status(typed: argparse.Namespace) -> int:
    file = RelayFile(typed.data or default_folder())
    try:
        with file.transaction() as connection:
            found = _lines(connection.execute)
    finally:
        file.close()
    if typed.json:
        print(json.dumps({"students": found}, ensure_ascii=False, indent=2))
        return 0
    heads = [
        say("student"),
        say("calls"),
        say("shared"),
        say("failed"),
        say("refused"),
        say("spent, $"),
        say("last call"),
    ]
    rows = [heads]
    for line in found:
        last = time.strftime("%Y-%m-%d %H:%M", time.localtime(line["last"])) if line["last"] else ""
        spent = ", ".join(
            f"{amount:.6f}{' ' + currency if currency != 'USD' else ''}" for currency, amount in line["spent"].items()
        )
        rows.append(
            [line["name"], *(str(line[name]) for name in ("calls", "shared", "failed", "refused")), spent, last]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    print(
        "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
    )
    return 0


def _lines(execute: Callable[[str], Any]) -> list[dict[str, Any]]:
    """A line for each student with a token or a call; all of them together, the class, which pays each answer once, comes last."""
    found: dict[str, dict[str, Any]] = {}

    def line(name: str) -> dict[str, Any]:
        blank = {"name": name, "calls": 0, "shared": 0, "failed": 0, "refused": 0, "last": None, "spent": {}}
        return found.setdefault(name, blank)

    for (name,) in execute("SELECT name FROM students ORDER BY name"):
        line(name)
    for name, calls, shared, failed, refused, last in execute(_CALLS):
        line(name).update(calls=calls, shared=shared, failed=failed, refused=refused, last=last)
    of_students = [*found.values()]
    for payer, currency, amount in execute(_SPENT):
        line(payer or say("the class"))["spent"][currency] = amount / 1e12
    if (all_of_them := found.get(say("the class"))) is not None:
        for name in ("calls", "shared", "failed", "refused"):
            all_of_them[name] = sum(each[name] for each in of_students)
        all_of_them["last"] = max((each["last"] for each in of_students if each["last"]), default=None)
    return list(found.values())


_CALLS: Final = """
    SELECT student, sum(flight IS NOT NULL), sum(shared), sum(flight IS NOT NULL AND status >= 400 AND status != 499), sum(rule IS NOT NULL), max(at)
    FROM calls GROUP BY student ORDER BY student
"""
_SPENT: Final = "SELECT payer, currency, sum(amount) FROM spending GROUP BY payer, currency ORDER BY payer = '', payer"
