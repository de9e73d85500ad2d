"""Is a budget kept whatever happens? A relay is killed at a moment nobody chose, and started again.

    python -m tests.relay.money --runs 20 --seed 1

Money for exactly three calls; ``--asks`` of them at once, in each of two lives of the relay. What the demo has billed by its own
count must be no more than what the relay's file says is spent, and that no more than the budget.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE, resolve
from deepseek_magic.metrics.billing import most_of
from deepseek_magic.policy.pricing import PRICES
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.chunks import read_usage
from deepseek_magic.relay.file import FILE_NAME, RelayFile
from deepseek_magic.relay.roster import make

AFFORDABLE: Final = 3
MAX_TOKENS: Final = 400
START_S: Final = 120
WORDS: Final = "Tell me a story of number {number:03}: long 1"


@dataclass(frozen=True, slots=True)
class Life:
    """What one run found. Amounts are the demo's dollars."""

    calls: int
    answered: int
    billed: Decimal
    spent: Decimal
    budget: Decimal

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, and nothing exceeded."""
        return self.billed <= self.spent <= self.budget and self.calls <= AFFORDABLE


def worst_case(demo: DemoServer) -> Decimal:
    """What one of the questions may cost at most, as the relay reckons it."""
    endpoint = resolve("demo", demo.base_url)
    asked = Request.of(WORDS.format(number=0), max_tokens=MAX_TOKENS, think="off", user_id="class-0123456789abcdef")
    request = Client(endpoint).request(asked)

    def price(model: str, usage: Any, at: datetime) -> Any:
        return PRICES.cost_of(model, usage, at, endpoint="demo")

    most = most_of(request, price, datetime.now(UTC))
    assert most is not None
    return most.amount


def billed(demo: DemoServer) -> Decimal:
    """What the demo has written and read, at its price."""
    sums = Decimal(0)
    for seen in demo.requests:
        if seen.usage:
            cost = PRICES.cost_of(seen.body["model"], read_usage(seen.usage), datetime.now(UTC), endpoint="demo")
            assert cost is not None
            sums += cost.amount
    return sums


def spent(folder: Path) -> Decimal:
    """What the relay's file says."""
    with sqlite3.connect(folder / FILE_NAME) as connection:
        amount = connection.execute("SELECT sum(amount) FROM spending WHERE payer = ''").fetchone()[0]
    return Decimal(amount or 0) / 10**12


def started(folder: Path, demo: DemoServer) -> tuple[subprocess.Popen[str], str]:
    """A relay as a process, and its address."""
    environment = {**os.environ, DEMO_VARIABLE: demo.base_url, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "deepseek_magic", "relay", "--class", str(folder / "classroom.toml")]
    command += ["--port", "0", "--endpoint", "demo", "--data", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, line.split()[-1]


async def ask_all(url: str, tokens: list[str], asks: int, first: int) -> int:
    """Different questions at once; how many were answered."""
    async with httpx.AsyncClient(timeout=START_S, limits=httpx.Limits(max_connections=None)) as http:

        async def one(number: int) -> int:
            words = WORDS.format(number=first + number)
            body = {
                "model": "deepseek-flash",
                "max_tokens": MAX_TOKENS,
                "stream": True,
                "thinking": {"type": "disabled"},
            }
            body["messages"] = [{"role": "user", "content": words}]
            headers = {"authorization": f"Bearer {tokens[number % len(tokens)]}"}
            try:
                answer = await http.post(f"{url}/v1/chat/completions", json=body, headers=headers)
            except httpx.HTTPError:
                return 0
            return int(answer.status_code == 200)

        return sum(await asyncio.gather(*map(one, range(asks))))


def live(seed: int, asks: int, *, kill: bool = True) -> Life:
    """One class: asked, killed in the middle, started again, asked again."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, DemoServer(pace=0.2) as demo:
        folder = Path(name)
        budget = AFFORDABLE * worst_case(demo)
        rules = f"[budget.class]\ncourse = {budget:f}\n[limits]\nmax_tokens = {MAX_TOKENS}\nat_once = 1000\n"
        (folder / "classroom.toml").write_text(rules)
        file = RelayFile(folder)
        tokens = [token for _, token in make(file, [f"student {n}" for n in range(10)])]
        file.close()
        answered = 0
        for life in range(2):
            process, url = started(folder, demo)
            try:
                if kill and life == 0:
                    killing = chance.uniform(0.0, 1.5)
                    answered += asyncio.run(_killed(process, killing, ask_all(url, tokens, asks, 0)))
                else:
                    answered += asyncio.run(ask_all(url, tokens, asks, asks * life))
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(START_S)
                assert process.stdout is not None
                process.stdout.close()
        calls = sum(seen.method == "POST" for seen in demo.requests)
        return Life(calls=calls, answered=answered, billed=billed(demo), spent=spent(folder), budget=budget)


async def _killed(process: subprocess.Popen[str], after_s: float, asking: Any) -> int:
    task = asyncio.ensure_future(asking)
    await asyncio.wait((task,), timeout=after_s)
    process.kill()
    return await task


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--asks", type=int, default=50)
    typed = parser.parse_args()
    broken = 0
    for number in range(typed.runs):
        found = live(typed.seed + number, typed.asks)
        broken += not found.holds
        print(
            f"run {number:2}: {found.calls} calls reached the demo, {found.answered} answered, billed {found.billed:.6f} <= "
            f"spent {found.spent:.6f} <= budget {found.budget:.6f}: {'holds' if found.holds else 'BROKEN'}",
            flush=True,
        )
    print(f"{typed.runs - broken} of {typed.runs} runs hold.")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
