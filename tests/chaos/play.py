"""Plays one case on real sockets and says every rule that it broke.

The rules are the invariants of the reliability sheet, by their numbers: the text is a prefix of the fault-free one at
every moment (I1), nothing is lost, doubled or silently short (I2), one end (I3) that the wire has told (I4), tool calls
whole or not at all (I5), typed errors in one line (I6), no waiting past the deadline (I7), no needless request (I8), one
at a time (I9), nothing left behind (I12), oddities named (I15), the key nowhere (I16).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import itertools
import random
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from deepseek_magic.demo.api.tokens import tokenize
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS
from deepseek_magic.engine.stream import Stream
from deepseek_magic.engine.transport import HTTPAnswer, HTTPCall, HTTPXTransport, Transport
from deepseek_magic.policy.deadlines import FINISH_GRACE_S, Timeouts
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.policy.seams import ECHO_MIN_CHARS
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import APIStatusError, DeepSeekError
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    ReasoningDelta,
    Seam,
    TextDelta,
    ToolCallDelta,
    Waiting,
)
from tests.chaos.cases import Case, Oracle, oracle_of

__all__ = ["Played", "play", "tasks_by_case", "watch_tasks"]

OTHER_TEXT: Final = "Now that you ask again: this is another answer。"
"""What the demo says instead when it diverges."""
TOLD: Final = {
    "no-done": "missing_done",
    "no-blank-line": "missing_blank_line",
    "finish-twice": "finish_repeated",
}
"""Faults that lose nothing, and the anomaly that says what was odd."""
EARLY_ENDS: Final = ("finish-early", "finish-every")
"""Faults that send text after a finish reason: the wire does it, so the reader may see it."""
HANG_S: Final = 30.0
SETTLE_S: Final = 30.0
TORN_TOKENS: Final = 3
"""Measured on DeepSeek: so far the number of deltas is from the number of tokens (sheet, 3.2)."""
SHORT_CHARS: Final = ECHO_MIN_CHARS
"""Less than this cannot be gone on from: an echo of it could not be told from an honest repetition."""
WORDLESS_EVENTS: Final = 3
"""Events of an answer without a word: its role, its end and [DONE]."""
CALM_S: Final = 5.0
"""Deadlines of this length are none that a case is about."""
STOP_S: Final = 0.1
"""A Stop or a cancellation returns within this time."""

_NUMBERS: Final = itertools.count()
_OURS: Final[contextvars.ContextVar[int]] = contextvars.ContextVar("case", default=-1)
_TASKS: Final[dict[int, weakref.WeakSet[asyncio.Task[Any]]]] = {}
_USED_PORTS: Final[set[int]] = set()


def watch_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """From now on every task knows the case that began it."""

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **options)
        _TASKS.setdefault(_OURS.get(), weakref.WeakSet()).add(task)
        return task

    loop.set_task_factory(factory)


def tasks_by_case(number: int) -> list[asyncio.Task[Any]]:
    """The tasks of a case that are not done, but for the one that asks."""
    me = asyncio.current_task()
    return [task for task in _TASKS.get(number, ()) if not task.done() and task is not me]


@dataclass(kw_only=True)
class Played:
    """How a case went. ``broken`` is empty when every rule held."""

    case: Case
    outcome: str = ""
    requests: int = 0
    strategies: tuple[str, ...] = ()
    seams: tuple[str, ...] = ()
    completion: Completion | None = None
    error: str = ""
    waits: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    broken: list[str] = field(default_factory=list)


class _Watched(Transport):
    """A transport around the real one that counts: exchanges at once, and all of them."""

    def __init__(self, inner: HTTPXTransport) -> None:
        self.inner = inner
        self.live = self.most_live = self.calls = 0

    @contextlib.asynccontextmanager
    async def open(self, call: HTTPCall) -> AsyncIterator[HTTPAnswer]:
        self.calls += 1
        self.live += 1
        self.most_live = max(self.most_live, self.live)
        try:
            async with self.inner.open(call) as answer:
                yield answer
        finally:
            self.live -= 1


class _Reader:
    """A consumer that compares while it reads."""

    def __init__(self, case: Case, oracle: Oracle, say: Callable[[str], None]) -> None:
        self._case, self._say = case, say
        self._expected = {"text": oracle.text, "reasoning": oracle.reasoning}
        self.have = {"text": "", "reasoning": ""}
        self.fragments = 0
        self.events = 0
        self.finished = False
        self.requests = 0
        self.strategies: list[str] = []
        self.free = False
        """Whether the demo goes on in words of its own, which nobody can foretell."""
        self._wrong = self._lost_newline = False
        self.waits: list[str] = []
        self.seams: list[str] = []

    def take(self, event: Event) -> None:
        self.events += 1
        match event:
            case TextDelta(text=text):
                self._grow("text", text)
            case ReasoningDelta(text=text):
                self._grow("reasoning", text)
            case ToolCallDelta():
                self.fragments += 1
                self._after_finish(event)
            case Seam():
                self._seam(event)
            case Finish():
                self.finished = True
            case AttemptStarted(strategy=strategy):
                self.requests += 1
                self.strategies.append(strategy)
                self.finished = False
            case Waiting(detail=detail):
                self.waits.append(str(detail))

    def _after_finish(self, event: Event) -> None:
        if self.finished and not self._case.fault.startswith(EARLY_ENDS):
            self._say(f"I3: {event} after the finish")

    def _grow(self, channel: str, text: str) -> None:
        self._after_finish(TextDelta(text=text))
        have = self.have[channel]
        if not text:
            self._say(f"I1: an empty {channel} delta")
        if not self.free and self._expected[channel][len(have) : len(have) + len(text)] != text:
            want = self._expected[channel][len(have) : len(have) + len(text)]
            if not self._wrong:  # said once is enough
                self._say(f"I1: {channel} at {len(have)}: {text[:60]!r} instead of {want[:60]!r}")
            self._wrong = True
        self.have[channel] = have + text

    def _seam(self, seam: Seam) -> None:
        self.seams.append(seam.kind)
        for channel, at in (("text", seam.at_chars), ("reasoning", seam.reasoning_at_chars)):
            if at is None:
                continue
            if channel == "text" and not self._case.rewind and at < len(self.have["text"]):
                self._say(f"G1: text taken back from a consumer that cannot rewind: {seam}")
            self.have[channel] = self.have[channel][:at]
        if seam.kind == "restarted" and "diverge" in self._case.fault:
            self._expected["text"] = OTHER_TEXT
        if seam.kind == "continued" and not self._case.rewind and not self._case.think:
            # DeepSeek drops newlines at the start of a continuation; who cannot rewind cannot be spared that.
            text, at = self._expected["text"], len(self.have["text"])
            # The demo takes a lost one for a text of somebody else, and goes on in other words. And one with which a
            # stop string begins is lost to the stop string: the answer goes on behind it.
            stops = self._case.options.get("stop", ())
            if self._lost_newline or (not text[at:].strip("\n") and any(stop.startswith("\n") for stop in stops)):
                self.free = True
            self._expected["text"] = text[:at] + text[at:].lstrip("\n")
            self._lost_newline = self._expected["text"] != text

    @property
    def whole(self) -> bool:
        """Whether what it has is the fault-free answer. Newlines at its very end may be lost like those at a seam: then
        the continuation has nothing to bring, and so there is no seam."""
        if self.free or self.have == self._expected:
            return True
        loses = "continue" in self.strategies and not self._case.rewind and not self._case.think
        return loses and not self._expected["text"].removeprefix(self.have["text"]).strip("\n")


async def play(case: Case) -> Played:
    """Play a case on sockets of its own and judge it. Never raises for what the engine does wrong.

    Play it on a ``SteadyLoop``: a machine that stands still proves nothing about an engine that notices.
    """
    number = next(_NUMBERS)
    played = Played(case=case)
    token = _OURS.set(number)
    try:
        async with asyncio.timeout(HANG_S):
            await _play(case, number, played)
    except TimeoutError:
        played.broken.append(f"I7: not over after {HANG_S:g} s")
    except Exception as error:
        played.broken.append(f"I6: {type(error).__name__} came out: {error}")
    finally:
        _OURS.reset(token)
        _TASKS.pop(number, None)
    return played


async def _server(case: Case) -> DemoServer:
    """A demo on a port that no case of this process had: what is remembered about one server concerns no other."""
    while True:
        server = DemoServer(fault=case.fault, pace=0, gzip=case.gzip, ids=case.ids)
        await server.__aenter__()
        port = int(server.base_url.rpartition(":")[2])
        if port not in _USED_PORTS:
            _USED_PORTS.add(port)
            return server
        await server.aclose()


def _client(case: Case, server: DemoServer, transport: _Watched, key: str) -> Client:
    url = server.base_url
    endpoint = dataclasses.replace(
        ENDPOINTS["demo"],
        base_url=url,
        beta_url=f"{url}/beta",
        continuing=ENDPOINTS["demo"].continuing if case.continues else "none",
    )
    clock = case.clocks_s
    return Client(
        endpoint,
        api_key=key,
        transport=transport,
        recovery=RecoveryPolicy(base_s=case.base_s, cap_s=0.2),
        timeouts=Timeouts(
            connect_s=10, read_s=10 * clock, queue_s=clock, first_delta_s=clock, idle_s=clock, idle_reasoning_s=clock
        ),
        rewind=case.rewind,
        chance=random.Random(case.chance).random,
    )


async def _play(case: Case, number: int, played: Played) -> None:
    say = played.broken.append
    oracle = oracle_of(case)
    server = await _server(case)
    transport = _Watched(HTTPXTransport(gzip=case.gzip))
    key = f"sk-test-{number}"
    client = _client(case, server, transport, key)
    try:
        reader = _Reader(case, oracle, say)
        stream = client.stream(case.request())
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        error = await _read(case, stream, reader, say)
        played.elapsed_s = now_s() - began_s
        completion = stream.completion
        _remember(played, completion, transport, reader)
        # Whoever stops right after a finish reason has a whole answer, as far as anybody can tell: these faults send more.
        early = case.fault.startswith(EARLY_ENDS) and reader.finished and completion.outcome == "complete"
        if not case.act or (case.act != "stop" and completion.outcome != "interrupted" and not early):
            _judge_end(case, oracle, completion, error, reader, say)
        _judge_words(case, completion, error, reader, key, say)
        _judge_requests(case, server, transport, played, say)
        _judge_time(case, played, say)
        await _judge_rest(server, transport, number, say)
        client.timeouts = Timeouts()
        await _judge_next_call(case, server, client, say)
    finally:
        await transport.inner.aclose()
        await _settled(lambda: server.open_connections == 0, "I12: a connection is open after the pool was closed", say)
        await server.aclose()
    left = tasks_by_case(number)
    if left:
        say(f"I7: tasks left behind: {left}")


async def _read(case: Case, stream: Stream, reader: _Reader, say: Callable[[str], None]) -> DeepSeekError | None:
    """Read the stream to its end, in a task of its own, and act on it if the case wants that."""
    now_s = asyncio.get_running_loop().time
    reading = asyncio.ensure_future(_consume(case, stream, reader))
    error: DeepSeekError | None = None
    acted_s: float | None = None
    if case.act in ("stop_elsewhere", "cancel"):
        while not reading.done() and reader.events < case.act_after:  # noqa: ASYNC110 - the reader sets no event
            await asyncio.sleep(0.001)
        acted_s = now_s()
        if case.act == "cancel":
            reading.cancel()
        else:
            await stream.aclose()
    try:
        await reading
    except DeepSeekError as raised:
        error = raised
    except asyncio.CancelledError:
        if case.act != "cancel":
            say("I7: a cancellation that nobody sent")
    if acted_s is not None and now_s() - acted_s > STOP_S:
        say(f"I7: stopped only {now_s() - acted_s:.2f} s after it was told")
    try:
        extra = await anext(stream, None)
        if extra is not None:
            say(f"I3: {extra} after the end")
    except Exception as again:
        say(f"I3: the ended iteration raised {again!r}")
    return error


async def _consume(case: Case, stream: Stream, reader: _Reader) -> None:
    if case.batches and case.act != "stop":
        async for batch in stream.batches():
            for event in batch:
                reader.take(event)
        return
    async for event in stream:
        reader.take(event)
        if case.act == "stop" and reader.events >= case.act_after:
            await stream.aclose()
            return


def _remember(played: Played, completion: Completion, transport: _Watched, reader: _Reader) -> None:
    played.completion = completion
    played.outcome = completion.outcome
    played.strategies = tuple(reader.strategies)
    played.requests = transport.calls
    played.seams = tuple(reader.seams)
    played.error = str(completion.error or "")
    played.waits = reader.waits


def _may_be_whole(case: Case, text: str) -> bool:
    """Whether the call has a way on from any break: else the partial answer and an error are right."""
    body = case.request().body()
    json_mode, tools = "response_format" in body, bool(body.get("tools"))
    comparable = body.get("temperature") == 0 and not case.think and not json_mode
    gave_up = case.fault.startswith(("insufficient", "aborted"))  # the server has ended it: nothing to take up again
    return (
        case.rewind
        or tools  # no text is given out before the call
        or (not gave_up and case.ids in ("resume", "inclusive", "replay"))
        or (case.continues and not json_mode and len(text) >= SHORT_CHARS)
        or comparable
    )


def _judge_end(
    case: Case,
    oracle: Oracle,
    completion: Completion,
    error: DeepSeekError | None,
    reader: _Reader,
    say: Callable[[str], None],
) -> None:
    have = (completion.text, completion.reasoning)
    if have != (reader.have["text"], reader.have["reasoning"]):
        say("I2: the completion is not what was delivered")
    if completion.error is not error:
        say(f"I3: completion.error is {completion.error!r}, raised was {error!r}")
    if error is not None and error.completion is not completion:
        say("I2: the error does not carry the partial completion")
    if (error is None) != (completion.outcome in ("complete", "truncated", "filtered", "interrupted")):
        say(f"G3: outcome {completion.outcome} with error {error!r}")
    if completion.outcome in ("complete", "truncated", "filtered") and not reader.finished:
        say("I4: an end without a finish reason on the wire")
    if case.effect == "fatal":
        _judge_refusal(case, completion, error, say)
        return
    if case.effect == "lost":
        if completion.outcome != "incomplete" or not (completion.text or completion.reasoning or reader.fragments):
            say(f"I2: {completion.outcome} with {completion.text[:40]!r} where nothing could go on")
        return
    if case.effect == "filtered":
        if completion.outcome != "filtered" and not (completion.outcome == "complete" and reader.whole):
            say(f"G3: the filter's end became {completion.outcome}")
        return
    if completion.outcome == "incomplete" and not _may_be_whole(case, completion.text):
        if not completion.text:
            say("I2: given up with nothing delivered, where a retry was possible")
        return
    if "max_tokens" in case.options:
        _judge_budget(case, oracle, completion, reader, say)
        return
    expected = "complete"
    if completion.outcome != expected:
        say(f"I2: {completion.outcome} instead of {expected}: {error or completion.finish_reason}")
    elif not reader.whole:
        say(f"I2: {len(completion.text)} of {len(oracle.text)} characters, called {completion.outcome}")
    calls = tuple((c.id, c.name, c.arguments) for c in completion.tool_calls)
    if expected == "complete" and completion.outcome == expected and calls != oracle.calls:
        say(f"I5: calls {calls} instead of {oracle.calls}")
    if completion.outcome != "complete" and calls:
        say("I5: a tool call of an answer that is not whole")


def _judge_budget(
    case: Case, oracle: Oracle, completion: Completion, reader: _Reader, say: Callable[[str], None]
) -> None:
    """A token budget is kept across seams, as exactly as a seam inside a token allows."""
    if completion.outcome not in ("truncated", "complete"):
        say(f"I2: {completion.outcome} with a token budget: {completion.error}")
    elif completion.outcome == "complete" and not reader.whole:
        say(f"I2: {len(completion.text)} of {len(oracle.text)} characters, called complete")
    tokens, allowed = len(tokenize(completion.text)) + len(tokenize(completion.reasoning)), oracle.tokens
    if reader.free:
        # The oracle's number is that of its own words, and the demo went on in others: of an answer that came to its own
        # end only the limit is known, one that its budget ended has exactly as much.
        limit = case.options["max_tokens"]
        allowed = limit if completion.outcome == "truncated" else min(limit, tokens)
    if abs(tokens - allowed) > TORN_TOKENS * len(reader.strategies):
        say(f"I2: {tokens} tokens where the budget allows {allowed}")


def _judge_refusal(case: Case, completion: Completion, error: DeepSeekError | None, say: Callable[[str], None]) -> None:
    status = int(case.fault[:3]) if case.fault[0].isdigit() else None  # a web page comes with the status of a success
    if error is None or (error.status if isinstance(error, APIStatusError) else None) != status:
        say(f"I6: {error!r} for a {status}")
    if completion.outcome != "incomplete" or completion.text:
        say(f"I2: {completion!r} after a refusal")
    if completion.attempts != 1:
        say(f"I8: {completion.attempts} requests for a {status}")


def _judge_words(
    case: Case,
    completion: Completion,
    error: DeepSeekError | None,
    reader: _Reader,
    key: str,
    say: Callable[[str], None],
) -> None:
    """Everything that a person could be shown is one line, says something, and has no key in it."""
    for line in (*reader.waits, *([str(error)] if error else [])):
        if not line or "\n" in line or len(line) > 400 or line != line.strip():
            say(f"I6: not one clear line: {line!r}")
    if error is not None and (not str(error.message).endswith(".") or not error.hint):
        say(f"I6: no sentence with a hint: {error.message} {error.hint}")
    shown = " ".join((repr(completion), str(error), repr(error), *reader.waits))
    if key in shown:
        say("I16: the key is shown")
    twice = "events_repeated" if case.ids else None
    kind = case.fault.split()[0]
    wanted = {**TOLD, "replay": twice}.get(kind)
    if wanted and wanted not in completion.anomalies and not case.act:
        say(f"I15: {wanted} is not told")
    known = {"missing_done"} if case.place == "before-done" or wanted or "slow-close" in case.fault else set()
    if kind in EARLY_ENDS:
        known = {"text_after_finish", "finish_repeated"}
    if completion.outcome == "interrupted":
        known = {"broken_tool_arguments"}
    if kind in ("gzip-bad-crc", "gzip-no-trailer"):
        known = {"damaged_end"}  # where the end comes within the time that is given to it
    if case.effect == "harmless" and not known and not case.clocks_s < CALM_S and completion.anomalies:
        say(f"I15: false alarm: {completion.anomalies}")


def _judge_requests(
    case: Case, server: DemoServer, transport: _Watched, played: Played, say: Callable[[str], None]
) -> None:
    if transport.most_live > 1:
        say(f"I9: {transport.most_live} requests at once")
    seen = [one for one in server.requests if one.method == "POST"]
    # A continuation without a word is asked for once more where the whole text was sent: it may be whole.
    spoke = [one for one in seen[:-1] if case.rewind or one.events > WORDLESS_EVENTS]
    needless = [one for one in spoke if not one.fault and one.status < 400 and one.ended == "done"]
    if needless and case.clocks_s >= CALM_S and case.ids not in ("ignore", "count"):
        say(f"I8: {len(needless)} answers were whole and yet asked for again")
    if case.effect == "harmless" and not case.act and transport.calls != 1 and case.clocks_s >= CALM_S:
        say(f"I8: {transport.calls} requests where nothing was broken: {played.waits}")


def _judge_time(case: Case, played: Played, say: Callable[[str], None]) -> None:
    """All deadlines and waits of a case together are a few seconds at most; nothing waits for anything else."""
    allowed_s = 10 * (min(case.clocks_s, CALM_S) + 0.25) + FINISH_GRACE_S
    if played.elapsed_s > allowed_s:
        say(f"I7: {played.elapsed_s:.1f} s")


async def _settled(condition: Callable[[], bool], what: str, say: Callable[[str], None]) -> None:
    now_s = asyncio.get_running_loop().time
    deadline_s = now_s() + SETTLE_S
    while not condition():
        if now_s() > deadline_s:
            say(what)
            return
        await asyncio.sleep(0.002)  # the other end of a socket sets no event


async def _judge_rest(server: DemoServer, transport: _Watched, number: int, say: Callable[[str], None]) -> None:
    if transport.live:
        say(f"I12: {transport.live} exchanges are open after the end")
    await _settled(lambda: server.running == 0, "I12: the server still answers somebody", say)


async def _judge_next_call(case: Case, server: DemoServer, client: Client, say: Callable[[str], None]) -> None:
    """The same client can be used on: no slot, no connection and no freeze is left behind."""
    if case.fault.startswith("402"):
        return  # a used-up balance is not asked again for some seconds
    server.fault = None
    # The port may not be closed yet, where the call was stopped at its first event.
    await _settled(lambda: server._refusal is None or server._refusal.done(), "the demo did not open again", say)
    try:
        async with asyncio.timeout(10):
            after = await client.complete("echo afterwards", think="off", model="deepseek-flash")
        if after.text != "```text\necho afterwards\n```" or after.attempts != 1:
            say(f"I12: the next call: {after.attempts} attempts, {after.text!r}")
    except (DeepSeekError, TimeoutError) as error:
        say(f"I12: the next call failed: {error!r}")


async def play_all(cases: Iterable[Case], *, at_once: int, done: Callable[[Played], None]) -> None:
    """Play many cases, so many at a time."""
    waiting = iter(cases)

    async def work() -> None:
        for case in waiting:
            done(await play(case))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
