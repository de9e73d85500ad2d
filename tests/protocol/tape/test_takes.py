"""A tape is text that says all that was recorded, and what it says is read again; what is none is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.tape.takes import (
    FORMAT,
    Read,
    Take,
    TapeFailure,
    TapeQuestion,
    head_line,
    lines_of,
    read_tape,
)
from deepseek_magic.text.messages import Message

HEAD = head_line(by="deepseek-magic 0.1.0", at="2026-11-29T10:00:00+00:00")
BODY = '{"messages":[{"content":"你好","role":"user"}],"model":"deepseek-flash"}'


def take(number: int = 1, **changed: Any) -> Take:
    given: dict[str, Any] = {
        "at": "2026-11-29T10:00:01.000+00:00",
        "question": TapeQuestion(method="POST", resource="chat/completions", body=BODY),
        "cell": "In [4]",
        "endpoint": "demo",
        "local": True,
        "opening_s": 0.25,
        "connect_s": 0.01,
        "status": 200,
        "headers": {"content-type": "text/event-stream"},
        "http_version": "HTTP/1.1",
        "reads": (Read(gap_s=0.125, data="data: 你\n\n".encode()), Read(gap_s=0.5, data=b"\xe4\xbd")),
        "end": "whole",
        "end_gap_s": 0.0625,
    }
    return Take(number=number, **(given | changed))


def again(*takes: Take, more: str = "") -> Any:
    text = HEAD + "".join(map(lines_of, takes)) + more
    return read_tape(text.splitlines(keepends=True), name="lesson.tape")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"question": TapeQuestion(method="GET", resource="models"), "endpoint": "", "local": False, "cell": ""},
        {"question": TapeQuestion(method="POST", resource="xai_api.Chat/GetCompletionChunk", body="\x00ä")},
        {"question": TapeQuestion(method="POST", resource="chat/completions", body=BODY, after="12")},
        {"end": "left", "connect_s": None},
        {
            "end": "left",
            "failure": TapeFailure(
                type="Disconnected",
                message=Message("The answer of {host} broke off: {reason}.", host="h", reason=Message("it ended")),
                hint="as the server said",
                more={"how": "early"},
            ),
        },
    ],
)
def test_what_is_written_is_read_again(changed: dict[str, Any]) -> None:
    assert again(take(**changed)).takes == (take(**changed),)


def test_a_request_without_an_answer_is_read_again() -> None:
    nothing: dict[str, Any] = {"status": None, "headers": {}, "http_version": "", "reads": (), "connect_s": None}
    refused = take(**nothing, end="left", end_gap_s=0.25, failure=TapeFailure(type="Disconnected", message="Nobody."))
    assert again(refused).takes == (refused,)


def test_takes_stand_in_the_order_of_asking_and_blank_lines_do_not_matter() -> None:
    tape = again(take(2), take(1), more="\n")
    assert [each.number for each in tape.takes] == [1, 2]
    assert not tape.cut_off


def test_a_person_can_read_it() -> None:
    asked, opened, read, cut, ended = map(json.loads, lines_of(take()).splitlines())
    assert asked["body"]["messages"][0]["content"] == "你好"
    assert (opened["status"], opened["gap"]) == (200, 0.25)
    assert read["read"] == "data: 你\n\n"
    assert "read64" in cut  # half a character is no text
    assert ended == {"call": 1, "gap": 0.0625, "end": "whole"}


def test_a_file_that_is_cut_off_plays_what_is_whole_wherever_it_was_cut() -> None:
    whole = HEAD + lines_of(take(1))
    text = whole + lines_of(take(2))
    for length in range(len(whole), len(text) - 1, 3):
        tape = read_tape(text[:length].splitlines(keepends=True), name="lesson.tape")
        assert [each.number for each in tape.takes] == [1]
        assert tape.cut_off == (length > len(whole))


def test_a_file_of_a_later_version_is_refused() -> None:
    head = json.dumps(json.loads(HEAD) | {"deepseek-magic tape": FORMAT + 1})
    with pytest.raises(ConfigurationError, match=r"lesson\.tape has version 2 .* reads version 1.*Update"):
        read_tape([head], name="lesson.tape")


@pytest.mark.parametrize("head", ["", "no json", "[1]", '{"cells": []}', "3"])
def test_what_is_no_tape_is_refused(head: str) -> None:
    with pytest.raises(ConfigurationError, match=r"lesson\.tape is no tape"):
        read_tape([head], name="lesson.tape")


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"call": 9}', '{"call": 1, "gap": "x"}', '{"call": 1, "gap": 0, "read64": "?"}', '{"gap": 0}'],
)
def test_a_line_in_the_middle_that_cannot_be_read_is_named(line: str) -> None:
    text = HEAD + lines_of(take(1)) + line + "\n" + lines_of(take(2))
    number = (HEAD + lines_of(take(1))).count("\n") + 1
    with pytest.raises(ConfigurationError, match=rf"lesson\.tape is damaged in line {number}\."):
        read_tape(text.splitlines(keepends=True), name="lesson.tape")
