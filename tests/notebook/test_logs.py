"""%deepseek_log: the calls of the session, their sums and the service levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., list[list[Any]]]


def test_the_log_is_shown_with_its_service_levels(run_headless: Run) -> None:
    empty, _, shown, _ = run_headless("%deepseek_log", "%deepseek hi", "%deepseek_log --window 600", "%deepseek_log")
    assert "No call has been made" in empty[0].text
    rows, summary = shown
    assert "1 calls" in rows.data["text/plain"]
    assert "<table" in rows.data["text/html"]
    for level in ("chunks per second, median call", "end to end, P99", "errors"):
        assert level in summary.data["text/plain"]


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
    for outputs, word in ((waterfall, "thinking: "), (latency, "end to end: ")):
        (picture,) = outputs
        assert picture.data["image/png"].startswith("iVBOR")
        assert word in picture.data["text/plain"]
    assert "one of latency, speed, waterfall" in wrong[0].evalue
