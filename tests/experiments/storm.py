"""A sweep on a server whose limit falls in its middle: what it refused, and how long the rest took.

python -m tests.experiments.storm                              # 2,000 trials of half a second, 32 at once, then 5: two minutes
python -m tests.experiments.storm --trials 400 --task 0.2
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.state import Seen
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import begun

WIDE: Final = 32
NARROW: Final = 5
TOKENS: Final = 10
"""Of one answer: few, so that what is measured is who waits for whom."""
REFUSED_SHARE: Final = 0.04
LATER: Final = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """``least_s``: the answers that were begun before the fall ``WIDE`` at a time and the rest ``NARROW`` at a time without a
    gap, each as fast as the fastest.
    ``most_before`` and ``most_after``: requests that the server was answering at once, before the fall, and after those that it
    found had ended; ``most_open`` counts refused ones, too."""

    done: int
    requests: int
    refused: int
    took_s: float
    least_s: float
    most_before: int
    most_after: int
    most_open: int


def storm(trials: int, task_s: float) -> Storm:
    """One sweep; the limit falls when half of its answers are there."""
    pace = Pace(first_token_s=task_s / 5, tokens_per_s=TOKENS / (task_s * 4 / 5), jitter=0)
    session = Session()
    with DemoServer(pace=pace, concurrency=WIDE, keep=10 * trials) as server:
        prompt = "echo " + "word " * (TOKENS - 2) + "{n}"
        fell_s: list[float] = []

        def fall() -> None:
            while sum(seen.ended == "done" and seen.status == 200 for seen in server.requests) < trials // 2:
                time.sleep(0.01)
            server.concurrency = NARROW
            fell_s.append(time.monotonic())

        falling = threading.Thread(target=fall, daemon=True)
        falling.start()
        began_s = time.monotonic()
        table: Any = [{"n": n} for n in range(trials)]
        how: Any = {"over": table, "think": "off", "concurrency": WIDE, "endpoint": "demo", "base_url": server.base_url}
        sweep = begun(session, prompt, how).wait()
        took_s = time.monotonic() - began_s
        falling.join()
        session.close()
        answered = [seen for seen in server.requests if seen.status == 200]
        old = [seen for seen in answered if seen.at_s < fell_s[0]]
        ended_s = max(seen.ended_at_s or 0.0 for seen in old)
        rest, fastest_s = trials - len(old), min((seen.ended_at_s or math.inf) - seen.at_s for seen in answered)
        return Storm(
            done=sweep.states.get("done", 0),
            requests=len(server.requests),
            refused=sum(seen.status == 429 for seen in server.requests),
            took_s=took_s,
            least_s=fastest_s * (math.ceil(len(old) / WIDE) + math.ceil(rest / NARROW)),
            most_before=most_at_once(old),
            most_after=most_at_once(seen for seen in answered if seen.at_s > ended_s),
            most_open=most_at_once(server.requests),
        )


def most_at_once(requests: Iterable[Seen]) -> int:
    """How many of these the server had at once."""
    changes = [change for seen in requests for change in ((seen.at_s, 1), (seen.ended_at_s or math.inf, -1))]
    most = now = 0
    for _, step in sorted(changes):
        now += step
        most = max(most, now)
    return most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--task", type=float, default=0.5, help="seconds of one answer")
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["DEEPSEEK_MAGIC_HOME"] = home
        seen = storm(typed.trials, typed.task)
    share, later = seen.refused / seen.requests, seen.took_s / seen.least_s
    print(seen)
    print(f"{seen.refused} of {seen.requests} refused ({share:.1%}, at most {REFUSED_SHARE:.0%})")
    print(f"{seen.took_s:.1f} s, {later:.3f} x the least possible {seen.least_s:.1f} s (at most {LATER} x)")
    fine = seen.done == typed.trials and share <= REFUSED_SHARE and later <= LATER
    return 0 if fine and seen.most_open <= WIDE and seen.most_after <= NARROW else 1


if __name__ == "__main__":
    sys.exit(main())
