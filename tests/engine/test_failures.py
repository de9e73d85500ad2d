"""What failed is named: the proxy and its variable, the certificates' file, the name, the server; and sent again only
where that may help."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import httpcore
import pytest

from deepseek_magic.engine.calls import HTTPCall
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.doctor import examine, is_well
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS, resolve
from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.engine.network.failures import raise_ours
from deepseek_magic.engine.network.proxies import Proxy, bypasses, proxy_of
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.protocol.errors import ConfigurationError, DeepSeekError, Disconnected
from tests.engine.test_http2 import certificate as certificate
from tests.engine.wire import CLOSE, ScriptedServer, answer, fixed
from tests.ports import free_port

KEY = "sk-fake-9753"
TWICE = RecoveryPolicy(attempts=2, resumes=0, base_s=0.0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)


async def failure_of(url: str) -> DeepSeekError:
    async with Client(url, api_key=KEY if url.startswith("https") else None, recovery=TWICE) as client:
        with pytest.raises(DeepSeekError) as caught:
            await client.complete("Hi", model="m")
    assert caught.value.completion is not None
    return caught.value


def tries(error: DeepSeekError) -> int:
    assert error.completion is not None
    return error.completion.attempts


def test_where_no_demo_listens_the_sentence_says_how_to_start_one() -> None:
    refused = httpcore.ConnectError()
    refused.__cause__ = ConnectionRefusedError()
    with pytest.raises(Disconnected, match=r"No demo server .*%deepseek_demo starts one .*base_url="):
        raise_ours(refused, HTTPCall(method="POST", url=ENDPOINTS["demo"].chat_url))


# NO_PROXY: (its value, host, whether the host is asked directly)
FORMS = [
    ("*", "any.example", True),
    ("corp.example", "corp.example", True),
    ("corp.example", "llm.corp.example", True),
    ("corp.example", "notcorp.example", False),
    (".corp.example", "llm.corp.example", True),
    ("*.corp.example", "llm.corp.example", True),
    ("*.corp.example", "other.example", False),
    ("CORP.example ", "llm.Corp.Example", True),
    ("a.example b.example", "b.example", True),
    ("a.example, b.example", "b.example", True),
    ("llm.example:8443", "llm.example", True),
    ("llm.example:8444", "llm.example", False),
    ("10.0.0.0/8", "10.1.2.3", True),
    ("10.0.0.0/8", "11.1.2.3", False),
    ("10.0.0.0/8", "ten.example", False),
    ("10.1.2.3", "10.1.2.3", True),
    ("10.1.2.3:8443", "10.1.2.3", True),
    ("10.1.2.3:1", "10.1.2.3", False),
    ("0.1.2.3", "10.1.2.3", False),
    ("fd00::/8", "fd00::1", True),
    ("fd00::1", "fd00:0::1", True),
    ("[fd00::1]", "fd00::1", True),
    ("[fd00::1]:8443", "fd00::1", True),
    ("[fd00::1]:1", "fd00::1", False),
    ("10.0.0.0/8", "::ffff:10.1.2.3", True),
    ("10.0.0.0/8", "fd00::1", False),
    ("10.0.0.0/x, :, [, *.", "10.1.2.3", False),
    ("", "any.example", False),
]


@pytest.mark.parametrize(("no_proxy", "host", "direct"), FORMS)
def test_no_proxy_is_read_as_curl_and_go_read_it(no_proxy: str, host: str, direct: bool) -> None:
    assert bypasses(no_proxy, host, 8443) is direct


def test_a_proxy_knows_its_variable_and_hides_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:p%40ss@proxy.example:3128/")
    monkeypatch.setenv("no_proxy", "near.example:8443")
    found = proxy_of("https://far.example")
    assert found == Proxy("http://me:p%40ss@proxy.example:3128/", "HTTPS_PROXY")
    assert found.shown == "http://proxy.example:3128"
    assert proxy_of("https://near.example:8443") is None
    assert proxy_of("https://near.example") == found
    for here in ("https://0.0.0.0:8000", "https://[::]:8000", "https://localhost", "https://127.0.0.1"):
        assert proxy_of(here) is None


async def test_a_dead_proxy_is_named_with_its_variable_and_not_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    at = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{at}")
    error = await failure_of("https://far.example")
    assert isinstance(error, Disconnected)
    assert f"Nothing is listening at the proxy http://{at} (from HTTPS_PROXY), so far.example was not asked." in str(
        error
    )
    assert "secret" not in str(error)
    assert tries(error) == 2


async def test_a_proxy_without_a_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://proxy.invalid:1")
    assert "The name of the proxy http://proxy.invalid:1 (from all_proxy)" in str(
        await failure_of("https://far.example")
    )


# what a proxy answers to CONNECT: (the error, words, requests)
SAYS_NO = {
    "407 Proxy Authentication Required": (Disconnected, "wants a name and a password", 1),
    "403 Forbidden": (Disconnected, "does not let anybody ask far.example", 1),
    "502 Bad Gateway": (Disconnected, "could not reach far.example", 2),
}


@pytest.mark.parametrize("status", SAYS_NO)
async def test_what_a_proxy_answers_decides_whether_it_is_asked_again(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, words, sent = SAYS_NO[status]
    async with ScriptedServer([fixed(status, b"")]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.base_url)
        error = await failure_of("https://far.example")
        assert type(error) is kind
        assert words in str(error)
        assert len(proxy.requests) == tries(error) == sent


async def test_a_proxy_that_was_reached_and_closes_during_tls_is_not_called_unreached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ScriptedServer([[b"HTTP/1.1 200 OK\r\n\r\n", CLOSE]]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.base_url)
        error = await failure_of("https://far.example")
    assert str(error).startswith(f"No secure connection to far.example through the proxy {proxy.base_url}")


ODD = f"\x1b[2J\x9b31m {KEY} "


# what a server, a gateway or a proxy writes into its answer: (what it sends, whether it is the proxy)
ODD_WORDS = {
    "the reason of a proxy": (fixed(f"502 {ODD}", b""), True),
    "the page of a gateway": (fixed("502 Bad", f"<html><title>{ODD}</title></html>".encode(), kind="text/html"), False),
    "a page in the answer's place": (fixed("200 OK", f"<html><title>{ODD}</title>".encode(), kind="text/html"), False),
    "text of no form": (fixed("400 Bad", ODD.encode(), kind="text/plain"), False),
    "an encoding": (fixed("200 OK", b"x", content_encoding=ODD[:30]), False),
    "another address": (fixed("302 Found", b"", location=ODD), False),
}


@pytest.mark.parametrize("name", ODD_WORDS)
async def test_no_word_of_the_other_side_steers_a_terminal_or_shows_a_key(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, at_proxy = ODD_WORDS[name]
    Key(KEY, source="a test")
    async with ScriptedServer([script]) as server:
        if at_proxy:
            monkeypatch.setenv("https_proxy", server.base_url)
        error = await failure_of("https://far.example" if at_proxy else server.base_url)
    assert "[ESC][2" in str(error)
    shown = (str(error), repr(error), error.localized(), *(str(note) for note in error.args))
    assert all(text.isprintable() and KEY[:10] not in text for text in shown)


# a proxy that cannot be used at all: words
UNUSABLE = {
    "socks://127.0.0.1:1/": "it begins with socks:",
    "http://": "it names no host",
    "http://127.0.0.1:99999": "cannot be used",
    "socks5://127.0.0.1:1": "needs a package",
}


@pytest.mark.parametrize("address", UNUSABLE)
async def test_a_setting_that_cannot_work_is_tried_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", address)
    error = await failure_of("https://far.example")
    assert isinstance(error, ConfigurationError)
    assert UNUSABLE[address] in str(error)
    assert tries(error) == 1


def missing(tmp_path: Path) -> Path:
    return tmp_path / "cacert.pem"


def empty(tmp_path: Path) -> Path:
    missing(tmp_path).write_text("no certificate")
    return missing(tmp_path)


@pytest.mark.parametrize("path_of", [missing, empty])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_certificates_that_cannot_be_read_are_named_at_once(
    variable: str, path_of: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(tmp_path)
    monkeypatch.setenv(variable, str(path))
    error = await failure_of("https://127.0.0.1:1")
    assert isinstance(error, ConfigurationError)
    assert f"{variable} names certificates that cannot be read: {path} (" in str(error)
    assert tries(error) == 1
    async with Client("https://127.0.0.1:1", api_key=KEY) as client:
        assert str(path) in str((await client.check()).steps[-1].said)


async def test_certificates_are_no_matter_where_nothing_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(missing(tmp_path)))
    async with ScriptedServer([answer("Hi")]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url)
        async with Client("http://far.example") as client:
            assert str(await client.complete("Hi", model="m")) == "Hi"


async def test_a_certificate_that_is_not_trusted_is_not_asked_for_again(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    secure = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with secure:
        error = await failure_of(f"https://127.0.0.1:{secure.sockets[0].getsockname()[1]}")
    assert isinstance(error, Disconnected)
    assert "is not trusted: " in str(error)
    assert tries(error) == 1


async def test_a_server_without_tls_is_not_asked_for_it_again() -> None:
    def speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 x\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with plain:
        error = await failure_of(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}")
    assert isinstance(error, Disconnected)
    assert "Is it https there?" in str(error)
    assert tries(error) == 1


async def test_what_is_no_http_is_told_as_that_and_asked_once() -> None:
    async with ScriptedServer([[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n", CLOSE]]) as server:
        error = await failure_of(server.base_url)
        assert isinstance(error, Disconnected)
        assert "does not answer as HTTP demands: Only Transfer-Encoding: chunked is supported." in str(error)
        assert len(server.requests) == 1


# the doctor


async def test_behind_a_proxy_the_name_is_not_asked_of_the_local_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer([fixed("200 OK", b'{"data": []}')]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url)
        findings = await examine(resolve("http://llm.corp.invalid/v1"))
    assert is_well(findings)
    assert any(proxy.base_url in str(finding.said) for finding in findings)


MODELS = b'{"data": [{"id": "qwen"}]}'


@pytest.mark.parametrize("balance", ["403 Forbidden", "500 Broken"])
async def test_what_a_host_of_ones_own_need_not_have_is_not_judged(balance: str) -> None:
    scripts = [fixed("200 OK", MODELS), fixed(balance, b"")]
    async with ScriptedServer(scripts) as server:
        findings = await examine(resolve(server.base_url))
    assert is_well(findings)
    offered, told = (str(finding) for finding in findings[-2:])
    assert offered.startswith("--")
    assert "qwen; the default deepseek-flash is not among them" in offered
    assert told.startswith("--")


async def test_a_list_that_is_refused_is_no_failure_where_the_chat_answers() -> None:
    scripts = [fixed("403 Forbidden", b""), fixed("400 Bad", b"{}"), fixed("404 Not Found", b"")]
    async with ScriptedServer(scripts) as server:
        assert is_well(await examine(resolve(server.base_url)))


@pytest.mark.parametrize(("chat", "well"), [("400 Bad Request", True), ("404 Not Found", False)])
async def test_a_server_that_lists_no_models_is_well_if_it_knows_the_chat(chat: str, well: bool) -> None:
    async with ScriptedServer([fixed("404 Not Found", b"{}"), fixed(chat, b"{}")]) as server:
        findings = await examine(resolve(server.base_url))
        assert is_well(findings) is well
        assert [request.line.split()[0] for request in server.requests][:2] == ["GET", "POST"]
