"""``ds.sweeps``: every sweep of this machine, as a table and one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from ...engine.trials.store import SweepHead, SweepStore
from ...metrics.files import Tabular
from ...metrics.frames import Columns, Types
from ...metrics.tables import UNKNOWN, cell, html_table, spent_on, text_table
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.judging import is_judging
from ...protocol.experiments.plan import Plan
from ...protocol.options import closest
from ...text.inline import plain_html
from ...text.language import MOMENT
from ...text.messages import Message, say, words
from ..calls import session
from .judged import title_of
from .running import NAME_CHARS, sweep_of
from .scores import JUDGES
from .sweep import Sweep

SHOWN_SWEEPS: Final = 30
_HEADS: Final = words("sweep", "made", "prompt", "trials", "done", "failed", "open", "cost")


@dataclass(frozen=True)
class Sweeps(Tabular):
    """Every sweep that this machine's journal has, newest first: by place or by name, where the newest of a name counts.

    It shows itself as ``%deepseek_sweeps`` does; a frame of it has a row a sweep. ``open`` trials have no answer yet.
    """

    TYPES: ClassVar[Types] = {
        **dict.fromkeys(("sweep", "name", "notebook"), str),
        "made_at": datetime,
        "prompt": str,
        **dict.fromkeys(("trials", "done", "failed", "open"), int),
    }

    @property
    def _store(self) -> SweepStore:
        return SweepStore(session().journal)

    def __iter__(self) -> Iterator[Sweep]:
        return (sweep_of(session(), head.sweep_id) for head in self._store.heads())

    def __len__(self) -> int:
        return len(self._store.heads())

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, which: int | str) -> Sweep:
        """The sweep of a name, of the beginning of an id (eight characters and more, as tables show it), or at a place. Raises
        ConfigurationError where there is none, and IndexError for a place."""
        heads = self._store.heads()
        if isinstance(which, int):
            return sweep_of(session(), heads[which].sweep_id)
        # A word that is cut short, or none at all, must not be some sweep's: it may be about to be deleted.
        found = [head for head in heads if head.name == which] or [
            head for head in heads if len(str(which)) >= NAME_CHARS and head.sweep_id.startswith(str(which))
        ]
        if not found:
            near = closest(str(which), [head.name for head in heads])
            raise ConfigurationError(
                Message("The journal has no sweep {name}{near}.", name=which, near=near),
                hint=Message("%deepseek_sweeps lists those that it has."),
            )
        return sweep_of(session(), found[0].sweep_id)

    def search(self, text: str) -> list[Sweep]:
        """The sweeps whose name, prompts or inputs hold ``text``, in either case, newest first."""
        wanted = text.casefold()
        heads = [h for h in self._store.heads() if any(wanted in part.casefold() for part in (h.name, h.plan, h.rows))]
        return [sweep_of(session(), head.sweep_id) for head in heads]

    def _columns(self) -> Columns:
        rows = self._rows()
        return {name: [row[place] for row in rows] for place, name in enumerate(self.TYPES)}

    def _rows(self, most: int | None = None) -> list[list[Any]]:
        """Of the newest sweeps, or all. The prompt of a judge is its question, which the sweep has that it judges."""
        counted = self._counted()
        plans = {head.sweep_id: Plan.from_json(head.plan, "[]") for head, _ in counted}
        questions = {
            title_of(head.name, scorer): scorer.expected
            for head, _ in reversed(counted)
            for scorer in plans[head.sweep_id].scorers
            if scorer.kind in JUDGES
        }
        rows = []
        for head, states in counted[:most]:
            plan = plans[head.sweep_id]
            question = questions.get(head.name) if is_judging(plan) else None
            rows.append(_row(head, states, [question] if question else [each.text for each in plan.templates]))
        return rows

    def _counted(self) -> list[tuple[SweepHead, Mapping[str, int]]]:
        counts = self._store.counts()
        return [(head, counts.get(head.sweep_id, {})) for head in self._store.heads()]

    def _shown(self) -> tuple[list[str], list[list[str]], str]:
        rows = []
        for sweep_id, name, _, made, prompt, *asked in self._rows(SHOWN_SWEEPS):
            costs = self._store.spent(sweep_id)
            shown = [*map(cell, (prompt, *asked)), spent_on(costs, 0) if costs else UNKNOWN]
            rows.append([name, made.astimezone().strftime(MOMENT), *shown])
        caption = say("%deepseek_sweeps resume NAME asks what one has open")
        if not rows:
            caption = say("There are no sweeps yet. %%deepseek_sweep makes one.")
        return [head.localized() for head in _HEADS.values()], rows, caption

    def __repr__(self) -> str:
        heads, rows, caption = self._shown()
        return text_table(heads, rows, caption) if rows else caption

    def _repr_html_(self) -> str:
        heads, rows, caption = self._shown()
        return html_table(heads, rows, caption) if rows else plain_html(caption)


def _row(head: SweepHead, states: Mapping[str, int], prompts: Sequence[str]) -> list[Any]:
    prompt = " / ".join(" ".join(text.split()) for text in prompts)
    left = sum(states.get(name, 0) for name in ("waiting", "running", "unpaid"))
    asked = [sum(states.values()), states.get("done", 0), states.get("failed", 0), left]
    return [head.sweep_id, head.name, head.notebook, datetime.fromisoformat(head.made_at), prompt, *asked]


sweeps: Final = Sweeps()
"""``ds.sweeps``: every sweep of this machine's notebooks."""
