"""A kernel that is killed in the middle of a sweep, and one that does the rest: what the server saw over both lives.

python -m tests.experiments.kills --kills 50 --seed 1             # answers of a few words, as fast as can be
python -m tests.experiments.kills --kills 20 --seed 1 --long      # answers of 400 tokens at the pace of a model
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.api.checks import is_prefix, text_of
from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.api.tokens import tokenize
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.state import Seen
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.policy.pricing import PRICES
from deepseek_magic.protocol.events import Usage
from deepseek_magic.session.experiments.sweep import Sweep

HANG_S: Final = 120.0
LONG_S: Final = 12.0
"""So long do six answers of 400 tokens take, four at once."""
_LIFE: Final = """
import json, sys
import deepseek_magic as ds
how = json.loads(sys.argv[1])
ds.sweep(how.pop("prompt"), over=how.pop("inputs"), think="off", **how)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of one killed sweep. ``asked_twice``: answers that the journal had and the second life asked for again. ``sent_twice``:
    the same of answers that the server had sent whole when the kernel died, whether they were read or not, and
    ``sent_continued`` those of them that were only continued. ``missing``: trials without the answer that the oracle gives.

    ``kept_chars`` of the ``in_flight_chars`` that the server had sent were not written again. Tokens and cost are by the server's
    count over both lives, by the journal's, and by the server's of calls whose count the dead kernel never got.
    """

    done_at_kill: int
    asked_twice: int
    sent_twice: int
    sent_continued: int
    missing: int
    in_flight_chars: int
    kept_chars: int
    tokens: int
    journal_tokens: int
    lost_tokens: int
    cost: Decimal
    journal_cost: Decimal
    lost_cost: Decimal


def one(seed: int, *, inputs: int = 12, repeats: int = 3, long: bool = False) -> Verdict:
    """Kill a sweep at a place that ``seed`` says, run it again, and compare."""
    chance = random.Random(seed)
    if long:
        inputs, repeats = 6, 1
    prompt = "long 1 about {q}" if long else "echo {q}"
    table = [{"q": f"item {number}"} for number in range(inputs)]
    how = {"prompt": prompt, "inputs": table, "repeats": repeats, "concurrency": 4, "endpoint": "demo"}
    with tempfile.TemporaryDirectory() as home, DemoServer(pace=1.0 if long else 0.02, keep=100_000) as server:
        environment = {**os.environ, "DEEPSEEK_MAGIC_HOME": home, DEMO_VARIABLE: server.base_url}
        life = start(how, environment)
        kill_at = 0 if long else chance.randrange(1, inputs * repeats)
        wait_for(lambda: sum(seen.ended == "done" for seen in server.requests) >= kill_at, life)
        wait_for(lambda: bool(server.requests), life)
        time.sleep(chance.uniform(1, LONG_S) if long else chance.random() * 0.03)
        life.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        life.wait(HANG_S)
        # Also what the dead one had sent and the server had not yet read when it died is of the first life.
        wait_for(lambda: not server.open_connections and all(seen.ended for seen in server.requests), None)
        first = [seen for seen in server.requests if seen.body]
        path = Path(home) / "journal.sqlite3"
        known = complete(path)
        if long:
            server.pace = 0
        life = start(how, environment)
        assert life.wait(HANG_S) == 0, "the second life failed"
        second = [seen for seen in server.requests if seen.body][len(first) :]
        anew = Counter(question(seen.body) for seen in second if not is_prefix(seen.body["messages"][-1]))
        continued = Counter(question(seen.body) for seen in second if is_prefix(seen.body["messages"][-1]))
        whole = [seen for seen in first if seen.ended == "done" and (seen.ended_at_s or 0.0) <= killed_s]
        sent = Counter(question(seen.body) for seen in whole)
        rows = sweep_of(path).rows()
        oracle = {question(seen.body): reply(asked_for(seen.body)).text for seen in [*first, *second]}
        missing = sum(row["text"] != oracle[prompt.replace("{q}", str(row["q"]))] for row in rows)
        prefixes = [text_of(s.body["messages"][-1]["content"]) for s in second if is_prefix(s.body["messages"][-1])]
        heard = {row["completion_id"]: row for row in journal_rows(path) if row["completion_id"]}
        lost = [seen for seen in first if seen.answer_id not in heard]
        return Verdict(
            done_at_kill=sum(known.values()),
            asked_twice=_beyond(known, anew + continued, repeats),
            sent_twice=_beyond(sent, anew, repeats),
            sent_continued=_beyond(sent, anew + continued, repeats) - _beyond(sent, anew, repeats),
            missing=missing + abs(len(rows) - inputs * repeats),
            in_flight_chars=sum(map(chars_sent, lost)),
            kept_chars=sum(map(len, prefixes)),
            tokens=tokens_of([*first, *second]),
            journal_tokens=sum(row["prompt_tokens"] + row["completion_tokens"] for row in heard.values()),
            lost_tokens=tokens_of(lost),
            cost=billed([*first, *second]),
            journal_cost=sum((Decimal(str(row["cost"])) for row in heard.values()), Decimal(0)),
            lost_cost=billed(lost),
        )


def _beyond(had: Counter[str], asked: Counter[str], wanted: int) -> int:
    """How many answers were asked for although so many were there, by question."""
    return sum(max(0, had[name] + asked[name] - wanted) for name in asked)


def chars_sent(seen: Seen) -> int:
    """How much of an answer has left the server."""
    written = seen.usage["completion_tokens"] if seen.usage else 0
    return len("".join(tokenize(reply(asked_for(seen.body)).text)[:written]))


def tokens_of(requests: Iterable[Seen]) -> int:
    """What the server has counted for these, read and written."""
    return sum(seen.usage["total_tokens"] for seen in requests if seen.usage)


def billed(requests: Iterable[Seen]) -> Decimal:
    """What the server's own counts cost, at the demo's price list."""
    total = Decimal(0)
    for seen in requests:
        if seen.usage:
            counts = {name: seen.usage[name] for name in ("prompt_tokens", "completion_tokens")}
            hit, miss = seen.usage["prompt_cache_hit_tokens"], seen.usage["prompt_cache_miss_tokens"]
            usage = Usage(**counts, cache_hit_tokens=hit, cache_miss_tokens=miss)
            cost = PRICES.cost_of(seen.body["model"], usage, datetime.now(UTC), endpoint="demo")
            assert cost is not None
            total += cost.amount
    return total


def question(body: Any) -> str:
    """The user's message of a request, also of a continuation."""
    return text_of(next(m for m in body["messages"] if m["role"] == "user")["content"])


