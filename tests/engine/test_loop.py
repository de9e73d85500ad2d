"""The engine's thread and the bridges to it, with a real server behind."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.engine.loop import CLOSE_S, Call, Engine, apump, pump
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.events import Event, TextDelta
from tests.engine.wire import HANG, Script, ScriptedServer, answer, delta, head, piece, until


@pytest.fixture
def engine() -> Iterator[Engine]:
    before = set(threading.enumerate())
    engine = Engine()
    yield engine
    engine.stop()
    assert not [t for t in set(threading.enumerate()) - before if t.name == "deepseek-magic engine"]


class Played:
    """A call against a scripted server, both on the engine's loop."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.answering = threading.Event()
        self.closed = threading.Event()

    async def __call__(self, call: Call) -> Completion:
        async with ScriptedServer([self.script]) as server, Client(server.base_url) as client:
            put = call.put

            def watched(batch: Sequence[Event]) -> None:
                put(batch)
                if any(isinstance(event, TextDelta) for event in batch):
                    self.answering.set()

            call.put = watched  # type: ignore[method-assign]
            completion = await call.carry(client.stream("Hi"))
            if call.stopping:
                await until(lambda: not server.open)
                self.closed.set()
            return completion


def texts(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_a_blocking_caller_sees_every_event_in_order(engine: Engine) -> None:
    shown: list[Event] = []
    completion = pump(engine.start(Played(answer("a", "b", "c"))), shown.extend)
    assert texts(shown) == completion.text == "abc"


async def test_an_async_caller_sees_the_same_while_its_loop_turns(engine: Engine) -> None:
    shown: list[Event] = []
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.005)

    beside = asyncio.create_task(turn())
    script = [head(), piece(delta("a")), 0.1, *answer("b")[1:]]
    completion = await apump(engine.start(Played(script)), shown.extend)
    beside.cancel()
    assert texts(shown) == completion.text == "ab"
    assert turns > 5


def test_stop_closes_the_connection_and_keeps_what_came(engine: Engine) -> None:
    played = Played([head(), piece(delta("begun")), HANG])
    call = engine.start(played)
    assert played.answering.wait(2)
    call.stop(wait_s=CLOSE_S)
    assert played.closed.is_set()
    assert (call.completion.outcome, call.completion.text) == ("interrupted", "begun")
    call.stop()


def test_an_interrupt_while_waiting_stops_the_call(engine: Engine) -> None:
    played = Played([head(), piece(delta("begun")), HANG])

    def interrupted(events: list[Event]) -> None:
        if texts(events):
            raise KeyboardInterrupt

    call = engine.start(played)
    with pytest.raises(KeyboardInterrupt):
        pump(call, interrupted)
    assert played.closed.is_set()
    assert call.completion.outcome == "interrupted"


def test_a_waiter_that_takes_a_breath_gets_together_what_comes_in_it_and_never_outlasts_the_end(engine: Engine) -> None:
    async def source(call: Call) -> Completion:
        for word in ("one ", "breath"):
            call.put([TextDelta(text=word)])
            await asyncio.sleep(0.02)
        return Completion(request=Request.of("Hi"))

    call = engine.start(source)
    began_s = time.monotonic()
    call.wait(60, breath_s=60)
    assert texts(call.drain()) == "one breath"
    assert call.done
    assert time.monotonic() - began_s < 30


async def test_a_cancelled_async_caller_stops_the_call(engine: Engine) -> None:
    played = Played([head(), piece(delta("begun")), HANG])
    call = engine.start(played)
    waiting = asyncio.create_task(apump(call, lambda events: None))
    await asyncio.to_thread(played.answering.wait, 2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.completion.outcome == "interrupted"


def test_a_call_stopped_at_once_ends_all_the_same(engine: Engine) -> None:
    for _ in range(50):
        call = engine.start(Played([HANG]))
        call.stop(wait_s=CLOSE_S)
        assert call.done


def test_an_engine_stopped_under_a_call_that_has_not_begun_ends_it() -> None:
    async def waits(call: Call) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    # Nothing with a server: a slow machine may let the call begin, and a task of asyncio's that is accepting a
    # connection leaves its socket open when it is cancelled.
    engine = Engine()
    call = engine.start(waits)
    engine.stop()
    assert call.done


def test_what_the_source_raises_reaches_the_caller(engine: Engine) -> None:
    async def broken(call: Call) -> Completion:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        pump(engine.start(broken), lambda events: None)


def test_a_completion_asked_for_too_early_is_an_error(engine: Engine) -> None:
    call = engine.start(Played([HANG]))
    with pytest.raises(RuntimeError, match="not ended"):
        _ = call.completion
    call.stop(wait_s=CLOSE_S)


def test_an_interrupt_while_work_runs_cancels_the_work(engine: Engine) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cancelled.set()

    main = threading.get_ident()

    def interrupt() -> None:
        time.sleep(0.1)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        engine.run(work())
    assert cancelled.wait(1)


def test_the_engine_starts_again_after_it_was_stopped(engine: Engine) -> None:
    assert engine.run(asyncio.sleep(0, "first")) == "first"
    engine.stop()
    assert engine.run(asyncio.sleep(0, "second")) == "second"
