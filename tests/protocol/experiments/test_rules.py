"""The eight rules, by a table: an answer, the row of its input, and the score that a person would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from deepseek_magic.protocol.experiments import rules, score
from deepseek_magic.protocol.experiments.rules import Score
from deepseek_magic.protocol.experiments.scoring import Scorer


@dataclass
class City:
    city: str
    people: int = 0


EXACT = score.exact("{answer}")
CONTAINS = score.contains("{answer}")
NUMBER = score.number("{answer}")
NEAR = score.number("{answer}", within=0.01)
MOOD = score.one_of("positive", "negative", "mixed", expected="{answer}")
ANY_MOOD = score.one_of("positive", "negative", "正面", "负面")
SCHEMA = score.schema(City)
FIELD = score.field("$.city", "{answer}")
DEEP = score.field('$.rows[0]["the name"]', "{answer}")
PEOPLE = score.field("people", "{answer}")
SHORT = score.length(max_words=5)

TABLE: list[tuple[Scorer, str, Any, float | None]] = [
    # exact: case and white space do not count, all else does
    (EXACT, "Paris", "Paris", 1),
    (EXACT, "  paris\n", "Paris", 1),
    (EXACT, "New\u3000York", "new  york", 1),
    (EXACT, "STRASSE", "Straße", 1),
    (EXACT, "cafe\u0301", "café", 1),
    (EXACT, "Paris.", "Paris", 0),
    (EXACT, "Paris, France", "Paris", 0),
    (EXACT, "", "", 1),
    (EXACT, "", "Paris", 0),
    (EXACT, "北京", "北京", 1),
    (EXACT, "北京。", "北京", 0),
    (EXACT, "3", 3, 1),
    (EXACT, "nan", None, None),
    (EXACT, "{x}", "{x}", 1),
    (score.exact("{answer}", fold=False), "paris", "Paris", 0),
    (score.exact("{answer}", fold=False), "Paris ", "Paris", 0),
    (score.exact("42"), "42", None, 1),
    # contains
    (CONTAINS, "The capital is PARIS.", "Paris", 1),
    (CONTAINS, "It is New\nYork, I think", "new york", 1),
    (CONTAINS, "Lyon", "Paris", 0),
    (CONTAINS, "首都是北京。", "北京", 1),
    (CONTAINS, "anything", "", None),
    (CONTAINS, "anything", None, None),
    (score.contains("{answer}", fold=False), "paris", "Paris", 0),
    # regex: found anywhere, what a column brings is taken literally
    (score.regex(r"^\d+$"), "42", None, 1),
    (score.regex(r"^\d+$"), "42.", None, 0),
    (score.regex(r"\d{2}"), "it is ４２", None, 1),
    (score.regex(r"^{answer}$"), "a.c", "a.c", 1),
    (score.regex(r"^{answer}$"), "abc", "a.c", 0),
    (score.regex(r"(?i)答案[:：]\s*[A-D]"), "答案：b", None, 1),
    (score.regex("{answer}"), "x", None, None),
    # number: the last one of the answer
    (NUMBER, "1,234.50", "1234.5", 1),
    (NUMBER, "1234.5", "1,234.50", 1),
    (NUMBER, "The answer is 42.", 42, 1),
    (NUMBER, "42...", 42, 1),
    (NUMBER, "1 + 1 = 2", 2, 1),
    (NUMBER, "2, not 3", 2, 0),
    (NUMBER, "答案是４２。", 42, 1),
    (NUMBER, "共１，２３４．５０元", 1234.5, 1),
    (NUMBER, "-5", -5, 1),
    (NUMBER, "−5", -5, 1),
    (NUMBER, "10-3", 3, 1),
    (NUMBER, "-$1,000", -1000, 1),
    (NUMBER, "85 %", "85%", 1),
    (NUMBER, "1.5 × 10^3", 1500, 1),
    (NUMBER, r"\boxed{1{,}234}", 1234, 1),
    (NUMBER, "1\u202f234", 1234, 1),
    (NUMBER, "1.234,50", 1234.5, 1),
    (NUMBER, "6.02e23", 6.02e23, 1),
    (NUMBER, "0.1", 0.1, 1),
    (NUMBER, ".5", 0.5, 1),
    (NUMBER, "H2O", 2, 0),
    (NUMBER, "NaN", 42, 0),
    (NUMBER, "", 42, 0),
    (NUMBER, "42", None, None),
    (NUMBER, "42", "NaN", None),
    (NUMBER, "42", "many", None),
    (NEAR, "3.14", 3.15, 1),
    (NEAR, "3.14", 3.1501, 0),
    # one_of: alone, or the only one that is named
    (MOOD, "Positive.", "positive", 1),
    (MOOD, "**negative**", "Negative", 1),
    (MOOD, "The mood is mixed", "positive", 0),
    (MOOD, "positive, not negative", "positive", 0),
    (MOOD, "neutral", "positive", 0),
    (MOOD, "seropositive", "positive", 0),
    (MOOD, "positive", "happy", None),
    (MOOD, "positive", None, None),
    (ANY_MOOD, "这条评论是正面的。", None, 1),
    (ANY_MOOD, "“负面”", None, 1),
    (ANY_MOOD, "既有正面也有负面", None, 0),
    # schema: JSON, bare or in one fence
    (SCHEMA, '{"city": "Paris", "people": 2}', None, 1),
    (SCHEMA, 'Here it is:\n```json\n{"city": "Paris"}\n```', None, 1),
    (SCHEMA, '{"city": 5}', None, 0),
    (SCHEMA, '{"people": 2}', None, 0),
    (SCHEMA, "Paris", None, 0),
    # field
    (FIELD, '{"city": "paris "}', "Paris", 1),
    (FIELD, '```json\n{"city": "北京"}\n```', "北京", 1),
    (FIELD, '{"city": "Lyon"}', "Paris", 0),
    (FIELD, '{"town": "Paris"}', "Paris", 0),
    (FIELD, "[1]", "Paris", 0),
    (FIELD, "Paris", "Paris", 0),
    (FIELD, '{"city": null}', "null", 1),
    (FIELD, '{"city": true}', "True", 1),
    (FIELD, '{"city": ["a", "b"]}', '["a","b"]', 1),
    (FIELD, '{"city": ["a"]}', "a", 0),
    (FIELD, '{"city": "Paris"}', None, None),
    (DEEP, '{"rows": [{"the name": "Ada"}]}', "ada", 1),
    (DEEP, '{"rows": []}', "ada", 0),
    (PEOPLE, '{"people": 1234.50}', "1,234.5", 1),
    (PEOPLE, '{"people": "1234"}', 1234, 1),
    (PEOPLE, '{"people": NaN}', 1234, 0),
    (PEOPLE, '{"people": 2}', "many", 0),
    # length
    (SHORT, "one two three four five", None, 1),
    (SHORT, "one two three four five six", None, 0),
    (SHORT, "one two three four five ...", None, 1),
    (SHORT, "", None, 1),
    (SHORT, "你好世界。", None, 1),
    (SHORT, "今天天气很好", None, 0),
    (score.length(min_words=2, max_words=3), "one", None, 0),
    (score.length(max_chars=3), " abc ", None, 1),
    (score.length(min_chars=4), "abc", None, 0),
]


def test_the_table_is_long_enough_and_has_every_rule() -> None:
    assert len(TABLE) >= 60
    assert len({scorer.kind for scorer, *_ in TABLE}) == 8


@pytest.mark.parametrize(("scorer", "answer", "expected", "value"), TABLE, ids=lambda part: str(part)[:20])
def test_each_answer_gets_the_score_that_a_person_would_give(
    scorer: Scorer, answer: str, expected: Any, value: float | None
) -> None:
    made = scorer.scores(answer, {"answer": expected})
    assert list(made) == [scorer.name]
    assert made[scorer.name].value == value
    assert value == 1 or made[scorer.name].why or scorer.kind in ("exact", "contains", "regex", "field")


@pytest.mark.parametrize(
    ("scorer", "answer", "label", "why"),
    [
        (NUMBER, "It is 41", "41", "it says 41"),
        (NUMBER, "about 1e20", "1e+20", "it says 1e+20"),
        (NUMBER, "-9" + "9" * 400, "-inf", "it says -inf"),
        (NUMBER, "9" * 400, "inf", "it says inf"),
        (NUMBER, "9" * 1001, None, "no number in the answer"),
        (NUMBER, "x", None, "no number in the answer"),
        (MOOD, "negative", "negative", "it says negative"),
        (MOOD, "neutral", None, "none of the choices is in the answer"),
        (MOOD, "mixed or negative", None, "several of the choices are in the answer: mixed, negative"),
        (SHORT, "one two three four five six", None, "it has 6 words"),
        (score.length(max_chars=2), "abc", None, "it has 3 characters"),
        (FIELD, '{"city": "Lyon"}', "Lyon", None),
        (FIELD, '{"city": {"a": 1}}', '{"a": 1}', None),
        (FIELD, "{}", None, "there is no $.city in the answer"),
    ],
)
def test_a_wrong_answer_says_what_is_wrong(scorer: Scorer, answer: str, label: str | None, why: str | None) -> None:
    made = scorer.scores(answer, {"answer": "positive" if scorer is MOOD else "42"})[scorer.name]
    assert (made.value, made.label, None if made.why is None else str(made.why)) == (0.0, label, why)


def test_the_longest_choice_is_the_one_that_is_meant() -> None:
    assert rules.one_of("It is very good", ["good", "very good"]).label == "very good"


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$.city", ["city"]),
        ("city", ["city"]),
        ("$[0].a[-1]['x y'].城", [0, "a", -1, "x y", "城"]),
        ('$["a.b"]', ["a.b"]),
        ("$", []),
        ("$..a", None),
        ("a[b]", None),
    ],
)
def test_a_path_is_read_in_steps(path: str, steps: list[str | int] | None) -> None:
    assert rules.steps(path) == steps


def test_words_are_counted_as_word_processors_do() -> None:
    assert rules.count_words("It's e-mail, 3.5 kg - really") == 5
    assert rules.count_words("用 Python 写，很快！") == 5
    assert rules.shortened("a\nb" * 40, 10) == "a ba ba b…"


def test_a_score_is_a_value() -> None:
    assert Score(1) == Score(1.0, None, None)
    assert Score(0.5, "half", "because").label == "half"
