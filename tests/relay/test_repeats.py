"""What must not be shared is not: repeats of a sweep, and questions that are asked afresh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepseek_magic.session.experiments.planning import plan_of
from deepseek_magic.session.experiments.running import prepare_sweep, start_sweep
from deepseek_magic.session.state import Session
from tests.relay.running import RunningRelay


@pytest.fixture
def session(relay: RunningRelay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("DEEPSEEK_BASE_URL", relay.base_url)
    monkeypatch.setenv("DEEPSEEK_API_KEY", relay.token())
    made = Session()
    yield made
    made.close()


def test_each_repeat_of_a_sweep_is_an_answer_of_its_own(session: Session, relay: RunningRelay) -> None:
    plan = plan_of("Say {x}", over=[{"x": 1}, {"x": 2}], repeats=3, defaults={"think": "off"})
    start_sweep(session, prepare_sweep(session, plan)).wait()
    assert len(relay.posts()) == 6


def test_a_fresh_question_is_asked_again_and_others_are_not(session: Session, relay: RunningRelay) -> None:
    for options in ({}, {}, {"fresh": True}):
        assert session.ask("Hello", **options).outcome == "complete"
    assert len(relay.posts()) == 2
