"""The demo as a judge of answers to sums: it errs as judges do, and is easily persuaded by longer answers and by whichever comes first.

Its errors have the shares that ``texts/sums.toml`` gives, drawn by the digest of what it is asked.
"""

from __future__ import annotations

import re
from typing import Final

from ...protocol.experiments.judging import INSTRUCTION
from .inquiry import Inquiry
from .sums import Sum, chance, setting_of, sum_in
from .texts import figures, say

_SHOWN: Final = re.compile(r"^(={8} [0-9a-f]+)$\n(.*?)\n^\1$", re.DOTALL | re.MULTILINE)
_NUMBER: Final = re.compile(r"\d+")


def verdict_on(asked: Inquiry) -> dict[str, str] | None:
    """What it replies, as JSON's fields; None where it is not asked as a judge, or not about a sum."""
    shown = [found[2] for found in _SHOWN.finditer(asked.prompt)]
    wanted = sum_in(asked.prompt.partition("=" * 8)[0])
    if not asked.system.startswith(INSTRUCTION) or wanted is None or not shown:
        return None
    right = [_right(answer, wanted) for answer in shown]
    if len(shown) > 1:
        place = _preferred(asked, right)
        why = "no_preference" if place == "tie" else "preferred"
        return {"why": say(asked.language, why, place=place), "verdict": place}
    good, *_, bad = asked.system.removeprefix(INSTRUCTION).split(", ")
    approves = _approves(asked, shown[0], right[0])
    why = "judged_right" if approves else "judged_wrong"
    said = say(asked.language, why, answer=_last_number(shown[0]), sum=f"{wanted.a} {wanted.sign} {wanted.b}")
    return {"why": said, "verdict": good if approves else bad}


def _last_number(answer: str) -> str:
    return str((_NUMBER.findall(answer) or ["?"])[-1])


def _right(answer: str, wanted: Sum) -> bool:
    return _last_number(answer) == str(wanted.value)


def _approves(asked: Inquiry, answer: str, right: bool) -> bool:
    share: dict[str, float] = figures("judge")
    if right:
        return _drawn(asked) >= share["misses"]
    return _drawn(asked) < share["believes" if answer.strip().isdecimal() else "persuaded"]


def _drawn(asked: Inquiry) -> float:
    return chance("judge", asked.draw, setting_of(asked))


def _preferred(asked: Inquiry, right: list[bool]) -> str:
    share: dict[str, float] = figures("judge")
    drawn = _drawn(asked)
    if right[0] == right[1]:
        return "1" if drawn < share["first"] else "tie"
    better = 1 if right[0] else 2
    return str(3 - better if drawn < share["blind"] else better)
