"""A reply is a pure function of what was asked, so every beginning of it can be continued to the same end."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import continuation, reply
from deepseek_magic.demo.api.texts import sections
from deepseek_magic.demo.api.tokens import CACHE_UNIT_TOKENS, PrefixCache, tokenize

OFF = {"type": "disabled"}
FAILED = "Repair it in Python code.\n\n```python\n1 / 0\n```\n\nThe error:\n\n```\nline 1\nZeroDivisionError: division by zero\n```\n"
PROMPTS = (
    "hello",
    "a table, code and a formula",
    "你好，写一首诗",
    "unsafe",
    "long 3",
    "写一篇长文 3",
    FAILED,
    'echo {"a": {1}} ```x```',
)


def body(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "deepseek-flash", "messages": [{"role": "user", "content": prompt}], **fields}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_an_answer_is_continued_from_every_place_with_exactly_the_rest(prompt: str) -> None:
    asked = asked_for(body(prompt))
    whole = reply(asked)
    for cut in range(1, len(whole.text) + 1):
        assert whole.text[:cut] + continuation(asked, whole.text[:cut], whole.reasoning).text == whole.text


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_thought_is_continued_from_every_place_and_then_answered(prompt: str) -> None:
    asked = asked_for(body(prompt))
    whole = reply(asked)
    for cut in range(len(whole.reasoning) + 1):
        rest = continuation(asked, "", whole.reasoning[:cut])
        assert whole.reasoning[:cut] + rest.reasoning == whole.reasoning
        assert rest.text == whole.text


@pytest.mark.parametrize("prompt", PROMPTS)
def test_without_thinking_a_continuation_loses_the_newlines_at_its_start_and_nothing_else(prompt: str) -> None:
    asked = asked_for(body(prompt, thinking=OFF))
    text = reply(asked).text
    for cut in range(1, len(text) + 1):
        assert continuation(asked, text[:cut], None).text == text[cut:].lstrip("\n")


def test_budgets_and_streaming_do_not_change_what_is_said() -> None:
    plain = reply(asked_for(body("hello")))
    assert reply(asked_for(body("hello", max_tokens=3, stop=["x"], stream=True, user_id="u"))) == plain


def test_cut_json_is_continued_without_json_mode() -> None:
    text = reply(asked_for(body("json please", response_format={"type": "json_object"}))).text
    assert text[:9] + continuation(asked_for(body("json please")), text[:9], "").text == text


def test_a_foreign_beginning_gets_a_fitting_end() -> None:
    rest = continuation(asked_for(body("hello")), "Once upon a time", "").text
    assert rest.startswith(" …")
    assert "16 characters" in rest


@pytest.mark.parametrize(("prompt", "signs"), [
    ("show a table", ["|:---"]),
    ("Python code please", ["```python", "def "]),
    ("an equation", [r"\(", "$$", r"\["]),
    ("some markdown", ["**", "> ", "1. "]),
    ("用表格比较", ["| 行星 |"]),
    ("你好", ["演示服务器"]),
    ("unsafe", ["<img src=x onerror=", "<script>", "](javascript:"]),
])  # fmt: skip
def test_words_of_the_prompt_call_for_their_subject(prompt: str, signs: list[str]) -> None:
    text = reply(asked_for(body(prompt))).text
    assert all(sign in text for sign in signs)


@pytest.mark.parametrize(("question", "seen"), [
    ("How big?", "PNG, 400 × 220 pixels, 24 bytes"),
    ("多大？", "PNG，400 × 220 像素，24 字节"),
])  # fmt: skip
def test_an_image_is_described_in_the_language_of_the_question(question: str, seen: str) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(8) + (400).to_bytes(4) + (220).to_bytes(4)
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(png).decode()}"}}
    content = [image, {"type": "text", "text": question}]
    sent = body("", messages=[{"role": "user", "content": content}], model="deepseek-flash")
    assert f"- {seen}\n" in reply(asked_for(sent)).text


@pytest.mark.parametrize("prompt", [p for p in PROMPTS if "long" not in p and "长文" not in p])
def test_an_answer_fits_a_projector(prompt: str) -> None:
    assert len(reply(asked_for(body(prompt))).text.encode()) <= 2_000


@pytest.mark.parametrize("prompt", ["long {}", "写一篇长文 {}。", "长文{}"])
@pytest.mark.parametrize("kilobytes", [1, 4, 50])
def test_long_is_as_long_as_it_was_asked_for(prompt: str, kilobytes: int) -> None:
    text = reply(asked_for(body(prompt.format(kilobytes)))).text
    assert kilobytes * 1000 <= len(text.encode()) <= kilobytes * 1000 + 400
    assert ("ordinary sentences" in text) is (prompt == "long {}")


@given(st.text(max_size=80))
def test_echo_returns_the_prompt_untouched_in_a_code_block(said: str) -> None:
    prompt = f"echo {said}"
    lines = reply(asked_for(body(prompt))).text.split("\n")
    fence = lines[-1]
    assert lines[0] == f"{fence}text"
    assert set(fence) == {"`"}
    assert "\n".join(lines[1:-1]) == prompt
    assert fence not in prompt


@given(st.text(max_size=200))
def test_tokens_join_to_the_text_and_are_small(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(tokens) == text
    assert all(len(token) <= 6 or not token.strip() for token in tokens)


def test_json_mode_answers_json() -> None:
    answer = json.loads(reply(asked_for(body('json about "x"', response_format={"type": "json_object"}))).text)
    assert answer["question"] == 'json about "x"'


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
            "required": ["city", "days"],
        },
    },
}


def test_a_tool_is_called_when_the_prompt_speaks_of_it() -> None:
    (call,) = reply(asked_for(body("What is the weather in Paris for 3 days?", tools=[WEATHER]))).calls
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "Paris", "days": 3}


def test_a_tool_is_left_alone_when_the_prompt_does_not_speak_of_it_or_forbids_it() -> None:
    assert not reply(asked_for(body("Tell me a story", tools=[WEATHER]))).calls
    assert not reply(asked_for(body("weather in Paris", tools=[WEATHER], tool_choice="none"))).calls


def test_a_demanded_tool_is_called_whatever_the_prompt_says() -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    for choice in ("required", named):
        assert reply(asked_for(body("Tell me a story", tools=[WEATHER], tool_choice=choice, thinking=OFF))).calls


def test_the_result_of_a_tool_is_answered_with_text() -> None:
    asked = body("weather in Paris", tools=[WEATHER])
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    asked["messages"] += [
        {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": [call]},
        {"role": "tool", "content": "21 °C", "tool_call_id": "c1"},
    ]
    answer = reply(asked_for(asked))
    assert not answer.calls
    assert "21 °C" in answer.text


def test_a_chat_remembers_the_turn_before() -> None:
    messages = [
        {"role": "user", "content": "I am Ada"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "who am I?"},
    ]
    assert "I am Ada" in reply(asked_for({"model": "deepseek-flash", "messages": messages})).text


@pytest.mark.parametrize(
    ("told", "question", "answer"),
    [
        (["Our class meets in room 12.", "Hello"], "Where do we meet?", 'You told me: "Our class meets in room 12."'),
        (["Hi. My cat is called Tom. Bye."], "What is my cat called?", 'You told me: "My cat is called Tom."'),
        (["Hello"], "Where do we meet?", "Nobody told me. 3 messages reached me"),
        ([], "Where do we meet?", "Nobody told me. 1 message reached me"),
        (["我们班在12号教室上课。"], "我们在哪里上课？", "你告诉过我：“我们班在12号教室上课。”"),
        ([], "我们在哪里上课？", "没有人告诉过我"),
        ([], "What is a planet?", "demo server"),
        ([], "Who are you?", "demo server"),
    ],
)
def test_a_question_about_what_was_said_is_answered_with_it_or_with_the_lack_of_it(
    told: list[str], question: str, answer: str
) -> None:
    turns = [[{"role": "user", "content": said}, {"role": "assistant", "content": "Yes."}] for said in told]
    messages = [*(message for turn in turns for message in turn), {"role": "user", "content": question}]
    assert answer in reply(asked_for({"model": "deepseek-flash", "messages": messages})).text


def test_the_cache_hits_whole_units_of_the_common_beginning_for_the_same_user_only() -> None:
    cache = PrefixCache()
    first = [str(n) for n in range(3 * CACHE_UNIT_TOKENS + 5)]
    assert cache.hit_tokens(first) == 0
    cache.store(first)
    assert cache.hit_tokens([*first, "more"]) == 3 * CACHE_UNIT_TOKENS
    assert cache.hit_tokens([*first[: CACHE_UNIT_TOKENS + 1], "other", *first]) == CACHE_UNIT_TOKENS
    assert cache.hit_tokens(["changed", *first]) == 0
    assert cache.hit_tokens(first, user_id="someone else") == 0


def test_a_failed_cell_comes_back_with_its_error_above_it() -> None:
    text = reply(asked_for(body(FAILED))).text
    assert "```python\n# ZeroDivisionError: division by zero\n1 / 0\n```" in text


@pytest.mark.parametrize("page", ["README.md", "docs/zh/README.md"])
def test_the_example_of_the_readme_hits_no_word_that_the_demo_knows(page: str) -> None:
    """Who tries it on the demo gets their prompt back, not a table of planets."""
    (prompt,) = re.findall(r"^%%deepseek -o plan.*\n(.*)$", (Path(__file__).parents[2] / page).read_text("utf-8"), re.M)
    assert [*sections("en", prompt)] == []
