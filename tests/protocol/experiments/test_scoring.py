"""Scorers as values: their versions, what they read, functions of the user's own, and how they are typed."""

from __future__ import annotations

import dataclasses
import functools
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments import score
from deepseek_magic.protocol.experiments.plan import Plan
from deepseek_magic.protocol.experiments.rules import Score
from deepseek_magic.protocol.experiments.scoring import Scorer, filled, score_of
from deepseek_magic.protocol.schema import Schema

ROW = {"answer": "42", "unit price": 3, "meta": {"id": 7}, "none": None}


@dataclasses.dataclass
class Recipe:
    name: str


def polite(answer: str, row: Any) -> bool:
    return "please" in answer


@pytest.mark.parametrize(
    ("said", "made"),
    [
        (True, Score(1.0)),
        (False, Score(0.0)),
        (np.bool_(True), Score(1.0)),
        (3, Score(3.0)),
        (np.float32(0.5), Score(0.5)),
        (Decimal("0.25"), Score(0.25)),
        (Fraction(1, 4), Score(0.25)),
        ("rude", Score(None, label="rude")),
        (Score(1, "a", "b"), Score(1.0, "a", "b")),
        (Score(None, why="unclear"), Score(None, why="unclear")),
    ],
    ids=repr,
)
def test_a_function_may_return_many_things(said: Any, made: Score) -> None:
    assert score_of(said) == made
    assert score.function(lambda answer, row: said).scores("", {}) == {"function": made}


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (None, "None"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (Score(float("nan")), "nan"),
        (np.float64("nan"), "nan"),
        (pd.NA, "<NA>"),
        ([1], "list"),
        (Decimal("NaN"), "NaN"),
        (Decimal("sNaN"), "sNaN"),
        pytest.param(10**400, "int", id="a number that no float can hold"),
        (Score("abc"), "str"),  # type: ignore[arg-type]
        pytest.param(object(), "object", id="an object"),
    ],
    ids=repr,
)
def test_what_is_no_score_is_missing_and_says_so(said: Any, word: str) -> None:
    made = score_of(said)
    assert made.value is None
    assert str(made.why) == f"the function returned no score ({word})"


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


@pytest.mark.parametrize(("error", "why"), [(SystemExit(3), "SystemExit: 3"), (Speechless(), "Speechless")], ids=repr)
def test_whatever_a_function_raises_is_why_there_is_no_score(error: BaseException, why: str) -> None:
    def broken(answer: str, row: Any) -> float:
        raise error

    assert score.function(broken).scores("", {})["broken"] == Score(None, why=why)


def test_one_value_that_is_no_score_leaves_the_others() -> None:
    made = score.function(lambda answer, row: {"good": 1, "bad": 10**400}, name="two").scores("", {})
    assert (made["two.good"].value, made["two.bad"].value) == (1.0, None)


def test_a_function_that_raises_gives_no_score_and_the_sentence() -> None:
    def broken(answer: str, row: Any) -> float:
        raise KeyError("answer\nis not there " + "x" * 1000)

    made = score.function(broken).scores("", {})["broken"]
    assert made.value is None
    assert str(made.why).startswith("KeyError: 'answer\\nis not there")
    assert len(str(made.why)) == 300

    def silent(answer: str, row: Any) -> float:
        raise ValueError

    assert score.function(silent).scores("", {})["silent"].why == "ValueError"


def test_a_function_that_returns_a_dict_gives_several_scores() -> None:
    both = score.function(lambda answer, row: {"long": len(answer) > 3, 1: "word"}, name="both")
    assert both.scores("abcd", {}) == {"both.long": Score(1.0), "both.1": Score(None, label="word")}


def test_a_function_cannot_change_the_row_for_others() -> None:
    row = {"a": 1}
    score.function(lambda answer, row: row.pop("a")).scores("", row)
    assert row == {"a": 1}


