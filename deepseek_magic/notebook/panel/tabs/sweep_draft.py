"""What the sweep tab is set to → the ``%%deepseek_sweep`` cell that asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ....protocol.experiments.axes import VARIED
from ....protocol.experiments.plan import Plan
from ....protocol.experiments.templates import written
from ....protocol.options import OPTIONS, Option
from ....session import session
from ....text.messages import Message
from ...experiments.flags import BY_NAME, EACH_CALL, read_sweep_line, split
from ...experiments.sweep_cell import check_cell, typed_plan
from .as_magic import Cell, as_cell

MAGIC: Final = "%%deepseek_sweep"

_NOT_OFFERED: Final = ("over", "vary", "scores", "retry", "on", "limits", "dry_run", "quiet")
"""Flags of the sweep that the tab has other means for, or that mean nothing in it."""

_FIRST: Final = ("output", "repeats", "limit", "budget")

AXES: Final = tuple(option for option in OPTIONS if option.flags and option.name in VARIED)
"""What can be an axis by a click."""


LABELS: Final[Mapping[str, Message]] = {
    "output": Message("variable"),
    "repeats": Message("repeats"),
    "limit": Message("first rows"),
    "budget": Message("budget"),
    "sample": Message("random rows"),
    "sample_seed": Message("rows' seed"),
    "at": Message("when"),
    "go": Message("send without a budget"),
    "name": Message("name of sweep"),
    "each": Message("ask equal rows each"),
    "cluster": Message("cluster by"),
    "concurrency": Message("calls at once"),
    "allow_failed": Message("may fail"),
    "fresh": Message("ask all anew"),
    "background": Message("in background"),
}
"""What the sweep's own options are called: beside a control there is no room for a flag's explanation."""


def fields() -> tuple[list[Option], list[Option]]:
    """The sweep's own options with a control: those that are seen at once, and the others."""
    offered = [option for option in BY_NAME.values() if option.name not in (*_NOT_OFFERED, *EACH_CALL)]
    first = [option for option in offered if option.name in _FIRST]
    others = [option for option in offered if option.name not in _FIRST]
    return sorted(first, key=lambda option: _FIRST.index(option.name)), sorted(
        others, key=lambda option: option.kind == "switch"
    )


def planned(line: str, body: str, known: Mapping[str, Any]) -> tuple[Plan, dict[str, Any]]:
    """The plan of a cell over the variables that are ``known``, and how the cell goes about it; made as the cell makes it.

    Raises ConfigurationError as the cell does.
    """
    typed = read_sweep_line(line)
    check_cell(line, body, typed)
    asked, how = split(typed.options)
    return typed_plan(session(), body.strip("\n"), asked, known), how


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDraft:
    """A sweep as it is put together by clicks.

    ``over`` names the table, or is empty. ``prompts`` are names and texts, ``vary`` and ``scores`` what ``--vary`` and
    ``--score`` take, ``options`` the sweep's own flags, ``calls`` those of each call, of which an axis takes the place.
    """

    over: str = ""
    prompts: Sequence[tuple[str, str]] = ()
    vary: Sequence[str] = ()
    scores: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    calls: Mapping[str, Any] = field(default_factory=dict)

    def cell(self) -> Cell:
        """The cell. Raises ConfigurationError for prompts that a cell cannot hold."""
        axes = {typed.partition("=")[0] for typed in self.vary}
        options = dict(self.options)
        words = {
            "output": options.pop("output", None),
            "over": self.over or None,
            **{name: value for name, value in self.calls.items() if name in EACH_CALL and name not in axes},
            "vary": tuple(self.vary),
            "repeats": options.pop("repeats", None),
            "scores": tuple(self.scores),
            **options,
        }
        return as_cell(written(self.prompts), words, magic=MAGIC, known=BY_NAME)
