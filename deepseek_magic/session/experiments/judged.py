"""The answers of a sweep before a judge: which are still to be judged, and what its replies make of their scores."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ...engine.journal.reader import Journal
from ...engine.trials.scores import KeptScore, ScoreStore
from ...metrics.row import Row
from ...protocol.experiments.judging import TIE, Case, preference, verdict
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rules import Score
from ...protocol.experiments.scoring import MISSING, Scorer
from .scores import digest_of

_ANSWERS: Final = """
    SELECT trials.setting, trials.row, trials.repeat, calls.call_id, calls.text FROM trials JOIN calls USING (call_id)
    WHERE sweep_id = ? AND state = 'done' ORDER BY trial
"""


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case with the calls whose answers it is about; ``decided`` where nobody needs to be asked."""

    case: Case
    calls: tuple[str, ...]
    decided: Score | None = None


def open_cases(journal: Journal, sweep_id: str, plan: Plan, scorer: Scorer) -> list[OpenCase]:
    """What a judge has not yet judged in a sweep: each answer once, or each pair of settings' answers to an input."""
    stored = ScoreStore(journal).of_sweep(sweep_id)
    known = {
        (kept.call_id, kept.row_digest)
        for kept in stored
        if kept.version == scorer.version and kept.column == scorer.name
    }
    rows: dict[tuple[int, int], list[tuple[int, str, str]]] = defaultdict(list)
    for setting, row, repeat, call_id, text in journal.stored(_ANSWERS, (sweep_id,)):
        rows[row, repeat].append((setting, call_id, text or ""))
    found = list[OpenCase]()
    for (row, _), answers in rows.items():
        digest = digest_of(scorer, plan.rows[row], sweep_id)
        left = [(call_id, text) for _, call_id, text in answers if (call_id, digest) not in known]
        decided = Score(None, why=MISSING) if scorer.wanted(plan.rows[row]) is None else None
        if scorer.kind == "judge":
            fresh = dict(left)
            known.update((call_id, digest) for call_id in fresh)
            found += [OpenCase(Case(text, plan.rows[row]), (call_id,), decided) for call_id, text in fresh.items()]
        elif left:
            for (_, one, text), (_, two, other) in itertools.combinations(answers, 2):
                same = Score(TIE, label="tie") if text == other else None
                found.append(OpenCase(Case(text, plan.rows[row], other), (one, two), decided or same))
    return found


def judged(
    scorer: Scorer, sweep_id: str, cases: Sequence[OpenCase], replies: Sequence[Row], votes: int
) -> Iterator[KeptScore]:
    """The scores that the judge's replies make, ``replies`` being the rows of its own sweep in their order.

    Where a judge has not answered there is no score to keep: it is asked again next time.
    """
    shown = iter([replies[begin : begin + votes] for begin in range(0, len(replies), votes)])
    fared: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for each in cases:
        digest = digest_of(scorer, each.case.row, sweep_id)
        score = each.decided
        if score is None:
            forth = [_text(reply) for reply in next(shown)]
            back = [_text(reply) for reply in next(shown)] if each.case.other is not None else []
            if not any(forth) or (each.case.other is not None and not any(back)):
                continue
            score = verdict(scorer, forth) if each.case.other is None else preference(forth, back)
        for place, call_id in enumerate(each.calls):
            fared[call_id, digest].append(_turned(score) if place else score)
    for (call_id, digest), scores in fared.items():
        yield KeptScore(call_id, scorer.name, scorer.version, digest, _together(scores))


def _text(reply: Row) -> str | None:
    return reply["text"] if isinstance(reply["text"], str) else None


def _turned(score: Score) -> Score:
    """The same comparison from the other answer's side."""
    label = {"better": "worse", "worse": "better"}.get(score.label or "", score.label)
    return Score(None if score.value is None else 1 - score.value, label, score.why)


def _together(scores: Sequence[Score]) -> Score:
    values = [score.value for score in scores if score.value is not None]
    if len(scores) == 1 or not values:
        return scores[0]
    labels = {score.label for score in scores}
    return Score(sum(values) / len(values), labels.pop() if len(labels) == 1 else None)
