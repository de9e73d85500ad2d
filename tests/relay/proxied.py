"""When does each piece of an answer come to a kernel that asks through the hub's proxy, and when past it?

    python -m tests.relay.proxied --events 200 --rate 20

A JupyterHub with its own proxy, a kernel of a spawned server, this project's client in it. The demo writes at even distances, so a
piece's lag is how far it is behind the one that was least behind. Times are told and asserted nowhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
from tests.relay.hub import Hub

KEY: Final = "sk-test-1234"
CELL: Final = """
import json, os, time
from deepseek_magic import Client

async def arrivals(url, words):
    async with Client(url, api_key=os.environ["JUPYTERHUB_API_TOKEN"]) as client:
        found = []
        async for event in client.stream(words, think="off"):
            if getattr(event, "text", ""):
                found.append(time.monotonic())
        return found

print(json.dumps([await arrivals(url, f"echo {{number}} " + "word " * {events}) for number, url in enumerate({urls})]))
"""


def lags_s(at_s: list[float], gap_s: float) -> list[float]:
    """How far each arrival is behind an even schedule, sorted; in seconds."""
    off = [when_s - number * gap_s for number, when_s in enumerate(at_s)]
    return sorted(each - min(off) for each in off)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20.0, help="a second")
    typed = parser.parse_args()
    pace = Pace(tokens_per_s=typed.rate, jitter=0.0)
    with tempfile.TemporaryDirectory() as name, DemoServer(pace=pace, key=KEY) as demo:
        with Hub(Path(name) / "hub", demo.base_url, KEY) as hub:
            hub.token("ann")
            hub.spawn("ann")
            hub.spawned("ann")
            urls = [hub.relay_url, f"{hub.url}/services/deepseek"]
            (printed,) = await hub.run("ann", [CELL.format(events=typed.events, urls=urls)])
        for way, at_s in zip(("past the proxy", "through the proxy"), json.loads(printed), strict=True):
            lags = lags_s(at_s, 1 / typed.rate)
            longest_s = max(later - at for at, later in pairwise(at_s))
            print(
                f"{way:18} {len(at_s)} pieces, longest gap {1e3 * longest_s:.1f} ms of {1e3 / typed.rate:.0f}, "
                f"lag p50 {1e3 * lags[len(lags) // 2]:.1f} ms, p99 {1e3 * lags[len(lags) * 99 // 100]:.1f} ms, max {1e3 * lags[-1]:.1f} ms"
            )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
