"""What a tape plays is what the network brought: every fault of the demo, by the real engine, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_magic.demo.faults.kinds import KINDS
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.calls import HTTPCall, Transport
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts import health
from deepseek_magic.engine.hosts.endpoints import Endpoint, hosts_elsewhere, in_order, recorded
from deepseek_magic.engine.hosts.keys import Key, spans
from deepseek_magic.engine.tape.deck import Deck, Switched, deck, load
from deepseek_magic.engine.tape.player import Player, raised
from deepseek_magic.engine.tape.recorder import TapeFile
from deepseek_magic.engine.tape.scrubbing import Scrubber
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.protocol import errors
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ConfigurationError, DeepSeekError, MissingKey, NotOnTape
from deepseek_magic.protocol.events import Event
from deepseek_magic.protocol.tape.takes import Take, TapeFailure
from tests.engine.wire import ScriptedServer, until

KEY: Final = "sk-test-of-a-tape-1234"
QUESTION: Final = "Show a table and code."
QUICK: Final = RecoveryPolicy(base_s=0.01, cap_s=0.02)
TIMES: Final = Timeouts(idle_s=0.5, idle_reasoning_s=0.5, first_delta_s=0.5, read_s=0.5)
SPECS: Final = {
    "refuse": "refuse for=0.05",
    "drip": "drip after=10 bytes=2000 every=0.01 times=1",
    "keepalive-drip": "keepalive-drip after=10 every=0.05 times=1",
    "slow": "slow rate=20000 times=1",
    "latency": "latency after=10 s=0.1 times=1",
    "bandwidth": "bandwidth kib=2000 times=1",
    "slow-close": "slow-close s=0.2 times=1",
    "slice": "slice bytes=7 times=1",
}
"""What would take long as it is."""


@pytest.fixture(autouse=True)
def no_tape_is_left() -> Iterator[None]:
    yield
    deck.stop()


def spec_of(kind: str) -> str:
    if kind in SPECS:
        return SPECS[kind]
    return f"{kind} after=15 times=1" if "content" in KINDS[kind].places else f"{kind} times=1"


async def asked(base_url: str | None, *questions: str, **more: Any) -> tuple[list[Completion], list[Event]]:
    """Each question asked one after the other, and all events."""
    ended, events = [], list[Event]()
    how: dict[str, Any] = {"recovery": QUICK, "timeouts": TIMES, "api_key": KEY if base_url else None}
    async with Client(base_url, **how) as client:
        for question in questions:
            stream = client.stream(question, **({"think": "off"} | more))
            ended.append(await stream.run(events.extend))
    return ended, events


def told(completions: list[Completion]) -> list[Any]:
    """All of an answer that does not depend on when it was asked."""
    return [
        (
            c.text,
            c.reasoning,
            c.tool_calls,
            c.outcome,
            c.finish_reason,
            c.seams,
            c.attempts,
            c.usage,
            str(c.error),
            c.id,
        )
        for c in completions
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_fault_of_the_demo_is_played_as_it_was(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "lesson.tape"
    with DemoServer(pace=0, fault=spec_of(kind)) as server:
        deck.record(path)
        before, events = await asked(server.base_url, QUESTION, "And now?")
        deck.stop()
        sent = sum(seen.method == "POST" for seen in server.requests)
    player = deck.play(path, pace=0)
    after, again = await asked(None, QUESTION, "And now?")
    assert told(after) == told(before)
    assert again == events
    taken, count = player.progress
    assert taken == count >= sent
    row = after[0].record
    assert row is not None
    if before[0].outcome == "complete":
        assert (row.endpoint, row.attempts, row.chunks) == ("tape", before[0].attempts, before[0].record.chunks)  # type: ignore[union-attr]


@pytest.mark.parametrize("pace", [0.0, 1.0])
async def test_the_figures_are_those_of_the_recording_at_any_pace(pace: float, tmp_path: Path) -> None:
    path = tmp_path / "lesson.tape"
    with DemoServer(pace=0, fault="429 times=1 retry-after=1; latency after=10 s=0.4 times=1") as server:
        deck.record(path)
        (before,), _ = await asked(server.base_url, QUESTION, timeline=True)
        deck.stop()
    deck.play(path, pace=pace)
    (after,), _ = await asked(None, QUESTION, timeline=True)
    assert after.record is not None
    assert before.record is not None
    assert after.record.timeline is not None
    assert before.record.timeline is not None
    assert [each.kind for each in after.record.timeline] == [each.kind for each in before.record.timeline]
    assert after.record.started_at.date() == before.record.started_at.date()
    # The tape has the pauses; how exactly they are kept is measured by a command, not here.
    assert after.record.total_s > 1.0
    assert (after.record.gap_max_s or 0) > 0.2
    written = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert max(line.get("gap", 0) for line in written) > 0.2


async def test_the_key_is_in_no_byte_wherever_a_server_repeats_it(tmp_path: Path) -> None:
    half = len(KEY) // 2
    Key(KEY, source="a test")
    said = [f"Your key is {KEY}.", *KEY, "!"]
    chunks = [_event({"content": text}) for text in said]
    refusal = json.dumps({"error": {"message": f"Wrong key {KEY}, ****{KEY[-4:]}", "type": "x", "code": "y"}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Key: " + KEY.encode() + b"\r\nSet-Cookie: a=b\r\n"
    whole = b"".join([*chunks, _event({}, "stop"), b"data: [DONE]\n\n"])
    answer = head + b"Content-Length: %d\r\n\r\n" % len(whole)
    wrong = b"HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(refusal)
    split = refusal.index(KEY.encode()) + half
    scripts = [[answer, *(piece for chunk in chunks for piece in (chunk, 0.001)), whole[len(b"".join(chunks)) :]]]
    path = tmp_path / "lesson.tape"
    async with ScriptedServer([*scripts, [wrong, refusal[:split], 0.02, refusal[split:]]]) as server:
        deck.record(path)
        before, _ = await asked(server.base_url, f"I am {KEY}.", "Again.")
        deck.stop()
    assert KEY in before[0].text
    raw = path.read_text("utf-8")
    assert KEY not in raw
    assert not spans(raw, echoes=True)
    assert "set-cookie" not in raw
    deck.play(path, pace=0)
    after, _ = await asked(None, "I am ****.", "Again.")
    assert after[0].text == "Your key is ****.****!"
    assert after[0].seams == ()
    assert isinstance(after[1].error, errors.AuthenticationError)


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    chunk = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def test_homes_and_names_are_hidden_also_between_two_reads_and_in_other_scripts() -> None:
    scrub = Scrubber(home="/home/安娜", host="hub-17.example.org")
    assert scrub.text("at /home/安娜/x on HUB-17 and hub-17.example.org") == "at <home>/x on <host> and <host>"
    assert scrub.text("/home/安娜lia on hub-17b") == "/home/安娜lia on hub-17b"
    whole = "data: /home/安娜/x\n\n".encode()
    for cut in range(len(whole) + 1):
        assert b"".join(scrub.pieces([whole[:cut], whole[cut:]])) == b"data: <home>/x\n\n"
    split = [_event({"content": "in /home/"}), _event({"content": "安娜"}), _event({"content": "!"})]
    words = [json.loads(piece[6:])["choices"][0]["delta"]["content"] for piece in scrub.pieces(split)]
    assert words == ["in <home>", "", "!"]
    nobody = Scrubber(home="/", host="vm")
    assert nobody.text("/ vm") == "/ vm"


def test_of_two_words_that_overlap_one_is_left() -> None:
    Key("hub-17.example", source="a test")
    assert Scrubber(home="", host="hub-17.example.org").text("on hub-17.example.org now") == "on <host> now"


async def test_equal_questions_at_once_and_many_different_ones_find_their_own(tmp_path: Path) -> None:
    path, questions = tmp_path / "lesson.tape", [f"What is {n} + {n}?" for n in range(12)]

    async def all_at_once(base_url: str | None) -> list[str]:
        ended = await asyncio.gather(*(asked(base_url, each) for each in [*questions, QUESTION, QUESTION]))
        return [completions[0].text for completions, _ in ended]

    with DemoServer(pace=0) as server:
        deck.record(path)
        before = await all_at_once(server.base_url)
        deck.stop()
    deck.play(path, pace=0)
    after = await all_at_once(None)
    assert after[: len(questions)] == before[: len(questions)]
    assert sorted(after) == sorted(before)


async def test_what_is_not_on_the_tape_is_one_sentence_with_what_comes_nearest(tmp_path: Path) -> None:
    path = tmp_path / "lesson.tape"
    deck.cell = lambda: "In [7]"
    try:
        with DemoServer(pace=0) as server:
            deck.record(path)
            await asked(server.base_url, QUESTION)
            deck.stop()
    finally:
        deck.cell = str
    player = deck.play(path, pace=0)
    (changed,), _ = await asked(None, QUESTION, temperature=0.5)
    assert isinstance(changed.error, NotOnTape)
    assert str(changed.error.message) == (
        "This request is not on the tape lesson.tape; the nearest one, “Show a table and code.” in In [7], differs in "
        "temperature (0.5 here, not given on the tape)."
    )
    (other,), _ = await asked(None, "Show a table and cod.", temperature=1, think=None)
    assert "differs in the prompt, temperature (1 here" in str(other.error).replace("1.0", "1")
    (first, second), _ = await asked(None, QUESTION, QUESTION)
    assert first.outcome == "complete"
    assert "has one answer to this request, and it was given in this cell" in str(second.error)
    player.rewind()
    (again,), _ = await asked(None, QUESTION)
    assert again.text == first.text
    assert str(player.said) == "The tape lesson.tape is playing: 2 of 1 requests so far, at pace 0."
    async with Client() as client:
        with pytest.raises(NotOnTape, match="has no such request"):
            await client.models()


async def test_with_else_ask_the_network_answers_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lesson.tape"
    with DemoServer(pace=0) as server:
        monkeypatch.setenv("DEEPSEEK_BASE_URL", server.base_url)
        deck.record(path)
        await asked(server.base_url, QUESTION)
        deck.stop()
        deck.play(path, pace=0, otherwise="ask")
        posts = len(server.requests)
        async with Client(timeouts=TIMES) as client:
            known, new = await client.complete(QUESTION, think="off"), await client.complete("Say hello.", think="off")
        assert len(server.requests) == posts + 1
        assert known.record is not None
        assert new.record is not None
        assert (known.record.endpoint, new.record.endpoint) == ("tape", "custom")
        deck.stop()
    assert [take.number for take in load(path).takes] == [1, 2]
    deck.play(path, pace=0)
    (later,), _ = await asked(None, "Say hello.")
    assert later.text == new.text


async def test_with_else_ask_a_key_is_needed_only_for_what_is_not_on_the_tape(tmp_path: Path) -> None:
    path = tmp_path / "lesson.tape"
    with DemoServer(pace=0) as server:
        deck.record(path)
        await asked(server.base_url, QUESTION)
        deck.stop()
    deck.play(path, pace=0, otherwise="ask")
    async with Client() as client:
        assert (await client.complete(QUESTION, think="off")).outcome == "complete"
        with pytest.raises(MissingKey):
            await client.complete("Say hello.")


async def test_who_is_asked_is_known_from_the_tape(tmp_path: Path) -> None:
    path = tmp_path / "lesson.tape"
    with DemoServer(pace=0) as server:
        deck.record(path)
        assert in_order("demo")[0].address.rpartition("#")[2].startswith("tape-")
        async with Client("vllm") as nobody:  # nothing listens there
            failed = nobody.stream("Hello?", model="m", recovery=RecoveryPolicy(attempts=1))
            refused = await failed.run(lambda _events: None)
        async with Client(server.base_url, api_key=KEY) as client:
            await client.complete(QUESTION, think="off")
            listed = await client.models()
            await client.balance()
        deck.stop()
    tape = load(path)
    assert [take.endpoint for take in tape.takes[:2]] == ["vllm", "custom"]
    assert "balance" not in path.read_text("utf-8")
    deck.play(path, pace=0)
    (place,) = in_order()
    assert (place.name, place.needs_key, place.key_variables, place.has_balance) == ("vllm", False, (), False)
    assert hosts_elsewhere([place]) == "lesson.tape"
    async with Client() as client:
        stream = client.stream("Hello?", model="m", recovery=RecoveryPolicy(attempts=1))
        assert str((await stream.run(lambda _events: None)).error) == str(refused.error)
        assert await client.models() == listed
        checked = await health.check(client.transport, place, lambda: None)
    assert checked.step("name").ok is None


def test_a_recorded_endpoint_is_known_by_its_name_or_as_one_like_deepseek() -> None:
    assert recorded("openrouter", local=False, grpc_web=False).continuing == "trailing_assistant"
    assert recorded("nobody", local=True, grpc_web=False).is_local
    assert not recorded("nobody", local=False, grpc_web=False).is_local
    assert recorded("demo", local=True, grpc_web=True).is_grpc_web


class Nothing(Transport):
    """A network in which nothing may be asked."""

    keep_warm_s: float | None = None

    def open(self, call: HTTPCall) -> Any:
        raise AssertionError(call)

    async def warm_up(self, url: str) -> float | None:
        return 1.0


async def test_while_a_tape_plays_no_connection_is_opened_beforehand(tmp_path: Path) -> None:
    own = Deck()
    switched = Switched(Nothing(), own)
    assert await switched.warm_up("http://127.0.0.1") == 1.0
    own.record(tmp_path / "lesson.tape")
    assert await switched.warm_up("http://127.0.0.1") == 1.0
    own.stop()
    switched.keep_warm_s = 5.0
    assert switched.keep_warm_s == 5.0
    (tmp_path / "empty.tape").write_text('{"deepseek-magic tape": 1}\n', "utf-8")
    own.play(tmp_path / "empty.tape")
    assert await switched.warm_up("http://127.0.0.1") is None
    await switched.aclose()


def test_one_tape_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lesson.tape"
    path.write_text('{"deepseek-magic tape": 1}\n', "utf-8")
    deck.new_cell()
    deck.play(path)
    deck.new_cell()
    with pytest.raises(ConfigurationError, match="playing already"):
        deck.record(tmp_path / "other.tape")
    deck.stop()
    deck.record(tmp_path / "other.tape")
    with pytest.raises(ConfigurationError, match="is being recorded"):
        deck.play(path)
    assert not (tmp_path / "other.tape").exists()  # nothing was asked yet


def test_what_cannot_be_a_tape_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"\xff\xfe")
    for use, said in (
        (lambda: deck.play(tmp_path / "none.tape"), "There is no tape at"),
        (lambda: deck.play(path), r"notes\.txt is no tape"),
        (lambda: deck.play(tmp_path), "cannot be read"),
        (lambda: deck.play(path, pace=-1), "pace cannot be -1"),
        (lambda: deck.play(path, otherwise="guess"), "else cannot be guess"),  # type: ignore[arg-type]
        (lambda: deck.record(path), "exists already"),
        (lambda: deck.record(tmp_path / "no" / "a.tape"), "there is no folder"),
        (lambda: deck.record(tmp_path, overwrite=True), "it is a folder"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            use()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="may not be written"):
        deck.record(tmp_path / "a.tape")


def test_a_full_disk_costs_no_answer(tmp_path: Path) -> None:
    file = TapeFile(tmp_path / "gone" / "a.tape")
    file.append(Take(number=file.number(), at="", question=load_question()))
    assert file.count == 0
    assert file.problem


def load_question() -> Any:
    from deepseek_magic.protocol.tape.takes import TapeQuestion

    return TapeQuestion(method="POST", resource="chat/completions", body="{}")


async def test_an_answer_that_its_user_stopped_ends_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lesson.tape"
    with DemoServer(pace=0, fault="stall after=15") as server:
        deck.record(path)
        async with Client(server.base_url, api_key=KEY) as client:
            stream = client.stream(QUESTION, think="off")
            async for _ in stream:
                if "TextDelta" in repr(_):
                    break
            await stream.aclose()
            waiting = client.stream("Hello?", think="off")
            await asyncio.wait_for(_begun(waiting), 30)
        deck.stop()
    assert stream.completion.outcome == "interrupted"
    monkeypatch.setattr("deepseek_magic.engine.tape.player.LEFT_S", 0.01)
    deck.play(path, pace=0)
    (after,), _ = await asked(None, QUESTION)
    assert after.text.startswith(stream.completion.text)
    assert isinstance(after.error, NotOnTape)


async def _begun(stream: Any) -> None:
    async for event in stream:
        if type(event).__name__ == "AttemptStarted":
            break
    await stream.aclose()


async def test_a_request_whose_headers_nobody_waited_for_ends_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lesson.tape"
    async with ScriptedServer([["hang"]]) as server:
        deck.record(path)
        async with Client(server.base_url, api_key=KEY) as client:
            stream = client.stream(QUESTION, think="off")
            task = asyncio.create_task(stream.run(lambda _events: None))
            await until(lambda: bool(server.requests))
            await stream.aclose()
            await task
        deck.stop()
    monkeypatch.setattr("deepseek_magic.engine.tape.player.LEFT_S", 0.01)
    deck.play(path, pace=0)
    (after,), _ = await asked(None, QUESTION)
    assert "The recording of this answer ends here" in str(after.error)


def test_only_errors_of_the_network_come_from_a_tape() -> None:
    assert isinstance(
        raised(TapeFailure(type="ReadTimeout", message="m", more={"deadline": "idle"})), errors.ReadTimeout
    )
    odd = raised(TapeFailure(type="MissingKey", message="m", more={"how": "early", "permanent": True}))
    assert type(odd) is errors.Disconnected
    assert odd.permanent
    assert odd.how == "early"
    assert type(raised(TapeFailure(type="ConnectTimeout", message="m", more={"how": "early"}))) is errors.Disconnected
    assert isinstance(raised(TapeFailure(type="mask", message="m")), DeepSeekError)


async def test_recorder_and_player_are_transports_of_their_own(tmp_path: Path) -> None:
    from deepseek_magic.engine.tape.recorder import Recorder
    from deepseek_magic.engine.transport import HTTPXTransport

    path = tmp_path / "lesson.tape"
    with DemoServer(pace=0) as server:
        recorder = Recorder(HTTPXTransport(), TapeFile(path))
        async with Client(server.base_url, api_key=KEY, transport=recorder) as client:
            assert await client.warm_up() is not None
            before = await client.complete(QUESTION, think="off")
    place: Endpoint = recorded("custom", local=True, grpc_web=False)
    async with Client(place, api_key=KEY, transport=Player(load(path), name="x", pace=0)) as client:
        assert (await client.complete(QUESTION, think="off")).text == before.text
