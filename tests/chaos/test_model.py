"""Calls and a server as a state machine that Hypothesis drives: any order of events, at any pace, on a clock of its own.

Section 16 of the reliability sheet. The engine is real down to the transport's one method; behind that stands a server
that knows what its answer is and does only what it is told. A failing run is printed as the steps that play it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import selectors
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import SimpleNamespace
from typing import Final

from hypothesis import HealthCheck, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deepseek_magic.engine import gate as gate_module
from deepseek_magic.engine.calls import HTTPCall, Transport
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.limits.limiter import LimitPolicy
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.protocol.completion import Accumulator
from deepseek_magic.protocol.errors import ConnectTimeout, DeepSeekError, Disconnected
from deepseek_magic.protocol.events import AttemptStarted, Event, Finish, ReasoningDelta, Seam, TextDelta

REASONING: Final = "Let me see. 首先 I count: one, two, three and so on.\nThen I say it."
TEXT: Final = (
    "Here is what was asked for:\n\n- ha ha ha\n- 流式输出，中断后继续。\n\n```py\nx = {a: [1]}\n```\n\n"
    "And so it ends, ends, ends 👩‍👩‍👧 as it began."
)
PIECES: Final = (TextDelta, ReasoningDelta, Finish)
UNREACHABLE: Final = 0
SILENT: Final = -1
AT_ONCE: Final = 2
CALLS: Final = 3
RECOVERY: Final = RecoveryPolicy()
MOST_REQUESTS: Final = RECOVERY.attempts + RECOVERY.resumes + RECOVERY.continuations
SLACK_S: Final = 0.25
TURNS: Final = 40
"""Turns of the loop in which everything that follows from one happening has happened."""
_NUMBERS: Final = itertools.count()


TICK_S: Final = 1e-7
"""A clock that stands quite still would never let the rounding of a sum of seconds pass."""


class _NoWait(selectors.DefaultSelector):
    """Does not wait: the clock goes to the next timer at once."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += (timeout or 0.0) + TICK_S
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _NoWait()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


