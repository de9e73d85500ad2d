"""Waiting for the half tariff, by a clock of the test's own: what is asked when, what is held of the budget, what a plan says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.inquiry import Inquiry
from deepseek_magic.demo.api.replies import Reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.policy.pricing import BEIJING
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments.plan import Plan
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import begun, planned
from deepseek_magic.session.experiments.outlook import with_outlook
from deepseek_magic.session.experiments.running import SweepCall
from deepseek_magic.session.experiments.showing import progress
from tests.experiments.conftest import wait_until

MORNING = datetime(2026, 11, 30, 10, 30, tzinfo=BEIJING)
"""A Monday at peak: its half tariff begins at 12."""


@dataclass
class Wall:
    """A clock on the wall, which the test sets."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def wall(session: Session, monkeypatch: pytest.MonkeyPatch, demo: DemoServer) -> Wall:
    monkeypatch.setenv(DEMO_VARIABLE, demo.base_url)
    session.wall = wall = Wall(MORNING)
    return wall


def asked(session: Session, count: int = 4, **options: Any) -> SweepCall:
    given: Any = {"over": [{"n": n} for n in range(count)], "think": "off", "endpoint": "demo", **options}
    return begun(session, "echo {n}", given)


def left_s(call: SweepCall) -> float | None:
    shut = call.run.standing.shut
    return None if shut is None else shut.left_s


def test_nothing_is_sent_before_the_half_tariff_begins_by_the_clock_on_the_wall(
    session: Session, demo: DemoServer, wall: Wall
) -> None:
    call = asked(session, at="off-peak")
    wait_until(lambda: left_s(call) == 5_400)
    standing = call.run.standing
    until = MORNING.replace(hour=12, minute=0).astimezone().strftime("%H:%M")
    assert f"waiting for the half tariff at {until}, 1 h 30 min left" in progress(standing, 4)
    wall.now += timedelta(minutes=89)  # the machine slept
    wait_until(lambda: left_s(call) == 60)
    assert demo.requests == []
    assert not call.done
    wall.now += timedelta(minutes=1)
    assert call.wait().states == {"done": 4}
    assert left_s(call) is None


def test_a_sweep_pauses_when_the_peak_begins_and_goes_on_when_it_is_over(
    session: Session, demo: DemoServer, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall.now = MORNING.replace(hour=8, minute=59)

    def reply(inquiry: Inquiry) -> Reply:
        wall.now = MORNING.replace(hour=9)
        return Reply(text="x")

    monkeypatch.setattr(frames, "reply", reply)
    call = asked(session, 40, at="off-peak")
    wait_until(lambda: left_s(call) is not None and "running" not in call.sweep.states)
    begun_before = len(demo.requests)
    assert 0 < begun_before < 40
    assert call.sweep.states == {"done": begun_before, "waiting": 40 - begun_before}
    monkeypatch.setattr(frames, "reply", lambda inquiry: Reply(text="x"))
    wall.now = MORNING.replace(hour=12)
    assert call.wait().states == {"done": 40}
    assert len(demo.requests) == 40


def test_a_wait_can_be_stopped_and_where_nothing_is_missing_there_is_none(
    session: Session, demo: DemoServer, wall: Wall
) -> None:
    call = asked(session, at="off-peak")
    wait_until(lambda: left_s(call) is not None)
    call.stop(wait_s=30)
    assert call.done
    assert (demo.requests, call.sweep.states) == ([], {"waiting": 4})
    asked(session).wait()
    assert asked(session, at="off-peak").wait().states == {"done": 4}
    assert len(demo.requests) == 4


def test_the_budget_holds_each_call_at_the_tariff_of_its_own_hour(
    session: Session, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(inquiry: Inquiry) -> Reply:
        wall.now = MORNING.replace(hour=9)
        return Reply(text="x")

    monkeypatch.setattr(frames, "reply", reply)
    wall.now = MORNING.replace(hour=8)
    _, off_peak = session.estimated(session.prepare("echo 1", think="off", endpoint="demo", max_tokens=100))
    assert off_peak is not None
    call = asked(session, 3, max_tokens=100, budget=float(off_peak.amount) * 1.5)
    assert call.wait().states == {"done": 1, "unpaid": 2}


def a_plan(session: Session, **options: Any) -> Plan:
    how = {name: options.pop(name) for name in ("at",) if name in options}
    given: Any = {"over": [{"n": 1}, {"n": 2}], "think": "off", "endpoint": "demo", **options}
    return with_outlook(session, planned(session, "{n}", given), how)


def test_a_plan_has_both_prices_and_says_when_it_begins(session: Session, wall: Wall) -> None:
    now, later = a_plan(session).outlook, a_plan(session, at="off-peak").outlook
    assert now is not None
    assert later is not None
    assert (now.peak, now.off_peak, later.peak) == (True, None, False)
    assert (now.cost, now.other) == (later.other, later.cost)
    assert later.off_peak is not None
    noon = MORNING.replace(hour=12, minute=0)
    assert later.off_peak == (5_400, noon, noon.replace(hour=14))
    said = str(a_plan(session, at="off-peak"))
    assert f"begins: at {noon.astimezone():%Y-%m-%d %H:%M}, in 1 h 30 min" in said
    assert "price at peak hours: " in said
    wall.now = noon
    assert "begins: now; it pauses at peak hours" in str(a_plan(session, at="off-peak"))


def test_where_there_is_no_half_tariff_nothing_is_waited_for(session: Session, wall: Wall) -> None:
    for options in ({"endpoint": "ollama", "model": "qwen3"}, {"base_url": "http://127.0.0.1:9", "endpoint": None}):
        with pytest.raises(ConfigurationError, match="no half tariff that is known here"):
            a_plan(session, at="off-peak", **options)
    with pytest.raises(ConfigurationError, match="it takes off-peak"):
        a_plan(session, at="night")
