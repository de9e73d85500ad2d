"""Where two segments meet: every rule of ``policy.seams`` on the smallest text that shows it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.seams import (
    REWIND_MAX_CHARS,
    EchoFilter,
    RestartFilter,
    StopFilter,
    repeats_itself,
    rewind,
    torn_from,
)
from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("   \n", ""),
        ("word", ""),
        ("one two", "one"),
        ("one two  \n", "one"),
        ("line1\nline2", "line1\n"),
        ("line1\n\n    indented", "line1\n\n"),
        ("line1\r\nline2", "line1\r\n"),
        ("\n\nword", ""),
        ("- a\n- ", "- a\n"),
        ("你好", "你"),
        ("你好。", "你好"),
        ("你好 \n", "你"),
        ("你好world", "你好"),
        ("world你好", "world你"),
        ("カタカナ", "カタカ"),
        ("か\u3099き\u3099", "か\u3099"),  # a combining mark goes with its letter
        ("葛\U000e0100", ""),  # and so does a variation selector
        ("안녕 세계", "안녕"),
        ("see 👩\u200d💻", "see"),
        ("one two\ufffd", "one"),
        ("one \ufffd", ""),
        ("one two \ufffd\ufffd", "one"),
        ("one two \ud83d", "one"),
        ("one \ufffd two", ""),
        ("a " + "x" * 100, "a " + "x" * 68),
        ("x" * 40, "x" * 8),
    ],
)
def test_the_prefix_ends_before_the_last_visible_word(text: str, kept: str) -> None:
    assert text[: rewind(text)] == kept


@given(st.text(st.characters(exclude_categories=["Mn", "Me", "Mc", "Cf", "Cs"], exclude_characters="\ufffd")))
def test_a_rewound_prefix_never_ends_in_a_space_and_gives_up_little(text: str) -> None:
    kept = text[: rewind(text)]
    assert not kept[-1:].isspace() or kept[-1] in "\r\n"
    assert not kept or kept.strip()
    assert len("".join(text[len(kept) :].split())) <= REWIND_MAX_CHARS
    assert not text.strip() or len(kept) < len(text.rstrip())


@given(st.text(st.sampled_from("a你 \n\ufffd\ud83d\u0301\u200d"), max_size=60))
def test_a_torn_character_never_ends_the_prefix(text: str) -> None:
    kept = text[: rewind(text)]
    assert torn_from(kept) == len(kept)
    assert not kept.endswith(" ")


# echo

PREFIX = "The first sentence of it."


def run_echo(chunks: list[str], prefix: str = PREFIX) -> tuple[str, EchoFilter]:
    echo = EchoFilter(prefix)
    return "".join(map(echo.feed, chunks)) + echo.release(), echo


@given(st.integers(1, 40))
def test_an_echoed_prefix_is_stripped_in_any_chunking(size: int) -> None:
    whole = PREFIX + " And more."
    text, echo = run_echo([whole[i : i + size] for i in range(0, len(whole), size)])
    assert (text, echo.stripped, echo.suspicious) == (" And more.", True, False)


def test_a_continuation_that_is_no_echo_is_released_at_its_first_difference() -> None:
    echo = EchoFilter(PREFIX)
    assert echo.feed("Th") == ""
    assert echo.feed("at") == "That"
    assert echo.feed("The") == "The"
    assert (echo.stripped, echo.suspicious) == (False, False)


def test_a_long_beginning_of_an_echo_that_then_differs_is_flagged_and_kept() -> None:
    text, echo = run_echo(["The first sentence", " and another"])
    assert (text, echo.stripped, echo.suspicious) == ("The first sentence and another", False, True)


def test_an_echo_that_never_completes_is_released() -> None:
    assert run_echo(["The first"])[0] == "The first"


def test_a_short_prefix_may_honestly_come_again() -> None:
    assert run_echo(["ha ha", " ha"], prefix="ha ha")[0] == "ha ha ha"


def test_an_echo_is_stripped_once() -> None:
    assert run_echo([PREFIX + PREFIX])[0] == PREFIX


# stop strings


def run_stop(chunks: list[str], stops: list[str], before: str = "") -> tuple[str, StopFilter]:
    stop = StopFilter(stops, before)
    text = "".join(map(stop.feed, chunks))
    return text + stop.release(), stop


@given(st.text("aSTOP ", max_size=30), st.integers(1, 7))
def test_a_stop_string_ends_the_text_where_it_begins_in_any_chunking(text: str, size: int) -> None:
    shown, stop = run_stop([text[i : i + size] for i in range(0, len(text), size)], ["STOP", "OP "])
    ends = [at for at in (text.find("STOP"), text.find("OP ")) if at >= 0]
    if not ends:
        assert (shown, stop.matched) == (text, None)
    else:
        # Which of two overlapping stop strings counts depends on which is whole first; nothing of either is shown.
        assert stop.matched is not None
        assert text.startswith(shown + stop.matched)
        assert "STOP" not in shown
        assert "OP " not in shown


def test_a_stop_string_across_the_seam_voids_its_beginning() -> None:
    shown, stop = run_stop(["D and on"], ["END"], before="the EN")
    assert (shown, stop.matched, stop.void_chars) == ("", "END", 2)


def test_a_stop_string_wholly_before_the_seam_is_old_news() -> None:
    shown, stop = run_stop(["on"], ["END"], before="the END")
    assert (shown, stop.matched) == ("on", None)


def test_only_what_may_begin_a_stop_string_is_held_back() -> None:
    stop = StopFilter(["\n\nQ:"])
    assert stop.feed("text") == "text"
    assert stop.feed("more\n") == "more"
    assert stop.feed("x") == "\nx"


def test_without_stop_strings_nothing_is_held_back() -> None:
    assert StopFilter([]).feed("text") == "text"


def test_after_a_stop_string_nothing_is_given_out() -> None:
    stop = StopFilter(["END"])
    assert [stop.feed("a END"), stop.feed("more")] == ["a ", ""]


def test_a_stop_string_of_one_character_is_found() -> None:
    assert run_stop(["ab", "c|d"], ["|"], before="|")[0] == "abc"


# restarts


def run_restart(delivered: str, chunks: list[str]) -> tuple[str, RestartFilter]:
    restart = RestartFilter(delivered)
    return "".join(map(restart.feed, chunks)), restart


@given(st.text("ab", max_size=12), st.text("ab", max_size=12), st.integers(1, 5))
def test_a_restart_that_repeats_the_text_delivers_only_the_rest(delivered: str, rest: str, size: int) -> None:
    whole = delivered + rest
    text, restart = run_restart(delivered, [whole[i : i + size] for i in range(0, len(whole), size)])
    assert (text, restart.verified, restart.diverged_at) == (rest, True, None)


def test_a_restart_that_differs_delivers_nothing_and_says_where() -> None:
    text, restart = run_restart("hello world", ["hel", "lo there", " you"])
    assert (text, restart.verified, restart.diverged_at) == ("", False, 6)


def test_a_restart_that_ends_early_is_not_verified() -> None:
    assert run_restart("hello", ["hell"])[1].verified is False


# loops


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("", False),
        ("Wait, let me check that again. " * 3, False),
        ("First I add the numbers. " + "Wait, let me check that again. " * 8, True),
        ("First I add the numbers. " + "Wait, let me check that again. " * 8 + "Wait, le", True),
        ("\n" * 4000, False),  # trailing white space is nothing yet
        ("so " * 100, True),
        ("".join(f"{n}. check number {n * 7919 % 1000}\n" for n in range(200)), False),
        ("The loop is over. " * 20 + "Now I know the answer, and it is 42 for these reasons.", False),
        ("x" * 10_000, True),
    ],
)
def test_a_thought_in_a_loop_is_recognised(text: str, loops: bool) -> None:
    assert repeats_itself(text) is loops


# the request that goes on

ASKED = Request.of("Tell me.", think="high", user_id="u1", max_tokens=500, stop=["END"])


def test_a_continuation_in_deepseeks_style_changes_only_what_it_must() -> None:
    body = ASKED.continued(text="Once", reasoning="Hm.", style="deepseek_prefix", max_tokens=400).body()
    expected = ASKED.body()
    expected["messages"].append({"role": "assistant", "content": "Once", "reasoning_content": "Hm.", "prefix": True})
    expected["max_tokens"] = 400
    assert body == expected


def test_a_continuation_inside_the_thought_has_an_empty_text_never_none() -> None:
    last = ASKED.continued(text="", reasoning="Hm", style="deepseek_prefix").body()["messages"][-1]
    assert last == {"role": "assistant", "content": "", "reasoning_content": "Hm", "prefix": True}


def test_other_styles_end_with_an_assistant_message() -> None:
    last = {"role": "assistant", "content": "Once"}
    assert ASKED.continued(text="Once", reasoning="Hm.", style="trailing_assistant").body()["messages"][-1] == last
    body = Request.of("Hi", extra_body={"top_k": 5}).continued(text="Once", style="continue_final_message").body()
    assert body["messages"][-1] == last
    assert (body["continue_final_message"], body["add_generation_prompt"], body["top_k"]) == (True, False, 5)


def test_an_answer_behind_the_users_own_prefix_goes_on_behind_both() -> None:
    asked = Request.of(
        [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Dear", prefix=True)]
    )
    messages = asked.continued(text=" friend", style="deepseek_prefix").body()["messages"]
    assert [m["content"] for m in messages] == ["Hi", "Dear friend"]


def test_a_finished_turn_at_the_end_is_not_taken_for_a_prefix() -> None:
    asked = Request.of([ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Done.")])
    messages = asked.continued(text="And", style="deepseek_prefix").body()["messages"]
    assert [m["content"] for m in messages] == ["Hi", "Done.", "And"]


@pytest.mark.parametrize(
    ("options", "style", "word"),
    [
        ({"json": True}, "deepseek_prefix", "JSON mode"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "deepseek_prefix", "tools"),
        ({}, "none", "cannot continue"),
    ],
)
def test_where_a_prefix_is_refused_it_is_not_sent(options: dict[str, object], style: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        Request.of("json please", **options).continued(text="{", style=style)  # type: ignore[arg-type]


def test_deepseeks_own_code_accepts_every_continuation() -> None:
    recipe = pytest.importorskip("deepseek_recipe")
    known = recipe.ConversionOptions().with_model_alias("deepseek-flash", recipe.ModelVersion.DeepseekV41Flash)
    for text, reasoning, think in (
        ("Once", "Hm.", "high"),
        ("", "Hm", "high"),
        ("Once", "", "off"),
        ("Once", "", "max"),
    ):
        asked = Request.of("Tell me.", think=think).continued(text=text, reasoning=reasoning, style="deepseek_prefix")
        recipe.ChatCompletionRequest(json.loads(json.dumps(asked.body()))).convert(known)
