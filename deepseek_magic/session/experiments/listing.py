"""``ds.sweeps``: every sweep of this machine, as a table and one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from ...engine.trials.store import SweepHead, SweepStore
from ...metrics.files import Tabular
from ...metrics.frames import Columns, Types
from ...metrics.tables import cell, html_table, text_table
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.plan import Plan
from ...protocol.options import closest
from ...text.inline import plain_html
from ...text.language import MOMENT
from ...text.messages import Message, say, words
from ..calls import session
from .running import NAME_CHARS, sweep_of
from .sweep import Sweep

SHOWN_SWEEPS: Final = 30
_HEADS: Final = words("sweep", "made", "prompt", "trials", "done", "failed", "open")


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
        rows = [self._row(head, states) for head, states in self._counted()]
        return {name: [row[place] for row in rows] for place, name in enumerate(self.TYPES)}

    def _counted(self) -> list[tuple[SweepHead, Mapping[str, int]]]:
        counts = self._store.counts()
        return [(head, counts.get(head.sweep_id, {})) for head in self._store.heads()]

    def _row(self, head: SweepHead, states: Mapping[str, int]) -> list[Any]:
        prompt = " / ".join(" ".join(each.text.split()) for each in Plan.from_json(head.plan, "[]").templates)
        left = sum(states.get(name, 0) for name in ("waiting", "running", "unpaid"))
        asked = [sum(states.values()), states.get("done", 0), states.get("failed", 0), left]
        return [head.sweep_id, head.name, head.notebook, datetime.fromisoformat(head.made_at), prompt, *asked]

    def _shown(self) -> tuple[list[str], list[list[str]], str]:
        rows = []
        for _, name, _, made, prompt, *asked in (self._row(*each) for each in self._counted()[:SHOWN_SWEEPS]):
            rows.append([name, made.astimezone().strftime(MOMENT), *map(cell, (prompt, *asked))])
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


sweeps: Final = Sweeps()
"""``ds.sweeps``: every sweep of this machine's notebooks."""
