"""The flags of ``%%deepseek_sweep``: those of ``%%deepseek`` that reach the request, and those of the sweep itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ...policy.schedule import MOST_OPEN
from ...protocol.experiments.axes import VARIED, Axis
from ...protocol.experiments.score import TYPED
from ...protocol.options import OPTIONS, Option
from ...session.experiments.off_peak import AT
from ...session.experiments.running import LIMITS
from ...text.messages import Message, say
from ..magic.flags import Line, explained, read_line, wrapped

SWEEP_OPTIONS: Final = (
    Option(
        name="over",
        kind="text",
        flags=("--over",),
        metavar="NAME",
        help=Message("the table of inputs: a variable (a DataFrame, a list), or a CSV or JSONL file"),
    ),
    Option(
        name="vary",
        kind="text",
        flags=("--vary",),
        metavar="NAME=V,V",
        many=20,
        help=Message('an option with several values, like temperature=0,1; may be given often; "a,b" is one value'),
    ),
    Option(
        name="repeats",
        kind="integer",
        flags=("--repeat",),
        metavar="N",
        minimum=1,
        maximum=1_000,
        default="1",
        help=Message("ask each input so often in each setting"),
    ),
    Option(
        name="scores",
        kind="text",
        flags=("--score",),
        metavar="KIND=ARG",
        many=20,
        help=Message(
            "score each answer, like {example}; by one of {kinds}, or by a function of that name; may be given often",
            example="exact={answer}",
            kinds=", ".join(TYPED),
        ),
    ),
    Option(
        name="limit",
        kind="integer",
        flags=("--limit",),
        metavar="N",
        minimum=1,
        help=Message("ask only the first rows of the table"),
    ),
    Option(
        name="sample",
        kind="integer",
        flags=("--sample",),
        metavar="N",
        minimum=1,
        help=Message("ask only so many rows of the table, drawn by chance, the same ones each time"),
    ),
    Option(
        name="sample_seed",
        kind="integer",
        flags=("--sample-seed",),
        metavar="N",
        minimum=0,
        default="0",
        help=Message("draw other rows for --sample with another number"),
    ),
    Option(
        name="go",
        kind="switch",
        flags=("--go",),
        help=Message("send it whatever it may cost"),
    ),
    Option(
        name="name",
        kind="text",
        flags=("--name",),
        metavar="NAME",
        help=Message("what %deepseek_sweeps and ds.sweeps find it by"),
    ),
    Option(
        name="retry",
        kind="switch",
        flags=("--retry",),
        help=Message("ask only what failed"),
    ),
    Option(
        name="each",
        kind="switch",
        flags=("--each",),
        help=Message("ask each of several equal rows; else they are asked once"),
    ),
    Option(
        name="cluster",
        kind="text",
        flags=("--cluster",),
        metavar="COLUMN",
        help=Message("inputs with the same value in this column belong together, for the statistics"),
    ),
    Option(
        name="concurrency",
        kind="integer",
        flags=("--concurrency",),
        metavar="N",
        minimum=1,
        maximum=MOST_OPEN,
        default="4",
        help=Message("so many calls are open at once, as far as the server lets them"),
    ),
    AT,
    Option(
        name="on",
        kind="text",
        flags=("--dask",),
        metavar="NAME",
        help=Message("have the workers of a Dask cluster ask; NAME is a variable with a distributed.Client"),
    ),
    LIMITS,
    Option(
        name="allow_failed",
        kind="number",
        flags=("--allow-failed",),
        metavar="SHARE",
        minimum=0,
        maximum=1,
        default="0",
        help=Message("the cell ends well if at most this share of the trials failed"),
    ),
)

_CELL: Final = ("output", "budget", "fresh", "dry_run", "background", "quiet")
_ASKED: Final = (*VARIED, "schema", "fill", "raw", "first_token", "idle", "total", "timeline")
_SAID: Final[Mapping[str, Message]] = {
    "output": Message("bind the sweep to this variable, besides _; it is bound even when trials fail"),
    "budget": Message("the most that the sweep may cost; what that does not allow is left unpaid"),
    "fresh": Message("ask everything anew, and use no answer from before"),
    "dry_run": Message("show what would be asked and what it would cost, and send nothing"),
    "background": Message("let the next cell run meanwhile; the variable named by -o has wait() and stop()"),
    "quiet": Message("show nothing; the sweep is in the variable named by -o"),
}
"""What these flags of ``%%deepseek`` mean for a sweep."""
SHARED_OPTIONS: Final = tuple(
    replace(option, help=_SAID.get(option.name, option.help))
    for option in OPTIONS
    if option.flags and option.name in (*_CELL, *_ASKED)
)
FLAGS: Final[Mapping[str, Option]] = {
    flag: option for option in (*SWEEP_OPTIONS, *SHARED_OPTIONS) for flag in option.flags
}
"""Every flag of the magic."""
BY_NAME: Final[Mapping[str, Option]] = {option.name: option for option in (*SWEEP_OPTIONS, *SHARED_OPTIONS)}
EACH_CALL: Final = tuple(option.name for option in SHARED_OPTIONS if option.name not in _CELL)
"""The flags of ``%%deepseek`` that say how each call of a sweep is made."""
SEE: Final = Message("%%deepseek_sweep --help lists all flags.")


def read_sweep_line(line: str) -> Line:
    """Read the flags of a line. Raises ConfigurationError."""
    return read_line(line, FLAGS, see=SEE, lists=("vary",))


def grid_of(typed: Sequence[str]) -> tuple[Axis, ...]:
    """The axes of ``--vary``. Raises ConfigurationError."""
    return tuple(Axis.read(each) for each in typed)


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that make the plan, and those that say how the cell goes about it."""
    how = {*_CELL, "go", "name", "retry", "at", "allow_failed", "concurrency", "on", "limits"}
    return (
        {name: value for name, value in options.items() if name not in how},
        {name: value for name, value in options.items() if name in how},
    )


