"""Reading a network read at once and reading its events one by one come to the same, wherever the reads are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.engine.attempt import Attempt
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.protocol.errors import DeepSeekError
from deepseek_magic.protocol.events import Event
from deepseek_magic.protocol.sse import ServerSentEvent, SSEDecoder
from tests.engine.wire import DONE, USAGE, delta, event


def read(pieces: list[bytes]) -> tuple[list[Event], object]:
    attempt = Attempt(HTTPXTransport(), HTTPCall(method="POST", url="http://127.0.0.1:1"))
    events: list[Event] = []
    failure = ""
    for piece in pieces:
        try:
            attempt._read(piece, events)
        except DeepSeekError as error:
            failure = repr(error)
        if failure or attempt._done:
            break
    position = attempt.position
    return events, (failure, attempt._done, attempt.finish_reason, position.last_id, position.broken, attempt.anomalies)


def one_by_one(data: bytes) -> tuple[list[Event], object]:
    with patch.object(SSEDecoder, "payloads", lambda self, data: None):
        return read([data[i : i + 1] for i in range(len(data))])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(borders)]


def chunk(**fields: Any) -> bytes:
    return event(fields)


TOOL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
ORDINARY = [delta(" word"), delta("你"), delta(None, reasoning_content="hm"), delta("x\u2028y"), delta("")]
ODD = [
    DONE,
    b": keep-alive\n\n",
    b"id: 7\n" + delta("with an id"),
    b"event: error\n" + event({"error": {"message": "overloaded"}}),
    b"data: \n\n",
    b"data:   \n\n",
    b"\n",
    b"\n\n",
    b"retry: 10\n\n",
    b"data: a\ndata: b\n\n",
    b'data: {"choices":\ndata: []}\n\n',
    b'data:{"choices": []}\n\n',
    delta("crlf").replace(b"\n", b"\r\n"),
    delta("cr").replace(b"\n", b"\r"),
    delta("torn \ufffd"),
    b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n',
    b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n',
    b'data: {"choices": []} {"choices": []}\n\n',
    b'{"choices": []}\n\n',
    b"data: not json\n\n",
    delta("", finish="stop"),
    delta("", finish="length", usage=USAGE),
    chunk(choices=[], usage=USAGE),
    chunk(error={"message": "broke"}),
    chunk(usage=None),
    chunk(id="x", choices=[{"delta": {"tool_calls": [TOOL]}}]),
    chunk(choices=[{"delta": {"reasoning_content": "then", "content": 7}}]),
    chunk(choices=[{"index": 1, "delta": {"content": "another"}}, {"delta": {"content": "ours"}}]),
    b"\xef\xbb\xbf",
]
streams = st.lists(st.one_of(st.sampled_from(ORDINARY), st.sampled_from(ORDINARY), st.sampled_from(ODD)), max_size=12)


@given(streams, st.lists(st.integers(0, 5000), max_size=8))
def test_a_stream_reads_the_same_at_once_one_by_one_and_cut_anywhere(stream: list[bytes], places: list[int]) -> None:
    data = b"".join(stream)
    assert read(cut(data, places)) == one_by_one(data)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("before", [b"", delta("a"), delta("a") + delta("b")])
def test_whatever_is_odd_reads_the_same_among_ordinary_chunks(before: bytes, odd: bytes) -> None:
    data = before + odd + delta("c") + delta("d")
    expected = one_by_one(data)
    assert read([data]) == expected
    for place in range(0, len(data), 3):
        assert read([data[:place], data[place:]]) == expected


@given(streams, st.lists(st.integers(0, 5000), max_size=6))
def test_what_is_taken_at_once_is_what_the_decoder_would_have_given(stream: list[bytes], places: list[int]) -> None:
    plain, fast = SSEDecoder(), SSEDecoder()
    for piece in cut(b"".join(stream), places):
        lines = fast.payloads(piece)
        given_out = plain.feed(piece)
        if lines is None:
            assert fast.feed(piece) == given_out
        else:
            assert given_out == [ServerSentEvent(data=line.decode("utf-8", "replace")) for line in lines.split(b"\n")]
    assert (fast.last_event_id, fast.retry_ms) == (plain.last_event_id, plain.retry_ms)


def test_the_ordinary_stream_is_taken_at_once() -> None:
    decoder = SSEDecoder()
    data = b"".join(ORDINARY) + DONE
    lines = decoder.payloads(data + b"data: beg")
    assert lines is not None
    assert [json.loads(line)["id"] for line in lines.split(b"\n")[:-1]] == ["cmpl-1"] * len(ORDINARY)
    assert decoder.payloads(b"in\n\n") == b"begin"


def test_an_event_that_is_too_large_is_not_taken_at_once() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    assert decoder.payloads(b"data: " + b"x" * 200 + b"\n\n") is None
