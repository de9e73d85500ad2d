"""A cell of ``%%deepseek_map``: a prompt asked of every row of a table, and the answers beside the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from IPython.display import display

from ...metrics.tables import cell, table_bundle
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.rows import columns_of
from ...protocol.options import closest
from ...session import session
from ...session.experiments.mapping import INTO, TableMap
from ...session.experiments.planning import table_rows
from ...text.messages import Message, say
from ..frontend import notebook_path
from ..magic.past import variables
from .flags import map_help, read_map_line, split
from .sweep_cell import SweepCells, SweepOrder, check_cell, typed_table, with_client

if TYPE_CHECKING:
    from ...session.state import Session

SHOWN_ROWS: Final = 10


def typed_map(here: Session, table: str, prompt: str, asked: Mapping[str, Any], known: Mapping[str, Any]) -> TableMap:
    """The map of a cell's text and flags over the variables that are ``known``. Raises ConfigurationError."""
    if not table:
        raise ConfigurationError(
            Message("%%deepseek_map needs the name of a table."),
            hint=Message("Write it first: %%deepseek_map TABLE -o NAME --into COLUMN"),
        )
    asked = {"into": INTO, **asked}
    where = asked.pop("where", None)
    chosen = None if where is None else _chosen(where, known)
    return TableMap.of(here, typed_table(table, known), prompt, where=chosen, variables=known, **asked)


class MapCells(SweepCells):
    """Has the maps of cells asked."""

    _into = INTO

    def _begin(self, line: str, body: str | None, scope: Mapping[str, Any], *, button: bool) -> SweepOrder | None:
        table, typed = read_map_line(line)
        if typed.help:
            print(map_help())
            return None
        check_cell(line, body, typed)
        session().chats.notebook = notebook_path(self.shell)
        asked, how = split(typed.options)
        known = variables(self.shell, self._magics.last_error, scope)
        how = dict(with_client(how, known))
        made = typed_map(session(), table, (body or "").strip("\n"), asked, known)
        self._into = made.into
        if made.plan is None:
            result = made.result(None)
            self._bind(how.get("output"), result)
            self._show(how, result)
            return None
        return self._ask(made.plan, how, button=button, made=made.result)

    def _show(self, how: Mapping[str, Any], made: Any) -> None:
        """Of a table that no -o names, the first rows, and where it is."""
        if how.get("output") is not None or how.get("quiet"):
            return
        rows = table_rows(made)
        caption = say("The table is in _; -o NAME keeps it under a name.")
        if len(rows) > SHOWN_ROWS:
            caption = f"{caption} {say('Its first {count} rows:', count=SHOWN_ROWS)}"
        heads = columns_of(rows)
        shown = [[cell(_line(row.get(head))) for head in heads] for row in rows[:SHOWN_ROWS]]
        display(table_bundle(heads, shown, caption), raw=True)

    def _where(self, name: str, order: SweepOrder) -> str:
        return f'{name}["{self._into}_error"]'


def _chosen(name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ConfigurationError(
            Message("There is no variable {name}{near}.", name=name, near=closest(name, list(known))),
            hint=Message("--where takes the name of one with true or false for each row."),
        )
    return known[name]


def _line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value
