"""What one prefix costs a hundred calls, on a server whose cache needs a second, or for ever, to build.

python -m tests.experiments.leading --calls 100 --tokens 20000 --builds 1     # of a map
python -m tests.experiments.leading --relay --calls 30 --tokens 20000         # of a class behind a relay
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepseek_magic.demo.api.tokens import CACHE_UNIT_TOKENS, tokenize
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.state import Seen
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.mapping import TableMap
from deepseek_magic.session.experiments.running import start_sweep
from tests.experiments.conftest import wait_until

if TYPE_CHECKING:
    from tests.relay.running import RunningRelay

_WORDS = ("the", "patient", "teacher", "of", "physics", "who", "explains", "every", "step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Led:
    """Of calls that begin alike, in tokens: the prefix, all that comes after it and does not fill a unit of the cache, what was
    billed as read anew; and how many requests there were."""

    prefix: int
    tails: int
    missed: int
    requests: int

    @property
    def holds(self) -> bool:
        """Whether the prefix was paid for about once."""
        return self.missed <= 1.1 * self.prefix + self.tails


def prefix_of(tokens: int, title: str = "A") -> str:
    """A text of about so many tokens, before a question."""
    return f"Text {title}: {' '.join(_WORDS[n % len(_WORDS)] for n in range(tokens))}\n\nQuestion: "


def read(prefix: str, seen: Sequence[Seen]) -> Led:
    """What the requests with a prefix were billed for."""
    length = len(tokenize(prefix))
    wait_until(lambda: all(each.usage for each in seen))  # the server counts when its last word is out
    return Led(
        prefix=length,
        tails=sum(each.usage["prompt_tokens"] - length + CACHE_UNIT_TOKENS for each in seen),
        missed=sum(each.usage["prompt_cache_miss_tokens"] for each in seen),
        requests=len(seen),
    )


def led(calls: int, tokens: int, demo: DemoServer, session: Session, *, title: str = "A") -> Led:
    """Map a table of that many rows, each with the same text of about so many tokens before it."""
    prefix = prefix_of(tokens, title)
    rows = [{"n": f"what is said {n} times"} for n in range(calls)]
    made = TableMap.of(session, rows, prefix + "{n}?", think="off", max_tokens=8)
    before = len(demo.requests)
    start_sweep(session, made.prepared(session)).wait()
    return read(prefix, demo.requests[before:])


async def led_class(relay: RunningRelay, students: int, tokens: int, *, title: str = "A") -> Led:
    """So many students ask at once, each another question about the same text."""
    prefix, before = prefix_of(tokens, title), len(relay.demo.requests)

    async def one(number: int) -> None:
        async with relay.client(number) as client:
            await client.complete(f"{prefix}what is said {number} times?", think="off", max_tokens=8)

    await asyncio.gather(*map(one, range(students)))
    return read(prefix, relay.demo.requests[before:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--builds", type=float, default=1.0, help="seconds; inf: never")
    parser.add_argument("--relay", action="store_true", help="students ask through a relay, all at once")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, DemoServer(pace=0.5, keep=100_000) as demo:
        os.environ |= {
            "DEEPSEEK_JOURNAL": f"{folder}/journal.sqlite",
            "DEEPSEEK_BASE_URL": demo.base_url,
            "DEEPSEEK_API_KEY": "sk-test",
        }
        demo.cache.builds_s = args.builds
        if args.relay:
            from tests.relay.running import RunningRelay  # here, because it needs an extra

            with RunningRelay(Path(folder, "relay"), demo, students=args.calls) as relay:
                found = asyncio.run(led_class(relay, args.calls, args.tokens))
        else:
            session = Session()
            found = led(args.calls, args.tokens, demo, session)
            session.close()
    print(found, f"{found.missed / found.prefix:.2f} prefixes were read anew by {found.requests} requests")
    return 0 if found.requests == args.calls and (found.holds or math.isinf(args.builds)) else 1


if __name__ == "__main__":
    sys.exit(main())
