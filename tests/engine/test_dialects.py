"""Servers that speak the API with an accent, on a real socket: what is whole is read, what cannot succeed is sent once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.notebook.view.live import Settlement
from deepseek_magic.notebook.view.terminal import PlainView
from deepseek_magic.protocol.errors import AuthenticationError, ConfigurationError, InvalidRequest, ProtocolError
from tests.engine.wire import CLOSE, DONE, END, Script, ScriptedServer, answer, chunked, delta, event, head, piece

WORDS = (delta("Hi "), delta("there"))
LAST = delta("", finish="stop")
STREAM = b"".join((*WORDS, LAST, DONE))
WHOLE = json.dumps({"choices": [{"message": {"content": "Hi there"}, "finish_reason": "stop"}]}).encode()
LINES = b"".join(json.dumps({"choices": [{"delta": {"content": word}}]}).encode() + b"\n" for word in ("Hi ", "there"))
PAGE = b"<html><title>Sign in</title></html>"


def labelled(kind: str, body: bytes) -> Script:
    return [head(kind=kind), *(piece(body[at : at + 3]) for at in range(0, len(body), 3)), END]


# name: (what the server sends, the anomalies)
READ: dict[str, tuple[Script, tuple[str, ...]]] = {
    "a stream as JSON": (labelled("application/json", STREAM), ()),
    "a stream as HTML": (labelled("text/html; charset=utf-8", b": hello\n\n" + STREAM), ()),
    "JSON as a stream": (labelled("text/event-stream", b"\n\n " + WHOLE), ("not_a_stream",)),
    "JSON as HTML": (labelled("text/html", WHOLE), ("not_a_stream",)),
    "no blank line at the end": (
        [head(connection="close"), *WORDS, LAST.rstrip(b"\n"), CLOSE],
        ("missing_blank_line", "missing_done"),
    ),
    "no blank lines": ([head(), piece(STREAM.replace(b"\n\n", b"\n")), END], ("missing_blank_line",)),
    "pings": (chunked(b"event: ping\ndata: {}\n\n", WORDS[0], event({"type": "ping"}), WORDS[1], LAST, DONE), ()),
    "a byte that is no UTF-8": (chunked(b": caf\xe9\n\n", *WORDS, LAST, DONE), ("invalid_utf8",)),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
async def test_what_is_whole_is_read_at_the_first_try_whatever_its_label(name: str) -> None:
    script, anomalies = READ[name]
    async with ScriptedServer([script]) as server, Client(server.base_url) as client:
        completion = await client.complete("Hi", think="off")
        assert (completion.outcome, completion.text, len(server.requests)) == ("complete", "Hi there", 1)
        assert completion.anomalies == anomalies


async def test_half_an_event_at_the_end_is_no_event() -> None:
    torn: Script = [head(connection="close"), *WORDS, LAST[:-20], CLOSE]
    async with ScriptedServer([torn, answer("Hi there")]) as server, Client(server.base_url) as client:
        completion = await client.complete("Hi", think="off")
        assert (completion.text, len(server.requests), completion.anomalies) == ("Hi there", 2, ())


REFUSED: dict[str, tuple[Script, type[Exception], str]] = {
    "a web page": (labelled("text/html", PAGE), ProtocolError, "Sign in"),
    "a web page as a stream": (labelled("text/event-stream", PAGE), ProtocolError, "Sign in"),
    "plain text": (labelled("text/plain", b"It works!\n"), ProtocolError, "without any event.*It works"),
    "another dialect": (chunked(b'event: response.created\ndata: {"type":"response.created"}\n\n'), ProtocolError, "chunk"),
    "an error by its code": (
        chunked(event({"error": {"message": "too long", "code": "context_length_exceeded"}})),
        InvalidRequest,
        "too long",
    ),
    "an error by its sentence": (chunked(event({"error": "Invalid API key"})), AuthenticationError, "401: Invalid API key"),
    "JSON lines": (labelled("application/x-ndjson", LINES), ProtocolError, "one JSON object a line"),
    "chunks of another shape": (chunked(event({"choices": "Hi"})), ProtocolError, "not a chat chunk"),
    "content of another shape": (chunked(event({"choices": [{"delta": {"content": 5}}]})), ProtocolError, "base URL"),
    "the completions API": (chunked(event({"id": "1", "choices": [{"text": "Hi"}]})), ProtocolError, "older completions"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_no_repetition_can_change_is_sent_once(name: str) -> None:
    script, kind, said = REFUSED[name]
    async with ScriptedServer([script]) as server, Client(server.base_url) as client:
        with pytest.raises(kind, match=said):
            await client.complete("Hi")
        assert len(server.requests) == 1


async def test_what_is_odd_in_the_middle_of_an_answer_is_damage_and_asked_for_again() -> None:
    odd: Script = chunked(*WORDS, event({"choices": [{"delta": {"content": 5}}]}))
    async with ScriptedServer([odd, answer("Hi there")]) as server, Client(server.base_url) as client:
        completion = await client.complete("Hi", think="off")
        assert (completion.outcome, len(server.requests)) == ("complete", 2)


@pytest.mark.parametrize(("think", "noticed"), [("off", 1), ("low", 0), (None, 0)])
async def test_reasoning_that_comes_although_it_was_switched_off_is_said(
    think: str | None, noticed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    thought = event({"choices": [{"delta": {"reasoning_content": "Hm."}}]})
    async with ScriptedServer([chunked(thought, *WORDS, LAST, DONE)]) as server, Client(server.base_url) as client:
        completion = await client.complete("Hi", think=think)
    assert [str(notice).startswith("Reasoning came") for notice in completion.notices] == [True] * noticed
    assert Settlement(completion=completion).said == tuple(map(str, completion.notices))
    PlainView().finish(completion)
    assert capsys.readouterr().out.count("Reasoning came") == noticed


@pytest.mark.parametrize("prompt", ["caf\ud83d", [{"role": "user", "content": [{"type": "text", "text": object()}]}]])
async def test_a_prompt_that_cannot_be_sent_fails_its_call_however_it_is_run(prompt: Any) -> None:
    async with ScriptedServer([answer("Hi")]) as server, Client(server.base_url) as client:
        with pytest.raises(ConfigurationError):
            await client.complete(prompt)
        completion = await client.stream(prompt).run(lambda _: None)
        assert isinstance(completion.error, ConfigurationError)
        assert not server.requests


async def test_log_probabilities_that_were_asked_for_are_given() -> None:
    entry = {"token": "Hi", "logprob": -0.125}
    choice = {"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [entry], "reasoning_content": None}}
    async with ScriptedServer([chunked(event({"choices": [choice]}), LAST, DONE)]) as server:
        async with Client(server.base_url) as client:
            completion = await client.complete("Hi", think="off", logprobs=True)
        assert (server.requests[0].json["logprobs"], completion.logprobs) == (True, (entry,))
