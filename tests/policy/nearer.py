"""Worlds of hosts with a pace of their own, on a virtual clock: what asking the fastest and asking twice bring, and what they cost.

    python -m tests.policy.nearer --seeds 200 --calls 2000

A first token takes a round trip and a lognormal time; four in a hundred wait for a Pareto time from 2 s on besides, and a
host has slow spells in which all takes six times as long. That shape is an assumption; what holds in every world is the cap:
second requests cost no more than their share of the money, if the host bills each of them whole.
"""

from __future__ import annotations

import argparse
import bisect
import functools
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from deepseek_magic.policy.several.hedging import (
    allowance,
    cheapest_first,
    is_warm,
    late_after_s,
    likely_usage,
    longest_output,
)
from deepseek_magic.policy.several.nearest import SeenCall, fastest_first, typical_s
from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.events import Usage

SHARE = 0.05
EVERY_S = 6.0
"""A call begins so long after the one before."""
MISS, HIT, OUT = Decimal("0.15e-6"), Decimal("0.003e-6"), Decimal("0.60e-6")
"""deepseek-flash off-peak, US dollars a token."""
KEPT = 1200
LATE_TOKENS = 256
"""What the record of a request that was given up counts as written."""


@dataclass(frozen=True)
class Host:
    """``median_s`` is its own part of a first token, ``trip_s`` the network's."""

    median_s: float = 1.0
    trip_s: float = 0.05
    dearer: int = 1


@dataclass(frozen=True)
class World:
    """``spells``: none, each host its own, or all together. ``history``: tokens that were sent before, which the host that
    has answered keeps."""

    hosts: Sequence[Host]
    spells: str = "none"
    history: int = 0


WORLDS = {
    "near host slow, far host fast": World((Host(1.55, 0.02), Host(0.5, 0.22)), spells="own"),
    "three alike, no spells": World((Host(), Host(), Host())),
    "three alike, spells": World((Host(), Host(), Host()), spells="own"),
    "all overloaded together": World((Host(), Host(), Host()), spells="common"),
    "long cached history": World((Host(), Host()), spells="own", history=50_000),
    "the others are dearer": World((Host(), Host(dearer=10)), spells="own"),
}
MODES = ("first named", "fastest", "hedged", "fastest and hedged")


@dataclass
class Outcome:
    """Seconds to the first token of each call, and the money: of the answers, and of what was thrown away."""

    waited_s: list[float] = field(default_factory=list)
    elsewhere: int = 0
    hedged: int = 0
    won: int = 0
    at_other_host: int = 0
    paid: Decimal = Decimal(0)
    extra: Decimal = Decimal(0)

    def at(self, share: float) -> float:
        """A quantile of the waits."""
        ranked = sorted(self.waited_s)
        return ranked[min(len(ranked) - 1, math.ceil(share * len(ranked)) - 1)]


def spells(chance: random.Random, until_s: float) -> list[float]:
    """When slow spells begin and end, in turns: five minutes of every hour and a half."""
    times, at_s = list[float](), 0.0
    for mean_s in itertools.cycle((5100.0, 300.0)):
        at_s += chance.expovariate(1 / mean_s)
        if at_s > until_s:
            return times
        times.append(at_s)
    raise AssertionError


