"""The engine as it runs in a web page, on this Python: its own loop, no thread, no socket to the demo; and its ``fetch``,
here a stand-in of the browser's over real sockets. ``tests/browser/test_lite.py`` has the real ones."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from deepseek_magic.demo.inside import DemoInside
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.calls import HTTPCall
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.engine.loop import Call, outcome
from deepseek_magic.engine.network.loopback import Loopback
from deepseek_magic.engine.page.engine import Moment, PageEngine
from deepseek_magic.engine.page.fetching import FetchTransport
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ConfigurationError, Disconnected, ReadTimeout
from deepseek_magic.protocol.events import Event, TextDelta

QUESTION = "Show a table and code."
BODY = b'{"model": "deepseek-flash", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
AT_ONCE = RecoveryPolicy(base_s=0.0)
KEY = "sk-test-1234"


@pytest.fixture
def page() -> Loopback:
    return Loopback()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  nobody else would set an event
            await asyncio.sleep(0)


async def answer(demo: DemoServer, page: Loopback, recovery: RecoveryPolicy = AT_ONCE) -> Completion:
    async with Client(demo.base_url, transport=FetchTransport(page), recovery=recovery) as client:
        return await client.complete(QUESTION, think="off")


# the demo inside


FAULTS = ("cut after=20", "reset after=20", "cut after=20 inside=size", "eof-chunked after=20", "eof-close after=20")
FAULTS += ("gzip-truncated after=20", "gzip-corrupt after=20", "503", "error-event after=20", "slice bytes=1", "http10")


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_kind_of_fault_is_mended_without_a_socket(page: Loopback, fault: str) -> None:
    whole = await answer(DemoInside(page, pace=0).start(), page)
    broken = await answer(DemoInside(page, f"{fault} times=1", pace=0).start(), page)
    assert whole.outcome == broken.outcome == "complete"
    assert broken.text == whole.text
    assert whole.attempts == 1
    assert broken.attempts == (1 if fault in ("slice bytes=1", "http10") else 2)


async def test_a_demo_that_refuses_is_asked_until_it_listens_again(page: Loopback) -> None:
    demo = DemoInside(page, pace=0).start()
    demo.fault = "refuse for=0.05"
    completion = await answer(demo, page, RecoveryPolicy(base_s=0.1, attempts=20, jitter=0.0))
    assert completion.outcome == "complete"
    assert completion.attempts > 1


async def test_two_demos_have_addresses_of_their_own_and_one_that_stopped_is_not_there(page: Loopback) -> None:
    first, second = DemoInside(page, pace=0).start(), DemoInside(page, pace=0).start()
    assert first.base_url != second.base_url
    first.stop()
    assert (await answer(second, page)).outcome == "complete"
    with pytest.raises(Disconnected, match="Nothing is listening"):
        await answer(first, page, RecoveryPolicy(attempts=1))
    assert not first.open_connections


async def test_who_stops_asking_leaves_no_connection_behind(page: Loopback) -> None:
    demo = DemoInside(page, "stall after=5").start()
    async with Client(demo.base_url, transport=FetchTransport(page)) as client:
        stream = client.stream(QUESTION, think="off")
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()
        await until(lambda: demo.requests[0].ended == "client left")
    assert stream.completion.outcome == "interrupted"


# the engine


async def asked(page: Loopback, engine: PageEngine, fault: str | None = None) -> Call:
    client = Client(DemoInside(page, fault, pace=0).start().base_url, transport=FetchTransport(page), recovery=AT_ONCE)
    return engine.start(lambda call: call.carry(client.stream(QUESTION, think="off")))


async def test_a_call_runs_on_the_loop_that_asks(page: Loopback) -> None:
    engine = PageEngine()
    call = await asked(page, engine)
    assert (await outcome(call)).outcome == "complete"
    assert engine.loop is asyncio.get_running_loop()
    assert not engine.running


async def test_work_beside_the_cells_sees_the_events_as_they_come(page: Loopback) -> None:
    engine, seen, ended = PageEngine(), list[Event](), list[Completion]()
    call = await asked(page, engine)

    async def draw() -> None:
        ended.append(await engine.follow(call, seen.extend))
        await engine.pause(0)

    engine.beside(draw(), name="view")
    completion = await outcome(call)
    await until(lambda: bool(ended))
    assert ended == [completion]
    assert "".join(getattr(event, "text", "") for event in seen) == completion.text
    assert await engine.aside(int, "7") == 7


async def test_a_stop_from_a_click_closes_the_stream_and_waits_for_nothing(
    page: Loopback, browser: types.SimpleNamespace
) -> None:
    call = await asked(page, PageEngine(), "stall after=5")
    await until(lambda: any(isinstance(event, TextDelta) for event in call.drain()))
    call.stop(wait_s=30)
    assert (await outcome(call)).outcome == "interrupted"
    assert browser.waited == 0


# waiting inside a call


def test_a_page_waits_where_the_browser_can_suspend_a_call(browser: types.SimpleNamespace) -> None:
    browser.can_wait = True
    moment = Moment()
    assert not moment.wait(0.01)
    moment.set()
    assert moment.wait()
    moment.clear()
    assert not moment.is_set()
    assert PageEngine().run(asyncio.sleep(0, "done")) == "done"
    assert browser.waited == 2


@pytest.mark.usefixtures("browser")
def test_elsewhere_it_is_one_sentence_that_says_how_to_wait() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot wait inside a call.*await ds\.aask"):
        Moment().wait()


# the browser's fetch


class Refused(Exception):
    """Stands for pyodide.ffi.JsException: what JavaScript threw, as text."""


class Reader:
    """Stands for a ReadableStreamDefaultReader over a real response."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    async def read(self) -> Any:
        try:
            part = await anext(self._parts)
        except StopAsyncIteration:
            return types.SimpleNamespace(done=True)
        except httpx.HTTPError:
            raise Refused("TypeError: network error") from None
        return types.SimpleNamespace(done=False, value=types.SimpleNamespace(to_bytes=lambda: part))


