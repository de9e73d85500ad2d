"""The plots: what they show, that they show themselves everywhere, and that they read on white and on black."""

from __future__ import annotations

import base64
import contextlib
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.metrics import canvas, plots
from deepseek_magic.metrics.log import MetricsLog
from deepseek_magic.metrics.phases import PHASES, Phase
from deepseek_magic.metrics.record import StreamRecord
from deepseek_magic.text.design.tokens import INK
from deepseek_magic.text.language import use
from tests.colours import contrast

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PAPERS = {"white": "#ffffff", "JupyterLab's black": "#111111", "GitHub's black": "#0d1117"}
PHASES_OF_A_CALL = (
    Phase("request", 0.0, 0.25),
    Phase("queue", 0.25, 1.25),
    Phase("thinking", 1.25, 3.25),
    Phase("answer", 3.25, 4.0),
    Phase("silence", 4.0, 4.5),
    Phase("seam", 4.5, 4.5),
    Phase("answer", 4.5, 5.0),
)


def record(i: int = 0, **changes: Any) -> StreamRecord:
    values: dict[str, Any] = {
        "call_id": f"call-{i}",
        "started_at": NOON + timedelta(seconds=i),
        "model": "deepseek-flash",
        "outcome": "complete",
        "ttft_s": 0.25 + 0.01 * i,
        "total_s": 5.0,
        "tokens_per_s": 50.0 + i,
        "phases": PHASES_OF_A_CALL,
    }
    return StreamRecord(**{**values, **changes})


def log_of(*records: StreamRecord) -> MetricsLog:
    log = MetricsLog()
    for each in records:
        log.add(each)
    return log


MANY = log_of(*(record(i) for i in range(20)), record(20, outcome="incomplete", tokens_estimated=True, ttft_s=None))


def pixels_of(plot: plots.Plot) -> tuple[bytes, dict[str, Any]]:
    data, metadata = plot._repr_mimebundle_()
    return base64.b64decode(data["image/png"]), metadata["image/png"]


@pytest.mark.parametrize("kind", canvas.KINDS)
def test_every_plot_shows_itself_as_a_sharp_picture_with_a_twin_in_words(kind: plots.PlotKind) -> None:
    plot = MANY.plot(kind)
    png, shown = pixels_of(plot)
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert width == shown["width"] * canvas.SCALE
    assert abs(height - shown["height"] * canvas.SCALE) <= 1  # half a pixel is rounded
    assert plot._repr_mimebundle_()[0]["text/plain"] == shown["alt"] == plot.text
    assert len(png) < 100_000


def test_the_ground_is_transparent_so_that_one_picture_serves_both_themes() -> None:
    import io

    from matplotlib.image import imread

    png, _ = pixels_of(MANY.plot("latency"))
    alpha = imread(io.BytesIO(png))[:, :, 3]
    assert alpha[0, 0] == alpha[-1, -1] == 0
    assert alpha.max() == 1


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_every_colour_reads_on_white_and_on_black(paper: str) -> None:
    for colour in (*(colour for colour, _ in plots.LANES.values()), *plots.SERIES):
        assert contrast(colour, paper) >= 3, colour  # WCAG 2.2, 1.4.11: graphical objects
    assert contrast(INK, paper) > 4.2


def test_every_phase_has_a_colour_and_a_name() -> None:
    assert set(plots.LANES) == set(PHASES)


def test_the_latency_curve_reaches_each_share_at_its_quantile() -> None:
    plot = log_of(*(record(i, ttft_s=float(i), total_s=10.0 + i) for i in range(101))).plot("latency")
    first = plot.figure.axes[0].get_lines()[0]
    reached = dict(zip(first.get_xdata(), first.get_ydata(), strict=True))  # type: ignore[arg-type]
    assert reached[49.0] == pytest.approx(50 / 101)
    assert reached[100.0] == 1.0
    assert "first token: p50 50 s, p90 90 s, p99 99 s (n = 101)" in plot.text
    assert "end to end: p50 60 s" in plot.text


