"""Plans of every kind, asked after they were looked at: what each said it would cost at least and at most, and what it cost.

python -m tests.experiments.plans --plans 50 --seed 1
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import begun, planned
from deepseek_magic.session.experiments.outlook import with_outlook

_PROMPTS: Final = ("echo {n}", "{n}", "用一句话说明 {n}", {"short": "echo {n}", "long": "{n} and why? {n}"})
_WORDS: Final = ("word", "水的沸点", "1,234.5", "naïve", "{braces}", "x" * 60)
_GRIDS: Final[tuple[dict[str, list[Any]], ...]] = (
    {},
    {"temperature": [0, 1]},
    {"think": ["off", "low"]},
    {"model": ["flash", "pro"], "system": ["Be brief.", None]},
    {"max_tokens": [1, 40, 400]},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Of one plan: calls that it announced and that the server saw, and what they cost, in the demo's money."""

    calls: int
    seen: int
    connections: int
    """Opened while the plan was made."""
    least: Decimal
    expected: Decimal | None
    most: Decimal
    spent: Decimal

    @property
    def holds(self) -> bool:
        """Whether all came as it was said."""
        return self.calls == self.seen and self.connections == 0 and self.least <= self.spent <= self.most


def one(number: int, seed: int, demo: DemoServer, session: Session) -> Priced:
    """A plan by chance, and its sweep."""
    chance = random.Random(f"{seed} {number}")
    words = [" ".join(chance.choices(_WORDS, k=chance.randrange(1, 30))) for _ in range(chance.randrange(1, 4))]
    options: dict[str, Any] = {
        "over": [{"n": f"{seed} {number} {text}"} for text in chance.choices(words, k=chance.randrange(1, 6))],
        "grid": chance.choice(_GRIDS),
        "repeats": chance.randrange(1, 4),
        "each": chance.random() < 0.3,
        "endpoint": "demo",
    }
    if "think" not in options["grid"]:
        options["think"] = chance.choice(("off", "low", "high"))
    if "max_tokens" not in options["grid"] and chance.random() < 0.5:
        options["max_tokens"] = chance.randrange(1, 200)
        options["continue_on_length"] = chance.random() < 0.3 or None
    prompt: Any = chance.choice(_PROMPTS)
    before = demo.connections
    plan = with_outlook(session, planned(session, prompt, {**options}))  # type: ignore[typeddict-item]
    opened, asked = demo.connections - before, len(demo.requests)
    made = plan.outlook
    assert made is not None
    assert made.cost.least is not None
    assert made.cost.most is not None
    rows = begun(session, plan, {}).wait().rows()
    assert {row["state"] for row in rows} == {"done"}
    records = {row["call_id"]: row["cost"] for row in rows if not row["reused"]}
    again = sum("prefix" in seen.body["messages"][-1] for seen in demo.requests[asked:])
    return Priced(
        calls=made.calls,
        seen=len(demo.requests) - asked - again,  # a continuation is part of its call
        connections=opened,
        least=made.cost.least.amount,
        expected=None if made.cost.expected is None else made.cost.expected.amount,
        most=made.cost.most.amount,
        spent=sum((Decimal(str(cost)) for cost in records.values()), Decimal(0)),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    typed = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as home, DemoServer(pace=0, keep=100_000) as demo:
        os.environ.update({"DEEPSEEK_MAGIC_HOME": home, DEMO_VARIABLE: demo.base_url})
        session = Session()
        for number in range(typed.plans):
            found.append(priced := one(number, typed.seed, demo, session))
            told = "-" if priced.expected is None else f"{priced.expected:.8f}"
            line = (
                f"{priced.calls:3} calls: {priced.least:.8f} <= {priced.spent:.8f} <= {priced.most:.6f}, about {told}"
            )
            print(number, line, "" if priced.holds else priced, flush=True)
        session.close()
    broken = sum(not each.holds for each in found)
    print(f"{len(found)} plans, {sum(each.seen for each in found)} calls: {broken} came otherwise than they said")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
