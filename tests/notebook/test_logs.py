"""%deepseek_log: the calls of the session, their sums and the service levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., list[list[Any]]]


def test_the_log_is_shown_with_its_service_levels(run_headless: Run) -> None:
    empty, _, shown, _ = run_headless("%deepseek_log", "%deepseek hi", "%deepseek_log --window 600", "%deepseek_log")
    assert "No call has been made" in empty[0].text
    rows, summary, account = shown
    assert "1 call\n" in rows.data["text/plain"]
    assert "<table" in rows.data["text/html"]
    for level in ("chunks per second, median call", "end to end, P99", "errors"):
        assert level in summary.data["text/plain"]
    for span in ("this session", "this machine, today", "this machine, this month"):
        assert f"{span} " in account.data["text/plain"]


def test_the_log_is_written_but_never_over_a_file_unasked(run_headless: Run, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    _, written, again, over = run_headless(
        "%deepseek hi",
        f"%deepseek_log --csv {path}",
        f"%deepseek_log --csv {path}",
        f"%deepseek_log --csv {path} --overwrite",
    )
    assert "1 call written" in written[0].text
    assert "exists already" in again[0].evalue
    assert "1 call written" in over[0].text
    assert len(path.read_text().splitlines()) == 2


def test_a_plot_of_a_real_call_is_in_the_saved_notebook_with_its_words(run_headless: Run) -> None:
    _, waterfall, latency, wrong = run_headless(
        "%deepseek hi", "%deepseek_log --plot waterfall", "%deepseek_log --plot", "%deepseek_log --plot pie"
    )
    for outputs, word in ((waterfall, "request: "), (latency, "end to end: ")):
        (picture,) = outputs
        assert picture.data["image/png"].startswith("iVBOR")
        assert word in picture.data["text/plain"]
    assert "one of latency, speed, waterfall" in wrong[0].evalue


def test_the_account_says_what_the_budget_leaves(run_headless: Run) -> None:
    _, answered, shown = run_headless("%config DeepSeekMagics.budget = 0.5", "%deepseek hi", "%deepseek_log")
    assert "the budget cannot count this call" in answered[0].data["text/markdown"]
    assert "Budget $0.50, $0.50 left" in shown[2].data["text/plain"]
    assert "1 of unknown cost" in shown[2].data["text/plain"]


def test_a_missed_level_is_said_once_below_the_cell_where_it_happened(run_headless: Run) -> None:
    slow = "import deepseek_magic as ds\nfrom deepseek_magic.metrics.summary import ServiceLevels\n"
    slow += "ds.log.levels = ServiceLevels(p99_total_s=1e-6)"
    few, many, again = run_headless(
        f"{slow}\nfor _ in range(3): ds.ask('hi')",
        "for _ in range(20): ds.ask('hi')",
        "ds.ask('hi'); None",
    )
    assert few == again == []
    (said,) = many
    assert "Service level missed: end to end, P99 < 1e-06 s" in said.data["text/plain"]
    assert said.data["text/markdown"].startswith("<p><small>")


def test_the_columns_are_explained_also_before_the_first_call(run_headless: Run) -> None:
    one, wrong = run_headless("%deepseek_log --columns ttft_s", "%deepseek_log --columns ttf_s")
    assert "from the start to the first piece" in one[0].data["text/plain"]
    assert "There is no column ttf_s (did you mean ttft_s?)" in wrong[0].evalue
