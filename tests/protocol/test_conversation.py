"""A conversation is a value: turns belong to cells, and history is what came before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.conversation import Conversation, Conversations, Turn
from deepseek_magic.protocol.errors import ConfigurationError


def turn(id: str, question: str = "?", answer: str = "!", *, whole: bool = True) -> Turn:
    return Turn(
        id=id,
        user=ChatMessage(role="user", content=question),
        assistant=ChatMessage(role="assistant", content=answer),
        whole=whole,
    )


THREE = Conversation(name="main", turns=(turn("a", "1?", "one"), turn("b", "2?", "two"), turn("c", "3?", "three")))


def texts(messages: tuple[ChatMessage, ...]) -> list[str]:
    return [str(m.content) for m in messages]


def test_a_cell_run_again_replaces_its_turn_in_place() -> None:
    again = THREE.with_turn(turn("b", "2?", "TWO"))
    assert [t.id for t in again.turns] == ["a", "b", "c"]
    assert again.turns[1].assistant.content == "TWO"
    assert THREE.turns[1].assistant.content == "two"


def test_a_new_cell_adds_a_turn() -> None:
    assert [t.id for t in THREE.with_turn(turn("d", "4?", "four")).turns] == ["a", "b", "c", "d"]


def test_what_is_sent_for_a_cell_run_again_is_only_what_came_before_it() -> None:
    assert texts(THREE.history(before="b").messages) == ["1?", "one"]
    assert texts(THREE.history(before="new").messages) == ["1?", "one", "2?", "two", "3?", "three"]


def test_the_oldest_turns_are_left_out_whole_and_counted() -> None:
    history = THREE.history(max_tokens=12, count=len)
    assert texts(history.messages) == ["2?", "two", "3?", "three"]
    assert [turn.title for turn in history.dropped] == [THREE.turns[0].title]
    assert THREE.history(max_tokens=1, count=len).dropped == THREE.turns
    assert THREE.history(max_tokens=100, count=len).dropped == ()


def test_history_goes_after_the_system_prompt_and_before_the_question() -> None:
    request = Request.of("now?", system="be brief")
    with_history = THREE.request(request, THREE.history(before="b"))
    assert [m.role for m in with_history.messages] == ["system", "user", "assistant", "user"]
    assert with_history.prompt == "now?"


def test_a_stopped_answer_stays_and_is_marked() -> None:
    request = Request.of("go")
    kept = Turn.of("x", Completion(request=request, text="half", outcome="interrupted"))
    assert kept is not None
    assert not kept.whole
    assert "(interrupted)" in Conversation(name="n", turns=(kept,)).to_markdown()


def test_a_call_that_brought_nothing_leaves_no_turn() -> None:
    assert Turn.of("x", Completion(request=Request.of("go"), outcome="incomplete")) is None


def test_old_reasoning_is_kept_but_not_sent_without_tools() -> None:
    request = Request.of("go")
    kept = Turn.of("x", Completion(request=request, text="a", reasoning="because", outcome="complete"))
    assert kept is not None
    chat = Conversation(name="n", turns=(kept,))
    assert kept.assistant.reasoning_content == "because"
    assert "reasoning_content" not in str(chat.request(request, chat.history()).body())


def test_half_an_answer_is_sent_with_a_mark() -> None:
    chat = THREE.with_turn(turn("d", "4?", "fo", whole=False))
    assert texts(chat.history().messages)[-1] == "fo\n\n(interrupted)"
    assert chat.turns[-1].assistant.content == "fo"


def test_a_conversation_is_kept_as_one_object_a_turn() -> None:
    rows = [json.loads(line) for line in THREE.to_jsonl().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["messages"][1] == {"role": "assistant", "content": "one"}


def test_names_are_changed_only_where_nothing_is_lost() -> None:
    chats = Conversations(main=THREE)
    chats.branch("main", "side")
    assert chats["side"].turns == THREE.turns
    with pytest.raises(ConfigurationError, match="already"):
        chats.rename("main", "side")
    chats.rename("main", "tea")
    assert set(chats) == {"side", "tea"}
    assert chats["tea"].name == "tea"
    with pytest.raises(ConfigurationError, match="did you mean side"):
        chats.remove("sid")


def test_turns_that_a_cell_no_longer_has_go_from_every_conversation() -> None:
    chats = Conversations()
    chats["a"] = Conversation(name="a", turns=tuple(turn(id) for id in ("c:1", "c:2", "d:1", "c:10", "c1:2", "c:x")))
    chats["b"] = Conversation(name="b", turns=(turn("c:3"),))
    chats.keep_of_cell("c", 1)
    assert [t.id for t in chats["a"].turns] == ["c:1", "d:1", "c1:2", "c:x"]
    assert chats["b"].turns == ()


def test_turns_of_earlier_stand_before_these_and_one_that_both_have_stays_in_its_place() -> None:
    earlier = Conversation(name="a", turns=(turn("1"), turn("2"), turn("3")))
    now = Conversation(name="a", turns=(replace(turn("2"), whole=False), turn("4")))
    assert [(t.id, t.whole) for t in now.after(earlier).turns] == [("1", True), ("2", False), ("3", True), ("4", True)]


def test_a_call_without_a_question_leaves_no_turn() -> None:
    request = Request.of([ChatMessage(role="system", content="Speak.")])
    assert Turn.of("a", Completion(request=request, outcome="complete", text="Hello.")) is None


def test_an_answer_that_was_stopped_says_so_in_the_document() -> None:
    page = Conversation(name="main", turns=(turn("a"), turn("b", whole=False), turn("c"))).to_markdown()
    assert page.count("*(interrupted)*") == 1


def test_a_cell_that_asks_less_lets_its_later_turns_go() -> None:
    chats = Conversations(
        main=Conversation(name="main", turns=(turn("x:1"), turn("x:2"), turn("y:2"))),
        other=Conversation(name="other", turns=(turn("y:1"),)),
    )
    chats.keep_of_cell("x", 1)
    assert [t.id for t in chats["main"].turns] == ["x:1", "y:2"]
    chats.remove("other")
    assert set(chats) == {"main"}


def test_a_document_names_the_parts_of_a_prompt_that_are_no_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    asked = ChatMessage(role="user", content=({"type": "text", "text": "What is it?"}, image, {"type": "sound"}))
    page = Conversation(name="main", turns=(replace(turn("a"), user=asked),)).to_markdown()
    assert "What is it?\n\n[image] [part]" in page
