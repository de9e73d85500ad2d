"""One call goes first and builds the host's cache for the others: what is billed, and in which order they are sent."""

from __future__ import annotations

import math

import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.inquiry import Inquiry
from deepseek_magic.demo.api.replies import Reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.mapping import TableMap
from deepseek_magic.session.experiments.running import start_sweep
from tests.experiments.conftest import wait_until
from tests.experiments.leading import led


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "reply", lambda asked: Reply(text="Yes."))


@pytest.mark.usefixtures("short")
def test_a_hundred_calls_pay_for_their_common_prefix_once(demo: DemoServer, session: Session) -> None:
    demo.cache.builds_s = 1.0
    found = led(100, 4_000, demo, session)
    assert found.requests == 100
    assert found.holds, found


@pytest.mark.usefixtures("short")
def test_where_the_cache_never_hits_the_next_calls_wait_for_nobody(demo: DemoServer, session: Session) -> None:
    demo.cache.builds_s = math.inf
    first = led(20, 3_000, demo, session)
    assert first.missed > 19 * first.prefix
    demo.pace = 2.0
    assert led(8, 3_000, demo, session, title="B").requests == 8
    second = demo.requests[-8:]
    assert second[1].at_s < (second[0].ended_at_s or math.inf), "none of them led"
    assert len({str(each.body) for each in demo.requests}) == len(demo.requests) == 28


def test_they_follow_when_the_first_answer_has_begun_and_not_when_it_has_ended(
    demo: DemoServer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(asked: Inquiry) -> Reply:
        return Reply(text="one word after the other " * 2_000)

    monkeypatch.setattr(frames, "reply", reply)
    demo.pace = 1.0
    made = TableMap.of(session, [{"n": n} for n in range(3)], "word " * 4_000 + "{n}", think="off")
    call = start_sweep(session, made.prepared(session))
    wait_until(lambda: len(demo.requests) == 3)
    assert demo.requests[0].ended == ""
    call.stop(wait_s=30.0)