@pytest.fixture
async def browser(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[types.SimpleNamespace]:
    """The modules that Pyodide has, as far as they are used: ``fetch`` asks over real sockets."""
    told = types.SimpleNamespace(can_wait=False, waited=0, asked=[], aborted=0)

    class AbortController:
        signal = "signal"

        @staticmethod
        def new() -> AbortController:
            return AbortController()

        def abort(self) -> None:
            told.aborted += 1

    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def fetch(url: str, options: dict[str, Any]) -> Any:
            told.asked.append(options)
            request = client.build_request(
                options["method"], url, headers=options["headers"], content=options["body"] or b""
            )
            try:
                response = await client.send(request, stream=True)
            except httpx.HTTPError:
                raise Refused("TypeError: Failed to fetch") from None
            headers = types.SimpleNamespace(entries=lambda: response.headers.items())
            body = types.SimpleNamespace(getReader=lambda: Reader(response.aiter_raw()))
            return types.SimpleNamespace(status=response.status_code, headers=headers, body=body)

        def run_sync(work: Any) -> Any:
            told.waited += 1
            return asyncio.run(work)

        js = types.ModuleType("js")
        vars(js).update(fetch=fetch, AbortController=AbortController, Object=types.SimpleNamespace(fromEntries=dict))
        ffi = types.ModuleType("pyodide.ffi")
        vars(ffi).update(JsException=Refused, to_js=lambda value, dict_converter: dict_converter(value))
        vars(ffi).update(can_run_sync=lambda: told.can_wait, run_sync=run_sync)
        for name, module in {"js": js, "pyodide": types.ModuleType("pyodide"), "pyodide.ffi": ffi}.items():
            monkeypatch.setitem(sys.modules, name, module)
        yield told


@pytest.mark.parametrize("fault", [None, "cut after=20 times=1", "503 times=1"])
async def test_an_answer_is_fetched_and_mended(
    page: Loopback, browser: types.SimpleNamespace, fault: str | None
) -> None:
    async with DemoServer(fault=fault, pace=0) as demo:
        completion = await answer(demo, page)
    assert completion.outcome == "complete"
    assert completion.attempts == len(browser.asked) == browser.aborted == (1 if fault is None else 2)
    assert completion.record is not None
    assert completion.record.body_bytes


async def test_the_key_goes_along_with_a_call_but_not_with_a_knock(browser: types.SimpleNamespace) -> None:
    async with DemoServer(pace=0) as demo:
        for method in ("GET", "HEAD"):
            call = HTTPCall(method=method, url=f"{demo.base_url}/models", key=Key(KEY, source="a test"))
            async with FetchTransport(Loopback()).open(call) as fetched:
                assert fetched.status == 200
                assert fetched.headers["server"] == "openresty"
                await fetched.drain()
    assert [options["headers"].get("Authorization") for options in browser.asked] == [f"Bearer {KEY}", None]
    assert {options["credentials"] for options in browser.asked} == {"omit"}


@pytest.mark.usefixtures("browser")
async def test_no_answer_and_silence_are_told_apart(page: Loopback) -> None:
    async with DemoServer(fault="stall at=before-headers") as demo:
        call = HTTPCall(method="POST", url=f"{demo.base_url}/chat/completions", body=BODY, read_s=0.05)
        with pytest.raises(ReadTimeout, match=r"sent nothing for 0\.05 s"):
            async with FetchTransport(page).open(call):
                pass
    with pytest.raises(Disconnected, match=r"got no answer from .* \(Failed to fetch\).*--allow-origin"):
        await answer(demo, page, RecoveryPolicy(attempts=1))


@pytest.mark.usefixtures("browser")
async def test_silence_in_the_middle_is_noticed_too(page: Loopback) -> None:
    async with DemoServer(fault="stall after=5", pace=0) as demo:
        call = HTTPCall(method="POST", url=f"{demo.base_url}/chat/completions", body=BODY, read_s=0.5)
        async with FetchTransport(page).open(call) as fetched:
            with pytest.raises(ReadTimeout):
                async for _ in fetched.chunks():
                    pass
