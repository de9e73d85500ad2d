"""The measurement of A19: ``python -m tests.lessons [--pace 1] [--demo-pace 0.3] [--keep FOLDER]``.

Records the lesson, plays it at the pace of the recording and at once, and tells how far each event came from its time. It
is told here and asserted nowhere: a machine that does something else delays events.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from .kernel import without_times
from .recording import Lesson, record, replay, tape_of

NEAR_S: Final = 0.02
SHARE: Final = 0.05


def off_by(before: Lesson, after: Lesson) -> list[tuple[float, float]]:
    """For each event the gap in the recording, and how much the one of the replay differs from it; in seconds."""
    found = []
    calls: dict[str, list[Any]] = defaultdict(list)
    for call in after.calls:
        calls[call["prompt"]].append(call)
    for call in before.calls[:-1]:  # of the last one the home folder is hidden
        was = _of(call)
        again = next(each for each in calls[call["prompt"]] if [e[::2] for e in _of(each)] == [e[::2] for e in was])
        calls[call["prompt"]].remove(again)
        found += [(gap_s, again_s - gap_s) for (_, gap_s, _), (_, again_s, _) in zip(was, _of(again), strict=True)]
    return found


def _of(call: dict[str, Any]) -> list[Any]:
    """The events of a call, without the wait for a free place, which depends on the other calls, and what ends it."""
    events, after_wait = [], False
    for event in call["events"]:
        if event[0] != "waiting" and not after_wait:
            events.append(event)
        after_wait = event[0] == "waiting"
    return events


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pace", type=float, default=1.0)
    options.add_argument("--demo-pace", type=float, default=0.3)
    options.add_argument("--keep", type=Path)
    typed = options.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = typed.keep or Path(made)
        before = record(folder / "recorded", pace=typed.demo_pace)
        tape = tape_of(folder / "recorded")
        print(f"recorded: {len(before.calls)} calls, {tape.stat().st_size:,} bytes")
        after = replay(folder / "played", tape, pace=typed.pace)
        gaps = off_by(before, after)
        late = [(gap_s, off_s) for gap_s, off_s in gaps if abs(off_s) > NEAR_S + SHARE * gap_s]
        worst = sorted(abs(off_s) for _, off_s in gaps)
        print(
            f"pace {typed.pace:g}: {len(gaps):,} gaps, {len(late)} beyond 20 ms + 5 %; off by p50 {1e3 * worst[len(worst) // 2]:.1f} ms, p99 {1e3 * worst[len(worst) * 99 // 100]:.1f} ms, max {1e3 * worst[-1]:.1f} ms"
        )
        began_s = time.perf_counter()
        at_once = replay(folder / "at_once", tape, pace=0)
        whole_s = time.perf_counter() - began_s
        same = sum(without_times(a) == without_times(b) for a, b in zip(before.outputs, at_once.outputs, strict=True))
        print(
            f"pace 0: {at_once.cells_s:.2f} s for all cells ({whole_s:.1f} s with the kernel); {same} of {len(before.outputs)} cells equal but for times"
        )


if __name__ == "__main__":
    main()
