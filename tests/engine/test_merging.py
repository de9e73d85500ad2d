"""Journals that are put together: whatever the order, nothing that has ended is lost and nothing counts twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.engine.journal.merging import KeptCall, merged
from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.events import Finish, TextDelta

WORDS = st.text("ab", max_size=3)
COLUMN = st.none() | WORDS
CALLS = st.builds(
    KeptCall,
    asked=st.tuples(WORDS, COLUMN),
    told=st.tuples(COLUMN, COLUMN),
    ended=st.booleans(),
    whole=st.booleans(),
    measured=st.booleans(),
    text=WORDS,
    reasoning=WORDS,
)


@given(CALLS, CALLS, CALLS)
def test_the_order_does_not_matter(one: KeptCall, two: KeptCall, three: KeptCall) -> None:
    assert merged(one, one) == one
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


@given(CALLS, CALLS)
def test_what_has_ended_or_is_whole_or_longer_is_kept(one: KeptCall, two: KeptCall) -> None:
    both = merged(one, two)
    assert both.ended == (one.ended or two.ended)
    if one.ended == two.ended:
        assert both.whole == (one.whole or two.whole)
        if one.whole == two.whole:
            assert len(both.text + both.reasoning) == max(len(c.text + c.reasoning) for c in (one, two))


def journal_of(path: Path, calls: dict[str, tuple[str, bool]]) -> Journal:
    """A journal with these calls: how far each came, and whether it has ended."""
    journal = Journal(path)
    for call_id, (text, ended) in calls.items():
        request = Request.of(f"question of {call_id}", model="deepseek-flash", temperature=0.5)
        journal.begin(call_id, request, "demo", base_url="http://127.0.0.1:1")
        journal.append(call_id, [TextDelta(text=text)])
        journal.flush()
        if ended:
            answer = Accumulator(request)
            answer.add(TextDelta(text=text))
            answer.add(Finish(reason="stop"))
            journal.end(call_id, answer.completion())
    journal.flush()
    return journal


def texts(journal: Journal) -> dict[str, tuple[str, bool]]:
    return {str(row["call_id"]): (str(row["text"]), row["outcome"] == "complete") for row in journal.rows()}


def test_a_journal_takes_what_another_one_knows_better(tmp_path: Path) -> None:
    theirs = journal_of(
        tmp_path / "theirs" / "journal.sqlite3",
        {"new": ("new", True), "open": ("more words", False), "shorter": ("so", True), "whole": ("whole", True)},
    )
    theirs.close()
    mine = journal_of(
        tmp_path / "mine.sqlite3",
        {"mine": ("mine", True), "open": ("more", False), "shorter": ("so far", True), "whole": ("whole and", False)},
    )
    assert mine.merge(tmp_path / "theirs") == 1  # what this process receives is left alone
    mine.close()
    mine = Journal(tmp_path / "mine.sqlite3")
    mine._is_alive = lambda row: False  # type: ignore[method-assign]  # as another process would find it
    assert mine.merge(tmp_path / "theirs") == 2
    assert mine.merge(tmp_path / "theirs" / "journal.sqlite3") == 0
    assert texts(mine) == {
        "new": ("new", True),
        "mine": ("mine", True),
        "open": ("more words", False),
        "shorter": ("so far", True),
        "whole": ("whole", True),
    }
    mine.close()


def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    mine = Journal(tmp_path / "mine.sqlite3")
    with pytest.raises(ConfigurationError, match="There is no journal"):
        mine.merge(tmp_path / "none.sqlite3")
    (tmp_path / "text.sqlite3").write_text("no database at all, but long enough to be read as one" * 40)
    with pytest.raises(ConfigurationError, match="cannot be read as a journal"):
        mine.merge(tmp_path / "text.sqlite3")
    mine.close()
