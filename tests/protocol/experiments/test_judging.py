"""What a judge is asked, and what its words make of a score."""

from __future__ import annotations

import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments import score
from deepseek_magic.protocol.experiments.judging import TIE, Case, judge_plan, preference, verdict
from deepseek_magic.protocol.experiments.plan import Plan
from deepseek_magic.protocol.template import fill

ROW = {"question": "Why?"}
POLITE = score.judge("Is this polite, asked {question}?", choices={"yes": 1, "no": 0, "so-so": 0.5})
CLEARER = score.prefer("Which is clearer?", model="pro", votes=3)


def test_a_judge_is_asked_once_an_answer_and_sees_no_setting() -> None:
    plan = judge_plan(
        POLITE, [Case("Because.", ROW), Case("Go {away}", ROW)], {"model": "flash", "temperature": 2, "seed": 1}
    )
    assert plan is not None
    assert [row["answer"] for row in plan.rows] == ["Because.", "Go {away}"]
    assert plan.options["model"] == "flash"
    assert plan.options["temperature"] == 0
    assert "seed" not in plan.options
    assert str(plan.options["system"]).endswith("verdict, one of: yes, so-so, no")
    text = fill(plan.templates[0].text, plan.variables(1)).text
    assert "Is this polite, asked Why?" in text
    assert text.count(plan.rows[1]["mark"]) == 2
    assert "\nGo {away}\n" in text
    assert judge_plan(POLITE, [], {}) is None


def test_a_judge_that_was_kept_in_the_journal_asks_the_same() -> None:
    yes_or_no = score.judge("Polite?")
    kept = Plan.of("{question}", rows=[ROW], scorers=[yes_or_no])
    (read,) = Plan.from_json(kept.to_json(), kept.rows_json()).scorers
    asked, again = (judge_plan(each, [Case("Because.", ROW)], {"model": "flash"}) for each in (yes_or_no, read))
    assert asked is not None
    assert again is not None
    assert str(asked.options["system"]).endswith("verdict, one of: yes, no")
    assert again.options == asked.options


def test_two_answers_are_shown_in_both_orders() -> None:
    plan = judge_plan(CLEARER, [Case("A", ROW, "B")], {"model": "flash", "base_url": "http://127.0.0.1:9"})
    assert plan is not None
    assert [(row["answer"], row["other"]) for row in plan.rows] == [("A", "B"), ("B", "A")]
    assert (plan.options["model"], plan.options["base_url"], plan.options["temperature"]) == (
        "pro",
        "http://127.0.0.1:9",
        1,
    )
    assert (plan.repeats, len(plan)) == (3, 6)


@pytest.mark.parametrize(
    ("reply", "value", "label", "why"),
    [
        ('{"why": "Kind.", "verdict": "yes"}', 1.0, "yes", "Kind."),
        ('```json\n{"verdict": "No"}\n```', 0.0, "no", None),
        ("I would say so-so.", 0.5, "so-so", None),
        ('{"verdict": "maybe"}', None, None, 'the judge gave no verdict: {"verdict": "maybe"}'),
        ("[1]", None, None, "the judge gave no verdict: [1]"),
        ("", None, None, "the judge did not answer"),
    ],
)
def test_a_verdict_is_read_from_json_or_words(
    reply: str, value: float | None, label: str | None, why: str | None
) -> None:
    made = verdict(POLITE, [reply])
    assert (made.value, made.label, None if made.why is None else str(made.why)) == (value, label, why)


def test_votes_are_averaged_and_the_most_frequent_one_is_the_label() -> None:
    made = verdict(POLITE, ["no", '{"verdict": "yes", "why": "Kind."}', "yes", None, "?"])
    assert (made.value, made.label, made.why) == (pytest.approx(2 / 3), "yes", "Kind.")
    assert str(verdict(POLITE, [None]).why) == "the judge did not answer"


@pytest.mark.parametrize(
    ("forth", "back", "value", "label"),
    [
        (["1"], ["2"], 1.0, "better"),
        (["2"], ["1"], 0.0, "worse"),
        (["1"], ["1"], TIE, "tie"),
        (["2"], ["2"], TIE, "tie"),
        (["tie"], ["tie"], TIE, "tie"),
        (["tie"], ["2"], TIE, "tie"),
        (["first"], ['{"verdict": "First"}'], TIE, "tie"),
        (["the first one"], ["Second."], 1.0, "better"),
        (["1", "1", "2"], ["2", "tie", "2"], 1.0, "better"),
        (["1", "2"], ["2", "1"], TIE, "tie"),
        (["1"], ["?"], None, None),
        ([None], ["1"], None, None),
    ],
)
def test_who_wins_only_in_one_order_has_not_won(
    forth: list[str | None], back: list[str | None], value: float | None, label: str | None
) -> None:
    made = preference(forth, back)
    assert (made.value, made.label) == (value, label)


@pytest.mark.parametrize(
    "make",
    [
        lambda: score.judge(" "),
        lambda: score.judge("Polite?", choices={"yes": 1}),
        lambda: score.judge("Polite?", votes=0),
        lambda: score.prefer(""),
        lambda: score.prefer("Clearer?", votes=True),
    ],
)
def test_a_judge_without_a_question_choices_or_votes_is_refused(make: object) -> None:
    with pytest.raises(ConfigurationError):
        make()  # type: ignore[operator]


def test_a_judge_is_typed_as_other_scores_are() -> None:
    assert score.read("judge=Is it polite, or rude?") == score.judge("Is it polite, or rude?")
    assert score.read("prefer=Which is clearer?") == score.prefer("Which is clearer?")
