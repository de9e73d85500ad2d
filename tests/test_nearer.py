"""The fastest endpoint and second requests through a session: what the journal knows, what is written down, what it may cost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine import client as client_module
from deepseek_magic.engine import failover, gate
from deepseek_magic.engine import stream as stream_module
from deepseek_magic.engine.hosts.endpoints import Endpoint, in_order, resolve
from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.engine.loop import pump
from deepseek_magic.engine.several import nearby, second
from deepseek_magic.engine.several.seen import SeenCalls
from deepseek_magic.notebook.view.settled import footer
from deepseek_magic.policy.failover import DownEndpoints
from deepseek_magic.policy.several import hedging
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.session import state
from deepseek_magic.session.calls import Session
from deepseek_magic.session.early.fate import Fate
from tests.engine.test_hedged import SLOW, known

HANG_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], SeenCalls]:
    """Have the process remember no call."""

    def fresh() -> SeenCalls:
        seen = SeenCalls()
        for module in (client_module, stream_module, second, nearby):
            monkeypatch.setattr(module, "SEEN", seen)
        return seen

    monkeypatch.setattr(failover, "_DOWN", DownEndpoints())
    monkeypatch.setattr(gate, "_GATES", {})
    monkeypatch.setattr(hedging, "SOONEST_S", 0.05)
    fresh()
    return fresh


@pytest.fixture
def pair() -> Iterator[tuple[DemoServer, DemoServer]]:
    with DemoServer(pace=0) as one, DemoServer(pace=0) as other:
        yield one, other


def at(*servers: DemoServer) -> list[Endpoint]:
    return [resolve("demo", server.base_url) for server in servers]


def chats(server: DemoServer) -> int:
    return sum(request.method == "POST" for request in server.requests)


def test_both_requests_are_in_the_log_and_in_the_journal_and_only_one_in_the_summary(
    pair: tuple[DemoServer, DemoServer], session: Session, forget: Callable[[], SeenCalls]
) -> None:
    one, other = pair
    known(forget(), one, other)
    one.pace = SLOW
    answer = session.ask("hello", endpoint=at(one, other), api_key="k", think="off", hedge=0.05)
    assert answer.outcome == "complete"
    assert "answered by the second request" in footer(answer)
    for rows in (list(session.log), session.journal.rows()):
        told = {(row["purpose"], row["used"], row["outcome"], row["cost_estimated"]) for row in rows}
        assert told == {("ask", False, "interrupted", True), ("hedge", True, "complete", False)}
    assert session.log.summary().calls == 1
    assert session.log.spending.calls == session.journal.spent().calls == 2
    assert session.journal.resumable() == []
    assert session.last is not None
    assert session.last.text == answer.text
    assert [entry.call_id for entry in session.journal.search(answer.text[:20])] == [answer.record.call_id]  # type: ignore[union-attr]


def test_a_budget_for_one_call_is_a_budget_for_one_request(
    pair: tuple[DemoServer, DemoServer], session: Session, forget: Callable[[], SeenCalls]
) -> None:
    one, other = pair
    known(forget(), one, other)
    one.pace = Pace(first_token_s=0.4, tokens_per_s=1e6)
    most = session.estimated(session.prepare("hello", endpoint=at(one), api_key="k", think="off", max_tokens=300))[1]
    assert most is not None
    given: dict[str, Any] = {
        "endpoint": at(one, other),
        "api_key": "k",
        "think": "off",
        "max_tokens": 300,
        "hedge": 0.05,
    }
    answer = session.ask("hello", budget=float(most.amount) * 1.5, **given)
    assert (answer.error, chats(one), chats(other)) == (None, 1, 0)


def test_another_kernel_knows_from_the_journal_who_is_fastest_and_says_what_either_costs(
    pair: tuple[DemoServer, DemoServer],
    session: Session,
    forget: Callable[[], SeenCalls],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, fast = pair
    slow.pace = Pace(first_token_s=3.0, tokens_per_s=1e6)
    for server in pair:
        session.ask("hello", endpoint=at(server), api_key="k", think="off")
    session.journal.flush()
    forget()
    later = Session()
    monkeypatch.setattr(client_module.Client, "_chance", 0.9, raising=False)
    try:
        prepared = later.prepare("hello", endpoint=at(slow, fast), api_key="k", think="off", prefer="fastest")
        assert prepared.endpoint.base_url == fast.base_url
        (told,) = (str(notice) for notice in prepared.notices if "was asked first" in str(notice))
        assert told.count("median of 1 call") == 2
        assert told.count("a million tokens, demo USD") == 2
        before = chats(fast)
        assert pump(later.start(prepared), lambda _events: None).outcome == "complete"
        assert chats(fast) == before + 1
        said = [str(message) for message in later.lately(at(slow, fast)).values()]
        assert ["soonest" in each for each in said] == [False, True]
        in_order = later.prepare("hello", endpoint=at(slow, fast), api_key="k", think="off")
        assert in_order.endpoint.base_url == slow.base_url
    finally:
        later.close()


@pytest.mark.parametrize("first_s", [None, 3.0])
def test_who_is_asked_only_to_get_to_know_it_is_said_to_be(
    pair: tuple[DemoServer, DemoServer], forget: Callable[[], SeenCalls], first_s: float | None
) -> None:
    seen, (one, other) = forget(), pair
    known(seen, one)
    if first_s is not None:
        known(seen, other, first_s=first_s)
    client = client_module.Client(at(one, other), api_key=["k", "k"], prefer="fastest", chance=lambda: 0.0)
    addressed = client.addressed(client.request("hi", think="off"))
    assert addressed[0].endpoint.base_url == other.base_url
    (said,) = map(str, nearby.notices(addressed, client.endpoint, {}, client.prices, client.wall()))
    assert "to learn how soon it begins now" in said


def test_what_does_not_go_together_is_said(
    pair: tuple[DemoServer, DemoServer], session: Session, forget: Callable[[], SeenCalls]
) -> None:
    one, _ = pair
    prepared = session.prepare("hello", endpoint=at(one), api_key="k", prefer="fastest")
    assert any("--prefer has no effect" in str(notice) for notice in prepared.notices)
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    for place, more, said in (
        (at(one), {"tools": [tool]}, "no effect with tools"),
        (one.base_url, {}, "the price of deepseek-flash at"),
        (at(one), {}, ""),
    ):
        prepared = session.prepare("hello", endpoint=place, api_key="k", hedge=0.05, **more)
        told = [str(notice) for notice in prepared.notices if "--hedge" in str(notice)]
        assert [said in each for each in told] == ([True] if said else [])
    with pytest.raises(ConfigurationError, match="hedge"):
        session.prepare("hello", endpoint=at(one), api_key="k", hedge=0.5)
    assert [str(said) for said in session.lately(at(one)).values()] == ["no call in the last hour"]


def test_the_doctor_says_when_a_second_request_would_be_sent(
    pair: tuple[DemoServer, DemoServer], session: Session, forget: Callable[[], SeenCalls]
) -> None:
    seen, (one, _) = forget(), pair
    places = [*at(one), *in_order(one.base_url)]

    def told() -> list[str]:
        return [str(said) for said in session.lately(places).values()]

    assert told() == ["no call in the last hour"] * 2
    session.defaults = session.defaults.replace(hedge=0.05)
    here, unpriced = told()
    assert here.endswith("before 20 calls of one model and thinking setting are known (0 now)")
    assert unpriced.endswith("no second requests, for the price is unknown")
    known(seen, one, calls=19)
    assert told()[0].endswith("(19 now of deepseek-flash, think = off)")
    known(seen, one, calls=20)
    here, unpriced = told()
    assert "a second request after 0.05 s (deepseek-flash, think = off), while they cost less than 1" in here
    assert unpriced.endswith("no second requests, for the price is unknown")


def test_the_doctor_says_how_many_calls_more_a_second_request_takes(
    pair: tuple[DemoServer, DemoServer], session: Session, forget: Callable[[], SeenCalls]
) -> None:
    seen, (one, _) = forget(), pair
    session.defaults = session.defaults.replace(hedge=0.02)
    known(seen, one, calls=30)
    (said,) = map(str, session.lately(at(one)).values())
    assert "one may cost 0.6 demo USD, and an answer costs up to 1 demo USD; some 20 calls more" in said


def test_a_journal_that_cannot_be_read_is_no_news(
    session: Session, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], SeenCalls]
) -> None:
    def damaged(*_: object) -> list[Any]:
        raise sqlite3.DatabaseError("no such column: purpose")

    monkeypatch.setattr(Journal, "stored", damaged)
    assert session.lately([]) == {}
    assert isinstance(session, state.Session)


CHILD = """
    import sys, time
    from deepseek_magic.engine.hosts.endpoints import resolve
    from deepseek_magic.engine.several.seen import SEEN
    from deepseek_magic.session.calls import Session
    from tests.engine.test_hedged import known

    class At:
        def __init__(self, url): self.base_url = url

    known(SEEN, *map(At, sys.argv[1:]))
    places = [resolve("demo", url) for url in sys.argv[1:]]
    Session().ask("hello", endpoint=places, api_key="k", think="off", hedge=0.05)
