"""A prompt asked of every row of a table, and the answers beside the rows: the same kind of table, in the same order.

It is a sweep with one setting, so what holds for sweeps holds here: journal, resume, budget, and equal rows asked once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from ...metrics.frames import arrow_table, library, pandas_frame, polars_frame
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rows import ONLY_COLUMN, Row, plain
from ...protocol.schema import Schema
from ...text.extract import read_json
from ...text.messages import Message
from .. import watched
from ..calls import session
from ..prepared import AskOptions, hide_key
from .planning import plan_of, table_rows
from .running import HOW, prepare_sweep, start_sweep
from .sweep import Sweep

if TYPE_CHECKING:
    from ..state import Session
    from .running import PreparedSweep

INTO: Final = "answer"
_GIVEN: Final = ("api_key", "timeouts")
_WHY: Final = {
    "unpaid": Message("the budget did not allow it"),
    "waiting": Message("it was not asked"),
    "running": Message("it was not asked"),
}
_ANSWERS: Final = """
    SELECT trials.row, trials.state, trials.why, calls.text FROM trials LEFT JOIN calls USING (call_id)
    WHERE sweep_id = ? ORDER BY trial
"""


class MapOptions(AskOptions, total=False):
    """What a map takes besides the options of a call."""

    name: str | None
    retry: bool
    concurrency: int | None
    at: Literal["off-peak"] | None
    on: Any
    limits: Literal["cluster"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMap:
    """A table that is to be mapped: its rows, which of them are asked, and where the answers go."""

    table: Any
    rows: Sequence[Row]
    chosen: Sequence[int]
    into: str
    schema: Schema | None = None
    plan: Plan | None = field(default=None)
    """None where no row is asked."""

    @classmethod
    def of(
        cls, here: Session, table: Any, prompt: str, *, into: str = INTO, where: Any = None, **options: Any
    ) -> TableMap:
        """The map of a table, over the defaults of a session. Raises ConfigurationError."""
        if not (isinstance(into, str) and into.strip()):
            raise ConfigurationError.of_setting("into", repr(into), Message("it takes text that is not empty"))
        rows = table_rows(table)
        chosen = list(range(len(rows))) if where is None else _chosen(where, len(rows))
        if not chosen:
            return cls(table=table, rows=rows, chosen=chosen, into=into)
        asked = [rows[place] for place in chosen]
        plan = plan_of(prompt, over=asked, defaults=here.in_force({}), framed=False, **options)
        return cls(table=table, rows=rows, chosen=chosen, into=into, schema=plan.schema, plan=plan)

    def prepared(self, here: Session, **given: Any) -> PreparedSweep:
        """Every request made."""
        assert self.plan is not None
        return prepare_sweep(here, self.plan, **given)

    def result(self, sweep: Sweep | None) -> Any:
        """The table with the answers in it."""
        texts: list[Any] = [None] * len(self.rows)
        errors: list[Any] = [None] * len(self.rows)
        for row, state, why, text in [] if sweep is None else sweep.journal.stored(_ANSWERS, (sweep.sweep_id,)):
            place = self.chosen[row]
            if state == "done":
                texts[place] = text
            else:
                errors[place] = why if state == "failed" else str(_WHY[state])
        columns, kinds = {self.into: texts}, dict[str, type]()
        if self.schema is not None:
            columns |= self._fields(texts, errors)
            kinds = {f"{self.into}.{name}": kind for name, kind in self.schema.fields.items()}
        columns[f"{self.into}_error"] = errors
        return _with(self.table, self.rows, columns, {name: kinds.get(name, str) for name in columns}, self.chosen)

    def _fields(self, texts: Sequence[Any], errors: list[Any]) -> dict[str, list[Any]]:
        """The fields of answers that fit the schema; of others the error says what does not. Lists and objects stay such."""
        assert self.schema is not None
        values: list[Mapping[str, Any]] = []
        for place, text in enumerate(texts):
            value: Mapping[str, Any] = {}
            if text is not None:
                try:
                    self.schema.read(text)
                    value = read_json(text) | {n: v for n, v in self.schema.values(text).items() if type(v) is not str}
                except ValueError as error:
                    errors[place] = str(error)
            values.append(value)
        return {f"{self.into}.{name}": [value.get(name) for value in values] for name in self.schema.fields}


def map(table: Any, prompt: str, *, into: str = INTO, where: Any = None, **options: Unpack[MapOptions]) -> Any:
    """Ask a prompt of every row of a table, and give the table back with the answers in the column ``into``.

    ``table`` is a DataFrame of pandas (whose index stays as it is) or polars, a Series, an Arrow table, a list of dicts or of
    values; ``{column}`` in the prompt takes the row's value (``{input}`` that of a list of values). The column ``into_error`` says
    what a row without an answer failed of; both columns are always there. With ``schema`` the fields of each answer are in
    ``into.field``. ``where`` chooses rows, by true and false for each; the others keep what they have. ``options`` are those of
    ``ask``, and ``budget``, ``concurrency``, ``fresh``, ``retry``, ``at``, ``on``, ``limits`` and ``name`` as for ``sweep``.

    A row that failed raises nothing. Raises ConfigurationError, and what no row could get past, as ``sweep`` does.
    """
    hide_key(options)
    here = session()
    asked: Any = dict(options)
    how = {name: asked.pop(name) for name in HOW if name in asked}
    given = {name: asked.pop(name, None) for name in _GIVEN}
    made = TableMap.of(here, table, prompt, into=into, where=where, **asked)
    if made.plan is None:
        return made.result(None)
    call = start_sweep(here, made.prepared(here, on=how.get("on"), **given), **how)
    with watched.watching(call) as look:
        return made.result(call.wait(look))


def _chosen(where: Any, count: int) -> list[int]:
    try:
        values = list(where.to_list() if callable(getattr(where, "to_list", None)) else where)
    except TypeError:
        said = Message("it takes one true or false for each row")
        raise ConfigurationError.of_setting("where", repr(where), said) from None
    if len(values) != count:
        raise ConfigurationError(
            Message("where is not as long as the table: {count} instead of {rows}.", count=len(values), rows=count),
            hint=Message("Give one true or false for each row."),
        )
    return [place for place, value in enumerate(values) if plain(value)]


def _with(
    table: Any, rows: Sequence[Row], columns: Mapping[str, list[Any]], kinds: Mapping[str, type], chosen: Sequence[int]
) -> Any:
    """The table with these columns, whose types are ``kinds`` whatever is missing in them; of a column that it has, only the
    chosen rows are replaced."""
    kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__name__}"
    if kind == "pandas.Series":
        table = table.to_frame(name=ONLY_COLUMN if table.name is None else table.name)
    elif kind.startswith("pandas.") and not hasattr(table, "iloc"):  # an index: only its values are the table
        table = table.to_frame(index=False, name=ONLY_COLUMN if table.name is None else table.name)
    elif kind == "polars.Series":
        table = table.to_frame(table.name or ONLY_COLUMN)
    elif kind == "polars.LazyFrame":
        table = table.collect()
    match kind.partition(".")[0]:
        case "pandas":
            return _with_pandas(table, columns, kinds, set(chosen))
        case "polars":
            pl = library("polars")
            made = []
            for name, values in columns.items():
                kept = table[name].to_list() if name in table.columns else None
                merged = _merged(kept, values, set(chosen))
                fits = _of_kind(merged, kinds[name])
                typed = (
                    polars_frame({name: merged}, {name: kinds[name]})[name]
                    if fits
                    else pl.Series(name, merged, strict=False)
                )
                made.append(typed)
            return table.with_columns(made)
        case "pyarrow":
            for name, values in columns.items():
                place = table.schema.get_field_index(name)
                kept = table.column(place).to_pylist() if place >= 0 else None
                merged = _merged(kept, values, set(chosen))
                fits = _of_kind(merged, kinds[name])
                typed = arrow_table({name: merged}, {name: kinds[name]}).column(0) if fits else [merged]
                table = table.append_column(name, typed) if place < 0 else table.set_column(place, name, typed)
            return table
    asked = set(chosen)
    return [
        {**row, **{name: values[place] for name, values in columns.items() if place in asked or name not in row}}
        for place, row in enumerate(rows)
    ]


def _of_kind(values: Sequence[Any], kind: type) -> bool:
    """Whether a column of this type can hold the values: what a table had before may be anything."""
    return all(value is None or type(value) in ((int, float) if kind is float else (kind,)) for value in values)


def _with_pandas(frame: Any, columns: Mapping[str, list[Any]], kinds: Mapping[str, type], chosen: set[int]) -> Any:
    pd = library("pandas")
    made = frame.copy()
    for name, values in columns.items():
        kept = made[name].tolist() if name in made.columns else None
        merged = _merged(kept, values, chosen)
        # By position: an index may have a label twice.
        if _of_kind(merged, kinds[name]):
            made[name] = pandas_frame({name: merged}, {name: kinds[name]})[name].array
        else:
            made[name] = pd.Series(merged, dtype=object).convert_dtypes().array
    return made


def _merged(kept: Sequence[Any] | None, values: Sequence[Any], chosen: set[int]) -> list[Any]:
    if kept is None:
        return list(values)
    old = [None if plain(value) is None else value for value in kept]
    return [value if place in chosen else old[place] for place, value in enumerate(values)]