def sweep_help() -> str:
    """What ``%%deepseek_sweep?`` and ``--help`` show."""
    lines = [
        say("Ask a prompt of every row of a table, in every setting of a grid, and get a table of all answers."),
        "",
        "  %%deepseek_sweep -o NAME --over TABLE --vary NAME=V,V [flags]",
        f"  {say('the prompt is the body of the cell; {column} takes the value of the row')}",
        "",
        *wrapped(
            say(
                "Run again, it asks only what is missing. Several prompts in one cell are compared: a line --- name begins each. Without --go or --budget it is not sent if it may cost more than %config DeepSeekMagics.pocket."
            )
        ),
        "",
        say("An example, in three cells"),
        '  t = [{"q": "17 × 3 = ?", "a": 51}, {"q": "12 + 30 = ?", "a": 42}]',
        "",
        "  %%deepseek_sweep --over t --vary think=off,low --score number={a} --budget 1",
        f"  {say('Answer with one number. {q}')}",
        "",
        "  _.compare()",
        "",
        say("The sweep"),
        *explained(SWEEP_OPTIONS),
        "",
        say("The cell"),
        *explained(option for option in SHARED_OPTIONS if option.name in _CELL),
        "",
        say("Each call"),
        *explained(option for option in SHARED_OPTIONS if option.name not in _CELL),
    ]
    return "\n".join(lines)


MAP_OPTIONS: Final = (
    Option(
        name="into",
        kind="text",
        flags=("--into",),
        metavar="COLUMN",
        default="answer",
        help=Message("the column of the answers; COLUMN_error says what a row without one failed of"),
    ),
    Option(
        name="where",
        kind="text",
        flags=("--where",),
        metavar="NAME",
        help=Message("a variable with true or false for each row: only the true ones are asked"),
    ),
    *(
        option
        for option in SWEEP_OPTIONS
        if option.name in ("go", "name", "retry", "concurrency", "at", "on", "limits", "allow_failed")
    ),
)
_SAID_OF_MAPS: Final[Mapping[str, Message]] = {
    "output": Message(
        "bind the table with the answers to this variable; without it the table is in _, and its first rows are shown"
    ),
    "budget": Message("the most that the map may cost; what that does not allow is left without an answer"),
    "quiet": Message("show nothing; the table is in the variable named by -o"),
}
_SHARED_BY_MAPS: Final = tuple(
    replace(option, help=_SAID_OF_MAPS.get(option.name, option.help)) for option in SHARED_OPTIONS
)
MAP_FLAGS: Final[Mapping[str, Option]] = {
    flag: option for option in (*MAP_OPTIONS, *_SHARED_BY_MAPS) for flag in option.flags
}


def read_map_line(line: str) -> tuple[str, Line]:
    """The name of the table that a line of ``%%deepseek_map`` begins with, and its flags. Raises ConfigurationError."""
    first, _, rest = line.strip().partition(" ")
    if first.startswith("-"):
        first, rest = "", line
    return first, read_line(rest, MAP_FLAGS, see=Message("%%deepseek_map --help lists all flags."))


def map_help() -> str:
    """What ``%%deepseek_map --help`` shows."""
    lines = [
        say("Ask a prompt of every row of a table, and get the table with the answers beside its rows."),
        "",
        "  %%deepseek_map TABLE -o NAME --into COLUMN [flags]",
        f"  {say('the prompt is the body of the cell; {column} takes the value of the row')}",
        "",
        say("The map"),
        *explained(MAP_OPTIONS),
        "",
        say("The cell"),
        *explained(option for option in _SHARED_BY_MAPS if option.name in _CELL),
        "",
        say("Each call"),
        *explained(option for option in _SHARED_BY_MAPS if option.name not in _CELL),
    ]
    return "\n".join(lines)
