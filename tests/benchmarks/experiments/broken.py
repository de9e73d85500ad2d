"""What is lost and paid twice: broken requests (E3), a limit that falls (E4), a process that is killed (E5).

The judge is the demo's own log, in this process; the peers are in theirs.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.state import Seen
from deepseek_magic.demo.wire.pace import Pace
from tests.experiments.kills import one as kill
from tests.experiments.kills import question

from ..measuring import Bench
from ..report import Goal, Table
from .measuring import LONGEST_S, ONE, interpreter, order, peers_of, titled, worked
from .work import AT_ONCE

KEPT: Final = 1_000_000
KILLED_TRIALS: Final = 200


def _faults(share: float) -> str:
    """Three kinds, together this share of all requests: a server's error, a cut in the middle, a refusal that says when to come again."""
    p = 1 - (1 - share) ** (1 / 3)
    return f"500 p={p:.4f} seed=1; cut p={p:.4f} seed=2; 429 p={p:.4f} seed=3 retry-after=1"


def _posts(demo: DemoServer) -> list[Seen]:
    return [seen for seen in demo.requests if seen.method == "POST"]


def faults(bench: Bench) -> Table:
    """E3."""
    shares = (0.12,) if bench.short else (0.12, 0.40)
    trials = 40 if bench.short else 1_000
    failed, requests = "{:.0%} broken: failed", "{:.0%} broken: requests a trial"

    def lost(peer: str) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        for share in shares if peer == "ours" else shares[:1]:
            with DemoServer(fault=_faults(share), pace=0, keep=KEPT) as demo:
                found = worked(bench, peer, "count", demo.base_url, trials=trials)
                if "missing" in found:
                    return dict(found)
                figures[failed.format(share)] = found["failed"]
                figures[requests.format(share)] = len(_posts(demo)) / trials
        return figures

    found, missing = bench.turns(peers_of(bench), lost, rounds=1)
    ours = found.get("ours", {})
    goals = [Goal(says=failed.format(share), value=ours.get(failed.format(share)), limit=0) for share in shares]
    goals.insert(1, Goal(says=requests.format(0.12), value=ours.get(requests.format(0.12)), limit=1.6))
    return Table(
        id="E3",
        title="Broken requests",
        how=f"{trials:,} trials, 8 at once; each request is broken with that probability: a third answer 500, a third are cut in the middle, "
        "a third answer 429 and say when to come again. A trial without the right text at the end has failed. The worse network is for ours alone.",
        columns=tuple(text.format(share) for share in shares for text in (failed, requests)),
        rows=titled(found),
        missing=titled(missing),
        goals=tuple(goals),
    )


