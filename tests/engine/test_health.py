"""What a server tells about itself, and what a check finds when it does not."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS, resolve
from deepseek_magic.engine.transport import HTTPAnswer, HTTPCall, HTTPXTransport
from deepseek_magic.protocol.errors import AuthenticationError, ConfigurationError, MissingKey, ProtocolError
from deepseek_magic.protocol.models import MODELS
from tests.engine.wire import HANG, ScriptedServer, fixed


def said(raw: object) -> list[bytes | float | str]:
    return list(fixed("200 OK", json.dumps(raw).encode()))


async def test_a_healthy_server_passes_every_step_and_each_is_timed() -> None:
    async with DemoServer(pace=0) as server, Client(server.base_url) as client:
        health = await client.check()
    assert health.ok
    assert [step.name for step in health.steps] == [
        *("name", "key", "connect", "tls", "first_byte", "models", "balance"),
    ]
    for name in ("name", "connect", "first_byte", "balance"):
        seconds = health.step(name).seconds  # type: ignore[arg-type]
        assert seconds is not None
        assert 0 < seconds < 5
    assert health.step("tls").ok is None
    assert health.models == MODELS
    assert str(health.balance) == "110.00 CNY"
    assert health.http_version == "HTTP/1.1"


async def test_a_check_connects_anew_through_the_transport_that_was_given() -> None:
    urls: list[str] = []

    class Counted(HTTPXTransport):
        def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
            urls.append(call.url)
            return super().open(call)

    async with DemoServer(pace=0) as server, Client(server.base_url, transport=Counted()) as client:
        await client.complete("Hi")
        assert (await client.check()).step("connect").seconds
    assert [url.removeprefix(server.base_url) for url in urls] == [*("/chat/completions", "/models", "/user/balance")]


@pytest.mark.parametrize("status", ["401", "503"])
async def test_the_step_that_fails_says_why_and_ends_the_check(status: str) -> None:
    script = fixed(f"{status} No", b'{"error": {"message": "so it is"}}')
    async with ScriptedServer([script]) as server, Client(server.base_url) as client:
        health = await client.check()
    assert not health.ok
    assert status in str(health.steps[-1].said)
    assert "so it is" in str(health.steps[-1].said)
    assert health.steps[-1].name == "models"
    assert health.step("first_byte").ok
    assert health.error is not None


async def test_a_network_that_shows_its_own_page_for_every_address_is_no_server_without_a_list() -> None:
    page = fixed("200 OK", b"<html><title>Sign in</title></html>", kind="text/html")
    async with ScriptedServer([page]) as server, Client(server.base_url) as client:
        health = await client.check()
    assert not health.ok
    assert "not JSON" in str(health.steps[-1].said)


async def test_a_server_that_is_not_there_fails_at_the_connection() -> None:
    async with ScriptedServer([[HANG]]) as server:
        url = server.base_url
    async with Client(url) as client:
        health = await client.check()
    assert [(s.name, s.ok) for s in health.steps] == [("name", True), ("key", True), ("connect", False)]


async def test_a_name_that_nobody_knows_fails_first() -> None:
    async with Client("https://nowhere.invalid", api_key="sk-test-1234") as client:
        health = await client.check()
    assert [(s.name, s.ok) for s in health.steps] == [("name", False)]
    assert "1234" not in repr(health)


async def test_without_a_key_the_check_says_so_before_it_sends_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer([[HANG]]) as server:
        endpoint = resolve(server.base_url)
        object.__setattr__(endpoint, "needs_key", True)  # as if it were a server on the net
        async with Client(endpoint) as client:
            health = await client.check()
        assert server.requests == []
    assert isinstance(health.error, MissingKey)
    assert health.steps[-1].name == "key"


async def test_an_empty_balance_is_a_failed_step() -> None:
    async with DemoServer(pace=0, balance=0) as server, Client(server.base_url) as client:
        health = await client.check()
    assert not health.ok
    assert health.step("balance").ok is False
    assert "not enough" in str(health.step("balance").said)


async def test_models_of_any_host_are_listed_and_known_ones_have_their_limits() -> None:
    raw = {"data": [{"id": "deepseek-flash"}, {"id": "other", "x": 1}, {"no": "id"}]}
    async with ScriptedServer([said(raw)]) as server, Client(server.base_url) as client:
        models = await client.models()
    assert [m.id for m in models] == ["deepseek-flash", "other"]
    assert models[0].context_tokens
    assert models[1].context_tokens is None


@pytest.mark.parametrize("raw", [{"no": "data"}, "text", 7, None])
async def test_what_is_no_list_of_models_or_balance_is_a_protocol_error(raw: object) -> None:
    async with ScriptedServer([said(raw)]) as server, Client(server.base_url) as client:
        with pytest.raises(ProtocolError):
            await client.models()
        with pytest.raises(ProtocolError):
            await client.balance()


async def test_a_wrong_key_is_an_error_that_never_shows_it_even_when_the_server_does() -> None:
    refusal = fixed("401 Unauthorized", b'{"error": {"message": "sk-wrong-key-1 is not a key of ours"}}')
    async with ScriptedServer([refusal]) as server, Client(server.base_url, api_key="sk-wrong-key-1") as client:
        for ask in (client.models, client.balance):
            with pytest.raises(AuthenticationError, match="not a key of ours") as caught:
                await ask()
            assert "sk-wrong-key-1" not in f"{caught.value} {caught.value!r}"
        health = await client.check()
    assert "not a key of ours" in str(health)
    assert "sk-wrong-key-1" not in f"{health} {health!r} {health.error!r}"


async def test_a_host_without_a_balance_says_so() -> None:
    async with Client(ENDPOINTS["ollama"]) as client:
        with pytest.raises(ConfigurationError, match="Ollama"):
            await client.balance()
