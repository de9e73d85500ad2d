"""Two drivers with one key on one cluster, of which one is killed and begun again: what the server saw (A18).

python -m tests.experiments.driver_kills                       # a driver killed at 20 places, the sweep run again each time
python -m tests.experiments.driver_kills --kills 3 --task 6    # long answers: how much of what was in flight is kept
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.api.checks import is_prefix, text_of
from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.state import Seen
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine.journal.reader import Journal
from tests.experiments.cluster_kills import WORDS, Commanded, done
from tests.experiments.kills import HANG_S, chars_sent, complete, question, sweep_of, wait_for
from tests.experiments.storm import most_at_once

BACK_S: Final = 1.0
_DRIVER: Final = """
import json, sys
import distributed
import deepseek_magic as ds
how = json.loads(sys.argv[1])
with distributed.Client(scheduler_file=how.pop("scheduler"), timeout=120) as client:
    ds.sweep(how.pop("prompt"), over=how.pop("inputs"), think="off", endpoint="demo", on=client, limits="cluster", **how)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverVerdict:
    """Of one killed driver. ``asked_twice``: answers that its journal had when it was killed, and that were asked for again.
    ``left``: calls of which the workers' journal knew more. ``kept_chars`` of the ``in_flight_chars`` of answers that its journal had
    not whole were not written again. ``freed_s`` after the kill its last request had left the server, and ``back_s`` after it the other driver
    had as many at once as the limit allows."""

    done_at_kill: int
    asked_twice: int
    missing: int
    most_at_once: int
    refused: int
    left: int
    in_flight_chars: int
    kept_chars: int
    freed_s: float
    back_s: float


def one(there: Commanded, seed: int, *, trials: int, task_s: float, limit: int) -> DriverVerdict:
    """Two sweeps at once; kill one at a place that ``seed`` says, let the other end, take what the workers kept, and run it again."""
    chance = random.Random(seed)
    pace = Pace(first_token_s=task_s / 5, tokens_per_s=WORDS / (task_s * 4 / 5), jitter=0)
    with tempfile.TemporaryDirectory() as folder, DemoServer(pace=pace, concurrency=limit, keep=100_000) as server:
        homes = [Path(folder) / name for name in ("dying", "living")]

        def start(which: int) -> subprocess.Popen[bytes]:
            how = {
                "scheduler": there.file,
                "prompt": "echo " + "word " * (WORDS - 4) + f"{homes[which].name} {{q}}",
                # The one that lives has enough to do to take the places of the other.
                "inputs": [{"q": f"item {seed} {number}"} for number in range(trials * (1 + 2 * which))],
                "base_url": server.base_url,
                "concurrency": limit,
            }
            environment = {**os.environ, "DEEPSEEK_MAGIC_HOME": str(homes[which])}
            return subprocess.Popen([sys.executable, "-c", _DRIVER, json.dumps(how)], env=environment)

        processes = [living := start(1)]
        try:
            wait_for(lambda: done(of(server.requests, homes[1])) > 0, living)
            processes.append(dying := start(0))
            kill_at = chance.randrange(1, trials // 2)
            wait_for(lambda: done(of(server.requests, homes[0])) >= kill_at, dying)
            time.sleep(chance.random() * task_s)
            wait_for(lambda: any(in_words(seen, task_s) for seen in of(server.requests, homes[0])), dying)
            dying.send_signal(signal.SIGKILL)
            killed_s = time.monotonic()
            dying.wait(HANG_S)
            path = homes[0] / "journal.sqlite3"
            known = complete(path)
            wait_for(lambda: all(seen.ended for seen in of(server.requests, homes[0])), living)
            assert living.wait(HANG_S) == 0, "the driver that lives failed"
            first = of(server.requests, homes[0])
            left = 0
            if (there.home / "journal.sqlite3").exists():
                journal = Journal(path)
                left = journal.merge(there.home / "journal.sqlite3")
                journal.close()
                for each in there.home.glob("journal.sqlite3*"):  # the next one is to find only what is left of its own
                    each.unlink()
            processes.append(second := start(0))
            assert second.wait(HANG_S) == 0, "the second life failed"
        finally:
            for process in processes:
                process.kill()
                process.wait()
        asked = [seen for seen in server.requests if seen.status == 200]
        again = Counter(question(seen.body) for seen in of(asked, homes[0]) if seen.at_s > killed_s)
        oracle = {question(seen.body): reply(asked_for(seen.body)).text for seen in asked}
        ours = {row["text"] for home in homes for row in sweep_of(home / "journal.sqlite3").rows()}
        lost = [seen for seen in first if seen.status == 200 and question(seen.body) not in known]
        ends = [seen.ended_at_s or math.inf for seen in first if seen.at_s <= killed_s]
        continued = [seen.body["messages"][-1] for seen in of(asked, homes[0]) if is_prefix(seen.body["messages"][-1])]
        return DriverVerdict(
            done_at_kill=sum(known.values()),
            asked_twice=sum((known & again).values()),
            missing=len(set(oracle.values()) ^ ours) + abs(len(ours) - 4 * trials),
            most_at_once=most_at_once(asked),
            refused=sum(seen.status == 429 for seen in server.requests),
            left=left,
            in_flight_chars=sum(map(chars_sent, lost)),
            kept_chars=sum(len(text_of(message["content"])) for message in continued),
            freed_s=max(0.0, max(ends) - killed_s),
            back_s=max(0.0, full_at_s(of(asked, homes[1]), limit, killed_s) - killed_s),
        )


def of(requests: Iterable[Seen], home: Path) -> list[Seen]:
    """Those of one driver."""
    return [seen for seen in requests if seen.body and f" {home.name} " in question(seen.body)]


def in_words(seen: Seen, task_s: float) -> bool:
    """Whether the server is in the middle of an answer that takes so long."""
    return not seen.ended and seen.status == 200 and time.monotonic() > seen.at_s + task_s * 0.4


def full_at_s(requests: Sequence[Seen], limit: int, after_s: float) -> float:
    """When so many of these were at the server at once, for the first time after a moment."""
    changes = sorted(change for seen in requests for change in ((seen.at_s, 1), (seen.ended_at_s or math.inf, -1)))
    levels = itertools.accumulate(step for _, step in changes)
    return next(
        (at_s for (at_s, _), level in zip(changes, levels, strict=True) if at_s > after_s and level >= limit), math.inf
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=120, help="of each driver")
    parser.add_argument("--task", type=float, default=0.6, help="seconds of one answer")
    parser.add_argument("--limit", type=int, default=16)
    typed = parser.parse_args()
    size: Any = {"trials": typed.trials, "task_s": typed.task, "limit": typed.limit}
    found: list[DriverVerdict] = []
    with Commanded() as there:
        for seed in range(typed.seed, typed.seed + typed.kills):
            found.append(one(there, seed, **size))
            print(seed, found[-1], flush=True)
    twice, missing = sum(v.asked_twice for v in found), sum(v.missing for v in found)
    most, back_s = max(v.most_at_once for v in found), max(v.back_s for v in found)
    chars, kept = sum(v.in_flight_chars for v in found), sum(v.kept_chars for v in found)
    print(f"\n{len(found)} drivers killed: {twice} asked twice, {missing} missing")
    print(
        f"text in flight: {chars} characters, {kept} not written again; {sum(v.left for v in found)} calls from workers' journals"
    )
    print(
        f"most at once {most} of {typed.limit}; places free again after {back_s:.2f} s at most (at most {BACK_S:g} s)"
    )
    return 0 if not twice and not missing and most <= typed.limit and back_s <= BACK_S else 1


if __name__ == "__main__":
    sys.exit(main())
