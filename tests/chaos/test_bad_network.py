"""The article's figure, on a network where 12 % of all requests break: failed calls without and with recovery."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.limits.limiter import LimitPolicy
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.protocol.errors import DeepSeekError
from tests.chaos.cases import Case, oracle_of

CALLS: Final = 300
SHARE: Final = 0.12
KINDS: Final = (
    "reset at=before-headers",
    "reset at=content after=20",
    "cut at=content after=40",
    "eof-chunked at=content after=30",
    "stall at=content after=10",
    "503",
)
WITHOUT: Final = RecoveryPolicy(attempts=1, resumes=0)
WITH: Final = RecoveryPolicy(base_s=0.01, cap_s=0.05)
PROMPTS: Final = ("a table", "表格", "formula", "code", "Hello", "long 1")


@dataclass
class Tally:
    """What became of the calls."""

    failed: int = 0
    wrong: int = 0
    requests: int = 0
    broken_requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def row(self, name: str) -> str:
        return (
            f"| {name:16} | {CALLS} | {self.requests} | {self.broken_requests} | {self.failed} "
            f"| {self.failed / CALLS:.1%} | {self.wrong} |"
        )


def bad_network(share: float, seed: int) -> str:
    """Faults of which each request meets one with the probability ``share``, all kinds alike."""
    each = 1 - (1 - share) ** (1 / len(KINDS))
    return "; ".join(f"{kind} p={each:.6f} seed={seed + place}" for place, kind in enumerate(KINDS))


async def calls_on_a_bad_network(recovery: RecoveryPolicy, *, seed: int) -> Tally:
    tally = Tally()
    left = iter(range(CALLS))
    async with (
        DemoServer(fault=bad_network(SHARE, seed), pace=0, keep=10 * CALLS) as server,
        Client(
            server.base_url,
            api_key="sk-test-1234",
            recovery=recovery,
            limits=LimitPolicy(concurrency=8),
            timeouts=Timeouts(first_delta_s=5, idle_s=1.0),
            chance=random.Random(seed).random,
        ) as client,
    ):

        async def work() -> None:
            for number in left:
                prompt = PROMPTS[number % len(PROMPTS)]
                expected = oracle_of(Case(fault="none", effect="harmless", prompt=prompt)).text
                try:
                    completion = await client.complete(prompt, think="off", model="deepseek-flash")
                    tally.wrong += completion.text != expected
                except DeepSeekError as error:
                    tally.failed += 1
                    tally.errors[type(error).__name__] += 1
                    tally.wrong += not expected.startswith(error.completion.text)

        await asyncio.gather(*(work() for _ in range(8)))
        tally.requests = len(server.requests)
        tally.broken_requests = sum(bool(seen.fault) for seen in server.requests)
    return tally


async def test_recovery_brings_failed_calls_to_none_where_every_eighth_request_breaks() -> None:
    without = await calls_on_a_bad_network(WITHOUT, seed=12)
    with_recovery = await calls_on_a_bad_network(WITH, seed=12)
    print("\n| run              | calls | requests | broken requests | failed calls | share | wrong text |")
    print("|---|---|---|---|---|---|---|")
    print(without.row("without recovery"))
    print(with_recovery.row("with recovery"))
    assert without.failed / CALLS > 0.05
    assert with_recovery.failed == 0, with_recovery.errors
    assert without.wrong == with_recovery.wrong == 0
    for tally in (without, with_recovery):
        assert 0.06 < tally.broken_requests / tally.requests < 0.18