def complete(path: Path) -> Counter[str]:
    """How many whole answers the journal has, by question."""
    return Counter(row["prompt"] for row in journal_rows(path) if row["outcome"] == "complete")


def journal_rows(path: Path) -> list[dict[str, Any]]:
    journal = Journal(path)
    try:
        return [dict(row) for row in journal.rows()]
    finally:
        journal.close()


def sweep_of(path: Path) -> Sweep:
    """The only sweep of a journal."""
    journal = Journal(path)
    ((sweep_id,),) = journal.stored("SELECT sweep_id FROM sweeps")
    return Sweep(journal, sweep_id)


def start(how: dict[str, Any], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _LIFE, json.dumps(how)], env=environment)


def wait_for(holds: Any, life: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        if life is not None and life.poll() is not None:
            return
        time.sleep(0.002)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", action="store_true")
    typed = parser.parse_args()
    found = []
    for seed in range(typed.seed, typed.seed + typed.kills):
        found.append(verdict := one(seed, long=typed.long))
        print(seed, verdict, flush=True)
    sums = {name: sum(asdict(each)[name] for each in found) for name in asdict(found[0])}
    print("\n{kills} kills: {asked_twice} asked twice, {missing} missing".format(kills=len(found), **sums))
    print(
        "sent whole by the server, and asked again: {sent_twice} restarted, {sent_continued} continued".format(**sums)
    )
    print("text in flight: {in_flight_chars} characters, {kept_chars} not written again".format(**sums))
    explained = True
    for what, ours, lost in (("tokens", "journal_tokens", "lost_tokens"), ("cost", "journal_cost", "lost_cost")):
        rest = sums[what] - sums[ours] - sums[lost]
        explained = explained and abs(rest) < Decimal("1e-9")
        print(
            f"{what}: {sums[what]} by the server, {sums[ours]} by the journal, {sums[lost]} of calls that died with the kernel "
            f"before the server's count came; {rest:g} unexplained"
        )
    strict = typed.long and sums["sent_twice"] > 0
    return 1 if sums["asked_twice"] or sums["missing"] or strict or not explained else 0


if __name__ == "__main__":
    sys.exit(main())
