"""A sweep on the workers of a Dask cluster against the same on one machine: throughput, CPU a trial, memory of the driver.

python -m tests.experiments.cluster                            # 20,000 trials of 0.5 s, a limit of 64, 12 % of requests broken
python -m tests.experiments.cluster --table                    # one machine against 1 … all cores, plain and with heavy scorers
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.api.tokens import tokenize
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import begun
from tests.experiments.cluster_kills import Commanded, own_home

LIMIT: Final = 64
TASK_S: Final = 0.5
WORDS: Final = 10
FAULTS: Final = "500 p=0.06 seed=1; cut p=0.06 seed=2"
"""No 429: it would tell of a limit that was passed, and none was; whoever believes it asks for less than the limit."""
SHARE: Final = {2: 0.70, 4: 0.90}
"""Of the throughput that the limit allows, on so many cores or more."""
TABLE: Final = {0: 2_000, 50: 400, 200: 120, 800: 40}
"""How many trials are asked where a score takes so many milliseconds: about half a minute's on one machine."""
STREAMS: Final = 10_000
LOGGED: Final = 500
"""So many calls the log of the session keeps: it is to be full when memory is measured first."""
_SERVE: Final = """
import json, sys, time
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
how = json.loads(sys.argv[1])
pace = Pace(first_token_s=how["task"] / 5, tokens_per_s=how["tokens"] / (how["task"] * 4 / 5), jitter=0)
with DemoServer(0, how["fault"] or None, pace, concurrency=how["limit"]) as server:
    print(server.base_url, flush=True)
    time.sleep(86_400)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """``workers`` 0: this machine alone. CPU is of the driver, the scheduler and the workers, for each trial; ``grew_mb`` what the
    driver's memory grew by between a tenth of the trials and the end, without the log of the session, which keeps 2 kB of each of
    the last 100,000 calls."""

    workers: int
    scorer_ms: int
    trials: int
    done: int
    took_s: float
    driver_ms: float
    scheduler_ms: float
    workers_ms: float
    grew_mb: float

    @property
    def per_s(self) -> float:
        """Trials a second."""
        return self.trials / self.took_s

    @property
    def cpu_ms(self) -> float:
        """Of all processes."""
        return self.driver_ms + self.scheduler_ms + self.workers_ms


def prompt(number: str) -> str:
    """What a trial asks; the answer says it again."""
    return "echo " + "word " * (WORDS - 3) + number


def numbered(trial: int) -> str:
    """The number of a trial, always as long: so all answers take as long."""
    return f"{trial:05}"


def answer_tokens() -> int:
    """How many gaps there are between the first event of an answer and its last."""
    body = {"model": "deepseek-chat", "messages": [{"role": "user", "content": prompt(numbered(1))}], "stream": True}
    return len(tokenize(reply(asked_for({**body, "thinking": {"type": "disabled"}})).text))


@contextmanager
def serving(task_s: float, limit: int, fault: str = "") -> Iterator[str]:
    """The demo in a process of its own; its address."""
    how = json.dumps({"fault": fault, "limit": limit, "task": task_s, "tokens": answer_tokens()})
    with subprocess.Popen([sys.executable, "-c", _SERVE, how], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def cpu_s(pid: int) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb() -> float:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def scorer(ms: int) -> Any:
    """A function as a notebook has it, which is sent as it is."""

    def score(answer: str, row: Any) -> bool:
        import time as clock

        end_s = clock.thread_time() + ms / 1000
        while clock.thread_time() < end_s:
            sum(range(1000))
        return True

    score.__module__ = "__main__"
    return score


def measured(address: str, trials: int, there: Commanded | None, *, limit: int = LIMIT, scorer_ms: int = 0) -> Figures:
    """One sweep."""
    with own_home():
        session = Session()
        session.log.max_rows = LOGGED
        how: Any = {"endpoint": "demo", "base_url": address, "think": "off", "concurrency": limit}
        how |= {"over": [{"n": numbered(n)} for n in range(trials)], "on": None if there is None else there.client}
        if scorer_ms:
            how["scores"] = scorer(scorer_ms)
        others = [] if there is None else [there.scheduler.pid, *there.living]
        before, own_s, began_s = [cpu_s(pid) for pid in others], time.process_time(), time.monotonic()
        call = begun(session, prompt("{n}"), how)
        at_first = 0.0
        while not call.done:
            time.sleep(0.2)
            if not at_first and call.run.standing.count("done") >= trials / 10:
                at_first = memory_mb()
        sweep = call.wait()
        took_s, own_s = time.monotonic() - began_s, time.process_time() - own_s
        grew_mb = memory_mb() - (at_first or memory_mb())
        spent = [after - then for after, then in zip([cpu_s(pid) for pid in others], before, strict=True)]
        done = sweep.states.get("done", 0)
        session.close()
        return Figures(
            workers=len(others) - 1 if others else 0,
            scorer_ms=scorer_ms,
            trials=trials,
            done=done,
            took_s=took_s,
            driver_ms=1000 * own_s / trials,
            scheduler_ms=1000 * spent[0] / trials if spent else 0.0,
            workers_ms=1000 * sum(spent[1:]) / trials,
            grew_mb=grew_mb,
        )


def table(cores: int) -> int:
    """One machine against workers, plain and with scorers: where a cluster begins to pay."""
    found: list[Figures] = []
    with serving(TASK_S, LIMIT) as address:
        for ms, count in TABLE.items():
            found.append(measured(address, count, None, scorer_ms=ms))
            print(found[-1], flush=True)
            for workers in range(1, cores + 1):
                with Commanded(workers) as there:
                    found.append(measured(address, count, there, scorer_ms=ms))
                    print(found[-1], flush=True)
    print("\n| scorer, CPU ms | workers | trials | trials/s | CPU ms a trial: driver | scheduler | workers | all |")
    print("|---|---|---|---|---|---|---|---|")
    for each in found:
        where = each.workers or "this machine"
        print(
            f"| {each.scorer_ms} | {where} | {each.trials:,} | {each.per_s:.1f} | {each.driver_ms:.1f} | {each.scheduler_ms:.1f} | "
            f"{each.workers_ms:.1f} | {each.cpu_ms:.1f} |"
        )
    for ms in TABLE:
        here, *there_ = [each for each in found if each.scorer_ms == ms]
        pays = [each for each in there_ if each.per_s > 1.05 * here.per_s]
        best = max(there_, key=lambda each: each.per_s)
        said = f"pays from {pays[0].workers} workers on" if pays else "does not pay here"
        print(f"{ms} ms of scoring: {said} ({best.per_s / here.per_s:.2f} x with {best.workers} workers)")
    plain_here, *plain = [each for each in found if each.scorer_ms == 0]
    last = plain[-1]
    for name, ms in (
        ("this machine alone", plain_here.cpu_ms),
        ("driver", last.driver_ms),
        ("scheduler", last.scheduler_ms),
    ):
        needed = STREAMS / TASK_S * ms / 1000
        print(f"extrapolated to {STREAMS:,} streams of {TASK_S} s at once: {name} would need {needed:.0f} cores")
    return 0 if all(each.done == each.trials for each in found) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = os.cpu_count() or 1
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=cores)
    parser.add_argument("--faults", default=FAULTS, help="what the server does wrong; '' for nothing")
    parser.add_argument("--table", action="store_true")
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["DEEPSEEK_MAGIC_HOME"] = home
        if typed.table:
            return table(typed.workers)
        with serving(TASK_S, LIMIT, typed.faults) as address, Commanded(typed.workers) as there:
            seen = measured(address, typed.trials, there)
    share, least = seen.per_s * TASK_S / LIMIT, SHARE[4 if cores >= 4 else 2]
    print(seen)
    print(f"{seen.per_s:.1f} trials/s: {share:.0%} of what the limit allows (at least {least:.0%})")
    print(
        f"CPU a trial: driver {seen.driver_ms:.1f} ms, scheduler {seen.scheduler_ms:.1f} ms, workers {seen.workers_ms:.1f} ms"
    )
    print(f"driver's memory grew by {seen.grew_mb:.0f} MB; {seen.trials - seen.done} failed")
    return 0 if share >= least and seen.done == seen.trials else 1


if __name__ == "__main__":
    sys.exit(main())
