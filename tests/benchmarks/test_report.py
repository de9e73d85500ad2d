"""The benchmark's own arithmetic. The figures themselves are judged by nobody but their reader."""

from __future__ import annotations

import pytest

from .__main__ import lacking
from .report import Goal, Table, markdown, number, ratio
from .wire import Ask, compressed, whole


def table(**given: object) -> Table:
    values = {"id": "P1", "title": "t", "how": "h", "columns": ("µs",), "rows": {"a": {"µs": 2.0}, "b": {"µs": 8.0}}}
    return Table(**(values | given))  # type: ignore[arg-type]


def test_a_goal_without_a_figure_is_neither_reached_nor_missed() -> None:
    assert Goal(says="x", value=None, limit=1).reached is None
    assert Goal(says="x", value=1.0, limit=1).reached is True
    assert Goal(says="x", value=0.9, limit=1, at_most=False).reached is False


def test_a_ratio_needs_both_of_its_figures() -> None:
    assert ratio(1.0, 4.0) == 0.25
    assert ratio(None, 4.0) is None
    assert ratio(1.0, None) is None
    assert ratio(1.0, 0.0) is None


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_numbers_have_three_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_the_report_names_who_is_missing_and_why() -> None:
    page = markdown(
        [table(missing={"c": "ModuleNotFoundError: No module named 'c'"}, relative_to="a")],
        machine={"cores": "2"},
        versions={"c": "not installed"},
        plots={},
    )
    assert "| b | 8.00 (×4.00) |" in page
    assert "| c | not measured: ModuleNotFoundError: No module named 'c' |" in page


def test_a_failed_peer_fails_the_run_and_one_that_is_not_installed_does_not() -> None:
    assert lacking([table(missing={"c": "ModuleNotFoundError: No module named 'c'"})]) == []
    assert lacking([table(missing={"c": "AssertionError: 3 characters of 9 arrived"})])
    assert lacking([table(goals=(Goal(says="x", value=None, limit=1),))])


def test_every_answer_has_as_many_tokens_as_were_asked_for() -> None:
    for chunks in (1, 999, 1000, 2001):
        assert b"".join(whole(Ask(chunks=chunks))).count(b'"content"') == chunks + 1
    assert len(compressed(50)) < 2_000


def test_what_is_asked_for_travels_in_the_prompt() -> None:
    ask = Ask(chunks=20, per_s=1000, wait_s=0.25, prose=1)
    assert Ask.found_in(ask.prompt.encode()) == ask
