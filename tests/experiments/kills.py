"""A kernel that is killed in the middle of a sweep, and one that does the rest: what the server saw over both lives.

python -m tests.experiments.kills --kills 50 --seed 1
python -m tests.experiments.kills --kills 20 --seed 1 --long      # answers of 400 tokens at the pace of a model
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.api.checks import is_prefix, text_of
from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.session.experiments.sweep import Sweep

HANG_S: Final = 120.0
LONG_CHARS: Final = (1_000, 12_000)
"""So much of four answers of 6 kB is on its way when a sweep of long ones is killed: of a few words the last one, which is
asked again, would be a large part."""
_LIFE: Final = """
import json, sys
import deepseek_magic as ds
how = json.loads(sys.argv[1])
ds.sweep(how.pop("prompt"), over=how.pop("inputs"), think="off", **how)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of one killed sweep. ``asked_twice``: answers that the journal had and the second life paid for again. ``missing``:
    trials without the answer that the oracle gives. ``unread``: whole for the server, but not yet in the journal.
    ``kept_chars`` of ``in_flight_chars`` were continued and not written again."""

    done_at_kill: int
    asked_twice: int
    missing: int
    unread: int
    in_flight_chars: int
    kept_chars: int


def one(seed: int, *, inputs: int = 12, repeats: int = 3, long: bool = False) -> Verdict:
    """Kill a sweep at a place that ``seed`` says, run it again, and compare."""
    chance = random.Random(seed)
    if long:
        inputs, repeats = 6, 1
    prompt = "long 6 about {q}" if long else "echo {q}"
    table = [{"q": f"item {number}"} for number in range(inputs)]
    how = {"prompt": prompt, "inputs": table, "repeats": repeats, "concurrency": 4}
    kill_at, delay_s = 0 if long else chance.randrange(1, inputs * repeats), chance.random() * 0.03
    with tempfile.TemporaryDirectory() as home, DemoServer(pace=0.5 if long else 0.02, keep=100_000) as server:
        environment = {
            **os.environ,
            "DEEPSEEK_MAGIC_HOME": home,
            "DEEPSEEK_BASE_URL": server.base_url,
            "DEEPSEEK_API_KEY": "sk-test-1234",
        }
        life = start(how, environment)
        wait_for(lambda: sum(seen.ended == "done" for seen in server.requests) >= kill_at, life)
        path = Path(home) / "journal.sqlite3"
        if long:
            enough = chance.randrange(*LONG_CHARS)
            wait_for(lambda: sum(len(text) for _, text in partial(path)) >= enough, life)
        time.sleep(delay_s)
        life.send_signal(signal.SIGKILL)
        life.wait(HANG_S)
        wait_for(lambda: all(seen.ended for seen in server.requests), None)
        first = [seen for seen in server.requests if seen.body]
        known = complete(path)
        begun = dict(partial(path))
        if long:
            server.pace = 0
        life = start(how, environment)
        assert life.wait(HANG_S) == 0, "the second life failed"
        second = [seen for seen in server.requests if seen.body][len(first) :]
        asked = Counter(question(seen.body) for seen in second)
        rows = sweep_of(path).rows()
        oracle = {question(seen.body): reply(asked_for(seen.body)).text for seen in [*first, *second]}
        names = [row["q"] for row in table]
        missing = sum(row["text"] != oracle[prompt.replace("{q}", str(row["q"]))] for row in rows)
        continued = [seen for seen in second if is_prefix(seen.body["messages"][-1])]
        return Verdict(
            done_at_kill=sum(known.values()),
            asked_twice=sum(max(0, count - (repeats - known[name])) for name, count in asked.items()),
            missing=missing + abs(len(rows) - len(names) * repeats),
            unread=sum(seen.ended == "done" for seen in first) - sum(known.values()),
            in_flight_chars=sum(map(len, begun.values())),
            kept_chars=sum(len(text_of(seen.body["messages"][-1]["content"])) for seen in continued),
        )


def question(body: Any) -> str:
    """The user's message of a request, also of a continuation."""
    return text_of(next(m for m in body["messages"] if m["role"] == "user")["content"])


def complete(path: Path) -> Counter[str]:
    """How many whole answers the journal has, by question."""
    return Counter(row["prompt"] for row in journal_rows(path) if row["outcome"] == "complete")


def partial(path: Path) -> list[tuple[str, str]]:
    """What the journal has of answers that were on their way."""
    return [(str(r["call_id"]), str(r["text"] or "")) for r in journal_rows(path) if r["outcome"] != "complete"]


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
    import json

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
    twice, missing = sum(each.asked_twice for each in found), sum(each.missing for each in found)
    kept, begun = sum(each.kept_chars for each in found), sum(each.in_flight_chars for each in found)
    print(f"{len(found)} kills: {twice} asked twice, {missing} missing, {sum(e.unread for e in found)} unread")
    print(f"text in flight: {begun} characters, {kept} continued")
    return 1 if twice or missing else 0


if __name__ == "__main__":
    sys.exit(main())
