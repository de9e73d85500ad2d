"""The rules of a class in a notebook: nothing is sent that they do not allow, and each refusal names its rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.classroom import CLASSROOM_VARIABLE
from deepseek_magic.protocol.errors import RuleBroken
from deepseek_magic.session.experiments.planning import plan_of
from deepseek_magic.session.experiments.running import prepare_sweep, start_sweep
from deepseek_magic.session.state import Session


@pytest.fixture
def demo() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as server:
        yield server


@pytest.fixture
def session(demo: DemoServer, off_peak: None) -> Iterator[Session]:
    made = Session()
    made.defaults = made.defaults.replace(base_url=demo.base_url, endpoint="demo", think="off")
    yield made
    made.close()


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "classroom.toml"
    monkeypatch.setenv(CLASSROOM_VARIABLE, str(path))
    return path


def test_rules_are_filled_in_and_kept(session: Session, demo: DemoServer, rules: Path) -> None:
    rules.write_text(
        '[class]\nnotice = "Say what a model wrote."\n[limits]\nmax_tokens = 50\n[fixed]\ntemperature = 0\n'
    )
    prepared = session.prepare("Hello")
    assert str(prepared.notices[0]) == "Say what a model wrote."
    assert "Say what a model wrote." not in map(str, session.prepare("Hello").notices)  # once is enough
    session.ask("Hello")
    assert (demo.requests[-1].body["max_tokens"], demo.requests[-1].body["temperature"]) == (50, 0)
    with pytest.raises(RuleBroken, match=r"At most 50 is allowed for max_tokens, not 51 \(rule limits\.max_tokens"):
        session.ask("Hello", max_tokens=51)
    with pytest.raises(RuleBroken, match=r"rule fixed\.temperature"):
        session.ask("Hello", temperature=1)
    assert len(demo.requests) == 1


def test_a_closed_class_sends_nothing_but_shows_what_it_would(session: Session, demo: DemoServer, rules: Path) -> None:
    rules.write_text('[class]\nhours = ["2020-01-01 08:00-09:00"]\n')
    with pytest.raises(RuleBroken, match=r"rule class\.hours"):
        session.ask("Hello")
    assert session.prepare("Hello", dry_run=True).request.prompt == "Hello"
    assert demo.requests == []
    assert "The class is closed now" in str(session.rails.shut(session.wall()))


def test_a_students_budget_counts_what_the_journal_has(session: Session, demo: DemoServer, rules: Path) -> None:
    rules.write_text("[budget.student]\nday = 0.0001\n[limits]\nmax_tokens = 100\n")
    first = session.ask("Hello")
    assert first.cost is not None

    def ask_often() -> None:
        for _ in range(20):
            session.ask("Hello")

    with pytest.raises(RuleBroken, match=r"budget of a student for a day does not allow it: .* used \+ up to"):
        ask_often()
    asked = len(demo.requests)
    again = Session()  # as after a restart of the kernel
    again.defaults = session.defaults
    with pytest.raises(RuleBroken, match=r"rule budget\.student\.day"):
        again.ask("Hello")
    again.close()
    assert len(demo.requests) == asked


def test_an_answer_is_not_resumed_beyond_the_rules(session: Session, demo: DemoServer, rules: Path) -> None:
    rules.write_text("")
    half = session.ask("Hello, tell me much", max_tokens=5)
    assert half.outcome == "truncated"
    rules.write_text("[limits]\nmax_tokens = 4\n")
    session.rails._read = None
    with pytest.raises(RuleBroken, match=r"rule limits\.max_tokens"):
        session.resume(half)


def test_a_sweep_has_its_size_and_what_the_student_has_left(session: Session, demo: DemoServer, rules: Path) -> None:
    rules.write_text("[limits]\nsweep_calls = 3\nmax_tokens = 100\n[budget.student]\ncourse = 0.00013\n")
    large = plan_of("Say {x}", over=[{"x": n} for n in range(4)], defaults=session.defaults)
    with pytest.raises(RuleBroken, match="The sweep has 4 calls, and at most 3 are allowed"):
        start_sweep(session, prepare_sweep(session, large))
    assert demo.requests == []
    plan = plan_of("Say {x}", over=[{"x": n} for n in range(3)], defaults=session.defaults)
    sweep = start_sweep(session, prepare_sweep(session, plan), concurrency=1).wait()
    assert 1 <= len(demo.requests) < 3
    assert sweep.states["unpaid"] >= 1
