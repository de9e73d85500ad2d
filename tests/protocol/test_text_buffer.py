"""The accumulator's memory is that of its text, however small the pieces."""

from __future__ import annotations

import tracemalloc

from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator, text_buffer
from deepseek_magic.protocol.events import TextDelta


def test_a_text_buffer_begins_empty_and_appends() -> None:
    buffer = text_buffer()
    assert buffer.getvalue() == ""
    buffer.write("a\r\n")
    buffer.write("b")
    assert (buffer.getvalue(), buffer.tell()) == ("a\r\nb", 4)


def test_many_small_pieces_take_four_bytes_a_character_and_no_object_each() -> None:
    answer = Accumulator(Request.of("x"))
    tracemalloc.start()
    try:
        for i in range(60_000):
            answer.add(TextDelta(text=f"w{i % 10} "))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 4 * answer.text_chars * 1.25 + 50_000
