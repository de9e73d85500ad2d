"""The flags of ``%%deepseek_judge``: what the judge may say, which model it is, and what it may cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ...protocol.errors import ConfigurationError
from ...protocol.experiments import score
from ...protocol.experiments.scoring import Scorer
from ...protocol.options import OPTIONS_BY_NAME, Option
from ...text.messages import Message, say
from ..magic.flags import Line, explained, read_line, wrapped
from .flags import SWEEP_OPTIONS

JUDGE_OPTIONS: Final = (
    Option(
        name="choices",
        kind="text",
        flags=("--choices",),
        metavar="WORD=VALUE,…",
        default="yes=1,no=0",
        help=Message("what the judge may say, and what each is worth"),
    ),
    Option(
        name="prefer",
        kind="switch",
        flags=("--prefer",),
        help=Message("set the settings' answers to each input against each other, in both orders"),
    ),
    Option(
        name="votes",
        kind="integer",
        flags=("--votes",),
        metavar="N",
        minimum=1,
        maximum=100,
        default="1",
        help=Message("ask so often and take the mean"),
    ),
    Option(
        name="name",
        kind="text",
        flags=("--name",),
        metavar="NAME",
        default=Message("judge, or prefer"),
        help=Message("what the score is called: its column is score.NAME"),
    ),
    replace(
        OPTIONS_BY_NAME["model"], help=Message("the model that judges, at the endpoint of the sweep"), default=None
    ),
)
CELL_OPTIONS: Final = (
    replace(OPTIONS_BY_NAME["output"], help=Message("bind the judged sweep to this variable")),
    replace(OPTIONS_BY_NAME["budget"], help=Message("the most that the verdicts may cost, in US dollars")),
    *(option for option in SWEEP_OPTIONS if option.name in ("go", "concurrency")),
    replace(
        OPTIONS_BY_NAME["dry_run"], help=Message("show what would be asked and what it would cost, and send nothing")
    ),
    replace(OPTIONS_BY_NAME["quiet"], help=Message("show nothing; the scores are in the sweep")),
)
JUDGE_FLAGS: Final[Mapping[str, Option]] = {
    flag: option for option in (*JUDGE_OPTIONS, *CELL_OPTIONS) for flag in option.flags
}
"""Every flag of the magic."""
SEE: Final = Message("%%deepseek_judge --help lists all flags.")

_FIRST: Final = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^\s"'-]\S*))(?:\s+|\Z)""")


def read_judge_line(line: str) -> tuple[str, Line]:
    """The name of the sweep that a line begins with ("" if none does), and its flags. Raises ConfigurationError."""
    first = _FIRST.match(line)
    name = "" if first is None else first["double"] or first["single"] or first["plain"] or ""
    return name, read_line(line if first is None else line[first.end() :], JUDGE_FLAGS, see=SEE)


def judge_of(rubric: str, options: Mapping[str, Any]) -> Scorer:
    """The scorer of a rubric and the options typed. Raises ConfigurationError."""
    given = {name: options[name] for name in ("model", "votes", "name") if name in options}
    if not options.get("prefer"):
        return score.judge(rubric, choices=_choices(options.get("choices")), **given)
    if "choices" in options:
        said = Message("--prefer has its own choices, and --choices says others.")
        raise ConfigurationError(said, hint=Message("Leave one of them out."))
    return score.prefer(rubric, **given)


def _choices(typed: str | None) -> dict[str, float] | None:
    """``yes=1,no=0`` as a dict."""
    if typed is None:
        return None
    made = {}
    for part in typed.split(","):
        word, equals, value = part.rpartition("=")
        try:
            made[word.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals or not word.strip():
            said = Message("--choices {text} cannot be read: each choice is a word and its value.", text=typed)
            raise ConfigurationError(said, hint=Message("Write it like --choices good=1,fair=0.5,bad=0."))
    return made


def judge_help() -> str:
    """What ``%%deepseek_judge --help`` shows."""
    lines = [
        say("Have a model judge the answers of a sweep, and get their scores in its table."),
        "",
        "  %%deepseek_judge SWEEP [flags]",
        f"  {say('the prompt is the body of the cell; {column} takes the value of the row')}",
        "",
        *wrapped(
            say(
                "SWEEP is a variable or a name that %deepseek_sweeps lists. Each verdict is a call; run again, it asks only for those that are missing. Without --go or --budget it is not sent if it may cost more than %config DeepSeekMagics.pocket."
            )
        ),
        "",
        say("The judge"),
        *explained(JUDGE_OPTIONS),
        "",
        say("The cell"),
        *explained(CELL_OPTIONS),
    ]
    return "\n".join(lines)
