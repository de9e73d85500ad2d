"""What was typed becomes a request, the request an answer, and the answer a turn and a row."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine import client, stream
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import resolve
from deepseek_magic.engine.loop import apump, pump
from deepseek_magic.notebook.view.settled import footer
from deepseek_magic.policy import pricing, recovery
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.recovery import Ending, Step
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.errors import (
    AuthenticationError,
    BudgetExceeded,
    ConfigurationError,
    DeepSeekError,
    MissingKey,
)
from deepseek_magic.protocol.events import Event, Seam, TextDelta, Waiting
from deepseek_magic.protocol.models import resolve_model
from deepseek_magic.protocol.options import Options
from deepseek_magic.session.calls import Session
from tests.engine.wire import until


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoServer]:
    with DemoServer(pace=0) as server:
        monkeypatch.setenv("DEEPSEEK_BASE_URL", server.base_url)
        monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-test-1234")
        yield server


def sent(demo: DemoServer) -> dict[str, object]:
    return json.loads(json.dumps(demo.requests[-1].body))  # type: ignore[no-any-return]


def test_a_prompt_is_answered_and_leaves_a_row(demo: DemoServer, session: Session) -> None:
    completion = session.ask("Say hello.")
    assert completion.outcome == "complete"
    assert str(completion) == completion.text != ""
    assert completion.usage.completion_tokens
    assert len(session.log) == 1
    assert session.log[0]["outcome"] == "complete"


def test_a_prompt_is_validated_and_resolved_once_and_its_body_made_once_a_segment(
    demo: DemoServer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Counter[str] = Counter()

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **more: Any) -> Any:
            done[name] += 1
            return work(*args, **more)

        return counting

    demo.fault = "cut at=content after=20 times=1"
    monkeypatch.setattr(Options, "__init__", counted("validations", Options.__init__))
    monkeypatch.setattr(Request, "body", counted("bodies", Request.body))
    for module in (client, pricing):
        monkeypatch.setattr(module, "resolve_model", counted("models", resolve_model))
    assert session.ask("Tell me a story.", model="flash", temperature=1.5, think="off").attempts == 2
    assert done == {"validations": 1, "models": 1, "bodies": 2}


def test_time_outs_are_flags_and_an_argument_and_this_machine_may_take_its_time(
    demo: DemoServer, session: Session
) -> None:
    given = Timeouts(connect_s=3)
    prepared = session.prepare("Hi", timeouts=given, first_token=900, total=1000)
    assert prepared.patience(Timeouts()) == replace(given, first_delta_s=900, total_s=1000)
    assert prepared.client.timeouts_of(prepared.endpoint).first_delta_s == 600
    assert prepared.client.timeouts_of(resolve("openrouter")).first_delta_s == 120


async def _from_the_api(demo: DemoServer, session: Session) -> Completion:
    async with Client(demo.base_url) as api:
        running = api.stream("Tell me a story.")
        async for event in running:
            if isinstance(event, TextDelta):
                break
        await running.aclose()
        return running.completion


async def _from_another_task(demo: DemoServer, session: Session) -> Completion:
    async with Client(demo.base_url) as api:
        running, begun = api.stream("Tell me a story."), asyncio.Event()
        reading = asyncio.create_task(
            running.run(lambda batch: any(isinstance(e, TextDelta) for e in batch) and begun.set())
        )
        await begun.wait()
        await running.aclose()
        return await reading


async def _by_the_button(demo: DemoServer, session: Session) -> Completion:
    call = session.start(session.prepare("Tell me a story."))

    def show(events: list[Event]) -> None:
        if any(isinstance(event, TextDelta) for event in events):
            call.stop()

    return await apump(call, show)


async def _by_an_interrupt(demo: DemoServer, session: Session) -> Completion:
    call = session.start(session.prepare("Tell me a story."))

    def show(events: list[Event]) -> None:
        if any(isinstance(event, TextDelta) for event in events):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(pump, call, show)
    return call.completion


async def _by_cancelling_aask(demo: DemoServer, session: Session) -> Completion:
    asking = asyncio.create_task(session.aask("Tell me a story."))
    await until(lambda: demo.requests)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert session.last is not None
    return session.last


@pytest.mark.parametrize(
    "stop", [_from_the_api, _from_another_task, _by_the_button, _by_an_interrupt, _by_cancelling_aask]
)
async def test_every_stop_is_decided_by_the_first_row_of_the_recovery_table(
    stop: Callable[[DemoServer, Session], Awaitable[Completion]],
    demo: DemoServer,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decided: list[tuple[str, object]] = []

    def decide(ending: Ending, *known: Any, **more: Any) -> Step:
        step = recovery.decide(ending, *known, **more)
        decided.append((ending.kind, getattr(step, "outcome", None)))
        return step

    monkeypatch.setattr(stream, "decide", decide)
    demo.pace = 1.0
    completion = await stop(demo, session)
    assert completion.outcome == "interrupted"
    assert decided == [("stopped", "interrupted")]


def test_every_call_is_in_the_journal_under_the_id_of_its_record(demo: DemoServer, session: Session) -> None:
    completion = session.ask("Say hello.")
    session.journal.flush()
    entry = session.journal.get(completion.record.call_id)
    assert entry is not None
    assert entry.completion.text == completion.text


def test_a_key_in_a_prompt_is_masked_in_the_journal(demo: DemoServer, session: Session) -> None:
    session.ask("What is wrong with sk-test-1234?")
    session.journal.close()
    assert [entry.completion.request.prompt for entry in session.journal.search("wrong")] == [
        "What is wrong with ****?"
    ]
    assert all(b"sk-test-1234" not in file.read_bytes() for file in session.journal.path.parent.iterdir())


def test_a_cut_is_survived(demo: DemoServer, session: Session) -> None:
    whole = session.ask("Say hello.").text
    demo.fault = "cut at=content after=12 times=1"
    completion = session.ask("Say hello.")
    assert completion.text == whole
    assert [seam.kind for seam in completion.seams] == ["continued"]


async def test_a_prompt_is_answered_on_a_loop_that_goes_on_turning(demo: DemoServer, session: Session) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(tick())
    completion = await session.aask("Say hello.")
    beside.cancel()
    assert completion.outcome == "complete"
    assert ticks > 10


async def test_a_blocking_call_inside_a_running_loop_works(demo: DemoServer, session: Session) -> None:
    assert session.ask("Say hello.").outcome == "complete"


def test_braces_reach_the_server_as_typed_and_variables_are_filled(demo: DemoServer, session: Session) -> None:
    session.start(session.prepare('{"a": {1}} and {name}', variables={"name": "Ada"})).stop(wait_s=5)
    session.ask('{"a": {1}} and {name}', variables={"name": "Ada"})
    assert sent(demo)["messages"] == [{"role": "user", "content": '{"a": {1}} and Ada'}]


def test_a_setting_that_was_not_given_is_not_sent(demo: DemoServer, session: Session) -> None:
    session.ask("Hello")
    assert set(sent(demo)) == {"model", "messages", "stream", "stream_options"}


def test_a_system_prompt_may_come_from_a_variable(demo: DemoServer, session: Session) -> None:
    session.ask("Hello", system="$voice", variables={"voice": "You are brief."})
    assert sent(demo)["messages"][0] == {"role": "system", "content": "You are brief."}  # type: ignore[index]
    with pytest.raises(ConfigurationError, match="does not exist"):
        session.ask("Hello", system="$nothing", variables={})


def test_an_old_model_name_is_translated_with_a_word(demo: DemoServer, session: Session) -> None:
    prepared = session.prepare("Hello", model="deepseek-chat")
    assert prepared.request.body()["model"] == "deepseek-flash"
    assert prepared.request.body()["thinking"] == {"type": "disabled"}
    assert any("retired" in str(notice) for notice in prepared.notices)


def test_a_chat_goes_on_and_a_cell_run_again_replaces_its_turn(demo: DemoServer, session: Session) -> None:
    session.ask("One?", chat="main", turn="cell-1")
    session.ask("Two?", chat="main", turn="cell-2")
    assert [m["role"] for m in sent(demo)["messages"]] == ["user", "assistant", "user"]  # type: ignore[attr-defined]
    session.ask("Uno?", chat="main", turn="cell-1")
    assert [m["content"] for m in sent(demo)["messages"]] == ["Uno?"]  # type: ignore[attr-defined]
    assert [t.user.content for t in session.chats["main"].turns] == ["Uno?", "Two?"]


def test_without_a_chat_nothing_is_remembered(demo: DemoServer, session: Session) -> None:
    session.ask("One?")
    session.ask("Two?", chat="main", no_history=True)
    assert session.chats == {}


def test_new_forgets_what_was_said(demo: DemoServer, session: Session) -> None:
    session.ask("One?", chat="main", turn="a")
    session.ask("Two?", chat="main", turn="b", new=True)
    assert [t.id for t in session.chats["main"].turns] == ["b"]


def test_a_failed_call_raises_its_error_with_what_had_arrived(demo: DemoServer, session: Session) -> None:
    with pytest.raises(DeepSeekError) as caught:
        session.ask("Hello", model="no-such-model")
    assert caught.value.completion is not None
    assert caught.value.completion.outcome == "incomplete"


def test_without_a_key_three_ways_on_are_named(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    monkeypatch.delenv("DEEPSEEK_BASE_URL", raising=False)
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    with pytest.raises(MissingKey) as caught:
        session.ask("Hello")
    for way in ("DEEPSEEK_API_KEY", "demo", "--base-url"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dry_run_needs_no_key(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    assert session.prepare("Hello", dry_run=True).request.prompt == "Hello"


async def test_a_dry_run_from_python_is_refused_and_sends_nothing(demo: DemoServer, session: Session) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        session.ask("Hello", dry_run=True, base_url=demo.base_url)
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        await session.aask("Hello", dry_run=True, base_url=demo.base_url)
    assert not demo.requests


def test_calls_to_one_endpoint_share_one_client(demo: DemoServer, session: Session) -> None:
    one, two = session.prepare("a"), session.prepare("b")
    assert one.client is two.client
    assert one.client is not session.prepare("c", endpoint=["deepseek", "ollama"], model="x").client


def test_json_mode_without_the_word_is_said_before_it_is_sent(demo: DemoServer, session: Session) -> None:
    def notices(*words: str, **options: Any) -> str:
        return " ".join(map(str, session.prepare(*words, json=True, **options).notices))

    assert "the word json" in notices("Three planets")
    assert "the word json" not in notices("Three planets as JSON")
    assert "the word json" not in notices("Three planets", system="Answer in json.")
    assert "the word json" not in " ".join(session.prepare("Three planets").notices)


def test_an_answer_goes_on_beyond_its_length_only_when_asked(demo: DemoServer, session: Session) -> None:
    whole = session.ask("Say hello.", think="off")
    budget = whole.usage.completion_tokens - 5
    assert session.ask("Say hello.", think="off", max_tokens=budget).outcome == "truncated"
    completion = session.ask("Say hello.", think="off", max_tokens=budget, continue_on_length=True)
    assert (completion.text, completion.outcome) == (whole.text, "complete")
    assert "continue_on_length" not in sent(demo)


def test_a_continue_that_could_never_act_is_said(session: Session, demo: DemoServer) -> None:
    prepared = session.prepare("Give me json", json=True, continue_on_length=True)
    assert "An answer that reaches its length cannot be continued here: JSON mode forbids a prefix." in map(
        str, prepared.notices
    )


def half_of(session: Session, prompt: str, **options: object) -> Completion:
    """An answer that was stopped in its middle."""
    call = session.start(session.prepare(prompt, **options))
    while sum(len(e.text) for e in call.drain() if isinstance(e, TextDelta)) < 1 and not call.done:
        call.wait()
    call.stop(wait_s=5)
    return call.completion


def test_a_stopped_answer_is_gone_on_with_and_takes_its_turn(demo: DemoServer, session: Session) -> None:
    whole = session.ask("long 2", think="off")
    demo.pace = 0.05
    half = half_of(session, "long 2", think="off", chat="main", turn="cell-1")
    assert half.outcome == "interrupted"
    demo.pace = 0
    completion = session.resume(half)
    assert (completion.text, completion.outcome) == (whole.text, "complete")
    assert [turn.assistant.content for turn in session.chats["main"].turns] == [whole.text]


def test_without_a_name_the_last_answer_is_gone_on_with_and_after_a_restart_the_journals(
    demo: DemoServer, session: Session
) -> None:
    whole = session.ask("long 2", think="off")
    demo.pace = 0.05
    half = half_of(session, "long 2", think="off")
    other = half_of(session, "long 3", think="off")
    demo.pace = 0
    session.journal.flush()
    later = Session()
    try:
        assert [e.completion.text for e in later.journal.resumable()] == [other.text, half.text]
        with pytest.raises(ConfigurationError, match="no call whose id begins with zz"):
            later.resume("zz")
        completion = later.resume(half.record.call_id[:8])
        assert (completion.text, completion.outcome) == (whole.text, "complete")
        with pytest.raises(ConfigurationError, match="is complete"):
            later.resume()
        assert [e.completion.text for e in later.journal.resumable()] == [other.text]
    finally:
        later.close()
    latest = Session()
    try:
        prepared = latest.prepare_resume()
        assert prepared.before is not None
        assert prepared.before.text == other.text
        assert str(prepared.notices[0]).startswith("Resuming the answer to “long 3”, asked ")
    finally:
        latest.close()
    assert session.resume().text.startswith(other.text)


def test_where_nothing_waits_resume_says_so(session: Session, demo: DemoServer) -> None:
    with pytest.raises(ConfigurationError, match="There is no answer to resume"):
        session.resume()


@pytest.fixture
def spare() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as server:
        yield server


def followed(session: Session, endpoint: object, **options: object) -> tuple[Completion, list[Event]]:
    events: list[Event] = []
    prepared = session.prepare("long 2", endpoint=endpoint, think="off", **options)
    return pump(session.start(prepared), events.extend), events


@pytest.mark.parametrize("fault", ["503", "reset at=connect", "429"])
def test_the_next_endpoint_takes_over_before_the_first_token(
    demo: DemoServer, spare: DemoServer, session: Session, fault: str
) -> None:
    demo.fault = fault
    completion, events = followed(session, f"deepseek, {spare.base_url}")
    assert completion.outcome == "complete"
    assert any(isinstance(e, Waiting) and "Continuing at 127.0.0.1" in str(e.detail) for e in events)
    assert len(demo.requests) <= 2
    assert [row["outcome"] for row in session.log] == ["incomplete", "complete"]
    hosts = [server.base_url.partition("//")[2] for server in (demo, spare)]
    assert [row["host"] for row in session.log] == hosts
    (said,) = map(str, completion.notices)
    assert said.startswith(f"Answered by {hosts[1]}, because {hosts[0]} failed: ")
    # For a while the one that failed is asked last, which is said too.
    before = len(demo.requests)
    completion, events = followed(session, f"deepseek, {spare.base_url}")
    assert (completion.outcome, len(demo.requests)) == ("complete", before)
    assert isinstance(events[0], Waiting)
    assert "failed a moment ago" in str(events[0].detail)
    assert ["failed a moment before" in str(said) for said in completion.notices] == [True]


@pytest.mark.parametrize("typed", [{"hedge": 0.05}, {"prefer": "fastest"}, {"schema": "Answer"}, {"chat": "other"}])
def test_what_cannot_act_on_a_question_that_is_asked_is_refused(
    demo: DemoServer, session: Session, typed: dict[str, Any]
) -> None:
    short = session.ask("long 2", think="off", max_tokens=5)
    with pytest.raises(ConfigurationError, match=f"cannot take {next(iter(typed))}: the question is asked already"):
        session.resume(short, **typed)  # type: ignore[arg-type]
    assert len(demo.requests) == 1
    assert session.resume(short, hedge=0, continue_on_length=True).text.startswith(short.text)


@pytest.mark.usefixtures("demo")
def test_what_there_is_to_say_of_a_call_is_with_its_answer_also_where_nothing_is_shown(session: Session) -> None:
    answer = session.ask("Hello", think="low", temperature=0.5, quiet=True)
    assert "temperature" in " ".join(map(str, answer.notices))


def test_the_next_endpoint_goes_on_in_the_middle_of_an_answer(
    demo: DemoServer, spare: DemoServer, session: Session
) -> None:
    whole = session.ask("long 2", think="off")
    demo.fault = "cut at=content after=40"
    completion, events = followed(session, ["deepseek", spare.base_url])
    screen = Accumulator(completion.request)
    for event in events:
        screen.add(event)
    assert completion.text == screen.text == whole.text
    assert spare.requests[0].body["messages"][-1]["prefix"] is True
    assert any("Continuing at 127.0.0.1" in str(e.detail) for e in events if isinstance(e, Seam))


def test_where_the_next_one_cannot_go_on_it_begins_anew_and_each_leaves_a_row_and_an_entry(
    demo: DemoServer, spare: DemoServer, session: Session
) -> None:
    whole = session.ask("long 2", think="off")
    demo.fault = "cut at=content after=40"
    completion, _ = followed(session, ["deepseek", replace(resolve(spare.base_url), continuing="none")])
    assert completion.text == whole.text
    assert [seam.kind for seam in completion.seams][-1] == "restarted"
    assert [row["outcome"] for row in session.log] == ["complete", "incomplete", "complete"]
    rows = session.journal.rows()[-2:]
    assert [row["outcome"] for row in rows] == ["incomplete", "complete"]
    assert rows[1]["text"] == whole.text


def test_an_answer_that_went_on_elsewhere_is_whole_in_the_journal(
    demo: DemoServer, spare: DemoServer, session: Session
) -> None:
    demo.fault = "cut at=content after=40"
    completion, _ = followed(session, ["deepseek", spare.base_url])
    assert session.journal.rows()[-1]["text"] == completion.text
    assert session.log[-1]["call_id"] == completion.record.call_id


def test_a_refused_key_is_not_a_reason_to_ask_elsewhere(demo: DemoServer, spare: DemoServer, session: Session) -> None:
    demo.fault = "401"
    with pytest.raises(AuthenticationError):
        session.ask("Hello", endpoint=["deepseek", spare.base_url])
    assert spare.requests == []


def test_a_budget_refuses_before_anything_is_sent(demo: DemoServer, session: Session) -> None:
    priced = replace(resolve("demo", demo.base_url), is_priced=True)
    with pytest.raises(BudgetExceeded, match="Over the budget"):
        session.ask("Say hello.", max_tokens=100_000, budget=0.01, endpoint=priced)
    assert not demo.requests
    session.ask("Say hello.", max_tokens=100, budget=0.01, endpoint=priced)
    assert "budget" not in sent(demo)
    spent = session.log.spending.spent["USD"]
    assert spent > 0
    assert session.log.spending.left(0.0) == -spent
    session.defaults = session.defaults.replace(budget=float(spent))  # all of it is gone
    with pytest.raises(BudgetExceeded):
        session.ask("Say hello.", max_tokens=1, endpoint=priced)
    assert len(demo.requests) == 1


def test_a_budget_says_what_it_cannot_count(demo: DemoServer, session: Session) -> None:
    prepared = session.prepare("Say hello.", base_url=demo.base_url, budget=0.01)
    assert any(
        "not known in US dollars, so the budget cannot count this call" in str(notice) for notice in prepared.notices
    )
    assert not session.prepare("Say hello.", endpoint=replace(resolve("demo"), is_priced=True), budget=1.0).notices


def test_an_answer_from_the_journal_costs_nothing_and_says_what_was_paid(demo: DemoServer, session: Session) -> None:
    priced = replace(resolve(demo.base_url), is_priced=True)
    first = session.ask("A table", endpoint=priced, cache=True)
    again = session.ask("A table", endpoint=priced, cache=True)
    assert len(demo.requests) == 1
    assert again.kept is not None
    assert again.kept.cost == first.cost
    assert again.kept.call_id == first.record.call_id
    assert (again.cost.amount, again.record.cost, again.record.attempts) == (0, 0, 0)
    assert (again.text, again.reasoning, again.usage, again.outcome) == (
        first.text,
        first.reasoning,
        first.usage,
        "complete",
    )
    assert f"saved ≈ {first.cost.rounded}" in footer(again)


def test_an_answer_of_another_address_is_not_taken(demo: DemoServer, session: Session) -> None:
    session.ask("A table", cache=True)
    with DemoServer(pace=0) as other:
        session.ask("A table", cache=True, endpoint=other.base_url)
        assert len(other.requests) == 1


def test_a_journal_that_cannot_be_read_costs_no_answer(demo: DemoServer, session: Session) -> None:
    session.journal.path.parent.mkdir(parents=True)
    session.journal.path.write_bytes(b"no database" * 1000)
    assert session.ask("A table", cache=True).outcome == "complete"


def test_a_timeline_holds_every_piece_of_the_answer_when_it_is_asked_for(demo: DemoServer, session: Session) -> None:
    assert session.ask("Say hello.").record.timeline is None
    completion = session.ask("Say hello.", timeline=True)
    timeline = completion.record.timeline
    assert "".join(entry.text for entry in timeline if entry.kind == "text") == completion.text
    assert [entry.at_s for entry in timeline] == sorted(entry.at_s for entry in timeline)
    assert timeline[0].kind == "attempt"
    assert "timeline" not in sent(demo)


@pytest.fixture
def away(elsewhere: str) -> dict[str, str]:
    return {"endpoint": "vllm", "base_url": elsewhere, "model": "deepseek-flash"}


def test_after_a_warm_up_the_first_answer_finds_a_connection_and_no_key_has_travelled(
    demo: DemoServer, session: Session, away: dict[str, str]
) -> None:
    session.warm_up(**away).result(60)
    assert session.ask("hi", **away).outcome == "complete"
    assert [(seen.method, seen.connection) for seen in demo.requests] == [("HEAD", 1), ("POST", 1)]
    assert session.log[0]["connect_s"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"endpoint": "openrouter"},
        {"endpoint": "nowhere"},
        {"endpoint": "vllm", "base_url": "http://0.0.0.0:1"},
    ],
    ids=["this machine", "no key", "no such endpoint", "nobody there"],
)
def test_a_warm_up_that_has_nothing_to_do_does_nothing_and_says_nothing(
    demo: DemoServer, session: Session, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    session.warm_up(**options).result(60)
    assert demo.connections == 0


def test_one_warm_up_goes_on_at_a_time(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # the machine connects, nobody answers
        where = {"endpoint": "vllm", "base_url": f"http://0.0.0.0:{deaf.getsockname()[1]}"}
        first = session.warm_up(**where)
        assert session.warm_up(**where) is first
        first.cancel()
        second = session.warm_up(**where)
        assert second is not first
        second.cancel()


def test_the_session_pings_only_when_it_is_told_to(demo: DemoServer, session: Session) -> None:
    assert session.keep_warm_s is None
    session.keep_warm_s = 1.0
    session.ask("hi")
    deadline = time.monotonic() + 60
    while demo.requests[-1].method != "HEAD":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert demo.connections == 1