def live(world: World, mode: str, seed: int, calls: int) -> Outcome:
    """``calls`` questions, one after the other."""
    chance = random.Random(seed)
    end_s = calls * EVERY_S
    own = [spells(chance, end_s) for _ in world.hosts]
    slow = {"none": [[]] * len(world.hosts), "own": own, "common": [own[0]] * len(world.hosts)}[world.spells]

    def first_s(host: int, at_s: float) -> float:
        seconds = chance.lognormvariate(math.log(world.hosts[host].median_s), 0.45)
        if chance.random() < 0.04:
            seconds += 2 * chance.paretovariate(1.2)
        return world.hosts[host].trip_s + seconds * (6 if bisect.bisect(slow[host], at_s) % 2 else 1)

    def price(host: int, prompt: int, hit: int, out: int) -> Decimal:
        return world.hosts[host].dearer * (MISS * (prompt - hit) + HIT * hit + OUT * out)

    seen: list[SeenCall] = []
    outcome = Outcome()
    places = [(f"host {i}", "m", None) for i in range(len(world.hosts))]
    warm: int | None = None
    for number in range(calls):
        at_s = number * EVERY_S
        order = list(range(len(world.hosts)))
        if "fastest" in mode:
            order = fastest_first([typical_s(seen, place, at_s)[0] for place in places], chance.random())
        first = order[0]
        fresh = [usage(world.history, 0, host == warm) for host in order]
        out = max(20, min(4000, int(chance.lognormvariate(math.log(500), 0.6))))
        prompt = fresh[0].prompt_tokens or 0
        costs = {h: price(h, prompt, fresh[i].cache_hit_tokens or 0, out) for i, h in enumerate(order)}
        silent_s = first_s(first, at_s)
        outcome.elsewhere += first != 0
        winner, waited_s, loser = first, silent_s, None
        late_s = late_after_s(seen, places[first], at_s) if "hedged" in mode else None
        if late_s is not None and silent_s > late_s:
            longest = longest_output(seen) or 0
            # By now the first one's host has read the prompt, so it is warm whatever it was before.
            guessed = {
                h: (u := usage(world.history, longest, h == first))
                and price(h, u.prompt_tokens or 0, u.cache_hit_tokens or 0, u.completion_tokens or 0)
                for h in order
            }
            second = order[cheapest_first([guessed[h] for h in order], order.index(first))[0]]
            u = usage(world.history, longest, is_warm(seen, places[first]))
            lost = price(first, u.prompt_tokens or 0, u.cache_hit_tokens or 0, u.completion_tokens or 0)
            if max(lost, guessed[second]) <= allowance(seen, "USD", SHARE):
                outcome.hedged += 1
                outcome.at_other_host += second != first
                answered_s = late_s + first_s(second, at_s + late_s)
                costs[second] = price(second, prompt, (fresh[0].cache_hit_tokens or 0) if second == first else 0, out)
                loser = second
                if answered_s < silent_s:
                    winner, waited_s, loser = second, answered_s, first
                    outcome.won += 1
        if loser is not None:
            outcome.extra += costs[loser]
            told = price(loser, prompt, 0, LATE_TOKENS)
            silence_s = waited_s if loser == first else None
            seen.append(
                SeenCall(
                    call_id=f"{number}-",
                    at_s=at_s,
                    place=places[loser],
                    first_s=silence_s,
                    used=False,
                    cost=told,
                    currency="USD",
                )
            )
        known_s = None if winner != first else silent_s
        seen.append(
            SeenCall(
                call_id=f"{number}",
                at_s=at_s,
                place=places[winner],
                first_s=known_s,
                cost=costs[winner],
                currency="USD",
                output=out,
                warm=winner == warm and world.history > 0,
            )
        )
        outcome.paid += costs[winner]
        outcome.waited_s.append(waited_s)
        warm = winner
        del seen[:-KEPT]
    return outcome


@functools.cache
def usage(history: int, longest: int, warm: bool) -> Usage:
    """What a request counts for before it is sent: a prompt of a thousand tokens, after a conversation of ``history``."""
    said = [
        ChatMessage(role="user", content="x" * 10),
        ChatMessage(role="assistant", content="x" * (history * 10 // 3)),
    ]
    asked = ChatMessage(role="user", content="x" * 3330)
    return likely_usage(Request.of([*said, asked] if history else [asked]), longest, warm=warm)


def lives(world: World, mode: str, seeds: int, calls: int) -> Iterator[Outcome]:
    """One for each seed."""
    return (live(world, mode, seed, calls) for seed in range(1, seeds + 1))


def main() -> None:
    """Print the table, and the seeds whose second requests cost more than their share."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--seeds", type=int, default=200)
    reader.add_argument("--calls", type=int, default=2000)
    typed = reader.parse_args()
    over = 0
    print(f"{'':42} {'p50':>6} {'p95':>6} {'p99':>6} {'p99.9':>6}  hedged  extra  largest extra of a seed")
    for name, world in WORLDS.items():
        print(name)
        for mode in MODES:
            found = list(lives(world, mode, typed.seeds, typed.calls))
            pooled = Outcome(waited_s=[s for each in found for s in each.waited_s])
            shares = [float(each.extra / each.paid) for each in found]
            over += sum(share > SHARE for share in shares)
            hedged = sum(each.hedged for each in found) / len(pooled.waited_s)
            extra = float(sum(each.extra for each in found) / sum(each.paid for each in found))
            told = " ".join(f"{pooled.at(q):6.2f}" for q in (0.5, 0.95, 0.99, 0.999))
            print(f"  {mode:40} {told} {hedged:7.1%} {extra:6.2%}  {max(shares):.2%}", flush=True)
    print(f"{over} seeds over {SHARE:.0%}")
    raise SystemExit(over > 0)


if __name__ == "__main__":
    main()
