"""One measurement of one peer's work, in a process of its own.

    python -m tests.benchmarks.experiments.one '{"peer": "ours", "measure": "cpu", "work": {…}}'

prints one line of JSON: figures by name, or ``{"missing": why}`` when the peer's library is not there.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from dataclasses import replace
from typing import Any

from ..memory import growth
from .peers import module_of
from .work import Work

WARM = 8
Figures = dict[str, float]


def _cpu_s() -> float:
    """CPU time of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _right(peer: Any, work: Work, answers: list[str | None]) -> int:
    """How many trials have the answer that the server gives."""
    if not getattr(peer, "DECODES", True):
        return sum(answer is not None for answer in answers)
    both = zip(answers, work.answers, strict=True)
    return sum(answer is not None and answer.split() == wanted.split() for answer, wanted in both)


def _warmed(peer: Any, work: Work, trials: int = WARM) -> float:
    """The CPU time of a few other questions."""
    began_s = _cpu_s()
    peer.run(replace(work, trials=trials, first=work.first + work.trials))
    gc.collect()
    return _cpu_s() - began_s


def cpu(peer: Any, work: Work) -> Figures:
    """CPU time a trial, everything warm. Raises AssertionError where an answer is missing."""
    warm_s = _warmed(peer, work)
    began_s, began_cpu_s = time.perf_counter(), _cpu_s()
    answers = peer.run(work)
    busy_s, took_s, trials = _cpu_s() - began_cpu_s, time.perf_counter() - began_s, work.trials
    if (right := _right(peer, work, answers)) != trials:
        raise AssertionError(f"{right} right answers of {trials}")
    if getattr(peer, "STARTS_A_PROCESS", False):
        busy_s, trials = busy_s - warm_s, trials - WARM
    return {"ms_per_trial": busy_s / trials * 1e3, "took_s": took_s}


def count(peer: Any, work: Work) -> Figures:
    """How many trials have no right answer at the end."""
    began_s = time.perf_counter()
    answers = peer.run(work)
    return {"failed": work.trials - _right(peer, work, answers), "took_s": time.perf_counter() - began_s}


def memory(peer: Any, work: Work) -> Figures:
    """By how much the process grows at its peak, after a short work (resident memory): until all is answered, where the peer
    tells when that is, and until it is shown."""
    _warmed(peer, work)
    figures = {}
    with growth() as grown:
        if hasattr(peer, "asked"):
            with growth() as until_answered:
                kept = peer.asked(work)
            figures["answered_mb"] = until_answered.mb
            answers = peer.shown(kept)
        else:
            answers = peer.run(work)
    if (right := _right(peer, work, answers)) != work.trials:
        raise AssertionError(f"{right} right answers of {work.trials}")
    return {**figures, "grown_mb": grown.mb}


MEASURES = {each.__name__: each for each in (cpu, count, memory)}


def main() -> None:
    """Measure what the argument says."""
    wanted = json.loads(sys.argv[1])
    work = Work(**wanted["work"])
    os.environ["DEEPSEEK_BASE_URL"], os.environ["DEEPSEEK_MAGIC_HOME"] = work.base_url, work.folder
    try:
        peer = module_of(wanted["peer"])
    except ImportError as error:
        print(json.dumps({"missing": f"{type(error).__name__}: {error}"}))
        return
    print(json.dumps(MEASURES[wanted["measure"]](peer, work)))


if __name__ == "__main__":
    main()
