"""The mark where an answer was joined: between words of plain text, and nowhere that it could change something."""

from __future__ import annotations

import pytest

from deepseek_magic.notebook.view.live import Settlement
from deepseek_magic.notebook.view.seam_marks import SIGN, marked, seam_line, strip_line
from deepseek_magic.notebook.view.settled import lasting
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.events import Seam, Usage
from deepseek_magic.protocol.markdown import safe
from deepseek_magic.protocol.outcome import Outcome
from deepseek_magic.text.messages import Message
from tests.text.hostile import PAYLOADS


def shown(text: str, at: int) -> str:
    return marked(text, [Seam(kind="continued", at_chars=at)], safe, lambda _: "why")


def test_a_mark_waits_for_the_end_of_the_word_and_tells_why() -> None:
    assert shown("one paragraph of words", 6) == f'one paragraph<span title="why">{SIGN}</span> of words'


def test_between_two_signs_of_chinese_there_is_no_word_to_wait_for() -> None:
    assert shown("白日依山尽", 2) == f'白日<span title="why">{SIGN}</span>依山尽'


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1 and more\n```\n\nend",
        "text\n\n```\nx = 1 and more",
        "a `code and more` here",
        "costs $x and more$ here",
        "| one | two and more |",
        "[a link and more](https://example.org)",
        "    x = 1 and more",
        "\\( x and more \\)",
        "oneverylongwordthatdoesnotendanywherenearbyandgoesonandon",
    ],
)
def test_where_it_could_change_something_there_is_no_mark(text: str) -> None:
    assert [at for at in range(len(text) + 3) if SIGN in shown(text, at)] == []


def test_without_its_marks_the_answer_is_shown_as_ever() -> None:
    text = "# Title\n\nA *first* paragraph of words, with more.\n\n- one item of a list\n- two\n\n```\ncode here\n```\n"
    for at in range(len(text)):
        assert shown(text, at).replace(f'<span title="why">{SIGN}</span>', "") == safe(text)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_mark_opens_no_door(name: str) -> None:
    text = PAYLOADS[name]
    for at in range(0, min(len(text), 400), 5):
        assert shown(text, at).replace(f'<span title="why">{SIGN}</span>', "") == safe(text)


BROKE = Message("The answer broke off{where}", where=Message(" after {chars} characters", chars=78))
WHY = Message("{what}; asking again for the rest{when}, attempt {n} of {of}.", what=BROKE, when="", n=2, of=6)


@pytest.mark.parametrize(
    ("seam", "said"),
    [
        (
            Seam(kind="continued", at_chars=72, detail=WHY),
            "The answer broke off after 78 characters; asked again for the rest, attempt 2, and joined at character 72.",
        ),
        (
            Seam(kind="continued", detail=WHY),
            "The answer broke off after 78 characters; asked again for the rest, attempt 2, and joined.",
        ),
        (
            Seam(kind="resumed", detail=WHY),
            "The answer broke off after 78 characters; asked again for the rest of the stream, attempt 2, and joined.",
        ),
        (
            Seam(kind="restarted", at_chars=0, detail=WHY),
            "The answer broke off after 78 characters; asked again from the beginning, attempt 2.",
        ),
        (Seam(kind="restarted", at_chars=0, detail="Elsewhere it got further."), "Elsewhere it got further."),
        (Seam(kind="resumed"), "Joined."),
    ],
)
def test_a_seam_is_told_in_one_sentence_with_one_place(seam: Seam, said: str) -> None:
    assert seam_line(seam) == said


JOINED = Seam(kind="continued", at_chars=72, detail=WHY)
ANEW = Seam(kind="restarted", at_chars=0, detail=WHY)


@pytest.mark.parametrize(
    ("seams", "attempts", "outcome", "said"),
    [
        ((), 1, "complete", ""),
        ((), 3, "complete", "No answer 2× · asked again 2×"),
        ((JOINED,), 2, "complete", "The answer broke off after 78 characters · asked again · joined · nothing is lost"),
        ((JOINED,), 2, "interrupted", "The answer broke off after 78 characters · asked again · joined"),
        ((JOINED, JOINED), 3, "complete", "Broke off 2× · asked again 2× · joined 2× · nothing is lost"),
        ((ANEW,), 2, "complete", "The answer broke off after 78 characters · asked again from the beginning"),
        ((Seam(kind="restarted", detail="Elsewhere it got further."),), 2, "complete", "Elsewhere it got further."),
        ((Seam(kind="continued"), JOINED), 3, "complete", "joined 2×"),
    ],
)
def test_one_line_above_an_answer_says_what_happened_to_it(
    seams: tuple[Seam, ...], attempts: int, outcome: Outcome, said: str
) -> None:
    completion = Completion(request=Request.of("hi"), text="a", seams=seams, attempts=attempts, outcome=outcome)
    assert strip_line(completion) == said
    ((data, _),) = lasting(Settlement(completion=completion))
    assert data["text/markdown"].startswith(f"<details><summary>{said}<" if seams else f"<p>{said}<" if said else "a")
    assert data["text/plain"] == "a"


@pytest.mark.parametrize(("tokens", "said"), [(1, "Reasoning · 1 token<"), (1_200, "Reasoning · 1,200 tokens<")])
def test_the_fold_of_the_reasoning_counts_its_tokens(tokens: int, said: str) -> None:
    usage = Usage(reasoning_tokens=tokens)
    thought = Completion(request=Request.of("hi"), text="a", reasoning="hm", usage=usage, outcome="complete")
    ((data, _),) = lasting(Settlement(completion=thought))
    assert said in data["text/markdown"]


def test_the_settled_answer_has_the_mark_and_its_plain_twin_has_not() -> None:
    seams = (Seam(kind="continued", at_chars=5, detail='The answer broke off after 5 characters; "so".'),)
    completion = Completion(request=Request.of("hi"), text="one two three", seams=seams, outcome="complete")
    ((data, _),) = lasting(Settlement(completion=completion))
    assert data["text/plain"] == "one two three"
    assert f"{SIGN}</span> three" in data["text/markdown"]
    assert data["text/markdown"].count("<span title=") == 1
    assert '"so"' not in data["text/markdown"].partition("</span>")[0].partition("title=")[2]
