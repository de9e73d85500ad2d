"""The log as a table for every library, as a view for a reader, and as a judgement on the service."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepseek_magic.metrics.log import COLUMNS, MAX_ROWS, MetricsLog
from deepseek_magic.metrics.phases import Phase
from deepseek_magic.metrics.record import StreamRecord, TimelineEntry
from deepseek_magic.metrics.summary import ServiceLevels
from deepseek_magic.text.language import use

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J|&'\"\u202e"


def record(i: int = 0, **changes: Any) -> StreamRecord:
    values: dict[str, Any] = {
        "call_id": f"call-{i}",
        "started_at": NOON + timedelta(seconds=i),
        "endpoint": "deepseek",
        "model": "deepseek-flash",
        "outcome": "complete",
        "attempts": 1,
        "ttft_s": 0.25 + i,
        "total_s": 1.0,
        "chunks": 10,
        "chunks_per_s": 50.0,
        "prompt_tokens": 7,
        "completion_tokens": 2**40 + i,
        "cost": Decimal("0.0015"),
        "currency": "USD",
        "cost_estimated": False,
        "peak": False,
        "price_date": date(2026, 9, 10),
    }
    return StreamRecord(**{**values, **changes})


def log_of(*records: StreamRecord, **options: Any) -> MetricsLog:
    log = MetricsLog(**options)
    for each in records:
        log.add(each)
    return log


MIXED = (record(0), record(1, ttft_s=None, completion_tokens=None, cost=None, currency=None, peak=None), record(2))
ALL_UNKNOWN = StreamRecord(call_id="c", started_at=NOON, model="m", outcome="incomplete", total_s=0.0)


def plain(value: Any) -> Any:
    """A cell as Python's own value: what each library calls missing is None."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime()
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.date()
    return value.item() if hasattr(value, "item") else value


def test_rows_are_flat_mappings_with_the_same_columns_in_the_same_order() -> None:
    log = log_of(*MIXED)
    assert [list(row) for row in log] == [list(COLUMNS)] * 3
    assert len(log) == 3
    assert log[-1]["call_id"] == "call-2"
    assert [row["call_id"] for row in log[:2]] == ["call-0", "call-1"]
    scalars = (str, int, float, bool, datetime, date, type(None))
    assert all(isinstance(value, scalars) for row in log for value in row.values())


def test_every_field_of_a_record_is_a_column_except_its_phases_and_its_timeline() -> None:
    fields = {field.name for field in msgspec.structs.fields(StreamRecord)}
    assert set(COLUMNS) == fields - {"phases", "timeline"}
    assert "timeline" not in log_of(record(timeline=(TimelineEntry(at_s=0, gap_s=0, kind="text"),)))[0]


@pytest.mark.parametrize("records", [MIXED, (ALL_UNKNOWN,), ()], ids=["mixed", "all unknown", "empty"])
def test_pandas_polars_and_arrow_hold_the_same_values(records: tuple[StreamRecord, ...]) -> None:
    log = log_of(*records)
    rows = list(log)
    arrow = log.to_arrow().to_pylist()
    assert arrow == rows
    assert pa.table(log).to_pylist() == rows
    assert log.to_polars().to_dicts() == rows
    assert pl.from_arrow(pa.table(log)).to_dicts() == rows  # type: ignore[union-attr]
    pandas = [{k: plain(v) for k, v in row.items()} for row in log.to_pandas().astype(object).to_dict(orient="records")]
    assert pandas == rows


def test_the_plain_constructors_of_pandas_and_polars_take_the_log_as_it_is() -> None:
    log = log_of(*MIXED)
    frame = pd.DataFrame(log)
    assert list(frame.columns) == list(COLUMNS)
    assert [plain(v) for v in frame["ttft_s"]] == [0.25, None, 2.25]
    assert str(frame["started_at"].dtype) in ("datetime64[us, UTC]", "datetime64[ns, UTC]")
    assert pl.DataFrame(log).to_dicts() == list(log)


def test_types_are_sensible_and_do_not_depend_on_what_happens_to_be_missing() -> None:
    for log in (log_of(*MIXED), log_of(ALL_UNKNOWN), MetricsLog()):
        pandas, polars, arrow = log.to_pandas().dtypes, log.to_polars().schema, log.to_arrow().schema
        assert str(pandas["started_at"]) == "datetime64[us, UTC]"
        assert (str(pandas["completion_tokens"]), str(pandas["ttft_s"]), str(pandas["peak"])) == (
            "Int64",
            "float64",
            "boolean",
        )
        assert (polars["started_at"], polars["cost"]) == (pl.Datetime("us", "UTC"), pl.Float64)
        assert (polars["completion_tokens"], polars["model"]) == (pl.Int64, pl.String)
        assert (arrow.field("started_at").type, arrow.field("price_date").type) == (
            pa.timestamp("us", "UTC"),
            pa.date32(),
        )