def test_another_rule_or_another_source_is_another_version() -> None:
    made = [
        score.exact("{answer}"),
        score.exact("{answer}", fold=False),
        score.exact("{other}"),
        score.contains("{answer}"),
        score.number("{answer}"),
        score.number("{answer}", within=0.1),
        score.schema(Recipe),
        score.function(polite),
        score.function(functools.partial(polite, row=1)),
        score.function(functools.partial(polite, row=2)),
        score.function(lambda answer, row: 1),
        score.function(lambda answer, row: 2),
        score.function(eval("lambda answer, row: [1 for _ in answer]")),
        score.function(eval("lambda answer, row: [2 for _ in answer]")),
        score.function(re.compile),
        score.function(len),
    ]
    assert len({scorer.version for scorer in made}) == len({hash(scorer) for scorer in made}) == len(made)
    assert score.exact("{answer}").version == score.exact("{answer}", name="mine").version


class Checker:
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, answer: str, row: Any) -> bool:
        return len(answer) < self.limit


def test_an_object_that_is_called_is_a_function_too() -> None:
    made = score.function(Checker(3))
    assert (made.name, made.scores("ab", {})["Checker"].value) == ("Checker", 1.0)
    assert made.version


def test_a_score_is_given_anew_only_where_what_it_reads_has_changed() -> None:
    other = {**ROW, "unit price": 4}
    assert score.exact("{answer}").row_digest(ROW) == score.exact("{answer}").row_digest(other)
    assert score.exact("{unit price}").row_digest(ROW) != score.exact("{unit price}").row_digest(other)
    assert score.function(polite).row_digest(ROW) != score.function(polite).row_digest(other)
    assert score.length(max_words=3).row_digest(ROW) == score.length(max_words=3).row_digest(other)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{answer}", "42"),
        ("`{answer}` costs {unit price}", "`42` costs 3"),
        (r"$\frac{{answer}}{2}$", r"$\frac{{answer}}{2}$"),
        ('{meta["id"]} {other} {{{answer}}}', "7 {other} {42}"),
        ("{none}", None),
        ("{answer} {none}", None),
        ("plain", "plain"),
    ],
)
def test_what_is_expected_is_filled_from_the_row_once(text: str, made: str | None) -> None:
    assert filled(text, ROW) == made


def test_a_value_with_braces_is_not_filled_a_second_time() -> None:
    assert filled("{a}{b}", {"a": "{b}", "b": "{a}"}) == "{b}{a}"
    assert score.exact("{a}").scores("{b}", {"a": "{b}", "b": "x"})["exact"].value == 1


