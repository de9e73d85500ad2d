"""A question finds its own answers in their order, on whichever machine; what is not there is told with what comes nearest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepseek_magic.protocol.tape.finding import Finder, canonical, differences, prompt_of, resource_of
from deepseek_magic.protocol.tape.takes import Take, TapeQuestion


def question(
    prompt: Any = "What is 2 + 2?", *, resource: str = "chat/completions", after: str = "", **fields: Any
) -> TapeQuestion:
    messages = [*fields.pop("before", []), {"role": "user", "content": prompt}]
    body = canonical(json.dumps({"model": "deepseek-flash", "messages": messages, **fields}).encode())
    return TapeQuestion(method="POST", resource=resource, body=body, after=after)


def takes(*questions: TapeQuestion) -> list[Take]:
    return [Take(number=n, at="", question=each) for n, each in enumerate(questions, 1)]


def number(take: Take | None) -> int | None:
    return None if take is None else take.number


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("https://api.deepseek.com/chat/completions", "chat/completions"),
        ("https://api.deepseek.com/beta/chat/completions", "chat/completions"),
        ("http://127.0.0.1:8000/v1/chat/completions?key=x", "chat/completions"),
        ("https://openrouter.ai/api/v1/models", "models"),
        ("https://api.deepseek.com/user/balance", "user/balance"),
        ("https://x.ai/xai_api.Chat/GetCompletionChunk", "xai_api.Chat/GetCompletionChunk"),
        ("http://127.0.0.1:8000/", ""),
        ("http://127.0.0.1:8000/what-else", "what-else"),
    ],
)
def test_what_an_address_names_does_not_depend_on_the_server(url: str, resource: str) -> None:
    assert resource_of(url) == resource


def test_a_body_is_compared_without_order_and_without_who_asks() -> None:
    assert canonical(b'{"b": 1, "a": [1.5], "user": "u", "user_id": "v"}') == '{"a":[1.5],"b":1}'
    assert canonical(b'{"a": [1.5], "b": 1}') == canonical(b'{ "b":1, "a":[1.5]}')
    assert canonical(None) == canonical(b"") == ""
    assert canonical(b"\x00\xff") == "\x00ÿ"
    assert canonical(b"[1, 2]") == "[1,2]"


def test_equal_questions_get_their_answers_in_order_and_no_more_until_the_next_cell() -> None:
    finder = Finder(takes(question(), question("Other?"), question()))
    assert [number(finder.find(question())) for _ in range(3)] == [1, 3, None]
    assert (finder.taken, len(finder), finder.count(question())) == (2, 3, 2)
    finder.rewind()  # the other question was not asked yet, and keeps its place
    assert [number(finder.find(question())) for _ in range(2)] == [1, 3]
    assert number(finder.find(question("Other?"))) == 2


def test_a_question_half_of_whose_answers_were_given_goes_on_in_the_next_cell() -> None:
    finder = Finder(takes(question(), question()))
    assert number(finder.find(question())) == 1
    finder.rewind()
    assert number(finder.find(question())) == 2


def test_a_resumed_stream_is_another_question() -> None:
    finder = Finder(takes(question(), question(after="7")))
    assert number(finder.find(question(after="7"))) == 2
    assert finder.find(question(after="8")) is None


def test_where_a_home_or_a_name_was_hidden_another_one_fits() -> None:
    hidden = question("Read <home>/data.csv on <host>.")
    finder = Finder(takes(hidden))
    assert number(finder.find(hidden)) == 1
    finder.rewind()
    assert number(finder.find(question("Read /home/jupyter/data.csv on hub-17."))) == 1
    assert finder.find(question("Read /home/jupyter/data.csv on hub-17.", temperature=0)) is None
    assert finder.find(question("Read my diary.")) is None
    assert finder.find(question("Read /home/x/data.csv on y.", resource="models")) is None
    assert finder.count(question("Read /home/x/data.csv on y.")) == 1


def test_what_was_recorded_meanwhile_is_found_in_the_next_cell() -> None:
    finder = Finder([])
    new, hidden = takes(question(), question("In <home>?"))
    finder.add(new)
    finder.add(hidden)
    assert finder.find(question()) is None
    finder.rewind()
    assert number(finder.find(question())) == 1
    assert number(finder.find(question("In /root?"))) == 2


def test_the_nearest_question_is_the_one_with_the_likest_words_and_settings() -> None:
    finder = Finder(
        takes(question("Name three rivers."), question("What is 2 + 3?", temperature=1), question("What is 2 + 3?"))
    )
    found = finder.nearest(question("What is 2 + 2?"))
    assert found is not None
    assert found[0].number == 3
    assert list(map(str, found[1])) == ["the prompt"]
    assert finder.nearest(question(resource="models")) is None
    assert Finder([]).nearest(question()) is None


def said(asked: TapeQuestion, known: TapeQuestion) -> list[str]:
    return [str(each) for each in differences(asked, known)]


def test_each_field_that_differs_is_named() -> None:
    system = {"role": "system", "content": "Be brief."}
    turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert said(question(), question()) == []
    assert said(question(temperature=0.5), question(temperature=0.2)) == ["temperature (0.5 here, 0.2 on the tape)"]
    assert said(question(stop="a"), question()) == ['stop ("a" here, not given on the tape)']
    assert said(question(before=[system]), question()) == ["the system prompt"]
    assert said(question(before=turn), question()) == ["the conversation before it"]
    assert said(question(after="3"), question()) == ["the place where the answer is resumed"]
    long = said(question(tools=["x" * 100]), question())
    assert len(long) == 1
    assert "…" in long[0]


def test_the_last_words_of_the_user_are_the_prompt() -> None:
    assert prompt_of(question("Two\nlines")) == "Two lines"
    assert len(prompt_of(question("x" * 100))) == 60
    shown = [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "What is this?"}]
    assert prompt_of(question(shown)).strip() == "What is this?"
    assert prompt_of(question(None)) == ""
    for body in ("", "no json", "[1]", "{}", '{"messages": 3}', '{"messages": [1, {"role": "system"}]}'):
        assert prompt_of(TapeQuestion(method="POST", resource="chat/completions", body=body)) == ""
    only = TapeQuestion(method="POST", resource="chat/completions", body='{"messages":[{"role":"assistant"}]}')
    assert said(only, question())[0] == "the prompt"