def test_a_count_keeps_all_its_digits_beside_an_unknown_one() -> None:
    log = log_of(record(0, completion_tokens=2**53 + 1), record(1, completion_tokens=None))
    assert log.to_pandas()["completion_tokens"][0] == 2**53 + 1
    assert log.to_polars()["completion_tokens"][0] == 2**53 + 1


def test_files_hold_the_same_rows(tmp_path: Path) -> None:
    log = log_of(*MIXED)
    log.to_csv(tmp_path / "log.csv")
    log.to_jsonl(tmp_path / "log.jsonl")
    log.to_parquet(tmp_path / "log.parquet")
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(COLUMNS)
    assert (read[0]["started_at"], read[1]["ttft_s"]) == (NOON.isoformat(), "")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["completion_tokens"] for line in lines] == [2**40, None, 2**40 + 2]
    assert lines[0]["cost"] == 0.0015
    assert pl.read_parquet(tmp_path / "log.parquet").to_dicts() == list(log)


def test_no_data_frame_library_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; from deepseek_magic.metrics.log import MetricsLog; log = MetricsLog(); log._repr_mimebundle_();"
        "log.summary()._repr_mimebundle_(); print({'pandas', 'polars', 'pyarrow', 'numpy'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "set()"


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"polars is not installed.*deepseek-magic\[dataframes\]"):
        MetricsLog().to_polars()


def test_parquet_is_written_without_arrow_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = log_of(*MIXED)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    log.to_parquet(tmp_path / "log.parquet")
    assert pl.read_parquet(tmp_path / "log.parquet")["call_id"].to_list() == ["call-0", "call-1", "call-2"]


def test_a_full_log_forgets_its_oldest_rows_and_says_so() -> None:
    log = log_of(*(record(i) for i in range(25)), max_rows=10)
    assert len(log) <= 10
    assert log[-1]["call_id"] == "call-24"
    assert log.forgotten == 25 - len(log)
    assert f"{log.forgotten} older ones were forgotten" in log._repr_mimebundle_()["text/plain"]


