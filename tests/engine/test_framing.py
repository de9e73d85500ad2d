"""Heads and chunks: the same bytes give the same body however they are cut, and what is not whole is never called so.

h11 is the judge: whatever it reads we read alike, and what it refuses we refuse.
"""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.engine.network.framing import LARGEST_LINE_BYTES, ChunkedBody, ResponseHead

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def read(pieces: list[bytes]) -> tuple[bytes, ChunkedBody]:
    body, out = ChunkedBody(), b""
    for at, piece in enumerate(pieces):
        out += body.feed(piece)
        if body.ended:
            body.rest += b"".join(pieces[at + 1 :])
            break
        if body.damage is not None:
            break
    return out, body


def judged(wire: bytes) -> tuple[bytes, bool, bool]:
    """What h11 makes of it: content, whether it ended, whether it was refused."""
    judge = h11.Connection(our_role=h11.CLIENT)
    judge.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    judge.send(h11.EndOfMessage())
    judge.receive_data(HEAD + wire)
    content = b""
    try:
        while (event := judge.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                return content, True, False
    except h11.RemoteProtocolError:
        return content, False, True
    return content, False, False


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(borders)]


extensions = st.sampled_from([b"", b";a", b";a=1", b';x="y z" ', b"  "])
chunks = st.lists(st.tuples(st.binary(min_size=1, max_size=40), extensions), max_size=8)
trailers = st.sampled_from([b"", b"x-sum: 1\r\n", b"a: b\r\nc: d\r\n"])


def written(body: list[tuple[bytes, bytes]], trailer: bytes = b"", *, upper: bool = False) -> bytes:
    sizes = [(f"{len(data):X}" if upper else f"{len(data):x}").encode() for data, _ in body]
    lines = [size + ext + b"\r\n" + data + b"\r\n" for size, (data, ext) in zip(sizes, body, strict=True)]
    return b"".join(lines) + b"0\r\n" + trailer + b"\r\n"


@given(chunks, trailers, st.lists(st.integers(0, 1000), max_size=12), st.booleans(), st.binary(max_size=5))
def test_the_same_bytes_give_the_same_body_however_they_are_cut(
    body: list[tuple[bytes, bytes]], trailer: bytes, places: list[int], upper: bool, rest: bytes
) -> None:
    out, reader = read(cut(written(body, trailer, upper=upper) + rest, places))
    assert out == b"".join(data for data, _ in body)
    assert (reader.ended, reader.damage, reader.rest) == (True, None, rest)


def test_a_body_is_read_cut_at_every_byte_and_byte_by_byte() -> None:
    wire = written([(b"data: a\r\n\r\n", b""), (b"\r\n", b";q=1"), (b"z" * 17, b"")], b"t: 1\r\n")
    expected = b"data: a\r\n\r\n\r\n" + b"z" * 17
    for place in range(len(wire) + 1):
        out, reader = read([wire[:place], wire[place:]])
        assert (out, reader.ended) == (expected, True)
    out, reader = read([wire[i : i + 1] for i in range(len(wire))])
    assert (out, reader.ended) == (expected, True)


@given(chunks, trailers, st.integers(0, 1000), st.lists(st.integers(0, 1000), max_size=4))
def test_every_early_end_is_noticed_and_takes_nothing_that_had_come(
    body: list[tuple[bytes, bytes]], trailer: bytes, at: int, places: list[int]
) -> None:
    wire = written(body, trailer)
    early = wire[: at % len(wire)]
    out, reader = read(cut(early, places))
    assert not reader.ended
    assert reader.damage is None
    assert out == judged(early)[0]


@given(chunks, st.integers(0, 1000), st.sampled_from([b"\r", b"\n", b"x", b"g", b"-", b"_", b" ", b"\0", b";", b"0"]))
def test_a_damaged_body_is_read_no_further_than_h11_reads_it(
    body: list[tuple[bytes, bytes]], at: int, wrong: bytes
) -> None:
    wire = written(body)
    at %= len(wire)
    wire = wire[:at] + wrong + wire[at + 1 :]
    content, ended, refused = judged(wire)
    out, reader = read([wire])
    if refused:  # but for a trailer that is none: the body is whole then
        assert not reader.ended or out == content
    if ended:
        assert (out, reader.ended) == (content, True)
    assert out.startswith(content) or content.startswith(out)


@pytest.mark.parametrize(
    ("wire", "given_out"),
    [
        (b"xyz\r\nabc", b""),
        (b"-1\r\nabc", b""),
        (b"0x3\r\nabc\r\n", b""),
        (b"1_0\r\nabc\r\n", b""),
        (b"\r\n", b""),
        (b"3\nabc\r\n", b""),
        (b"3\r\nabcd\r\n", b"abc"),
        (b"3\r\nabc\n\n", b"abc"),
        (b"3\r\nabc\r\n\r\n", b"abc"),
        (b"1" * 21 + b"\r\nabc", b""),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_what_is_no_chunk_is_damage_after_what_came_before_it(wire: bytes, given_out: bytes, step: int) -> None:
    out, reader = read([wire[i : i + step] for i in range(0, len(wire), step)])
    assert reader.damage
    assert not reader.ended
    assert out == given_out


@pytest.mark.parametrize("wire", [b"3;" + b"e" * LARGEST_LINE_BYTES, b"0\r\n" + b"a: b\r\n" * LARGEST_LINE_BYTES])
def test_a_line_that_does_not_end_is_not_collected_for_ever(wire: bytes) -> None:
    out, reader = read([wire[i : i + 100] for i in range(0, len(wire), 100)])
    assert (out, reader.ended) == (b"", False)
    assert reader.damage


def test_many_chunks_of_one_read_come_out_as_one_piece() -> None:
    wire = written([(b"data: x\n\n", b"")] * 1000)
    assert ChunkedBody().feed(wire) == b"data: x\n\n" * 1000


# heads

FINAL = b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: z\r\n\r\n"


def heads_of(data: bytes, step: int) -> tuple[bytes, bytes]:
    """What is let through while the head is open, and what is left when it closes."""
    head, passed, left = ResponseHead(), b"", data
    while left and head.open:
        piece = left[:step]
        taken = head.feed(piece)
        passed, left = passed + piece[:taken], left[taken:]
    return passed, left


@pytest.mark.parametrize("step", [1, 2, 3, 5, 10**6])
@pytest.mark.parametrize("heads", [FINAL, EARLY + FINAL, EARLY + EARLY + FINAL, FINAL.replace(b"\r\n", b"\n")])
def test_a_head_ends_where_it_ends_however_it_is_cut(heads: bytes, step: int) -> None:
    assert heads_of(heads + b"5\r\nHTTP/\r\n\r\n", step) == (heads, b"5\r\nHTTP/\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\x05\x00\n\n\x00",
        b"\x00\x00\x12\x04\x00\n\n\n\n",
        b"HTTX\r\n\r\nabc",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a" * 200_000,
    ],
)
def test_of_what_is_no_answer_in_http_1_nothing_is_kept_back(data: bytes) -> None:
    passed, left = heads_of(data, 3)
    assert passed + left == data
    assert data.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")) or len(passed) < len(data)
    head = ResponseHead()
    assert head.feed(data) == len(data)
