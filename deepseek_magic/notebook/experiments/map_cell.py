"""A cell of ``%%deepseek_map``: a prompt asked of every row of a table, and the answers beside the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...protocol.errors import ConfigurationError
from ...session import session
from ...session.experiments.mapping import INTO, TableMap
from ...text.messages import Message
from ..magic.past import variables
from .flags import map_help, read_map_line, split
from .sweep_cell import SweepCells, SweepOrder


class MapCells(SweepCells):
    """Has the maps of cells asked."""

    _into = INTO

    def _begin(self, line: str, body: str | None, scope: Mapping[str, Any], *, button: bool) -> SweepOrder | None:
        table, typed = read_map_line(line)
        if typed.help:
            print(map_help())
            return None
        self._check(line, body, typed)
        if not table:
            raise ConfigurationError(
                Message("%%deepseek_map needs the name of a table."),
                hint=Message("Write it first: %%deepseek_map TABLE -o NAME --into COLUMN"),
            )
        asked, how = split(typed.options)
        known = variables(self.shell, self._magics.last_error, scope)
        where = asked.pop("where", None)
        self._into = asked.pop("into", INTO)
        made = TableMap.of(
            session(),
            self._table(table, known),
            (body or "").strip("\n"),
            into=self._into,
            where=None if where is None else self._table(where, known),
            variables=known,
            **asked,
        )
        if made.plan is None:
            self._bind(how.get("output"), made.result(None))
            return None
        return self._ask(made.plan, how, button=button, made=made.result)

    def _where(self, name: str, order: SweepOrder) -> str:
        return f'{name}["{self._into}_error"]'