def test_no_record_is_lost_when_many_threads_add() -> None:
    log = MetricsLog()
    threads = [threading.Thread(target=lambda: [log.add(record(i)) for i in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log) == 4000


def test_the_view_escapes_whatever_a_stranger_wrote_and_its_text_twin_moves_no_cursor() -> None:
    bundle = log_of(record(model=HOSTILE))._repr_mimebundle_()
    assert "<img" not in bundle["text/html"]
    assert "&lt;img src=x onerror=alert(1)&gt;" in bundle["text/html"]
    assert "\x1b" not in bundle["text/plain"] + bundle["text/html"]
    assert "\u202e" not in bundle["text/plain"] + bundle["text/html"]


def test_no_cell_of_a_table_is_a_formula() -> None:
    shown = log_of(record(model="$\\href{javascript:alert(1)}{x}$ \\(\\gdef\\a{b}\\)"))._repr_mimebundle_()["text/html"]
    assert "<span>&#36;</span><span>&#92;</span>href{" in shown
    assert "$" not in shown
    assert "\\" not in shown


def test_the_view_shows_the_newest_rows_and_the_same_figures_in_both_forms() -> None:
    log = log_of(*(record(i, total_s=1000.5 + i) for i in range(30)))
    bundle = log._repr_mimebundle_()
    for form in bundle.values():
        assert "30 calls; the last 20 of them" in form
        assert "1,030" in form
        assert "1,005" not in form
    assert bundle["text/html"].count("<tr>") == 1 + 20


def test_an_empty_log_shows_itself() -> None:
    assert "0 calls" in MetricsLog()._repr_mimebundle_()["text/plain"]
    assert MetricsLog().summary().ttft_s.n == 0


def test_the_table_says_why_a_call_was_sent_whether_it_was_used_and_which_address_answered() -> None:
    log = log_of(
        record(endpoint="deepseek", host="api.deepseek.com", purpose="ask"),
        record(1, endpoint="custom", host="127.0.0.1:8652", purpose="hedge", used=False),
        record(2, endpoint="tape", purpose=None),
    )
    _, head, *rows = log._repr_mimebundle_()["text/plain"].splitlines()
    assert [name in head for name in ("endpoint", "purpose")] == [True, True]
    assert ["deepseek" in rows[0], " ask " in rows[0]] == [True, True]
    assert ["127.0.0.1:8652" in rows[1], "hedge, not used" in rows[1]] == [True, True]
    assert "tape" in rows[2]
    hosts = log_of(record(endpoint="custom", host="127.0.0.1:8652"))._repr_mimebundle_()["text/html"]
    assert '<td style="text-align:left;white-space:nowrap">127.0.0.1:8652' in hosts


def test_a_summary_has_a_count_beside_every_figure() -> None:
    calls = [record(i, ttft_s=float(i), total_s=float(i)) for i in range(101)]
    broken = record(200, outcome="incomplete", attempts=3, ttft_s=None, total_s=99.0)
    recovered = record(201, attempts=2, ttft_s=None, total_s=50.0)
    stopped = record(202, outcome="interrupted", total_s=500.0, ttft_s=None)
    summary = log_of(*calls, broken, recovered, stopped).summary()
    assert (summary.ttft_s.n, summary.ttft_s.p50, summary.ttft_s.p90, summary.ttft_s.p99) == (101, 50.0, 90.0, 99.0)
    assert (summary.total_s.n, summary.total_s.max) == (102, 100.0)
    assert (summary.errors.count, summary.errors.n, summary.recovered.count, summary.recovered.n) == (1, 103, 1, 2)
    assert (summary.interrupted.count, summary.interrupted.n, summary.calls) == (1, 104, 104)


def test_an_unknown_cost_makes_the_sum_a_lower_bound_and_is_counted() -> None:
    summary = log_of(record(0), record(1), record(2, cost=None, currency=None)).summary()
    assert summary.costs == {"USD": Decimal("0.0030")}
    assert summary.unknown_costs == 1
    assert "0.003 USD and 1 of unknown cost" in str(summary)


def test_an_answer_that_nobody_was_given_counts_in_the_costs_alone() -> None:
    lost = record(1, outcome="interrupted", purpose="hedge", used=False, ttft_s=90.0, cost_estimated=True)
    summary = log_of(record(0), lost).summary()
    assert (summary.calls, summary.interrupted.count, summary.ttft_s.max) == (1, 0, 0.25)
    assert summary.completion_tokens == 2**40
    assert (summary.costs, summary.costs_estimated) == ({"USD": Decimal("0.0030")}, True)


def test_a_window_counts_only_calls_that_began_in_it() -> None:
    log = log_of(*(record(i) for i in range(60)))
    assert log.summary(10, now=NOON + timedelta(seconds=59)).calls == 11


QUICK = ServiceLevels(p99_total_s=1.5)


def verdicts(log: MetricsLog, levels: ServiceLevels = QUICK) -> list[str]:
    return [level.verdict for level in log.summary(levels=levels).levels]


def test_a_level_is_met_or_missed_only_when_the_calls_can_tell() -> None:
    fine = [record(i) for i in range(200)]
    assert verdicts(log_of(*fine)) == ["met", "met", "met"]
    assert verdicts(log_of(*fine[:99])) == ["met", "too few samples", "too few samples"]
    assert verdicts(log_of(*fine[:4])) == ["too few samples"] * 3
    assert verdicts(MetricsLog()) == ["too few samples"] * 3


def test_each_of_the_three_levels_can_be_missed() -> None:
    slow = [record(i, chunks_per_s=5.0, total_s=1.5) for i in range(199)]
    failed = record(200, outcome="incomplete", chunks_per_s=5.0)
    log = log_of(*slow, failed)
    log.levels = QUICK
    assert verdicts(log) == ["missed", "missed", "missed"]
    assert [level.name for level in log.summary().breaches] == [level.name for level in log.summary().levels]
    generous = ServiceLevels(chunks_per_s=4.9, p99_total_s=1.6, error_rate=0.01)
    assert verdicts(log, generous) == ["met", "met", "met"]


def test_nobody_is_told_that_a_latency_was_missed_for_which_no_target_was_set() -> None:
    slow = log_of(*(record(i, total_s=60.0) for i in range(200)))
    assert [level.verdict for level in slow.summary().levels] == ["met", "no target", "met"]
    assert "missed" not in str(slow.summary())


def test_few_calls_can_miss_a_level_when_too_many_of_them_are_bad_already() -> None:
    assert verdicts(log_of(record(0, total_s=9.0), record(1)))[1] == "too few samples"
    assert verdicts(log_of(record(0, total_s=9.0), record(1, total_s=9.0)))[1] == "missed"
    assert verdicts(log_of(*(record(i, outcome="incomplete") for i in range(2))))[2] == "missed"


def test_a_call_that_the_user_stopped_is_no_error_and_no_latency() -> None:
    log = log_of(*(record(i) for i in range(200)), record(300, outcome="interrupted", total_s=99.0))
    assert verdicts(log) == ["met", "met", "met"]


def test_a_summary_shows_figures_and_levels_in_html_and_in_text() -> None:
    bundle = log_of(*(record(i) for i in range(6)), record(7, outcome="incomplete")).summary()._repr_mimebundle_()
    for form in bundle.values():
        for word in (
            "first token, s",
            "end to end, P99",
            "too few samples",
            "met",
            "How calls ended",
            "14.3%",
            "0.0105 USD",
        ):
            assert word in form, word


def test_the_points_of_all_costs_stand_below_each_other() -> None:
    costs = ["0.0015", "0.00000345", "12.5", None, "0"]
    amounts = [None if cost is None else Decimal(cost) for cost in costs]
    log = log_of(*(record(i, cost=amount, currency="USD") for i, amount in enumerate(amounts)))
    lines = log._repr_mimebundle_()["text/plain"].splitlines()[2:]
    assert [line.split()[-2] for line in lines] == ["0.00150000", "0.00000345", "12.50000000", "–", "0.00000000"]
    assert len({line.rindex("USD") for line in lines}) == 1
    assert len({line.rindex(".") for line in lines if "–" not in line[-20:]}) == 1
    assert log_of(record(0, cost=Decimal("1.5"))).to_pandas()["cost"][0] == 1.5


def test_the_views_speak_chinese_too() -> None:
    log = log_of(*(record(i) for i in range(3)))
    use("zh")
    try:
        shown = log._repr_mimebundle_()["text/plain"] + str(log.summary(60, now=NOON))
    finally:
        use("en")
    for word in ("3 次调用", "完整", "费用", "最近 60 秒内", "服务水平", "样本太少"):
        assert word in shown
    assert "calls" not in shown


def full_record(i: int) -> StreamRecord:
    """A record with nothing left out, no two values shared."""
    words = {name: f"{name}-{i:>26}" for name, kind in COLUMNS.items() if kind is str}
    counts = {name: 1_000_000 + i for name, kind in COLUMNS.items() if kind is int}
    times = {name: 0.001 * i for name, kind in COLUMNS.items() if kind is float and name != "cost"}
    phases = tuple(Phase("answer", 0.1 * i + part, 0.2 * i + part) for part in range(6))
    return record(i, **words, **counts, **times, cost=Decimal(i) / 1000, phases=phases)


def test_a_full_log_stays_in_the_memory_that_is_stated() -> None:
    rows = 2_000
    tracemalloc.start()
    try:
        log = log_of(*(full_record(i) for i in range(rows)))
        per_row = tracemalloc.get_traced_memory()[0] / rows
    finally:
        tracemalloc.stop()
    assert len(log) == rows
    assert per_row * MAX_ROWS < 400e6  # what no two calls share is more than real calls have; theirs take about 2 kB


def test_a_data_frame_costs_little_more_than_one_of_plain_rows() -> None:
    log = log_of(*(full_record(i) for i in range(3_000)))
    rows = list(log)

    def cpu_s(make: Callable[[], object]) -> float:
        began_s = time.process_time()
        make()
        return time.process_time() - began_s

    # 1.4 times is usual; the least of several rounds is what the machine's other work disturbed least.
    ratios = [cpu_s(lambda: pd.DataFrame(log)) / cpu_s(lambda: pd.DataFrame(rows)) for _ in range(7)]
    assert min(ratios) < 2.5
    ratios = [cpu_s(log.to_pandas) / cpu_s(lambda: pd.DataFrame(rows)) for _ in range(7)]
    assert min(ratios) < 2.5


def test_narwhals_reads_the_log_as_it_is() -> None:
    nw = pytest.importorskip("narwhals")
    frame = nw.from_arrow(log_of(*MIXED), backend="pyarrow")
    assert frame.columns == list(COLUMNS)
    assert frame["call_id"].to_list() == ["call-0", "call-1", "call-2"]
    assert nw.from_native(log_of(*MIXED).to_polars())["ttft_s"].to_list() == [0.25, None, 2.25]
