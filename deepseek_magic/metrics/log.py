"""The calls of a session as a table that every data frame library reads.

``MetricsLog`` is a sequence of flat mappings with the same columns in the same order, so ``pandas.DataFrame(log)`` and
``polars.DataFrame(log)`` work as they are; it also speaks the Arrow C stream protocol. None of these libraries is needed
until it is asked for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, overload

import msgspec

from ..policy.pricing import PRICES
from ..protocol.measured import TAPE, TYPED, StreamRecord
from ..protocol.outcome import OUTCOME_WORDS
from ..text.messages import Message, localized, say, words
from .files import Tabular
from .row import COLUMNS, Row, row_of
from .spending import Spending
from .tables import cell, counted, money, table_bundle

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ..protocol.completion import Completion
    from .canvas import Plot, PlotKind
    from .columns import Explained
    from .summary import ServiceLevels, Summary
    from .telemetry import Export

_logger: Final = logging.getLogger(__name__)

MAX_ROWS: Final = 100_000
"""A call takes about 2 kB with its phases, so a full log stays below 250 MB."""

FORGOTTEN_SHARE: Final = 10
"""A full log forgets its oldest tenth at once, so that adding stays cheap."""

BLOCK_ROWS: Final = 100
"""Rows that are turned into columns at a time: as many as stay in the processor's cache, which makes it a third faster."""

SHOWN_ROWS: Final = 20
_SHOWN: Final = {
    "started_at": Message("started"),
    "endpoint": Message("endpoint"),
    "model": Message("model"),
    "purpose": Message("purpose"),
    "outcome": Message("outcome"),
    "attempts": Message("attempts"),
    "ttft_s": Message("first token, s"),
    "total_s": Message("total, s"),
    "tokens_per_s": Message("tokens/s"),
    "prompt_tokens": Message("tokens in"),
    "completion_tokens": Message("tokens out"),
    "cost": Message("cost"),
}


_PURPOSES: Final = words("ask", "trial", "judge", "hedge", "ahead")


def _purpose(record: StreamRecord) -> str:
    """Why a call was sent, and whether nobody was given its answer."""
    purpose = localized(_PURPOSES.get(record.purpose or "", cell(record.purpose)))
    return purpose if record.used else say("{purpose}, not used", purpose=purpose)