class Falling(DemoServer):
    """Its limit falls to ``low`` when so many chats were begun."""

    def __init__(self, *, begun: int, low: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._left = begun
        self._low = low

    def see(self, request: Any, connection: int) -> Seen:
        seen = super().see(request, connection)
        self._left -= seen.method == "POST"
        if self._left < 0:
            self.concurrency = self._low
        return seen


def least_s(answer_s: float, trials: int, limits: Sequence[int]) -> float:
    """The shortest time for so many answers, an equal share of them under each limit."""
    return sum(math.ceil(trials / len(limits) / limit) * answer_s for limit in limits)


def limit(bench: Bench) -> Table:
    """E4."""
    trials, answer_s, low = (24, 0.05, AT_ONCE // 2) if bench.short else (200, 0.25, AT_ONCE // 2)
    failed, refused, longer = "failed", "refused, % of the trials", "time / the least possible"
    pace = Pace(first_token_s=answer_s, thinking_s=0.0, tokens_per_s=math.inf)

    def under(peer: str) -> dict[str, Any]:
        with Falling(begun=trials // 2, low=low, pace=pace, concurrency=AT_ONCE, keep=KEPT) as demo:
            figures = worked(bench, peer, "count", demo.base_url, trials=trials)
            if "missing" in figures:
                return dict(figures)
            seen = _posts(demo)
            times = [(each.at_s, each.ended_at_s or math.inf) for each in _ended(demo)]
        each_s = statistics.median(end_s - begin_s for begin_s, end_s in times)
        took_s = max(end_s for _, end_s in times) - seen[0].at_s
        return {
            failed: figures["failed"],
            refused: sum(each.status == 429 for each in seen) / trials * 100,
            longer: took_s / least_s(each_s, trials, (AT_ONCE, low)),
        }

    found, missing = bench.turns(peers_of(bench), under, rounds=1)
    ours = found.get("ours", {})
    return Table(
        id="E4",
        title=f"The server's limit falls from {AT_ONCE} to {low}",
        how=f"{trials} trials, {AT_ONCE} at once, answers of {answer_s:g} s; after half of them the server lets {low} run and refuses the rest. "
        f"The least possible time is that of {AT_ONCE} and then {low} places which are never empty, at the median length of the answers.",
        columns=(failed, refused, longer),
        rows=titled(found),
        missing=titled(missing),
        goals=(
            Goal(says="failed", value=ours.get(failed), limit=0),
            Goal(says=refused, value=ours.get(refused), limit=4),
            Goal(says=longer, value=ours.get(longer), limit=1.25),
        ),
    )


def killed(bench: Bench) -> Table:
    """E5."""
    places = 1 if bench.short else 50
    columns = kills, twice, again, missing_ = (
        "kills",
        "paid twice, a kill",
        "of these read and kept before",
        "missing, all kills",
    )

    def dead(peer: str) -> dict[str, Any]:
        if peer != "ours":
            lost = _killed(bench, peer)
            return {kills: 1, twice: lost[0], missing_: lost[1]}
        found = [kill(seed) for seed in range(1, places + 1)]
        return {
            kills: places,
            twice: sum(each.sent_twice for each in found) / places,
            again: sum(each.asked_twice for each in found),
            missing_: sum(each.missing for each in found),
        }

    found, missing = bench.turns(peers_of(bench, "ours", "inspect", "chatlas", "promptfoo"), dead, rounds=1)
    ours = found.get("ours", {})
    return Table(
        id="E5",
        title="kill -9 in the middle, and the same again",
        how=f"Ours: {places} kills at places that a seed says, 36 trials each, 4 at once (`tests/experiments/kills.py`). The others: one kill of 200 "
        "trials at half of them, 8 at once, then what their documentation names to go on with. Paid twice are answers that the "
        "server had ended before the kill and was asked for again: some of them had not reached the client.",
        columns=columns,
        rows=titled(found),
        missing=titled(missing),
        goals=(
            Goal(says=f"paid twice although they were kept, {places} kills", value=ours.get(again), limit=0),
            Goal(says=f"missing, {places} kills", value=ours.get(missing_), limit=0),
        ),
    )


def _killed(bench: Bench, peer: str) -> tuple[float, float]:
    """Answers that were paid twice, and trials without one, when a peer is killed at half of its work and goes on."""
    pace = Pace(first_token_s=0.1, thinking_s=0.0, tokens_per_s=math.inf)
    python = interpreter(bench, peer)
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder, DemoServer(pace=pace, keep=KEPT) as demo:

        def life(*, again: bool) -> subprocess.Popen[str]:
            argument = order(peer, "count", demo.base_url, folder, trials=KILLED_TRIALS, mortal=True, again=again)
            return subprocess.Popen(
                [python, "-W", "ignore", "-m", ONE, argument],
                cwd=bench.root,
                env=bench.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

        first = life(again=False)
        while len(_ended(demo)) < KILLED_TRIALS / 2 and first.poll() is None:
            time.sleep(0.002)
        if first.returncode is not None:
            raise RuntimeError(first.communicate()[0].strip().splitlines()[-1])
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        while not all(seen.ended for seen in demo.requests):
            time.sleep(0.01)
        before = _ended(demo)
        printed, _ = life(again=True).communicate(timeout=LONGEST_S)
        after = Counter(map(_question, _ended(demo)[len(before) :]))
        twice = sum(min(count, after[asked]) for asked, count in Counter(map(_question, before)).items())
        return twice, json.loads(printed.splitlines()[-1])["failed"]


def _ended(demo: DemoServer) -> list[Seen]:
    return [seen for seen in _posts(demo) if seen.ended == "done" and seen.status == 200]


def _question(seen: Seen) -> str:
    return question(seen.body)
