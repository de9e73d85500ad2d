"""Maps of large tables, some of whose rows fail for good: pandas with an index that has labels twice, polars, a Series.

python -m tests.experiments.maps --rows 5000 --seed 1
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import polars as pl

from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.mapping import TableMap
from deepseek_magic.session.experiments.running import start_sweep
from tests.experiments.kills import question

SHARE: Final = 0.07
"""So many of the requests are refused."""
KINDS: Final = ("pandas", "polars", "series")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """Of one map: whether the table is as it was, the rows that are not as the server answered them, those that failed, and how
    often a distinct row was asked, at most."""

    kept: bool
    rows: int
    wrong: int
    failed: int
    distinct: int
    bodies: int
    times: int

    @property
    def holds(self) -> bool:
        """Whether all is as it must be."""
        return (
            self.kept and self.wrong == 0 < self.failed < self.rows and self.bodies == self.distinct and self.times == 1
        )


def table(kind: str, rows: int, seed: int) -> tuple[Any, list[str]]:
    """A table of texts, a fifth of them more than once, and the texts in its order."""
    chance = random.Random(f"{seed} {kind}")
    texts = [f"{kind} item {chance.randrange(rows * 2)}" for _ in range(rows)]
    if kind == "polars":
        return pl.DataFrame({"text": texts, "n": range(rows)}), texts
    labels = [(chance.choice("cab"), chance.randrange(rows // 10 + 1)) for _ in range(rows)]
    if kind == "series":
        return pd.Series(texts, index=[number for _, number in labels], name="text"), texts
    index = pd.MultiIndex.from_tuples(labels, names=["letter", None])
    return pd.DataFrame({"text": texts, "n": range(rows)}, index=index), texts


def one(kind: str, rows: int, seed: int, demo: DemoServer, session: Session) -> Mapped:
    """Map a table of that kind and compare it with what the server saw."""
    given, texts = table(kind, rows, seed)
    demo.fault = f"400 p={SHARE} seed={seed}"
    before = len(demo.requests)
    made = TableMap.of(session, given, "echo {text}", into="label", think="off")
    out = made.result(start_sweep(session, made.prepared(session), concurrency=16).wait())
    seen = [each for each in demo.requests[before:] if each.body]
    refused = {question(each.body) for each in seen if each.status == 400}
    answer = {question(each.body): reply(asked_for(each.body)).text for each in seen if each.status == 200}
    answers = [None if value is None or value is pd.NA else value for value in out["label"].to_list()]
    errors = [None if value is None or value is pd.NA else value for value in out["label_error"].to_list()]
    wanted = [answer.get(f"echo {text}") for text in texts]
    wrong = sum(
        got != want
        or (error is not None) is not (f"echo {text}" in refused)
        or (error is not None and "400" not in error)
        for text, got, want, error in zip(texts, answers, wanted, errors, strict=True)
    )
    return Mapped(
        kept=_kept(given, out),
        rows=rows,
        wrong=wrong,
        failed=sum(error is not None for error in errors),
        distinct=len(set(texts)),
        bodies=len({question(each.body) for each in seen}),
        times=max(Counter(question(each.body) for each in seen).values()),
    )


def _kept(given: Any, out: Any) -> bool:
    """Whether the table is what it was, beside its two new columns."""
    if isinstance(given, pl.DataFrame):
        return bool(out.columns == [*given.columns, "label", "label_error"] and out[given.columns].equals(given))
    frame = given.to_frame() if isinstance(given, pd.Series) else given
    return bool(
        list(out.columns) == [*frame.columns, "label", "label_error"] and out[list(frame.columns)].equals(frame)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    typed = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as home, DemoServer(pace=0, keep=1_000_000) as demo:
        where = {"DEEPSEEK_BASE_URL": demo.base_url, "DEEPSEEK_API_KEY": "sk-test-1234"}
        os.environ.update({"DEEPSEEK_MAGIC_HOME": home, **where})
        session = Session()
        for kind in KINDS:
            began_s = time.perf_counter()
            found.append(mapped := one(kind, typed.rows, typed.seed, demo, session))
            print(f"{kind:7} {time.perf_counter() - began_s:5.1f} s", mapped, flush=True)
        session.close()
    print("all as it must be" if all(each.holds for each in found) else "NOT as it must be")
    return 0 if all(each.holds for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
