"""The chat API's calls as gRPC-Web on real sockets, against a server that sends what a script says."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Sequence
from typing import Any

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.doctor import examine, is_well
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS, Endpoint, resolve
from deepseek_magic.engine.network.grpcweb import GRPCWeb
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    DeepSeekError,
    InvalidRequest,
    ProtocolError,
    RateLimited,
    ServerError,
)
from deepseek_magic.protocol.events import Event, Seam, Waiting
from deepseek_magic.protocol.grpcweb import wire
from deepseek_magic.protocol.grpcweb.frames import frame
from tests.engine.wire import CLOSE, END, RESET, Received, Script, ScriptedServer, fixed, head, piece, until

KIND = "application/grpc-web+proto"
QUICK = RecoveryPolicy(base_s=0.005, cap_s=0.02)
ONCE = RecoveryPolicy(attempts=1, resumes=0)
OK = "grpc-status:0\r\n"


def message(*, text: str = "", thought: str = "", reason: int = 0, model: str = "grok-4") -> bytes:
    delta = wire.text_field(1, text) + wire.text_field(4, thought)
    output = wire.bytes_field(1, delta) + (wire.number_field(3, reason) if reason else b"")
    return frame(wire.text_field(1, "id-1") + wire.bytes_field(2, output) + wire.text_field(4, model))


def trailers(lines: str = OK) -> bytes:
    return b"\x80" + len(lines).to_bytes(4) + lines.encode()


def stream(*parts: bytes, ends: Sequence[bytes] = (END,)) -> Script:
    return [head(kind=KIND), *map(piece, parts), *ends]  # type: ignore[arg-type]


def refused(code: int, said: str = "", **more: str) -> Script:
    return [head(kind=KIND, **{"grpc-status": str(code), "grpc-message": said}, **more), END]


WHOLE = stream(message(thought="Hm"), message(text="one "), message(text="two"), message(reason=3), trailers())


async def ask(
    *scripts: Script, recovery: RecoveryPolicy = QUICK, **more: Any
) -> tuple[Completion, list[Event], list[Received]]:
    events: list[Event] = []
    async with ScriptedServer(scripts) as server:
        own = Endpoint(
            name="own",
            title="Own",
            base_url=f"grpc-web+{server.base_url}",
            needs_key=False,
            default_model="grok-4",
            **more,
        )
        async with Client(own, recovery=recovery) as client:
            answer = client.stream("Hello")
            with contextlib.suppress(DeepSeekError):
                async for event in answer:
                    events.append(event)  # noqa: PERF401 - what came before an error counts
        return answer.completion, events, server.requests


async def test_an_answer_is_read_and_the_request_is_the_interface_s() -> None:
    completion, _, (request,) = await ask(WHOLE)
    assert (completion.text, completion.reasoning, completion.outcome) == ("one two", "Hm", "complete")
    assert completion.anomalies == ()
    assert request.line.split()[:2] == ["POST", "/xai_api.Chat/GetCompletionChunk"]
    assert request.headers["content-type"] == request.headers["accept"] == KIND
    assert request.headers["x-grpc-web"] == "1"
    assert request.body[:1] == b"\0"
    assert int.from_bytes(request.body[1:5]) == len(request.body) - 5


@pytest.mark.parametrize("cut", [1, 3, 5, 20, 60])
async def test_however_the_network_cuts_the_body_it_is_the_same_answer(cut: int) -> None:
    body = message(text="流式 ") + message(text="two") + message(reason=3) + trailers()
    parts = [body[at : at + cut] for at in range(0, len(body), cut)]
    completion, _, _ = await ask(stream(*parts))
    assert (completion.text, completion.outcome) == ("流式 two", "complete")


async def test_every_place_at_which_the_body_can_end_too_early_is_a_break() -> None:
    """Also properly, with the end of chunks: only the trailers, or the reason that came before them, say that it is whole."""
    body = message(text="one ") + message(text="two")
    for place in range(0, len(body) + 1, 7):
        for ends in ((END,), (CLOSE,), (RESET,)):
            completion, _, requests = await ask(stream(body[:place], ends=ends), WHOLE)  # type: ignore[arg-type]
            assert (completion.text, completion.outcome, len(requests)) == ("one two", "complete", 2), (place, ends)


async def test_an_answer_whose_reason_came_is_whole_without_its_trailers_and_this_is_told() -> None:
    completion, _, requests = await ask(stream(message(text="one"), message(reason=3)))
    assert (completion.text, completion.outcome, len(requests)) == ("one", "complete", 1)
    assert completion.anomalies == ("missing_done",)


async def test_an_end_that_gives_no_reason_is_no_whole_answer() -> None:
    completion, _, requests = await ask(stream(message(text="one"), trailers()), WHOLE)
    assert (completion.text, len(requests)) == ("one two", 2)


@pytest.mark.parametrize("in_headers", [True, False])
@pytest.mark.parametrize(
    ("code", "kind", "status", "requests"),
    [
        (3, InvalidRequest, 400, 1),
        (7, AuthenticationError, 403, 1),
        (12, InvalidRequest, 404, 1),
        (16, AuthenticationError, 401, 1),
        (8, RateLimited, 429, 5),
        (13, ServerError, 500, 5),
        (14, ServerError, 503, 5),
        (2, ServerError, 500, 5),
    ],
)
async def test_a_code_is_an_error_of_the_one_tree(
    code: int, kind: type[Exception], status: int, requests: int, in_headers: bool
) -> None:
    lines = f"grpc-status: {code}\r\ngrpc-message: it%20said%20so\r\n"
    script = refused(code, "it%20said%20so") if in_headers else stream(trailers(lines))
    completion, _, seen = await ask(script)
    assert isinstance(completion.error, kind)
    assert completion.error.status == status  # type: ignore[attr-defined]
    assert "it said so" in str(completion.error)
    assert len(seen) == requests


async def test_an_envoy_with_nobody_behind_it_says_what_it_knows() -> None:
    own = fixed("503 Service Unavailable", b"", kind=KIND, grpc_status="14", grpc_message="upstream%20connect%20error")
    completion, _, _ = await ask(own, recovery=ONCE)
    assert "503: upstream connect error" in str(completion.error)


async def test_a_refusal_that_passes_is_asked_again() -> None:
    completion, _, requests = await ask(refused(8), refused(14), stream(trailers("grpc-status:8\r\n")), WHOLE)
    assert (completion.text, len(requests)) == ("one two", 4)


async def test_the_server_s_own_word_on_asking_again_counts() -> None:
    completion, _, requests = await ask(refused(14, "never", **{"grpc-retry-pushback-ms": "-1"}), WHOLE)
    assert len(requests) == 1
    assert isinstance(completion.error, ServerError)
    completion, events, _ = await ask(refused(8, "later", **{"grpc-retry-pushback-ms": "30"}), WHOLE)
    assert completion.text == "one two"
    first = next(event for event in events if isinstance(event, Waiting))
    assert first.seconds == pytest.approx(0.03, rel=0.06)


async def test_a_refusal_inside_the_answer_stays_what_it_is() -> None:
    completion, _, requests = await ask(stream(message(text="one "), trailers("grpc-status:7\r\n")))
    assert isinstance(completion.error, AuthenticationError)
    assert (completion.text, len(requests)) == ("one ", 1)


async def test_where_the_server_is_gone_the_next_endpoint_takes_over() -> None:
    broken = stream(message(text="one "), trailers("grpc-status:14\r\ngrpc-message:gone\r\n"))
    async with ScriptedServer([broken]) as first, ScriptedServer([WHOLE]) as second:
        urls = [f"grpc-web+{server.base_url}" for server in (first, second)]
        endpoints = [
            Endpoint(name=f"own{n}", title="Own", base_url=url, needs_key=False, default_model="m")
            for n, url in enumerate(urls)
        ]
        async with Client(endpoints, recovery=QUICK) as client:
            completion = await client.complete("x")
    assert completion.text == "one two"
    assert len(second.requests) == 1


@pytest.mark.parametrize("code", [1, 2, 4, 10, 13, 14, 15])
async def test_a_fault_of_the_server_inside_the_answer_is_a_break(code: int) -> None:
    broken = stream(message(text="one "), trailers(f"grpc-status:{code}\r\n"))
    completion, events, requests = await ask(broken, WHOLE)
    assert (completion.text, completion.outcome, len(requests)) == ("one two", "complete", 2)
    assert [event.kind for event in events if isinstance(event, Seam)] == ["restarted"]


async def test_where_the_server_takes_a_beginning_the_answer_is_continued_behind_it() -> None:
    long = "A sentence of some length, so that going on from it is worth while, and then one more. "
    broken = stream(message(text=long), message(text="And then"), ends=(RESET,))  # type: ignore[arg-type]
    rest = stream(message(text=" then the end."), message(reason=3), trailers())
    completion, events, requests = await ask(broken, rest, continuing="trailing_assistant")
    assert completion.text == f"{long}And then the end."
    assert [event.kind for event in events if isinstance(event, Seam)] == ["continued"]
    assert f"{long}And".encode() in requests[1].body


async def test_a_page_and_another_protocol_are_not_retried() -> None:
    page = fixed("200 OK", b"<html><title>Sign in</title></html>", kind="text/html")
    completion, _, requests = await ask(page)
    assert "Sign in" in str(completion.error)
    assert len(requests) == 1
    other = fixed("200 OK", b"{}")
    completion, _, requests = await ask(other)
    assert isinstance(completion.error, ProtocolError)
    assert "does not speak gRPC-Web: it answered with application/json" in str(completion.error)
    assert len(requests) == 1


async def test_an_http_status_of_a_proxy_is_read_as_anywhere() -> None:
    completion, _, requests = await ask(fixed("502 Bad Gateway", b"<html><h1>502</h1></html>"), WHOLE)
    assert (completion.text, len(requests)) == ("one two", 2)
    completion, _, _ = await ask(fixed("404 Not Found", b"nothing here"))
    assert isinstance(completion.error, InvalidRequest)


async def test_damaged_messages_and_frames_are_recovered() -> None:
    for damaged in (frame(b"\x0a\xff\xff"), b"\x07\0\0\0\0", frame(wire.bytes_field(2, b"\xff"))):
        completion, _, requests = await ask(stream(message(text="one "), damaged), WHOLE)
        assert (completion.text, len(requests)) == ("one two", 2)


async def test_compressed_messages_say_that_they_are() -> None:
    packed = gzip.compress(b"x")
    completion, _, _ = await ask(stream(b"\x01" + len(packed).to_bytes(4) + packed), recovery=ONCE)
    assert "compressed gRPC messages" in str(completion.error)


async def test_what_has_no_field_is_refused_before_anything_is_sent() -> None:
    async with ScriptedServer([WHOLE]) as server:
        async with Client(f"grpc-web+{server.base_url}") as client:
            with pytest.raises(ConfigurationError, match="needs to know which model"):
                await client.complete("x")
            with pytest.raises(ConfigurationError, match="logit_bias cannot be sent"):
                await client.complete("x", model="grok-4", extra_body={"logit_bias": {"1": 2}})
        assert not server.requests


async def test_the_key_goes_along_as_the_interface_wants_it() -> None:
    async with (
        ScriptedServer([WHOLE]) as server,
        Client(f"grpc-web+{server.base_url}", api_key="sk-1234567890") as client,
    ):
        await client.complete("x", model="grok-4")
        assert server.requests[0].headers["authorization"] == "Bearer sk-1234567890"


async def test_the_doctor_lists_the_models_or_asks_an_empty_question() -> None:
    listed = stream(frame(wire.bytes_field(1, wire.text_field(1, "grok-4"))), trailers())

    def answer(request: Received) -> Script:
        return listed if "xai_api.Models/ListLanguageModels" in request.line else WHOLE

    async with ScriptedServer(answer) as server:
        findings = await examine(resolve(f"grpc-web+{server.base_url}"))
        async with Client(f"grpc-web+{server.base_url}") as client:
            assert [model.id for model in await client.models()] == ["grok-4"]
            assert await client.warm_up() is None  # there is one already
    assert is_well(findings)
    assert "grok-4" in [str(finding.said) for finding in findings]
    for models, chat, well in (
        (refused(12), refused(3), True),
        (refused(12), stream(trailers("grpc-status:3\r\n")), True),
        (refused(12), refused(12), False),
    ):
        async with ScriptedServer(lambda r, m=models, c=chat: m if "Models" in r.line else c) as server:  # type: ignore[misc]
            assert is_well(await examine(resolve(f"grpc-web+{server.base_url}"))) is well


async def test_it_closes_what_it_stands_on() -> None:
    below = HTTPXTransport()
    async with ScriptedServer([WHOLE]) as server:
        over = GRPCWeb(below)
        call = HTTPCall(method="POST", url=f"grpc-web+{server.base_url}/xai_api.Chat/GetCompletionChunk", body=b"{}")
        async with over.open(call) as answer:
            assert b"".join([data async for data in answer.chunks()]).endswith(b"data: [DONE]\n\n")
            await answer.drain()
        await over.aclose()
        await until(lambda: not server.open)


# addresses


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_address_says_which_protocol_is_spoken(scheme: str) -> None:
    endpoint = resolve(f"GRPC-Web+{scheme}://X.example:8443/chat/")
    assert endpoint.is_grpc_web
    assert endpoint.base_url == f"grpc-web+{scheme}://x.example:8443/chat"
    assert endpoint.http_url == f"{scheme}://x.example:8443/chat"
    assert endpoint.host == "x.example:8443"
    assert endpoint.chat_url == f"{endpoint.base_url}/xai_api.Chat/GetCompletionChunk"
    assert endpoint.is_clear_text == (scheme == "http")
    assert endpoint.needs_key == (scheme == "https")
    assert (endpoint.balance_url, endpoint.default_model, endpoint.continuing) == (None, None, "none")
    assert not ENDPOINTS["deepseek"].is_grpc_web


def test_a_beginning_is_sent_only_where_a_server_is_known_to_take_it() -> None:
    url = "grpc-web+http://127.0.0.1:9"
    assert resolve("demo", url).continuing == "trailing_assistant"
    assert resolve("openrouter", url).continuing == "trailing_assistant"
    assert resolve("vllm", url).continuing == "none"
    assert (resolve("demo", url).default_model, resolve("demo", url).beta_url) == ("deepseek-flash", None)


def test_a_typed_address_gets_no_other_host_s_key() -> None:
    assert resolve("grpc-web+https://my-host.example").key_variables == ("DEEPSEEK_API_KEY_MY__HOST_EXAMPLE",)
    assert resolve("grpc-web+http://127.0.0.1:9").key_variables == ()


def test_a_key_is_not_sent_in_clear_text() -> None:
    with pytest.raises(ConfigurationError, match="is not encrypted"):
        _ = Client("grpc-web+http://x.example", api_key="sk-1234567890").key
