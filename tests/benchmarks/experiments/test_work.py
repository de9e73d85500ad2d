"""What the rows about sweeps are computed with. The figures themselves are judged by nobody but their reader."""

from __future__ import annotations

import json

import pytest

from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply

from ..wire import Ask, in_one_piece
from .broken import least_s
from .coverage import shares
from .live import packed, parts
from .work import Work


def work(**given: object) -> Work:
    values = {"base_url": "http://127.0.0.1", "folder": "/", "trials": 3}
    return Work(**(values | given))  # type: ignore[arg-type]


def test_questions_are_all_different_and_the_answers_are_what_the_demo_says() -> None:
    asked = work(first=7)
    assert asked.questions == ["echo item 7", "echo item 8", "echo item 9"]
    body = {"model": "deepseek-flash", "messages": [{"role": "user", "content": asked.questions[1]}]}
    assert reply(asked_for(body)).text == asked.answers[1]


def test_the_benchmark_s_own_server_gives_the_answers_that_are_expected() -> None:
    asked = work(chunks=4)
    (known,) = set(asked.answers)
    wanted = Ask.found_in(asked.questions[2].encode())
    assert wanted == Ask(chunks=4)
    assert json.loads(in_one_piece(wanted))["choices"][0]["message"]["content"] == known


def test_the_least_time_is_that_of_places_which_are_never_empty() -> None:
    assert least_s(0.5, 40, (8, 4)) == pytest.approx(3 * 0.5 + 5 * 0.5)


def test_a_message_of_the_websocket_is_taken_apart_as_it_was_put_together() -> None:
    message = [b"iopub", b"{}", b"", b'{"a": 1}', b"buffer"]
    assert parts(packed(*message)) == message


def test_every_corner_has_a_coverage() -> None:
    held = shares("ours", 1)
    assert {len(values) for values in held.values()} == {20, 60}
