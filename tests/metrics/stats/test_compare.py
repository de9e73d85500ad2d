"""Scored trials become scores of settings and verdicts on differences, and what is missing makes nobody look good."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from deepseek_magic.metrics.stats.agreement import agreement, corrected_interval, corrected_rate, kappa
from deepseek_magic.metrics.stats.compare import (
    METHODS,
    VERDICTS,
    Comparison,
    Scored,
    SettingScore,
    compare,
    level_with_best,
    summarize,
)


def scored(side: str, values: Iterable[float | Sequence[float | None] | None], **more: Any) -> list[Scored]:
    """Of each input its value, or those of its repeats; None has failed."""
    found = []
    for number, mine in enumerate(values):
        repeats = mine if isinstance(mine, list | tuple) else [mine]
        found += [Scored(side, number, value, failed=value is None, **more) for value in repeats]
    return found


def one(trials: list[Scored], **more: Any) -> SettingScore:
    (made,) = summarize(trials, **more)
    return made


def pair(trials: list[Scored], **more: Any) -> Comparison:
    (made,) = compare(trials, **more)
    return made


def test_one_answer_an_input_is_wilson_s_interval() -> None:
    made = one(scored("a", [1.0] * 17 + [0.0] * 3))
    assert (made.n_inputs, made.repeats, made.answered, made.failed, made.method) == (20, 1, 20, 0, "Wilson")
    assert (made.score, made.low, made.high) == pytest.approx((0.85, 0.639581, 0.947631), abs=1e-6)
    assert str(made.shown) == "0.85 (0.64–0.95), 20 inputs"


def test_repeats_are_not_inputs() -> None:
    rights = (5, 5, 5, 5, 4, 5, 3, 5, 5, 0)
    made = one(scored("a", [[1.0] * right + [0.0] * (5 - right) for right in rights]))
    assert (made.low, made.high) == pytest.approx((0.524398, 0.961535), abs=1e-6)
    assert (made.n_inputs, made.repeats, made.answered, made.method) == (10, 5, 50, "Wilson, effective n")
    assert str(made.shown) == "0.84 (0.52–0.96), 10 inputs × 5"
    certain = one(scored("a", [[1.0] * 5] * 10))
    assert (certain.score, certain.high) == (1, 1)
    assert certain.low == pytest.approx(0.661491, abs=1e-6)


def test_one_input_says_next_to_nothing_however_often_it_is_asked() -> None:
    made = one(scored("a", [[1.0] * 50]))
    assert (made.low, made.high) == pytest.approx((0.2065, 1), abs=1e-3)
    assert one(scored("a", [[3.0, 5.0]])).low is None


def test_inputs_that_belong_together_are_one() -> None:
    trials = scored("a", [1.0] * 10 + [0.0] * 10)
    apart, together = one(trials), one(trials, cluster=lambda each: each // 10)
    assert apart.score == together.score == 0.5
    assert None not in (apart.low, apart.high, together.low, together.high)
    assert (together.high or 0) - (together.low or 0) > (apart.high or 0) - (apart.low or 0)
    assert one(trials, cluster=lambda each: 0).method == "Wilson"


def test_any_other_number_is_student_s_interval_and_never_without_width() -> None:
    made = one(scored("a", [12.0, 15.0, 9.0, 20.0]))
    assert made.method == "t over inputs"
    assert (made.score, made.low, made.high) == pytest.approx((14, 6.5365, 21.4635), abs=1e-4)
    alike = one(scored("a", [12.0] * 4))
    assert (alike.score, alike.low, alike.high, alike.method) == (12, None, None, "")
    assert str(alike.shown) == "12.00, 4 inputs"
    assert str(one(scored("a", [1234.0])).shown) == "1,234, 1 input"


def test_what_is_missing_is_counted_and_bounded() -> None:
    trials = [*scored("a", [1.0] * 8 + [None, None]), Scored("a", 10, None)]
    made = one(trials)
    assert (made.n_inputs, made.answered, made.failed, made.unjudged) == (8, 8, 2, 1)
    assert (made.score, made.worst, made.best) == pytest.approx((1, 8 / 11, 1))
    assert str(made.shown) == (
        "1.00 (0.68–1.00), 8 inputs, 2 failed, 1 not judged; 0.73 if all that is missing were wrong, 1.00 if right"
    )
    assert one(scored("a", [1.0] * 49 + [None])).worst is None, "two in a hundred may be missing"
    assert one(scored("a", [7.0, 8.0, None])).worst is None, "nobody knows how wrong a number can be"
    nothing = one(scored("a", [None, None]))
    assert (nothing.score, nothing.failed, str(nothing.shown)) == (None, 2, "–, 0 inputs, 2 failed")


def test_right_and_wrong_once_is_mcnemar_s_test() -> None:
    a = [1.0] * 1 + [0.0] * 7 + [1.0] * 12
    b = [0.0] * 1 + [1.0] * 7 + [1.0] * 12
    made = pair(scored("a", a) + scored("b", b))
    assert (made.a, made.b, made.n_inputs, made.dropped) == ("a", "b", 20, 0)
    assert (made.difference, made.low, made.high) == pytest.approx((0.3, 0.015082, 0.530373), abs=1e-6)
    assert made.p == made.p_corrected == pytest.approx(0.039063, abs=1e-6)
    assert (made.method, made.verdict) == ("Bonett–Price, McNemar mid-p", "better")
    assert pair(scored("a", b) + scored("b", a)).verdict == "worse"


def test_a_verdict_needs_the_interval_and_p() -> None:
    made = pair(scored("a", [0.0] * 5 + [1.0] * 45) + scored("b", [1.0] * 50))
    assert made.p == pytest.approx(0.03125)
    assert made.low is not None
    assert made.low < 0
    assert made.verdict == "cannot tell"
    assert made.visible == pytest.approx(2.8 * math.sqrt(6 / 52 / 50))


def test_repeats_are_averaged_before_inputs_are_compared() -> None:
    differences = (1, 0, 0, 2, -1, 3, 0, 1, 0, 2)
    a = [[1.0] * 1 + [0.0] * 4 for _ in differences]
    b = [[1.0] * (1 + d) + [0.0] * (4 - d) for d in differences]
    made = pair(scored("a", a) + scored("b", b))
    assert (made.difference, made.low, made.high) == pytest.approx((0.16, -0.015874, 0.335874), abs=1e-6)
    assert (made.p, made.method) == (0.125, "t over inputs, sign flips")
    twice = pair(scored("a", a * 2) + scored("b", b * 2))
    assert twice.method == "t over inputs"
    assert twice.verdict == "better"


def test_no_interval_goes_beyond_what_two_shares_can_differ_by() -> None:
    a, b = ([[0.0, 0.0]] * 3 + [[1.0, 0.0]], [[1.0, 1.0]] * 3 + [[0.0, 0.0]])
    made = pair(scored("a", a) + scored("b", b))
    assert made.high == 1
    thousands = pair(scored("a", [[0.0, 0.0], [0.0, 5.0]]) + scored("b", [[9.0, 9.0], [1000.0, 9.0]]))
    assert (thousands.high or 0) > 1


def test_where_nothing_differs_the_interval_still_has_width() -> None:
    for n, method in ((12, "t over inputs, sign flips"), (20, "t over inputs")):
        made = pair(scored("a", [[1.0, 0.0]] * n) + scored("b", [[0.0, 1.0]] * n))
        assert (made.difference, made.p, made.method, made.verdict) == (0, 1, method, "cannot tell")
        assert made.low is not None
        assert made.low < -0.1
    numbers = pair(scored("a", [3.0] * 20) + scored("b", [4.0] * 20))
    assert (numbers.low, numbers.p, numbers.verdict) == (None, 2 / 2**20, "better")


def test_an_outage_on_the_hard_inputs_makes_nobody_better() -> None:
    easy, hard = [1.0] * 30, [0.0] * 20
    made = pair(scored("a", easy + hard) + scored("b", easy + [None] * 20))
    assert (made.n_inputs, made.dropped, made.difference, made.verdict) == (30, 20, 0, "cannot tell")
    assert (made.worst, made.best) == pytest.approx((0, 0.4))
    scores = {each.side: each for each in summarize(scored("a", easy + hard) + scored("b", easy + [None] * 20))}
    assert (scores["b"].score, scores["b"].worst, scores["b"].failed) == (1, 0.6, 20)
    assert level_with_best(scored("a", easy + hard) + scored("b", easy + [None] * 20)) == {"a", "b"}


def test_some_repeats_that_failed_on_the_hard_inputs_make_nobody_better_either() -> None:
    a = [[1.0, 1.0, 1.0]] * 20 + [[0.0, 0.0, 1.0]] * 20
    lucky: list[list[float | None]] = [[1.0, 1.0, 1.0]] * 20 + [[None, None, 1.0]] * 20
    made = pair(scored("a", a) + scored("b", lucky))
    assert made.difference == pytest.approx(1 / 3)
    assert made.p is not None
    assert made.p < 0.001
    assert made.worst == pytest.approx(0)
    assert made.verdict == "cannot tell"
    turned = pair(scored("b", lucky) + scored("a", a))
    assert (turned.verdict, turned.best) == ("cannot tell", pytest.approx(0))


def test_a_difference_that_outweighs_what_is_missing_stands() -> None:
    a, b = [0.0] * 40 + [1.0] * 10, [1.0] * 47 + [None] * 3
    made = pair(scored("a", a) + scored("b", b))
    assert (made.dropped, made.verdict) == (3, "better")
    assert made.worst == pytest.approx(0.74)


def test_settings_without_a_common_input_cannot_be_compared() -> None:
    made = pair([Scored("a", 1, 1.0), Scored("b", 2, 0.0), Scored("b", 1, None)])
    assert (made.n_inputs, made.dropped, made.difference, made.p, made.verdict) == (0, 2, None, None, "cannot tell")
    single = pair(scored("a", [[1.0, 0.0]]) + scored("b", [[1.0, 1.0]]))
    assert (single.difference, single.p, single.low) == (0.5, None, None)


def test_what_is_not_compared_is_held_equal() -> None:
    """Two models at two temperatures: each model's answer to an input is set against the other's at the same temperature."""
    trials = [
        *scored("a", [0.0] * 20, block="cold"),
        *scored("a", [1.0] * 20, block="hot"),
        *scored("b", [1.0] * 20, block="hot"),
    ]
    made = pair(trials)
    assert (made.n_inputs, made.difference) == (20, 0)
    both = pair([*trials, *scored("b", [1.0] * 20, block="cold")])
    assert both.difference == 0.5


def test_many_comparisons_are_corrected_for_their_number() -> None:
    near = [1.0] * 7 + [0.0] * 14
    trials = scored("base", [0.0] * 1 + [0.0] * 20)
    for name in "abc":
        trials += scored(name, near if name == "a" else [0.0] * 21)
    against = compare(trials, baseline="base")
    assert [(each.a, each.b) for each in against] == [("base", "a"), ("base", "b"), ("base", "c")]
    assert against[0].p_corrected == pytest.approx(3 * (against[0].p or 0))
    assert len(compare(trials)) == 6
    with pytest.raises(ValueError, match="nobody"):
        compare(trials, baseline="nobody")


def test_all_that_cannot_be_told_from_the_best_are_named() -> None:
    trials = (
        scored("low", [0.0] * 40)
        + scored("high", [1.0] * 40)
        + scored("near", [1.0] * 38 + [0.0] * 2)
        + scored("none", [None])
    )
    assert level_with_best(trials) == {"high", "near"}
    assert level_with_best(scored("none", [None])) == frozenset()


def test_clusters_count_in_comparisons_too() -> None:
    a, b = scored("a", [0.0] * 40), scored("b", [1.0] * 10 + [0.0] * 30)
    assert pair(a + b).verdict == "better"
    made = pair(a + b, cluster=lambda each: each // 10)
    assert (made.difference, made.verdict, made.method) == (0.25, "cannot tell", "t over inputs, sign flips")
    assert pair(a + b, cluster=lambda each: 0).p is None


def test_each_method_is_named_in_the_reader_s_language() -> None:
    sets: list[list[Any]] = [[1.0, 0.0] * 4, [[1.0, 0.0], [1.0, 1.0]] * 10, [[1.0, 0.0], [1.0, 1.0]], [3.0, 4.0, 6.0]]
    used = {one(scored("a", values)).method for values in sets}
    used |= {pair(scored("a", values) + scored("b", values)).method for values in sets}
    assert used == set(METHODS)


def test_each_verdict_is_a_word_of_the_catalogue() -> None:
    assert set(VERDICTS) == {"better", "worse", "cannot tell"}
    assert VERDICTS["cannot tell"].localized("zh") != "cannot tell"


def test_kappa_is_what_chance_does_not_explain() -> None:
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa([("a", "a")]) is None
    assert kappa([("a", "b"), ("b", "a")]) == -1


def test_a_judge_s_rate_is_put_right_by_labels() -> None:
    labelled = [(True, True)] * 27 + [(False, True)] * 3 + [(False, False)] * 32 + [(True, False)] * 8
    made = agreement(labelled, [True] * 50 + [False] * 50)
    assert (made.sensitivity, made.specificity, made.by_judge) == (0.9, 0.8, 0.5)
    assert made.corrected == pytest.approx(0.3 / 0.7)
    assert made.low is not None
    assert made.high is not None
    assert made.low < 0.3 / 0.7 < made.high
    assert str(made.shown) == f"0.43 ({made.low:.2f}–{made.high:.2f}), corrected by 70 labels"


def test_with_few_labels_a_rate_is_the_judge_s_word() -> None:
    made = agreement([(True, True)] * 19 + [(False, False)] * 100, [True, False])
    assert (made.corrected, made.low, made.kappa) == (None, None, 1)
    assert str(made.shown) == "0.50 by the judge's word"
    assert agreement([("yes", "yes")], ["yes"], positive="yes").specificity is None
    assert agreement([("yes", "no")], ["yes"], positive="yes").sensitivity is None
    for empty in (([], [True]), ([(True, True)], [])):
        with pytest.raises(ValueError, match="no labels"):
            agreement(*empty)


def test_a_judge_no_better_than_chance_corrects_nothing() -> None:
    assert corrected_rate(0.5, 0.5, 0.5) is None
    assert corrected_interval(0.5, 0.5, 0.4, 100, 50, 50) is None
    assert agreement([(True, False)] * 30 + [(False, True)] * 30, [True]).corrected is None
    assert corrected_rate(0.05, 0.9, 0.9) == 0
    high = corrected_interval(0.88, 0.9, 0.9, 1000, 100, 100)
    assert high is not None
    assert 0.9 < high.low < high.high == 1
