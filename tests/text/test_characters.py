"""What a server says of itself cannot steer a terminal or turn a line around."""

from __future__ import annotations

from deepseek_magic.engine.hosts.health import _read_balance, _read_models
from deepseek_magic.protocol.chat import ChatDecoder, Request
from deepseek_magic.protocol.chunks import error_from_body
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.text.characters import named, unseen, visible

HOSTILE = "m\x1b]52;c;aGk=\x07\u202ex\x9b2J\r\u2066y"
NAMED = "m[ESC]]52;c;aGk=[BEL][RLO]x[CSI]2J[CR][LRI]y"


def test_characters_that_act_are_shown_by_their_names() -> None:
    assert named(HOSTILE) == NAMED
    assert named("模型 a\tb\r\nc 😀 שלום") == "模型 a\tb\nc 😀 שלום"
    assert all(named(chr(code)) != chr(code) for code in (*range(9), *range(11, 32), *range(127, 160)))


def test_a_server_is_cleaned_where_it_is_read() -> None:
    import json

    decoder = ChatDecoder()
    chunk = {"id": HOSTILE, "model": HOSTILE, "choices": [{"index": 0, "delta": {"content": "a"}}]}
    (started, _) = decoder.decode(json.dumps(chunk))
    error = error_from_body(400, json.dumps({"error": {"message": HOSTILE, "type": HOSTILE, "code": HOSTILE}}))
    (model,) = _read_models({"data": [{"id": HOSTILE}]})
    amount = {"currency": HOSTILE, "total_balance": HOSTILE}
    balance = _read_balance({"is_available": True, "balance_infos": [amount]})
    assert {started.model, started.id, error.type, error.code, error.said, model.id} == {NAMED}
    assert not any(sign in f"{error}{balance}" for sign in "\x1b\x07\x9b\u202e")


def test_a_bare_answer_does_not_steer_the_terminal_that_shows_it() -> None:
    answer = Completion(request=Request.of("x"), text="a\x1b]0;b\x07c\n")
    assert answer._repr_mimebundle_()["text/plain"] == "a]0;bc\n"
    assert "\x1b" not in repr(answer)
    assert answer.text == "a\x1b]0;b\x07c\n"


def test_what_is_not_seen_is_shown_by_its_name_and_what_is_seen_stays() -> None:
    hidden = "a\u200b\u00adb\u202e\x1bc\u3164\u2800d\ufe0f\U000e0041\r\x85\u00a0\u180b"
    said = "a[U+200B][U+00AD]b[RLO][ESC]c[U+3164][U+2800]d[U+FE0F][U+E0041][CR][NEL][U+00A0][U+180B]"
    assert visible(hidden) == said
    assert [place for place, _ in unseen("a\u200bb\x00")] == [1, 3]
    for seen in ("plain", "tab\tand\nline", "中　文", "⚠️ 👩‍💻 1️⃣", "שלום é"):
        assert visible(seen) == seen
    assert visible("x\u200dy") == "x[U+200D]y"
