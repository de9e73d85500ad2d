"""SSEDecoder against the WHATWG text (HTML, section 9.2), for every line ending and every chunk border."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_magic.protocol.errors import ProtocolError
from deepseek_magic.protocol.sse import Comment, ServerSentEvent, SSEDecoder, kind_of_body

LINE_ENDS = pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
Given = ServerSentEvent | Comment


def E(data: str, event: str = "message", id: str = "", retry: int | None = None) -> ServerSentEvent:  # noqa: N802
    return ServerSentEvent(event, data, id, retry)


def decode(chunks: Iterable[bytes]) -> tuple[list[Given], str, int | None]:
    decoder = SSEDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events, decoder.last_event_id, decoder.retry_ms


# Each example of the chapter: the stream, the events it fires, the last event id and the retry time afterwards.
WHATWG = {
    "three messages": (
        b"data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\n"
        b"data: This is the third message.\n\n",
        [
            E("This is the first message."),
            E("This is the second message, it\nhas two lines."),
            E("This is the third message."),
        ],
        "",
    ),
    "named events": (
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
        [E("73857293", "add"), E("2153", "remove"), E("113411", "add")],
        "",
    ),
    "stock ticker": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [E("YHOO\n+2\n10")], ""),
    "four blocks": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [Comment("test stream"), E("first event", id="1"), E("second event"), E(" third event")],
        "",
    ),
    "four blocks, the last one unfinished": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [Comment("test stream"), E("first event", id="1"), E("second event")],
        "",
    ),
    "empty data": (b"data\n\ndata\ndata\n\ndata:", [E(""), E("\n")], ""),
    "one space is skipped": (b"data:test\n\ndata: test\n\n", [E("test"), E("test")], ""),
}


@LINE_ENDS
@pytest.mark.parametrize("name", WHATWG)
def test_every_example_of_the_chapter_holds_split_at_every_byte(name: str, end: bytes) -> None:
    text, events, last_id = WHATWG[name]
    stream = text.replace(b"\n", end)
    assert decode([stream]) == (events, last_id, None)
    assert decode(bytes([byte]) for byte in stream) == (events, last_id, None)
    for at in range(len(stream) + 1):
        assert decode([stream[:at], stream[at:]]) == (events, last_id, None), at


# (stream, what is given out, last event id, retry); written with LF, run with all three line ends.
GRAMMAR: list[tuple[bytes, list[Given], str, int | None]] = [
    # nothing to dispatch
    (b"", [], "", None),
    (b"\n", [], "", None),
    (b"\n\n\n", [], "", None),
    (b"data: a", [], "", None),
    (b"data: a\n", [], "", None),
    (b"event: a\n\n", [], "", None),
    (b"unknown: a\n\n", [], "", None),
    (b"justaword\n\n", [], "", None),
    # data
    (b"data: a\n\n", [E("a")], "", None),
    (b"data:a\n\n", [E("a")], "", None),
    (b"data:  a\n\n", [E(" a")], "", None),
    (b"data:\ta\n\n", [E("\ta")], "", None),
    (b"data: a \n\n", [E("a ")], "", None),
    (b"data\n\n", [E("")], "", None),
    (b"data:\n\n", [E("")], "", None),
    (b"data: \n\n", [E("")], "", None),
    (b"data:  \n\n", [E(" ")], "", None),
    (b"data\ndata\n\n", [E("\n")], "", None),
    (b"data: a\ndata\n\n", [E("a\n")], "", None),
    (b"data\ndata: a\n\n", [E("\na")], "", None),
    (b"data: a\ndata: b\n\n", [E("a\nb")], "", None),
    (b"data: a\nignored: x\ndata: b\n\n", [E("a\nb")], "", None),
    (b"data: a\n: c\ndata: b\n\n", [Comment("c"), E("a\nb")], "", None),
    (b"data: a: b:c\n\n", [E("a: b:c")], "", None),
    (b"data: :\n\n", [E(":")], "", None),
    (b"data::\n\n", [E(":")], "", None),
    (b"data: a\n\n\n\ndata: b\n\n", [E("a"), E("b")], "", None),
    (b"data: [DONE]\n\n", [E("[DONE]")], "", None),
    # names are exact
    (b"Data: a\n\n", [], "", None),
    (b"DATA: a\n\n", [], "", None),
    (b" data: a\n\n", [], "", None),
    (b"data : a\n\n", [], "", None),
    (b"\tdata: a\n\n", [], "", None),
    (b"dat: a\n\n", [], "", None),
    (b"datas: a\n\n", [], "", None),
    (b"data a\n\n", [], "", None),
    ("ｄａｔａ: a\n\n".encode(), [], "", None),
    (b"d\0ata: a\n\n", [], "", None),
    # event
    (b"event: x\ndata: a\n\n", [E("a", "x")], "", None),
    (b"data: a\nevent: x\n\n", [E("a", "x")], "", None),
    (b"event:x\ndata: a\n\n", [E("a", "x")], "", None),
    (b"event:  x\ndata: a\n\n", [E("a", " x")], "", None),
    (b"event\ndata: a\n\n", [E("a")], "", None),
    (b"event:\ndata: a\n\n", [E("a")], "", None),
    (b"event: x\nevent\ndata: a\n\n", [E("a")], "", None),
    (b"event: x\nevent: y\ndata: a\n\n", [E("a", "y")], "", None),
    (b"event: x\n\ndata: a\n\n", [E("a")], "", None),
    (b"event: x\ndata: a\n\ndata: b\n\n", [E("a", "x"), E("b")], "", None),
    (b"event: message\ndata: a\n\n", [E("a")], "", None),
    (b"event: a:b\ndata: a\n\n", [E("a", "a:b")], "", None),
    # id
    (b"id: 1\ndata: a\n\n", [E("a", id="1")], "1", None),
    (b"id:1\ndata: a\n\n", [E("a", id="1")], "1", None),
    (b"data: a\nid: 1\n\n", [E("a", id="1")], "1", None),
    (b"id: 1\ndata: a\n\ndata: b\n\n", [E("a", id="1"), E("b", id="1")], "1", None),
    (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [E("a", id="1"), E("b")], "", None),
    (b"id: 1\ndata: a\n\nid:\ndata: b\n\n", [E("a", id="1"), E("b")], "", None),
    (b"id: 1\n\n", [], "1", None),
    (b"id: 1\n\ndata: a\n\n", [E("a", id="1")], "1", None),
    (b"id: 1\n: c\n\ndata: a\n\n", [Comment("c"), E("a", id="1")], "1", None),
    (b"id: 1\n", [], "", None),
    (b"id: 1\ndata: a\n", [], "", None),
    (b"id: 1\ndata: a\n\nid: 2\ndata: b\n", [E("a", id="1")], "1", None),
    (b"id: 1\nid: 2\ndata: a\n\n", [E("a", id="2")], "2", None),
    (b"id: 1\nevent: x\n\n", [], "1", None),
    (b"id: 1\0\ndata: a\n\n", [E("a")], "", None),
    (b"id: 1\ndata: a\n\nid: \x002\ndata: b\n\n", [E("a", id="1"), E("b", id="1")], "1", None),
    (b"id: 1\nid: \0\ndata: a\n\n", [E("a", id="1")], "1", None),
    (b"id:  1 \ndata: a\n\n", [E("a", id=" 1 ")], " 1 ", None),
    ("id: …é\ndata: a\n\n".encode(), [E("a", id="…é")], "…é", None),
    (b"ID: 1\ndata: a\n\n", [E("a")], "", None),
    # retry
    (b"retry: 3000\n\n", [], "", 3000),
    (b"retry: 3000\n", [], "", 3000),
    (b"retry:3000\ndata: a\n\n", [E("a", retry=3000)], "", 3000),
    (b"retry: 3000\ndata: a\n\ndata: b\n\n", [E("a", retry=3000), E("b")], "", 3000),
    (b"retry: 3000\n\ndata: a\n\n", [E("a")], "", 3000),
    (b"retry: 0\ndata: a\n\n", [E("a", retry=0)], "", 0),
    (b"retry: 007\n\n", [], "", 7),
    (b"retry: 1\nretry: 2\n\n", [], "", 2),
    (b"retry: 1\nretry: x\n\n", [], "", 1),
    (b"retry\n\n", [], "", None),
    (b"retry:\n\n", [], "", None),
    (b"retry: +5\n\n", [], "", None),
    (b"retry: -5\n\n", [], "", None),
    (b"retry: 5.0\n\n", [], "", None),
    (b"retry: 1e3\n\n", [], "", None),
    (b"retry: 0x10\n\n", [], "", None),
    (b"retry: 1_000\n\n", [], "", None),
    (b"retry:  5\n\n", [], "", None),
    (b"retry: 5 \n\n", [], "", None),
    ("retry: ٥\n\n".encode(), [], "", None),
    ("retry: ５\n\n".encode(), [], "", None),
    ("retry: ²\n\n".encode(), [], "", None),
    (b"retry: " + b"9" * 5000 + b"\n\n", [], "", None),
    # comments
    (b":\n", [Comment("")], "", None),
    (b": \n", [Comment("")], "", None),
    (b":a\n", [Comment("a")], "", None),
    (b": keep-alive\n\n", [Comment("keep-alive")], "", None),
    (b":  a\n", [Comment(" a")], "", None),
    (b"::\n", [Comment(":")], "", None),
    (b": data: a\n\n", [Comment("data: a")], "", None),
    (b": a", [], "", None),
    (b": a\ndata: b\n\n", [Comment("a"), E("b")], "", None),
    (b"data: a\n\n: b\n", [E("a"), Comment("b")], "", None),
    ("：data\n\n".encode(), [], "", None),
    # byte order mark
    (b"\xef\xbb\xbfdata: a\n\n", [E("a")], "", None),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", [], "", None),
    (b"\xef\xbb\xbf\n\ndata: a\n\n", [E("a")], "", None),
    (b"\xef\xbb\xbf: c\n", [Comment("c")], "", None),
    (b"\xef\xbb\xbfid: 1\n\n", [], "1", None),
    (b"\n\xef\xbb\xbfdata: a\n\n", [], "", None),
    (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [E("a")], "", None),
    (b"data: \xef\xbb\xbfa\n\n", [E("\ufeffa")], "", None),
    (b"\xef\xbb", [], "", None),
    (b"\xef\xbbdata: a\n\ndata: b\n\n", [E("b")], "", None),
    (b"\xefdata: a\n\n", [], "", None),
    (b"\xfe\xffdata: a\n\n", [], "", None),
    # text: only LF, CR and CRLF end a line
    ("data: a\u2028b\u2029c\n\n".encode(), [E("a\u2028b\u2029c")], "", None),
    ("data: a\u0085b\n\n".encode(), [E("a\u0085b")], "", None),
    (b"data: a\x0bb\x0cc\x1cd\x1de\x1ef\n\n", [E("a\x0bb\x0cc\x1cd\x1de\x1ef")], "", None),
    (b"data: a\0b\n\n", [E("a\0b")], "", None),
    ("data: 你好，世界 🎉\n\n".encode(), [E("你好，世界 🎉")], "", None),
    ("data: 👩‍👩‍👧\n\n".encode(), [E("👩‍👩‍👧")], "", None),
    ("event: 事件\ndata: a\n\n".encode(), [E("a", "事件")], "", None),
    (": 心跳\n".encode(), [Comment("心跳")], "", None),
    # always UTF-8, with replacement
    (b"data: \xff\n\n", [E("\ufffd")], "", None),
    (b"data: a\xe4\xbd\n\n", [E("a\ufffd")], "", None),
    (b"data: a\xe4\xbdb\n\n", [E("a\ufffdb")], "", None),
    (b"data: \xf0\x9f\x8e\n\ndata: b\n\n", [E("\ufffd"), E("b")], "", None),
    (b"data: \xed\xa0\xbd\n\n", [E("\ufffd\ufffd\ufffd")], "", None),
    (b"data: \xc0\xaf\n\n", [E("\ufffd\ufffd")], "", None),
    (b"data: caf\xe9\n\n", [E("caf\ufffd")], "", None),
    (b"event: \xff\ndata: a\n\n", [E("a", "\ufffd")], "", None),
    (b"id: \xff\ndata: a\n\n", [E("a", id="\ufffd")], "\ufffd", None),
    # an unfinished end
    (b"data: a\n\ndata: b", [E("a")], "", None),
    (b"data: a\n\ndata: b\n", [E("a")], "", None),
    (b"data: a\n\n: c", [E("a")], "", None),
    # everything at once
    (
        b": hi\nid: 7\nretry: 10\nevent: x\ndata: {\ndata: }\nnoise\n\n",
        [Comment("hi"), E("{\n}", "x", "7", 10)],
        "7",
        10,
    ),
]


@LINE_ENDS
@pytest.mark.parametrize("case", GRAMMAR, ids=[repr(case[0])[:60] for case in GRAMMAR])
def test_the_grammar_holds_whole_byte_by_byte_and_split_anywhere(
    case: tuple[bytes, list[Given], str, int | None], end: bytes
) -> None:
    text, *expected = case
    stream = text.replace(b"\n", end)
    assert decode([stream]) == tuple(expected)
    assert decode(bytes([byte]) for byte in stream) == tuple(expected)
    if len(stream) < 200:
        for at in range(len(stream) + 1):
            assert decode([stream[:at], b"", stream[at:]]) == tuple(expected), at


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\r\rdata: b\n\n", [E("a"), E("b")]),
        (b"data: a\n\rdata: b\r\n\r\n", [E("a"), E("b")]),
        (b"data: a\r\n\rdata: b\n\r\n", [E("a"), E("b")]),
        (b"data: a\rdata: b\ndata: c\r\n\n", [E("a\nb\nc")]),
        (b"data: a\n\r\ndata: b\r\n\n", [E("a"), E("b")]),
        (b"\rdata: a\r\n\n", [E("a")]),
    ],
)
def test_line_ends_may_be_mixed(stream: bytes, events: list[Given]) -> None:
    for at in range(len(stream) + 1):
        assert decode([stream[:at], stream[at:]])[0] == events, at


def test_a_bare_cr_dispatches_at_once_and_swallows_a_following_lf() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\r") == [E("a")]
    assert decoder.feed(b"\ndata: b\r") == []
    assert decoder.feed(b"\n\r") == [E("b")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: c\n\n") == [E("c")]


def test_an_id_is_committed_at_the_blank_line_and_not_before() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"id: 1\ndata: a\n")
    assert decoder.last_event_id == ""
    decoder.feed(b"\n")
    assert decoder.last_event_id == "1"


PIECES = st.sampled_from(
    [
        b"data",
        b"event",
        b"id",
        b"retry",
        b":",
        b": ",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"12",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xe4\xbd\xa0",
        b"\xf0\x9f",
        b"\xff",
        "\u2028".encode(),
        b"data: {}\n\n",
        b"x",
    ]
)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=30), cuts=st.lists(st.integers(0, 200), max_size=12))
def test_any_chunking_gives_the_same_events_as_one_feed(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    borders = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    chunks = [stream[a:b] for a, b in itertools.pairwise(borders)]
    assert decode(chunks) == decode([stream])


@settings(max_examples=200, deadline=None)
@given(
    messages=st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=8),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    size=st.integers(1, 9),
)
def test_what_a_server_sends_is_what_arrives(messages: list[str], end: str, size: int) -> None:
    stream = "".join(f"data: {message}{end}{end}" for message in messages).encode()
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert decode(chunks)[0] == [E(message) for message in messages]


@pytest.mark.parametrize(
    "stream",
    [b"data: 0123456789\n\n", b"data: 01\ndata: 23\n\n", b"x" * 15 + b"\n", b": 4567890123456", b"event: 0123456789\n"],
)
@pytest.mark.parametrize("size", [1, 7, 100])
def test_an_event_larger_than_the_bound_is_refused_after_everything_before_it(stream: bytes, size: int) -> None:
    decoder = SSEDecoder(max_event_bytes=14)
    stream = b"data: ok\n\n" + stream
    events: list[Given] = []
    for at in range(0, len(stream), size):
        try:
            events += decoder.feed(stream[at : at + size])
        except ProtocolError:
            break
    assert events == [E("ok")]
    with pytest.raises(ProtocolError, match="more than 14 bytes"):
        decoder.feed(b"data: later\n\n")


@pytest.mark.parametrize("line", [b"data: ", b": ", b"x"])
def test_a_line_without_end_is_refused_while_it_is_still_open(line: bytes) -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    decoder.feed(line + b"x" * (100 - len(line)))
    with pytest.raises(ProtocolError):
        decoder.feed(b"x")


def test_an_event_as_large_as_the_bound_passes_and_comments_do_not_count() -> None:
    decoder = SSEDecoder(max_event_bytes=14)
    assert decoder.feed(b"data: 01234567\n\n" * 3) == [E("01234567")] * 3
    assert decoder.feed(b": 0123456789\n" * 50) == [Comment("0123456789")] * 50


def test_the_default_bound_takes_an_event_of_ten_mebibytes() -> None:
    text = "x" * (10 * 2**20)
    assert decode([b"data: ", text.encode(), b"\n\n"])[0] == [E(text)]


def seconds(stream: bytes, size: int) -> float:
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    best = float("inf")
    for _ in range(3):
        decoder = SSEDecoder()
        start = time.process_time()  # not the wall's: other processes take what they want of that
        for chunk in chunks:
            decoder.feed(chunk)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda n: b"data: " + b"x" * n + b"\n\n", 1),
        (lambda n: b"data: " + b"x" * n + b"\n\n", 100),
        (lambda n: b"data: y\n" * (n // 8) + b"\n", 7),
        (lambda n: b"data: y\n\n" * (n // 9), 5),
    ],
    ids=["one event, a byte at a time", "one event", "one event of many lines", "many events"],
)
def test_time_grows_in_proportion_to_the_bytes(make, size: int) -> None:  # type: ignore[no-untyped-def]
    small, large = 20_000 * size, 160_000 * size
    # Eight times the bytes: a quadratic decoder needs sixty-four times as long; what is between is noise.
    assert seconds(make(large), size) < 30 * seconds(make(small), size)


# More leniently than the text


OBJECTS = b'id: 1\ndata: {"a":1}\n: c\ndata:{"a":2}\ndata: {\ndata: }\ndata: [DONE]\n'


@pytest.mark.parametrize("size", range(1, len(OBJECTS) + 1))
def test_objects_without_blank_lines_are_events_of_their_own_and_have_no_ids(size: int) -> None:
    decoder = SSEDecoder(objects=True)
    given = [event for at in range(0, len(OBJECTS), size) for event in decoder.feed(OBJECTS[at : at + size])]
    assert given + decoder.close() == [Comment("c"), E('{"a":1}'), E('{"a":2}'), E("{\n}"), E("[DONE]", id="1")]
    assert decoder.anomalies == ["missing_blank_line"]


def test_only_a_decoder_of_objects_reads_lines_as_events() -> None:
    assert decode([b"data: {}\ndata: {}\n\n"])[0] == [E("{}\n{}")]
    assert SSEDecoder(objects=True).feed(b"data: {}\ndata: x\n\n") == [E("{}\nx")]


# the end of a stream: the event that it leaves open
ENDS: dict[bytes, list[Given]] = {
    b"data: a\n": [E("a")],
    b"data: a": [E("a")],
    b"data: a\r": [E("a")],
    b"data: a\n: c": [E("a")],
    b"data: a\nid: 1": [E("a")],
    b"data: a\nid: 12\n": [E("a", id="12")],
    b"data: a\ndata: caf\xc3": [E("a")],
    b"dat": [],
    b"data: a\n\n": [],
    b"": [],
}


@pytest.mark.parametrize("stream", ENDS)
def test_close_gives_what_a_stream_left_open_but_never_half_a_line_of_another_field(stream: bytes) -> None:
    decoder = SSEDecoder()
    decoder.feed(stream)
    assert decoder.close() == ENDS[stream]
    assert decoder.anomalies == []


def test_bytes_that_are_no_utf_8_are_replaced_and_named() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: caf\xe9\n\n" * 2) == [E("caf\ufffd")] * 2
    assert decoder.anomalies == ["invalid_utf8"]


BODIES = {
    b"data: x": "stream",
    b"data:x": "stream",
    b"\xef\xbb\xbf\r\n: c": "stream",
    b"event: ping": "stream",
    b"id: 1": "stream",
    b"retry: 1": "stream",
    b'\n {"a": 1}': "json",
    b"[1]": "json",
    b"<!doctype html>": "page",
    b"database": "other",
    b"oops": "other",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_is_known_by_its_first_bytes_however_few_come_at_once(body: bytes) -> None:
    said = [kind_of_body(body[:end]) for end in range(len(body) + 1)]
    assert [kind for kind in said if kind is not None][-1:] == [BODIES[body]]
    assert len(set(said) - {None}) == 1