class _Exchange:
    """One request at the server, and where in the answer it stands."""

    http_version = "HTTP/1.1"
    connect_s: float | None = 0.01
    wire_bytes = body_bytes = 0
    read_every_s = 0.0

    def __init__(self, call: HTTPCall, server: _Server) -> None:
        loop = asyncio.get_running_loop()
        self.timings_s: dict[str, float] = {}
        self.headers = {"content-type": "text/event-stream"}
        self.status = 0
        self.verdict: asyncio.Future[int] = loop.create_future()
        self.closed = False
        self.ended = False
        self.finish: str | None = None
        self.began_s = self.moved_s = loop.time()
        self.wrote = False
        self._server = server
        self._body: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        said = json.loads(call.body or b"{}")
        self.user = said["messages"][0]["content"]
        last = said["messages"][-1]
        self.reasoning_at = self.text_at = 0
        self.prefix = bool(last.get("prefix"))
        self.resumes = "last-event-id" in call.headers
        if self.prefix:
            text, thought = last["content"], last.get("reasoning_content") or ""
            assert TEXT.startswith(text), f"a prefix that was never said: {text!r}"
            assert REASONING.startswith(thought), f"a thought that was never thought: {thought!r}"
            self.text_at, self.reasoning_at = len(text), len(REASONING if text else thought)
        elif self.resumes:
            self.reasoning_at, self.text_at = server.places[call.headers["last-event-id"]]

    # what the engine does

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            item = await self._body.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                return
            yield item

    async def drain(self) -> None:
        return

    # what the server does

    @property
    def open(self) -> bool:
        return self.status == 200 and not self.closed and not self.ended

    @property
    def writes(self) -> bool:
        return self.open and self.finish is None

    def answer(self, status: int) -> None:
        self.verdict.set_result(status)
        self.status = status
        if status == 200:
            self.data({"role": "assistant"})

    def refuse(self, status: int, retry_after: str | None) -> None:
        if retry_after is not None:
            self.headers["retry-after"] = retry_after
        self.headers["content-type"] = "application/json"
        self.put(json.dumps({"error": {"message": "no"}}).encode())
        self.put(None)
        self.answer(status)

    def put(self, item: bytes | Exception | None) -> None:
        self._body.put_nowait(item)
        if not isinstance(item, bytes):
            self.ended = True

    def data(self, delta: dict[str, str], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        payload = {"id": self._server.name(self), "model": "deepseek-flash", "choices": [choice], "usage": None}
        name = self._server.place(self)
        self.put(f"{name}data: {json.dumps(payload)}\n\n".encode())

    def write(self, chars: int) -> None:
        """The next piece, of the thought or of the answer."""
        if thought := REASONING[self.reasoning_at : self.reasoning_at + chars]:
            self.reasoning_at += len(thought)
            self.data({"reasoning_content": thought})
        elif word := TEXT[self.text_at : self.text_at + chars]:
            self.text_at += len(word)
            self.data({"content": word})
        self.moved_s, self.wrote = self._server.now_s(), True

    @property
    def whole(self) -> bool:
        return self.text_at == len(TEXT)

    def end(self, reason: str) -> None:
        self.finish = reason
        self.data({}, finish=reason)


class _Server(Transport):
    """A transport whose other end is this process. ``ids``: its events have ids, by which it takes a stream up again.
    ``next``: how the requests to come are met, in order; then all are accepted."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, ids: bool) -> None:
        self.exchanges: list[_Exchange] = []
        self.places: dict[str, tuple[int, int]] = {}
        self.next: list[int] = []
        self.retry_after: str | None = None
        self.now_s = loop.time
        self._ids = ids

    @contextlib.asynccontextmanager
    async def open(self, call: HTTPCall) -> AsyncIterator[_Exchange]:
        exchange = _Exchange(call, self)
        self.exchanges.append(exchange)
        verdict = self.next.pop(0) if self.next else 200
        if verdict == UNREACHABLE:
            exchange.verdict.set_exception(ConnectTimeout("No connection.", hint="Again."))
        elif verdict == 200:
            exchange.answer(200)
        elif verdict != SILENT:
            exchange.refuse(verdict, self.retry_after)
        try:
            await exchange.verdict
            yield exchange
        finally:
            exchange.closed = True

    def name(self, exchange: _Exchange) -> str:
        """The completion's id: one for a stream and what takes it up again."""
        return f"of {exchange.user}" if self._ids else f"of {self.exchanges.index(exchange)}"

    def place(self, exchange: _Exchange) -> str:
        if not self._ids:
            return ""
        name = f"{exchange.user}-{len(self.places)}"
        self.places[name] = (exchange.reasoning_at, exchange.text_at)
        return f"id: {name}\n"


class _Call:
    """A call and the screen that it is read on."""

    def __init__(self, client: Client, number: int, *, rewind: bool) -> None:
        self.name = f"question {number}"
        self.stream = client.stream(self.name, think="high", model="deepseek-flash")
        self.screen = Accumulator(self.stream.request)
        self.reads = asyncio.Event()
        self.reads.set()
        self.paused = self.acted = self.finished = False
        self.error: BaseException | None = None
        self.ends = self.requests = 0
        self._rewind = rewind
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            async with contextlib.aclosing(self.stream):
                async for batch in self.stream.batches():
                    self._show(batch)
                    await self.reads.wait()
        except DeepSeekError as error:
            self.error = error
        finally:
            self.ends += 1

    def _show(self, batch: list[Event]) -> None:
        for event in batch:
            if isinstance(event, AttemptStarted):
                self.finished = False
            assert not (self.finished and isinstance(event, PIECES)), f"I3: {event} after the finish"
            self.finished = self.finished or isinstance(event, Finish)
            if isinstance(event, Seam) and not self._rewind and event.at_chars is not None:
                assert event.at_chars >= len(self.screen.text), "G1: text was taken back"
            self.requests += isinstance(event, AttemptStarted)
            self.screen.add(event)


def somebody(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The rule can act only while there is a request that ``what``: else it is not drawn."""
    return precondition(lambda self: any(getattr(each, what) for each in self.server.exchanges))


class Calls(RuleBasedStateMachine):
    """See the module."""

    @initialize(ids=st.booleans(), rewind=st.booleans(), continues=st.booleans())
    def begin(self, ids: bool, rewind: bool, continues: bool) -> None:
        self.loop = _Loop()
        self._time, gate_module.time = gate_module.time, SimpleNamespace(monotonic=self.loop.time, time=self.loop.time)  # type: ignore[assignment]
        self.server = _Server(self.loop, ids=ids)
        self.rewind = rewind
        url = f"https://model-{next(_NUMBERS)}.test"
        endpoint = dataclasses.replace(
            ENDPOINTS["demo"],
            base_url=url,
            beta_url=f"{url}/beta",
            continuing="deepseek_prefix" if continues else "none",
        )
        self.client = Client(
            endpoint,
            api_key="sk-test-1",
            transport=self.server,
            recovery=RECOVERY,
            limits=LimitPolicy(concurrency=AT_ONCE, retries_per_minute=1000),
            timeouts=Timeouts(),
            rewind=rewind,
            chance=lambda: 0.5,
        )
        self.calls: list[_Call] = []
        self.said_nothing: set[str] = set()
        self.call()

    def settle(self) -> None:
        async def turns() -> None:
            for _ in range(TURNS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def _one(self, pick: int, among: str) -> _Exchange | None:
        found = [each for each in self.server.exchanges if getattr(each, among)]
        return found[pick % len(found)] if found else None

    # the caller

    @precondition(lambda self: len(self.calls) < CALLS)
    @rule()
    def call(self) -> None:
        async def begun() -> None:
            self.calls.append(_Call(self.client, len(self.calls), rewind=self.rewind))

        self.loop.run_until_complete(begun())
        self.settle()

    @rule(pick=st.integers(0, CALLS - 1))
    def pause_or_read_on(self, pick: int) -> None:
        call = self.calls[pick % len(self.calls)]
        call.paused = True
        if call.reads.is_set():
            call.reads.clear()
        else:
            call.reads.set()
        self.settle()

    @rule(pick=st.integers(0, CALLS - 1), how=st.sampled_from(["cancel", "stop"]))
    def give_up(self, pick: int, how: str) -> None:
        call = self.calls[pick % len(self.calls)]
        if call.task.done():
            return
        call.acted = True
        call.reads.set()
        if how == "cancel":
            call.task.cancel()
            self.settle()
        else:
            self.loop.run_until_complete(call.stream.aclose())
            self.settle()
        assert call.task.done(), "I7: it went on"

    # the server

    @rule(
        verdicts=st.lists(st.sampled_from([429, 503, 400, 500, UNREACHABLE, SILENT, 408, 404, 401]), max_size=3),
        after=st.sampled_from([None, "0", "2", "500"]),
    )
    def meet_the_next_requests_with(self, verdicts: list[int], after: str | None) -> None:
        self.server.next, self.server.retry_after = verdicts, after

    @somebody("writes")
    @rule(pick=st.integers(0, 2), chars=st.sampled_from([7, 1, 30, 70]))
    def write(self, pick: int, chars: int) -> None:
        if exchange := self._one(pick, "writes"):
            exchange.write(chars)
            self.settle()

    @somebody("writes")
    @rule(pick=st.integers(0, 2))
    def write_to_the_end(self, pick: int) -> None:
        if exchange := self._one(pick, "writes"):
            while not exchange.whole:
                exchange.write(50)
            exchange.end("stop")
            self.settle()

    @somebody("writes")
    @rule(pick=st.integers(0, 2))
    def say_nothing_and_call_it_the_end(self, pick: int) -> None:
        """An empty response. Said twice to a prefix that is the whole text, it may be believed."""
        exchange = self._one(pick, "writes")
        if exchange is None or exchange.wrote or exchange.resumes:
            return
        if self.rewind or exchange.user not in self.said_nothing:
            self.said_nothing.add(exchange.user)
            exchange.end("stop")
            exchange.put(b"data: [DONE]\n\n")
            exchange.put(None)
            self.settle()

    @somebody("open")
    @rule(pick=st.integers(0, 2))
    def comment(self, pick: int) -> None:
        if exchange := self._one(pick, "open"):
            exchange.put(b": keep-alive\n\n")
            self.settle()

    @somebody("writes")
    @rule(pick=st.integers(0, 2), reason=st.sampled_from(["length", "content_filter", "insufficient_system_resource"]))
    def finish_early(self, pick: int, reason: str) -> None:
        if exchange := self._one(pick, "writes"):
            exchange.end(reason)
            self.settle()

    @somebody("open")
    @rule(pick=st.integers(0, 2), how=st.sampled_from(["done", "end", "broken", "early", "damaged", "garbage"]))
    def end(self, pick: int, how: str) -> None:
        if exchange := self._one(pick, "open"):
            if how == "garbage":
                exchange.put(b"data: {broken\n\n")
            if how in ("done", "garbage"):
                exchange.put(b"data: [DONE]\n\n")
            if how in ("broken", "early", "damaged"):
                exchange.put(Disconnected("Gone.", how=how, hint="Again."))  # type: ignore[arg-type]
            else:
                exchange.put(None)
            self.settle()

    @somebody("writes")
    @rule(
        pick=st.integers(0, 2),
        chars=st.sampled_from([100, 140, 75, 30, 5]),
        how=st.sampled_from(["end", "broken", "early"]),
        then=st.sampled_from(["nothing yet", "an empty response", "the end"]),
    )
    def break_off_and_be_asked_again(self, pick: int, chars: int, how: str, then: str) -> None:
        """What most runs need several times to get anywhere, in one step."""
        self.write(pick, chars)
        self.write(pick, chars)
        self.end(pick, how)
        self.wait(12.0)
        if then == "an empty response":
            self.say_nothing_and_call_it_the_end(pick)
        elif then == "the end":
            self.write_to_the_end(pick)

    @rule(seconds=st.sampled_from([0.05, 1.0, 2.5, 12.0, 30.0, 130.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.settle()

    # what holds at every moment

    @invariant()
    def what_was_given_out_is_the_beginning_of_the_answer(self) -> None:
        for call in self.calls:
            assert TEXT.startswith(call.screen.text), f"I1: {call.screen.text!r}"
            assert REASONING.startswith(call.screen.reasoning), f"I1: {call.screen.reasoning!r}"

    @invariant()
    def no_call_has_two_requests_and_all_together_no_more_than_allowed(self) -> None:
        live = [each for each in self.server.exchanges if not each.closed]
        assert len(live) <= AT_ONCE, "I10"
        assert len({each.user for each in live}) == len(live), "I9"
        for call in self.calls:
            assert sum(each.user == call.name for each in self.server.exchanges) <= MOST_REQUESTS, "I8"

    @invariant()
    def nothing_is_waited_for_beyond_its_deadline(self) -> None:
        limits = self.client.timeouts
        for each in self.server.exchanges:
            call = next(call for call in self.calls if call.name == each.user)
            if each.closed or call.paused:
                continue
            since_s = self.loop.time() - (each.moved_s if each.wrote else each.began_s)
            assert since_s <= (limits.idle_reasoning_s if each.wrote else limits.queue_s) + SLACK_S, "I7"  # type: ignore[operator]

    @invariant()
    def what_is_over_is_over_and_says_so(self) -> None:
        for call in self.calls:
            if not call.task.done():
                continue
            assert call.ends == 1, "I3"
            assert all(each.closed for each in self.server.exchanges if each.user == call.name), "I12"
            if not call.task.cancelled():
                assert call.task.exception() is None, f"I6: {call.task.exception()!r}"
            self._judge(call)

    def _judge(self, call: _Call) -> None:
        completion = call.stream.completion
        assert (completion.text, completion.reasoning) == (call.screen.text, call.screen.reasoning), "I2"
        assert (completion.outcome == "incomplete") == (completion.error is not None), "G3"
        assert call.acted or call.error is completion.error, "I3"
        last = next((e for e in reversed(self.server.exchanges) if e.user == call.name), None)
        told = last.finish if last is not None else None
        match completion.outcome:
            case "complete":
                assert told == "stop", "I4"
                assert (completion.text, completion.reasoning) == (TEXT, REASONING), "I2"
            case "truncated":
                assert told == "length", "I4"
            case "filtered":
                assert told == "content_filter", "I4"
            case "interrupted":
                assert call.acted, "nobody had stopped it"

    def teardown(self) -> None:
        """Left alone by its server every call comes to an end, and nothing stays behind."""
        if not hasattr(self, "loop"):
            return
        try:
            for call in self.calls:
                call.reads.set()
            self.wait(2 * MOST_REQUESTS * 700.0)
            assert all(call.task.done() for call in self.calls), "I7: a call that never ends"
            self.what_is_over_is_over_and_says_so()
            assert asyncio.all_tasks(self.loop) == set(), "I7: a task is left behind"
            target(float(max(call.requests for call in self.calls)), label="requests of one call")
        finally:
            gate_module.time = self._time
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.settle()
            self.loop.close()


TestCalls = Calls.TestCase
TestCalls.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