def test_a_quantifier_of_a_pattern_is_none_of_the_columns() -> None:
    made = score.regex(r"^{word}\d{2}$")
    assert made.pattern({"word": "a+", "2": "x"}) == r"^a\+\d{2}$"
    assert made.pattern({"word": None}) is None
    assert made.scores("a+12", {"word": "a+", "2": "x"})["regex"].value == 1


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (score.exact("{anser}"), "The score exact reads the column anser, which the inputs do not have"),
        (score.prefer("Which?"), "The score prefer sets settings against each other, and there is one alone."),
        (score.number("{x}", name="sum"), "The score sum reads the column x, which the inputs do not have."),
    ],
)
def test_a_column_that_is_not_there_is_refused_before_anything_is_asked(scorer: Scorer, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        Plan.of("{answer}", rows=[{"answer": "1"}], scorers=[scorer])
    Plan.of("{answer}", rows=[{"answer": "1"}], scorers=[score.regex("a{n}"), score.exact('{"a": {answer}}')])


def test_a_plan_keeps_its_scorers_but_they_are_no_part_of_what_is_asked() -> None:
    rows = [{"answer": "1"}]
    given = score.scorers([score.exact("{answer}"), polite, score.schema(Recipe)])
    made = Plan.of("{answer}", rows=rows, scorers=given)
    again = Plan.from_json(made.to_json(), made.rows_json())
    assert again == made
    assert [scorer.version for scorer in again.scorers] == [scorer.version for scorer in given]
    assert made.digest == Plan.of("{answer}", rows=rows).digest
    assert again.scorers[0].scores("1", rows[0])["exact"].value == 1
    for scorer in again.scorers[1:]:
        why = "what it runs is not kept with a sweep: give it again"
        assert str(scorer.scores("please", {})[scorer.name].why) == why


def test_scores_are_given_as_one_as_several_or_under_names() -> None:
    one = score.exact("{answer}")
    assert score.scorers(None) == ()
    assert score.scorers(one) == (one,)
    assert [scorer.name for scorer in score.scorers([one, polite, "contains={answer}"])] == [
        "exact",
        "polite",
        "contains",
    ]
    named = score.scorers({"right": one, "kind": polite})
    assert [scorer.name for scorer in named] == ["right", "kind"]
    assert named[0].version == one.version


@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("exact={answer}", score.exact("{answer}")),
        ("exact=a, b", score.exact("a, b")),
        ("contains= x", score.contains(" x")),
        (r"regex=^\d{1,3}$", score.regex(r"^\d{1,3}$")),
        ("number={x}, within=0.01", score.number("{x}", within=0.01)),
        ("one_of=yes,no,expected={label}", score.one_of("yes", "no", expected="{label}")),
        ("field=$.city,{city}", score.field("$.city", "{city}")),
        ("length=max_words=20,min_words=2", score.length(max_words=20, min_words=2)),
        ("schema=Recipe", score.schema(Recipe)),
        ("polite", score.function(polite)),
    ],
)
def test_a_score_is_read_as_it_is_typed(typed: str, made: Scorer) -> None:
    read = score.read(typed, {"polite": polite, "Recipe": Recipe})
    assert read == made
    assert read.version == made.version


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: score.read("exat={x}"), "There is no score exat (did you mean exact?)."),
        (lambda: score.read("polit", {"polite": polite}), "There is no score polit (did you mean polite?)."),
        (lambda: score.read("number="), "The score number says nothing to compare with."),
        (lambda: score.read("exact"), "The score exact says nothing to compare with."),
        (lambda: score.read("number={x},near=1"), "The score number={x},near=1 cannot be read."),
        (lambda: score.read("number={x},within=wide"), "The score number={x},within=wide cannot be read."),
        (lambda: score.read("schema=Recip", {"Recipe": Recipe}), "The schema Recip names a class that does not exist"),
        (lambda: score.regex("("), "( is no regular expression: missing ), unterminated subpattern at position 0."),
        (lambda: score.number("1", within=-1), "within cannot be -1: it takes a number from 0."),
        (lambda: score.number("1", within=float("nan")), "within cannot be nan: it takes a number from 0."),
        (lambda: score.number("1", within="wide"), "within cannot be 'wide': it takes a number from 0."),
        (lambda: score.length(max_words=-1), "max_words cannot be -1: it takes a whole number from 0."),
        (lambda: score.length(max_words="many"), "max_words cannot be 'many': it takes a whole number from 0."),
        (
            lambda: score.judge("Good?", choices={"a": 1, "b": float("nan")}),
            "choices cannot be nan: it takes a number.",
        ),
        (lambda: score.judge("Good?", choices={"a": "b"}), "choices cannot be 'b': it takes a number."),
        (lambda: score.judge("Good?", choices={}), "A judge takes a question and at least two choices."),
        (lambda: score.prefer(None), "A judge takes a question."),
        (lambda: score.exact("x", name=" "), "name cannot be ' ': it takes text that is not empty."),
        (lambda: score.one_of("yes"), "one_of takes at least two choices."),
        (lambda: score.field("$..a", "x"), "$..a is no path to a field."),
        (lambda: score.field("", "x"), '"" is no path to a field.'),
        (lambda: score.length(), "length takes at least one limit."),
        (lambda: score.scorers([polite, polite]), "Two scores are called polite."),
        (lambda: score.scorers(5), "A score is one of ds.score, or a function, not int."),
    ],
)
def test_a_score_that_cannot_be_is_refused_in_one_sentence(make: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert str(refused.value.message).startswith(said)
    assert refused.value.hint or "cannot be" in said


def test_what_a_judge_says_comes_from_a_call() -> None:
    with pytest.raises(ValueError, match="judge"):
        Scorer(name="kind", kind="judge").scores("", {})


def test_a_schema_may_be_made_already() -> None:
    assert score.schema(Schema.of(Recipe)).version == score.schema(Recipe).version
