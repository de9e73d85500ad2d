"""Every fault says one clear line: the table in docs/messages.md is what the engine says, checked word for word.

``python -m tests.chaos.test_messages`` prints the table.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import zlib
from pathlib import Path
from typing import Final

import pytest

from deepseek_magic.demo.faults.spec import KINDS
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS
from deepseek_magic.engine.stream import Stream
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.protocol.events import Waiting

DOCS: Final = Path(__file__).parents[2] / "docs" / "messages.md"
HEAD: Final = "| fault of the demo | while it goes on | when it is not repeated |\n|---|---|---|"
NOTHING: Final = "nothing: the answer is whole"
SETTINGS: Final = {
    "refuse": "for=0.15",
    "latency": "s=0.02",
    "keepalive-drip": "every=0.03 at=content",
    "drip": "bytes=1 every=0.05 at=content",
    "slow": "rate=5000",
    "bandwidth": "kib=500",
    "slice": "bytes=500",
    "slow-close": "s=0.2",
    "wrong-content-length": "by=-700",
    "429": "retry-after=0.05",
}
"""Where a kind's own defaults would take long, or would not show what it is about."""
BEHIND: Final = {"echo-prefix": "cut after=30 times=1; {} on=prefix", "diverge": "cut after=30 times=1; {} on=plain"}
"""Kinds that only a second request can meet."""
ONCE: Final = RecoveryPolicy(attempts=1, resumes=0)
QUICK: Final = RecoveryPolicy(base_s=0.06, cap_s=0.06, jitter=0)
SOON: Final = Timeouts(first_delta_s=0.8, queue_s=0.8, idle_s=0.8, idle_reasoning_s=0.8)
CLOCKED: Final = frozenset(("stall", "keepalive-drip", "drip"))
"""Kinds that only a deadline ends. All others have the usual ones, which no slow machine comes near."""


async def said(kind: str, recovery: RecoveryPolicy) -> tuple[list[str], str]:
    """What a call that meets this fault once says: while it waits, and in its error."""
    spec = " ".join((kind, SETTINGS.get(kind, ""))).strip()
    if KINDS[kind].places and kind not in BEHIND:
        spec += " after=20"  # far enough for the answer to be gone on from
    if kind != "refuse" and kind not in BEHIND:
        spec += " times=1"
    spec = BEHIND.get(kind, "{}").format(spec)
    async with DemoServer(fault=spec, pace=0) as server:
        if kind == "refuse":
            await asyncio.sleep(0.02)  # it closes the port a moment after it has opened it
        endpoint = dataclasses.replace(
            ENDPOINTS["demo"],
            base_url=server.base_url,
            beta_url=f"{server.base_url}/beta",
            # Only where nothing can be continued does a repetition have the chance to differ.
            continuing="none" if kind == "diverge" else "deepseek_prefix",
        )
        async with Client(
            endpoint,
            api_key=f"sk-{zlib.crc32(kind.encode()):010}",  # of digits: words of a key are masked in messages
            recovery=recovery,
            timeouts=SOON if kind in CLOCKED else Timeouts(),
            chance=lambda: 0.0,
        ) as client:
            waits, stream = await read(client.stream("a table", think="off", model="deepseek-flash"))
            completion = stream.completion
            odd = ", ".join(f"`{name}`" for name in completion.anomalies)
            if completion.outcome not in ("complete", "incomplete"):
                waits = [f"nothing: the outcome is `{completion.outcome}`"]
            elif not waits and completion.error is None:
                waits = [NOTHING + (f", with the anomaly {odd}" if odd else "")]
            elif waits and odd:
                waits[0] += f" (anomaly {odd})"
            return waits, str(completion.error or "")


async def read(stream: Stream) -> tuple[list[str], Stream]:
    waits: list[str] = []

    def put(batch: list[object]) -> None:
        waits.extend(str(event.detail) for event in batch if isinstance(event, Waiting))

    await stream.run(put)  # type: ignore[arg-type]
    return waits, stream


def general(line: str) -> str:
    """The line without what differs from call to call."""
    line = re.sub(r"127\.0\.0\.1:\d+", "HOST", line)
    line = re.sub(r"request_id: [\w-]+", "request_id: …", line)
    line = re.sub(r"after \d+ characters?", "after N characters", line)
    line = re.sub(r"\b0\.8 s", "T s", line)
    return line.replace("|", "\\|").replace("\n", " ")


async def row(kind: str) -> str:
    going_on, error = await said(kind, QUICK)
    _, alone = await said(kind, ONCE)
    first = general(going_on[0]) if going_on else "no second request"
    return f"| `{kind}` | {first} | {general(error or alone) or '–'} |"


async def table() -> str:
    rows = [await row(kind) for kind in KINDS if kind != "replay"]
    return "\n".join([HEAD, *rows])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "replay"])
async def test_the_line_of_every_fault_stands_in_the_docs(kind: str) -> None:
    line = await row(kind)
    assert line in DOCS.read_text("utf-8").splitlines()


if __name__ == "__main__":
    print(asyncio.run(table()))