def test_calls_without_a_proper_end_have_no_end_to_end_latency() -> None:
    assert "(n = 20)" in MANY.plot("latency").text.partition("end to end")[2]


def test_the_speed_plot_draws_every_call_whose_speed_is_known() -> None:
    plot = MANY.plot("speed")
    drawn = [tuple(point) for marks in plot.figure.axes[0].collections for point in marks.get_offsets()]  # type: ignore[union-attr]
    assert len([point for point in drawn if point[0] == point[0]]) == plot.n == 21
    assert sorted(y for _, y in drawn)[:2] == [50.0, 51.0]
    labels = [text.get_text() for text in plot.figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["deepseek-flash, n = 21", "broke off", "running median, n = 5"]


def test_the_waterfall_has_a_bar_for_each_phase_at_its_time() -> None:
    plot = log_of(record()).plot("waterfall")
    axes = plot.figure.axes[0]
    lanes = [label.get_text() for label in axes.get_yticklabels()]
    assert lanes == ["request", "queue", "thinking", "answer", "silence"]
    bars = {
        lane: [tuple(path.get_extents().intervalx) for path in marks.get_paths()]
        for lane, marks in zip(lanes, axes.collections, strict=True)
    }
    assert bars["queue"] == [(0.25, 1.25)]
    assert bars["answer"] == [(3.25, 4.0), (4.5, 5.0)]
    assert "answer: 1.25 s in 2 parts." in plot.text
    assert "joined at 4.5 s." in plot.text


def test_a_waterfall_is_of_the_call_that_was_named() -> None:
    log = log_of(*(record(i, total_s=float(i + 1)) for i in range(3)))
    for call, total_s in ((-1, "3 s"), (0, "1 s"), ("call-1", "2 s")):
        assert total_s in log.plot("waterfall", call=call).text
    for missing in (3, "call-7", "call-"):
        with pytest.raises(ValueError, match="The log holds"):
            log.plot("waterfall", call=missing)


def test_what_cannot_be_drawn_is_said_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="no call to draw"):
        MetricsLog().plot()
    with pytest.raises(ValueError, match="one of latency, speed, waterfall"):
        MANY.plot("pie")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="older version"):
        log_of(record(phases=())).plot("waterfall")
    assert log_of(record(tokens_per_s=None)).plot("speed").text == "The speed of these calls is not known."


def test_a_plot_is_saved_in_the_format_of_its_name(tmp_path: Path) -> None:
    for name, start in (("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml"), ("plot.pdf", b"%PDF")):
        MANY.plot("speed").save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)


def test_plotting_touches_neither_the_users_figures_nor_settings() -> None:
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from tests.metrics.test_plots import MANY; MANY.plot('speed')._repr_mimebundle_()\n"
        "assert matplotlib.rcParams.copy() == before; print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout.strip() == "False"


def test_without_matplotlib_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"deepseek-magic\[plots\]"):
        MANY.plot()


def test_without_a_chinese_font_one_sentence_says_why_the_plot_is_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "CHINESE_FONTS", ("No Such Font",))
    use("zh")
    try:
        with pytest.warns(UserWarning, match=r"没有安装中文字体"):
            plot = MANY.plot("waterfall", call=0)
        pixels_of(plot)
    finally:
        use("en")
    assert [label.get_text() for label in plot.figure.axes[0].get_yticklabels()][2] == "thinking"


def test_a_plot_speaks_chinese_and_draws_no_boxes_for_want_of_a_font() -> None:
    use("zh")
    try:
        written = len(canvas._fonts()) > 1
        with contextlib.nullcontext() if written else pytest.warns(UserWarning, match=r"没有安装中文字体"):
            plot = MANY.plot("waterfall", call=0)
        pixels_of(plot)  # matplotlib warns of every character that its fonts lack, and here warnings are errors
        lanes = [label.get_text() for label in plot.figure.axes[0].get_yticklabels()]
    finally:
        use("en")
    assert "思考：2 秒。" in plot.text
    assert lanes[2] == ("思考" if written else "thinking")