"""


def test_a_kernel_that_is_killed_in_the_race_leaves_both_and_one_to_resume(
    pair: tuple[DemoServer, DemoServer], tmp_path: Path
) -> None:
    one, other = pair
    one.pace = other.pace = SLOW
    home = {"DEEPSEEK_MAGIC_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", textwrap.dedent(CHILD), one.base_url, other.base_url]
    child = subprocess.Popen(command, env={**os.environ, **home})
    journal = Journal(tmp_path / "journal.sqlite3")
    try:
        until(lambda: chats(one) == chats(other) == 1)
        until(lambda: len(journal) == 2)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(HANG_S)
    rows = journal.rows()
    assert [(row["purpose"], row["used"]) for row in rows] == [("ask", None), ("hedge", None)]
    (entry,) = journal.resumable()
    assert entry.call_id == rows[0]["call_id"]


def test_a_second_request_that_has_won_is_resumed_like_any_answer(
    pair: tuple[DemoServer, DemoServer], tmp_path: Path
) -> None:
    one, other = pair
    one.pace, other.pace = SLOW, Pace(first_token_s=0.1, tokens_per_s=2.0)
    home = {"DEEPSEEK_MAGIC_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", textwrap.dedent(CHILD), one.base_url, other.base_url]
    child = subprocess.Popen(command, env={**os.environ, **home})
    journal = Journal(tmp_path / "journal.sqlite3")
    try:
        until(lambda: any(row["purpose"] == "hedge" and row["chars"] for row in journal.rows()))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(HANG_S)
    (entry,) = journal.resumable()
    assert (entry.purpose, entry.taken, bool(entry.completion.text)) == ("hedge", True, True)


def test_of_a_call_that_began_before_its_turn_it_is_decided_once_whether_it_is_used() -> None:
    told: list[str] = []
    early, late, dropped = Fate(), Fate(), Fate()
    early.when_taken(lambda: told.append("early"))
    dropped.when_taken(lambda: told.append("dropped"))
    assert early.sending()
    assert early.take()
    assert (early.drop(), early.sent, early.ahead_s is not None) == (False, True, True)
    assert late.take()
    assert (late.sending(), late.sent, late.ahead_s) == (False, False, None)
    assert dropped.drop()
    assert (dropped.take(), dropped.sending(), dropped.dropped) == (False, False, True)
    early.when_taken(lambda: told.append("again"))
    assert told == ["early", "again"]
