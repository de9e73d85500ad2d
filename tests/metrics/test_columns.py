"""Each column of the log has one explanation, which a reader finds where the table is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepseek_magic.metrics.columns import MEANINGS
from deepseek_magic.metrics.log import COLUMNS, MetricsLog
from deepseek_magic.text.catalogue import catalogue
from deepseek_magic.text.language import use


@pytest.fixture
def chinese() -> Iterator[None]:
    use("zh")
    yield
    use("en")


def test_every_column_has_its_meaning_in_both_languages() -> None:
    assert list(MEANINGS) == list(COLUMNS)
    for meaning in MEANINGS.values():
        assert meaning.says in catalogue("zh")
        assert not meaning.unit or meaning.unit in catalogue("zh")


def test_a_column_is_explained_by_its_name() -> None:
    told = str(MetricsLog().explain("ttft_s"))
    assert "from the start to the first piece, reasoning included" in told
    assert "vLLM TTFT" in told
    assert "answer_s" not in told


def test_a_word_finds_the_columns_that_speak_of_it() -> None:
    told = str(MetricsLog().explain("between two pieces"))
    assert all(name in told for name in ("gap_p50_s", "gap_p99_s", "gap_max_s", "gap_n"))


def test_without_a_word_all_columns_are_explained() -> None:
    shown = MetricsLog().explain()._repr_mimebundle_()
    for text in shown.values():
        assert all(name in text for name in COLUMNS)


def test_a_name_that_is_none_gets_the_nearest() -> None:
    with pytest.raises(KeyError, match=r"There is no column ttf_s \(did you mean ttft_s\?\)"):
        MetricsLog().explain("ttf_s")


@pytest.mark.usefixtures("chinese")
def test_columns_are_explained_and_found_in_chinese() -> None:
    assert "从开始到第一片" in str(MetricsLog().explain("ttft_s"))
    assert "wait_rate_s" in str(MetricsLog().explain("限流"))