class MetricsLog(Tabular, Sequence[Row]):
    """The records of a session as rows; ``explain()`` tells what the columns mean. Thread-safe; keeps at most
    ``max_rows``, then forgets the oldest.

    ``levels`` is what its summaries judge by; None for the defaults of ``ServiceLevels``. ``prices`` is what the session
    prices its calls by from now on. ``forgotten`` counts the rows that are gone. ``records`` are the values behind the
    rows, with exact money; ``spending`` is the account of all of them.
    """

    TYPES = COLUMNS

    def __init__(
        self, *, max_rows: int = MAX_ROWS, levels: ServiceLevels | None = None, mask: Callable[[str], str] = str
    ) -> None:
        if max_rows < 1:
            raise ValueError(f"a log keeps at least one row, not {max_rows}")
        self.max_rows = max_rows
        self.levels = levels
        self.prices = PRICES
        self.forgotten = 0
        self.spending = Spending()
        self._mask = mask
        self._exports: tuple[Export, ...] = ()
        self._records: list[StreamRecord] = []
        self._lock = threading.Lock()

    def add(self, record: StreamRecord, completion: Completion | None = None) -> None:
        """Append a record; from any thread. ``completion`` is for exports, and is not kept."""
        if record.endpoint != TAPE:
            self.spending.add(record)
        with self._lock:
            if len(self._records) >= self.max_rows:
                gone = max(1, self.max_rows // FORGOTTEN_SHARE)
                del self._records[:gone]
                self.forgotten += gone
            self._records.append(record)
        for export in self._exports:
            try:
                export(record, completion)
            except Exception:  # whatever an exporter does, the call has been answered
                _logger.exception("A call could not be exported.")

    @property
    def records(self) -> tuple[StreamRecord, ...]:
        """The records, oldest first, as of now."""
        with self._lock:
            return tuple(self._records)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        with self._lock:
            chosen = self._records[index]
        return [row_of(r) for r in chosen] if isinstance(chosen, list) else row_of(chosen)

    def __iter__(self) -> Iterator[Row]:
        return map(row_of, self.records)

    def export_to(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        content: bool = False,
    ) -> Callable[[], None]:
        """Send every call from now on to OpenTelemetry (extra ``otel``), to the global providers if none are named.

        ``content`` sends prompts and answers too, which otherwise stay here. Returns a function that ends the export.
        The providers' processors run on the engine's thread: take batching ones.
        """
        from .telemetry import Export

        export = Export(tracer_provider, meter_provider, content=content, mask=self._mask)
        self._exports = (*self._exports, export)

        def stop() -> None:
            self._exports = tuple(each for each in self._exports if each is not export)

        return stop

    # What was measured, in columns

    def _columns(self) -> dict[str, list[Any]]:
        records = self.records
        columns: dict[str, list[Any]] = {name: [] for name in StreamRecord.__struct_fields__}
        for start in range(0, len(records), BLOCK_ROWS):
            block = map(msgspec.structs.astuple, records[start : start + BLOCK_ROWS])
            for column, values in zip(columns.values(), zip(*block, strict=True), strict=True):
                column.extend(values)
        columns["cost"] = [None if cost is None else float(cost) for cost in columns["cost"]]
        return {name: columns[name] for name in COLUMNS}

    def explain(self, word: str = "") -> Explained:
        """What a column means, with unit and source: ``log.explain("ttft_s")``; without a word, all of them.

        A word that is no column finds those that speak of it. Raises KeyError where none does.
        """
        from .columns import explain

        return explain(word, COLUMNS)

    # Views

    def summary(
        self,
        window_s: float | None = None,
        *,
        last: int | None = None,
        levels: ServiceLevels | None = None,
        now: datetime | None = None,
    ) -> Summary:
        """How the calls did that began in the last ``window_s`` seconds, or all of them; of those the ``last`` so many. What a
        tape answered is left out."""
        from .summary import summarize  # here, because the extension loads the log and few sessions ask for a summary

        records = [record for record in self._since(window_s, now) if record.endpoint != TAPE]
        return summarize(records[-last:] if last else records, levels or self.levels, window_s)

    def _since(self, window_s: float | None, now: datetime | None = None) -> Sequence[StreamRecord]:
        if window_s is None:
            return self.records
        since = (now or datetime.now(UTC)) - timedelta(seconds=window_s)
        return [r for r in self.records if r.started_at >= since]

    def plot(
        self,
        kind: PlotKind = "latency",
        *,
        call: int | str = -1,
        window_s: float | None = None,
        width_in: float | None = None,
    ) -> Plot:
        """A picture that shows itself (needs the extra ``plots``).

        ``latency``: within how many seconds calls had their first token and their end. ``speed``: tokens a second, over
        time. Both of the calls that began in the last ``window_s`` seconds, or all. ``waterfall``: where the time of one
        call went; ``call`` is its place in the log or the beginning of its id, the last one if not given. ``width_in`` is
        the width of the picture in inches, 7 if not given; the letters stay as tall as they are.
        Raises ValueError when there is nothing to draw, ImportError without matplotlib.
        """
        from . import canvas, plots

        if kind not in canvas.KINDS:
            known = ", ".join(canvas.KINDS)
            raise ValueError(Message("There is no plot {kind}: it is one of {kinds}.", kind=repr(kind), kinds=known))
        records = [record for record in self._since(window_s) if record.used]
        if not records:
            raise ValueError(Message("There is no call to draw."))
        width = canvas.WIDTH_IN if width_in is None else width_in
        if kind == "waterfall":
            return plots.draw_waterfall(self._record(call), width_in=width)
        if kind == "speed":
            return plots.draw_speed(records, width_in=width)
        return plots.draw_latency(records, self.levels, width_in=width)

    def _record(self, call: int | str) -> StreamRecord:
        records = self.records
        if isinstance(call, int):
            found = [records[call]] if -len(records) <= call < len(records) else []
            said = Message(
                "The log holds {count} calls; there is none at {value}.", count=f"{len(records):,}", value=call
            )
        else:
            found = [record for record in records if record.call_id.startswith(call)]
            count, begins = f"{len(found):,}", repr(call)
            said = Message("The log holds {count} calls whose id begins with {value}.", count=count, value=begins)
        if len(found) != 1:
            raise ValueError(said)
        return found[0]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        rows = self.records[-SHOWN_ROWS:]
        columns = {name: [cell(getattr(row, name)) for row in rows] for name in _SHOWN}
        costs = money([row.cost for row in rows])
        columns["cost"] = [f"{cost} {row.currency or ''}".strip() for cost, row in zip(costs, rows, strict=True)]
        columns["endpoint"] = [cell(row.host if row.endpoint == TYPED else row.endpoint) for row in rows]
        columns["purpose"] = [_purpose(row) for row in rows]
        columns["outcome"] = [OUTCOME_WORDS[row.outcome].localized() for row in rows]
        caption = [counted(len(self))]
        if len(rows) < len(self):
            caption.append(say("the last {count} of them", count=len(rows)))
        if self.forgotten:
            caption.append(say("{count} older ones were forgotten", count=f"{self.forgotten:,}"))
        heads = [head.localized() for head in _SHOWN.values()]
        return table_bundle(heads, list(zip(*columns.values(), strict=True)), say("; ").join(caption))

    def __repr__(self) -> str:
        return f"<MetricsLog: {len(self):,} calls>"
