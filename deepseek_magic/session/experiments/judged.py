"""The answers of a sweep before a judge: which are still to be judged, what it is asked, and what its replies make of scores."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ...engine.journal.reader import Journal
from ...engine.trials.scores import KeptScore, ScoreStore
from ...engine.trials.store import SweepStore
from ...metrics.row import Row
from ...protocol.experiments.judging import TIE, Case, judge_plan, preference, verdict
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rules import Score
from ...protocol.experiments.scoring import MISSING, Scorer
from .scores import pair_digest

if TYPE_CHECKING:
    from .sweep import Sweep

_ANSWERS: Final = """
    SELECT trials.setting, trials.row, trials.repeat, calls.call_id, calls.text FROM trials JOIN calls USING (call_id)
    WHERE sweep_id = ? AND state = 'done' ORDER BY trial
"""
_JUDGES: Final = """
    SELECT DISTINCT judges.sweep_id, judges.name FROM trials JOIN scores USING (call_id)
    JOIN trials AS judged ON judged.call_id = scores.judge_call_id
    JOIN sweeps AS judges ON judges.sweep_id = judged.sweep_id WHERE trials.sweep_id = ?
"""


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case with the calls whose answers it is about; ``decided`` where nobody needs to be asked."""

    case: Case
    calls: tuple[str, ...]
    decided: Score | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What a judge has not yet judged of a sweep. ``plan`` has it asked; None where nobody needs to be."""

    sweep: Sweep
    scorer: Scorer
    cases: Sequence[OpenCase]
    plan: Plan | None

    @classmethod
    def of(cls, sweep: Sweep, scorer: Scorer) -> Judging:
        """Of a sweep as it is now."""
        cases = open_cases(sweep.journal, sweep.sweep_id, sweep.plan, scorer)
        asked = judge_plan(scorer, [each.case for each in cases if each.decided is None], sweep.plan.options)
        return cls(sweep=sweep, scorer=scorer, cases=cases, plan=asked)

    @property
    def title(self) -> str:
        """What the judge's own sweep is called."""
        return title_of(self.sweep.name, self.scorer)

    def keep(self, replies: Sweep | None) -> Sweep:
        """The scores that the judge's replies make are the sweep's. Where a reply is missing there is no score: it is asked
        for next time. The judged sweep."""
        votes = int(self.scorer.arguments.get("votes", 1))
        rows = [] if replies is None else replies.rows()
        ScoreStore(self.sweep.journal).keep(_judged(self.scorer, self.cases, rows, votes)).result()
        return self.sweep


def title_of(sweep: str, scorer: Scorer) -> str:
    """What the sweep of a judge is called that judges the sweep of that name."""
    return f"{sweep} · {scorer.name}"


def spent_with_judges(sweep: Sweep) -> dict[str, Decimal]:
    """All that a sweep and those who judged it have cost, by currency: it pays for judges that are its scores, and one that was
    asked afterwards for itself. One that was asked for another sweep with the same answers is that one's."""
    store = SweepStore(sweep.journal)
    titles = {title_of(sweep.name, scorer) for scorer in sweep.plan.scorers}
    judges = sweep.journal.stored(_JUDGES, (sweep.sweep_id,))
    total = store.spent(sweep.sweep_id)
    for judge in (sweep_id for sweep_id, name in judges if name in titles):
        for currency, amount in store.spent(judge).items():
            total[currency] = total.get(currency, Decimal(0)) + amount
    return total


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
        digest = scorer.row_digest(plan.rows[row])
        decided = Score(None, why=MISSING) if scorer.wanted(plan.rows[row]) is None else None
        if scorer.kind == "judge":
            fresh = {call_id: text for _, call_id, text in answers if (call_id, digest) not in known}
            known.update((call_id, digest) for call_id in fresh)
            found += [OpenCase(Case(text, plan.rows[row]), (call_id,), decided) for call_id, text in fresh.items()]
            continue
        for (_, one, text), (_, two, other) in itertools.combinations(answers, 2):
            if (one, pair_digest(digest, two)) not in known:
                known.add((one, pair_digest(digest, two)))
                same = Score(TIE, label="tie") if text == other else None
                found.append(OpenCase(Case(text, plan.rows[row], other), (one, two), decided or same))
    return found


def _judged(scorer: Scorer, cases: Sequence[OpenCase], replies: Sequence[Row], votes: int) -> Iterator[KeptScore]:
    """The scores that the judge's replies make, ``replies`` being the rows of its own sweep in their order."""
    shown = iter([replies[begin : begin + votes] for begin in range(0, len(replies), votes)])
    for each in cases:
        digest, pair = scorer.row_digest(each.case.row), each.case.other is not None
        score, call_id = each.decided, None
        if score is None:
            said = [next(shown, ()) for _ in range(1 + pair)]
            if not all(map(_is_answered, said)):
                continue
            texts = [[_text(reply) for reply in order] for order in said]
            score = preference(*texts) if pair else verdict(scorer, texts[0])
            call_id = next((str(reply["call_id"]) for reply in said[0] if _text(reply) is not None), None)
        if not pair:
            yield KeptScore(each.calls[0], scorer.name, scorer.version, digest, score, call_id)
            continue
        one, two = each.calls
        yield KeptScore(one, scorer.name, scorer.version, pair_digest(digest, two), score, call_id)
        yield KeptScore(two, scorer.name, scorer.version, pair_digest(digest, one), _turned(score), call_id)


def _is_answered(votes: Sequence[Row]) -> bool:
    """Whether a judge has said all that it will: a vote that failed is none, one that was not asked may still be."""
    asked = all(reply["state"] in ("done", "failed") for reply in votes)
    return asked and any(_text(reply) is not None for reply in votes)


def _text(reply: Row) -> str | None:
    return reply["text"] if isinstance(reply["text"], str) else None


def _turned(score: Score) -> Score:
    """The same comparison from the other answer's side."""
    label = {"better": "worse", "worse": "better"}.get(score.label or "", score.label)
    return Score(None if score.value is None else 1 - score.value, label, score.why)
