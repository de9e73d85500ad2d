"""A message is a template and its values until it is shown; what others said arrives word for word."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from deepseek_magic.protocol.chat import error_from_body
from deepseek_magic.protocol.errors import RateLimited
from deepseek_magic.text import messages
from deepseek_magic.text.language import of_locales, use
from deepseek_magic.text.messages import Message, localized, say

DELETED = "{name} is deleted."
ASK = "Ask {who}…  {name} takes the variable of that name"
"""Its Chinese has a space on either side of ``who``."""
SERVERS_SAY: Final = (
    "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens (131808 in the messages, 8192 in the completion). Please reduce the length of the messages or completion.",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 200 `max_new_tokens`",
    "The input token count (1048580) exceeds the maximum number of tokens allowed (1048576).",
    "prompt is too long: 208310 tokens > 200000 maximum",
    "Range of input length should be [1, 129024]",
    "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    "This response_format type is unavailable now",
    "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required to be supplied and to be false.",
    "Failed to deserialize the JSON body into the target type: messages[0]: missing field `role` at line 1 column 42",
    "Expecting ',' delimiter: line 1 column 27 (char 26)",
    "Rate limit reached for deepseek-flash in organization org-1 on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s. Visit https://example.com/limits to learn more.",
    "Rate limit reached for requests; retry in 20 s: see the docs; or ask for more",
    "Too many requests. Your current concurrency is 26, which exceeds your concurrency limit of 25 based on your remaining balance",
    "You exceeded your current quota, please check your plan and billing details.",
    "Request was throttled. Expected available in 3 seconds.",
    "Requests rate limit exceeded, please try again later; quota: {'rpm': 60}",
    "No capacity in region eu-west-1; failing over to us-east-2 in 30 s",
    "Rate limit exceeded: free-models-per-day",
    "Insufficient Balance",
    "Your account has been suspended: the balance is below 0; top up to continue in {currency}",
    "Authentication Fails, Your api key: ****1234 is invalid",
    "Incorrect API key provided: ****. You can find your API key at https://platform.example.com/keys.",
    "You are not allowed to sample from this model in project {project}",
    "Country, region, or territory not supported",
    "Model Not Exist",
    "The model `deepseek-chat` does not exist or you do not have access to it.",
    'model "llama9" not found, try pulling it first',
    "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]",
    "temperature must be in [0, 2]; got 7: {temperature}",
    "Unrecognized request argument supplied: {name}; did you mean {near}?",
    "1 validation error for ChatRequest: body -> messages: field required (type=value_error.missing)",
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. (insufficient tool messages following tool_calls message)",
    "Invalid consecutive assistant message at message index 2",
    "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
    "Internal Server Error: {error}; {why}: {said}",
    "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
    "The server is currently overloaded with other requests: sorry about that! You can retry your request in a moment",
    "Provider returned error: the connection was reset after 12 characters; continuing in 2 s, attempt 2 of 6",
    "Content Exists Risk",
)
"""As DeepSeek, its hosts and its gateways write them: colons, semicolons, quotes, braces, and words of our own."""


@pytest.fixture
def chinese() -> Iterator[None]:
    use("zh")
    yield
    use("en")


def test_a_message_is_english_as_text_and_the_readers_language_where_it_is_shown() -> None:
    told = Message("attempt {attempt} of {of}", attempt=2, of=5)
    assert (str(told), told.localized("en"), told.localized("zh")) == (
        "attempt 2 of 5",
        "attempt 2 of 5",
        "第 2/5 次尝试",
    )


@pytest.mark.usefixtures("chinese")
def test_a_text_of_the_moment_is_in_the_language_in_force() -> None:
    assert say("attempt {attempt} of {of}", attempt=2, of=5) == "第 2/5 次尝试"
    assert localized(Message("stopped")) == "已停止"
    assert localized("stopped") == "stopped"


def test_a_message_in_a_message_is_localized_with_it_and_every_other_value_is_not() -> None:
    what = Message("The connection was reset{where}", where=Message(" after {chars} characters", chars=120))
    told = Message("{what}. {then}", what=what, then="stopped")
    assert told.localized("zh") == "连接被重置（已收到 120 个字符）。stopped"
    assert str(told) == "The connection was reset after 120 characters. stopped"


@pytest.mark.parametrize("name", ["{name}", "{{name}}", "{}", "%s", "\\1", "stopped"])
def test_what_is_filled_in_is_neither_filled_nor_translated_again(name: str) -> None:
    assert str(Message(DELETED, name=name)) == f"{name} is deleted."
    assert Message(DELETED, name=name).localized("zh") == f"对话 {name} 已删除。"


def test_a_field_without_a_value_stays_as_it_is_written() -> None:
    assert str(Message(DELETED)) == DELETED
    assert str(Message(DELETED).filled(name="main")) == "main is deleted."


def test_what_has_no_entry_stays_english() -> None:
    assert (
        Message("Something new has happened to {name}.", name="it").localized("zh")
        == "Something new has happened to it."
    )


def test_messages_are_values() -> None:
    told = Message("{what}. {then}", what=Message("stopped"), then=1)
    same = Message("{what}. {then}", then=1, what=Message("stopped"))
    assert told == same != Message("{what}. {then}", what="stopped", then=1)
    assert {told: 1}[same] == 1
    assert pickle.loads(pickle.dumps(told)) == copy.deepcopy(told) == copy.copy(told) == told
    with pytest.raises(AttributeError):
        told.template = "other"
    assert repr(told) == "'stopped. 1'"


def test_every_inserted_text_can_be_changed_also_in_messages_inside() -> None:
    told = Message("{what}. {then}", what=Message(DELETED, name="sk-1"), then=["sk-1"])
    assert str(told.mapped(lambda text: text.replace("sk-1", "****"))) == "**** is deleted.. ['sk-1']"


class Counted(dict[str, str]):
    looked_up = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.looked_up += 1
        return super().get(key, default)


@pytest.mark.parametrize("length", [1, 1000, 1_000_000])
def test_localizing_is_one_look_up_a_message_however_long_its_values_are(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: Mapping[str, str] = Counted({DELETED: "对话 {name} 已删除。"})
    monkeypatch.setattr(messages, "catalogue", lambda language: counted)
    Message("{what}. {then}", what=Message(DELETED, name="x" * length), then="y; " * length).localized("zh")
    assert isinstance(counted, Counted)
    assert counted.looked_up == 2


@pytest.mark.usefixtures("chinese")
def test_an_error_is_shown_in_the_readers_language_and_logged_in_english() -> None:
    error = error_from_body(429, '{"error": {"message": "Too many requests"}}')
    assert isinstance(error, RateLimited)
    assert error._render_traceback_() == [
        "RateLimited: API 返回 429：Too many requests。请减少同时发送的请求，或稍候。"
    ]
    assert str(error).startswith("The API answered with 429: Too many requests. Send fewer")


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize("status", [200, 400, 429, 503])
@pytest.mark.parametrize("said", SERVERS_SAY, ids=lambda said: said[:30])
def test_what_a_server_said_arrives_word_for_word(said: str, status: int) -> None:
    error = error_from_body(status, json.dumps({"error": {"message": said}}))
    (shown,) = error._render_traceback_()
    before, _, after = shown.partition(said.removesuffix("."))
    assert said.removesuffix(".") in shown
    assert error.said == said
    assert not [word for word in ("The ", "answered", "again", "Send") if word in before + after], shown


def test_there_are_forty_of_them() -> None:
    assert len(set(SERVERS_SAY)) == 40


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["zh_CN.UTF-8"], "zh"),
        (["zh"], "zh"),
        (["Chinese (Simplified)_China"], "zh"),
        ([None, "", "zh_SG"], "zh"),
        (["en", "zh_CN"], "en"),
        (["C.UTF-8"], "en"),
        ([None], "en"),
    ],
)
def test_the_first_locale_that_is_set_decides(names: list[str | None], expected: str) -> None:
    assert of_locales(names) == expected


@pytest.mark.parametrize(
    ("who", "said"), [("DeepSeek", "向 DeepSeek 提问"), ("演示服务器", "向演示服务器提问"), ("“一 二”", "“一 二”")]
)
def test_a_field_has_the_spaces_around_it_that_latin_words_have_and_chinese_ones_have_not(who: str, said: str) -> None:
    assert said in Message(ASK, who=who).localized("zh")


def test_what_others_said_keeps_its_spaces_beside_chinese() -> None:
    assert "向一 二提问" in Message(ASK, who="一 二").localized("zh")
