"""Workers and schedulers of a Dask cluster that are killed in the middle of a sweep: what the server saw.

python -m tests.experiments.cluster_kills                      # a worker at 20 places, then both, then the scheduler
python -m tests.experiments.cluster_kills --kills 3 --task 6   # long answers: how much of what was in flight is kept
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from deepseek_magic.demo.api.checks import is_prefix, text_of
from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.state import Seen
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.protocol.errors import DeepSeekError
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import begun
from tests.experiments.kills import HANG_S, chars_sent, question, wait_for
from tests.experiments.storm import most_at_once

Killed = Literal["worker", "both", "scheduler"]
WORDS: Final = 20
STALL_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVerdict:
    """Of one sweep. ``asked_twice``: answers that the journal had when it was killed, and that were asked for again;
    ``sent_twice``: the same of all that the server had sent whole by then, read or not. ``kept_chars`` of the ``in_flight_chars``
    of answers that broke off were not written again. ``stall_s``: the longest time in which no request began or ended.
    ``ended``: the sentence with which the sweep ended early, if it did."""

    done_at_kill: int
    asked_twice: int
    sent_twice: int
    missing: int
    most_at_once: int
    refused: int
    in_flight_chars: int
    kept_chars: int
    stall_s: float
    ended: str


def one(
    client: Any,
    processes: Sequence[int],
    seed: int,
    *,
    trials: int,
    task_s: float,
    limit: int,
    then: Callable[[], None] = lambda: None,
) -> ClusterVerdict:
    """Have a sweep asked by a cluster, kill these processes at a place that ``seed`` says, do what comes ``then``, and compare.
    Where that ends the sweep it is run again on this machine."""
    chance = random.Random(seed)
    pace = Pace(first_token_s=task_s / 5, tokens_per_s=WORDS / (task_s * 4 / 5), jitter=0)
    prompt = "echo " + "word " * (WORDS - 3) + "{q}"
    with own_home(), DemoServer(pace=pace, concurrency=limit, keep=100_000) as server:
        session = Session()
        how: Any = {"endpoint": "demo", "base_url": server.base_url, "think": "off", "concurrency": limit}
        how["over"] = [{"q": f"item {number}"} for number in range(trials)]
        call = begun(session, prompt, {**how, "on": client})
        kill_at = chance.randrange(1, trials * 3 // 4)
        wait_for(lambda: call.done or done(server.requests) >= kill_at, None)
        time.sleep(chance.random() * task_s)
        known = Counter(str(row["prompt"]) for row in session.journal.rows() if row["outcome"] == "complete")
        for process in processes:
            os.kill(process, signal.SIGKILL)
        killed_s = time.monotonic()
        then()
        ended = ""
        try:
            sweep = call.wait()
        except DeepSeekError as error:
            ended = str(error)
            wait_for(lambda: not server.open_connections, None)
            sweep = begun(session, prompt, how).wait()
        asked = [seen for seen in server.requests if seen.status == 200]
        again = Counter(question(seen.body) for seen in asked if seen.at_s > killed_s)
        sent = Counter(question(seen.body) for seen in asked if seen.ended == "done" and _ended_s(seen) <= killed_s)
        rows = sweep.rows()
        oracle = {question(seen.body): reply(asked_for(seen.body)).text for seen in asked}
        session.close()
        moments = sorted(moment for seen in asked for moment in (seen.at_s, _ended_s(seen)))
        continued = [seen.body["messages"][-1] for seen in asked if is_prefix(seen.body["messages"][-1])]
        return ClusterVerdict(
            done_at_kill=sum(known.values()),
            asked_twice=sum((known & again).values()),
            sent_twice=sum((sent & again).values()),
            missing=sum(row["text"] != oracle.get(prompt.replace("{q}", str(row["q"]))) for row in rows),
            most_at_once=most_at_once(asked),
            refused=sum(seen.status == 429 for seen in server.requests),
            in_flight_chars=sum(chars_sent(seen) for seen in asked if seen.ended != "done"),
            kept_chars=sum(len(text_of(message["content"])) for message in continued),
            stall_s=max(after - before for before, after in itertools.pairwise(moments)),
            ended=ended,
        )


def _ended_s(seen: Seen) -> float:
    return seen.at_s if seen.ended_at_s is None else seen.ended_at_s


def done(requests: Sequence[Seen]) -> int:
    """How many answers the server has sent whole."""
    return sum(seen.ended == "done" for seen in requests)


@contextlib.contextmanager
def own_home() -> Iterator[Path]:
    """A folder of its own for what is kept."""
    before = os.environ.get("DEEPSEEK_MAGIC_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["DEEPSEEK_MAGIC_HOME"] = home
        try:
            yield Path(home)
        finally:
            if before is None:
                del os.environ["DEEPSEEK_MAGIC_HOME"]
            else:
                os.environ["DEEPSEEK_MAGIC_HOME"] = before


class Commanded:
    """A scheduler and workers that were started by command, as on a real cluster, and a client of theirs."""

    def __init__(self, workers: int = 2, **environment: str) -> None:
        import distributed

        self._folder = tempfile.TemporaryDirectory()
        self.file = f"{self._folder.name}/scheduler.json"
        self.home = Path(self._folder.name) / "home"
        self._environment = {**os.environ, "DEEPSEEK_MAGIC_HOME": str(self.home), **environment}
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._started("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        for _ in range(workers):
            self.worker()
        wait_for(Path(self.file).exists, self.scheduler)
        self.client = distributed.Client(scheduler_file=self.file, timeout=HANG_S)
        self.client.wait_for_workers(workers, timeout=HANG_S)

    def _started(self, module: str, *flags: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", self.file, *flags]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def worker(self) -> None:
        """Start one more."""
        flags = ("--nthreads", "1", "--no-dashboard", "--no-nanny", "--host", "127.0.0.1")
        self.workers.append(self._started("dask_worker", *flags))

    @property
    def living(self) -> list[int]:
        """The processes of the workers that are there."""
        return [process.pid for process in self.workers if process.poll() is None]

    def __enter__(self) -> Commanded:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self.client.close(timeout=1)
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self._folder.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--task", type=float, default=0.6, help="seconds of one answer")
    parser.add_argument("--limit", type=int, default=16)
    typed = parser.parse_args()
    size: Any = {"trials": typed.trials, "task_s": typed.task, "limit": typed.limit}
    found: list[tuple[Killed, ClusterVerdict]] = []

    def note(what: Killed, verdict: ClusterVerdict) -> None:
        found.append((what, verdict))
        print(what, verdict, flush=True)

    with Commanded() as there:

        def again() -> None:
            there.worker()
            there.worker()

        for seed in range(typed.seed, typed.seed + typed.kills):
            killed = [random.Random(seed).choice(there.living)]
            note("worker", one(there.client, killed, seed, then=there.worker, **size))
            there.client.wait_for_workers(2, timeout=HANG_S)
        note("both", one(there.client, there.living, typed.seed, then=again, **size))
        note("scheduler", one(there.client, [there.scheduler.pid], typed.seed, **size))
    verdicts = [verdict for _, verdict in found]
    stall_s = max(verdict.stall_s for what, verdict in found if what == "worker")
    print(
        f"\n{len(found)} kills: {sum(v.asked_twice for v in verdicts)} asked twice, {sum(v.missing for v in verdicts)} missing"
    )
    print(f"sent whole by the server, and asked again: {sum(v.sent_twice for v in verdicts)}")
    chars, kept = sum(v.in_flight_chars for v in verdicts), sum(v.kept_chars for v in verdicts)
    print(f"text in flight: {chars} characters, {kept} not written again")
    print(
        f"most at once {max(v.most_at_once for v in verdicts)} of {typed.limit}, longest stall {stall_s:.1f} s (at most {STALL_S:g} s)"
    )
    fine = not any(v.asked_twice or v.missing or v.most_at_once > typed.limit for v in verdicts)
    return 0 if fine and stall_s <= STALL_S and verdicts[-1].ended else 1


if __name__ == "__main__":
    sys.exit(main())
