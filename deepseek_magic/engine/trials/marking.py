"""Scores are given here: a pattern in a process of its own, a user's function in a thread, each with its seconds.

A pattern may run for ever, and ``re`` holds the interpreter meanwhile: in a thread it would stall every stream as well. A
function of the user's needs the kernel's variables and stays here; one that never returns loses its score, not the sweep.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import IO, Final

from ...protocol.experiments.rows import Row
from ...protocol.experiments.rules import Score, verdict
from ...protocol.experiments.scoring import MISSING, PATTERN_S, Scorer
from ...text.messages import Message

FUNCTION_S: Final = 5.0
"""A function that has not returned after so many seconds gives no score; its thread is left alone."""

_TOO_LONG: Final = Message("it took longer than {seconds} s")
_WORK: Final = """
import json, re, sys
for line in sys.stdin.buffer:
    pattern, text = json.loads(line)
    print(int(re.search(pattern, text) is not None), flush=True)
"""


class Patterns:
    """A process that looks for patterns, one at a time; started at the first and ended with this one's."""

    def __init__(self, limit_s: float = PATTERN_S) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def look(self, answer: str, pattern: str) -> Score:
        """Whether the pattern is found in the answer; no score where that takes longer than the limit. Blocks."""
        asked = json.dumps([pattern, answer]).encode("ascii") + b"\n"
        with self._lock:
            try:
                process = self._started()
                assert process.stdin is not None
                process.stdin.write(asked)
                process.stdin.flush()
                found = self._said.get(timeout=self._limit_s)
            except queue.Empty:
                self._end()
                return Score(None, why=_TOO_LONG.filled(seconds=f"{self._limit_s:g}"))
            except OSError as error:
                self._end()
                return Score(None, why=Message("the pattern could not be run ({error})", error=str(error)))
            if not found:  # it has died: killed from outside, or out of memory
                self._end()
                return Score(None, why=Message("the pattern could not be run ({error})", error="EOF"))
        return verdict(found == b"1")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _WORK],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._said = queue.SimpleQueue()
            assert self._process.stdout is not None
            threading.Thread(target=_pass_on, args=(self._process.stdout, self._said), daemon=True).start()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with contextlib.suppress(OSError):
            process.communicate()

    def close(self) -> None:
        """End the process. The next pattern starts another one."""
        with self._lock:
            self._end()


def _pass_on(stream: IO[bytes], said: queue.SimpleQueue[bytes]) -> None:
    with contextlib.suppress(ValueError, OSError):  # closed while it was read
        for line in stream:
            said.put(line.strip())
    said.put(b"")


class Marker:
    """Gives scores; for use in a thread, never on the engine's loop. Safe to use from several threads."""

    def __init__(self, *, pattern_s: float = PATTERN_S, function_s: float = FUNCTION_S) -> None:
        self._patterns = Patterns(pattern_s)
        self._function_s = function_s

    def mark(self, scorers: Iterable[Scorer], answer: str, row: Row) -> dict[str, Score]:
        """The scores of one answer, by column. Judges are left out: their scores are calls."""
        found: dict[str, Score] = {}
        for scorer in scorers:
            match scorer.kind:
                case "regex":
                    pattern = scorer.pattern(row)
                    found[scorer.name] = (
                        Score(None, why=MISSING) if pattern is None else self._patterns.look(answer, pattern)
                    )
                case "function":
                    found |= self._timed(scorer, answer, row)
                case "judge" | "prefer":
                    pass
                case _:
                    found |= scorer.scores(answer, row)
        return found

    def _timed(self, scorer: Scorer, answer: str, row: Row) -> dict[str, Score]:
        said: list[dict[str, Score]] = []
        work = threading.Thread(target=lambda: said.append(scorer.scores(answer, row)), daemon=True)
        work.start()
        work.join(self._function_s)
        if said:
            return said[0]
        return {scorer.name: Score(None, why=_TOO_LONG.filled(seconds=f"{self._function_s:g}"))}

    def close(self) -> None:
        """End the patterns' process."""
        self._patterns.close()
