"""The short form of ``python -m tests.relay.many``."""

from __future__ import annotations

import pytest

from tests.relay.many import play


@pytest.mark.slow
@pytest.mark.programs
def test_thirty_students_whose_connections_are_all_cut_need_one_call_and_have_one_answer() -> None:
    told, relay, proxy = play(30, 3, 1)
    assert len(relay.posts()) == 1
    assert len(told) == len(proxy.cuts) == 30
    half = proxy.cuts[next(iter(relay.tokens.values()))]
    with pytest.raises(UnicodeDecodeError):  # the cut is in the middle of a character
        half.decode()
    assert {one.outcome for one in told} == {"complete"}
    assert len({one.text for one in told}) == 1
    assert {(one.attempts, one.resumes, one.restarted) for one in told} == {(2, 1, 0)}
