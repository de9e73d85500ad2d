"""The command: break the sources on purpose and print what no test noticed.

python -m tests.mutations [--named] [--short] [--seed N] [--seconds N] [FILE ...]

Alone it goes through a sample of all files' mutants for ten minutes; ``--named`` applies the faults of ``named`` instead,
``--short`` does both within a minute and a half. The exit code is 1 when a named fault was not noticed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final

from .named import NAMED
from .running import ROOT, verdict_on
from .sampling import TARGETS, sample

SHORT_S: Final = 85.0


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--named", action="store_true", help="the faults that once were not noticed")
    parser.add_argument("--short", action="store_true", help="those, then a few others, within a minute and a half")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--seconds", type=float, default=600.0, help="for the sample")
    asked = parser.parse_args()
    if unknown := set(asked.files) - set(TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    began_s = time.monotonic()
    missed = named() if asked.named or asked.short else 0
    if not asked.named:
        until_s = began_s + (SHORT_S if asked.short else asked.seconds)
        survivors(asked.seed, asked.files or list(TARGETS), until_s)
    return 1 if missed else 0


def named() -> int:
    """Apply the named faults; how many were not noticed."""
    tests = sorted({f"tests/{each.test}" for each in NAMED})
    if unharmed("deepseek_magic/engine/stream.py", tests) != "survived":
        print("The tests of the named faults fail without any of them: run those first.")
        return len(NAMED)
    missed = 0
    for each in NAMED:
        verdict = each.verdict()
        missed += verdict != "killed"
        print(f"{verdict:8} {each.fault} ({each.file}): {each.test.rpartition('::')[2]}", flush=True)
    return missed


def unharmed(file: str, tests: Sequence[str]) -> str:
    """What the tests say of a file as it is."""
    return verdict_on(file, (ROOT / file).read_text("utf-8"), tests)


def survivors(seed: int, files: list[str], until_s: float) -> None:
    """Print every mutant of the sample that its tests let live."""
    tried = lived = 0
    patience_s: dict[str, float] = {}
    for mutant in sample(seed, files):
        began_s = time.monotonic()
        if began_s > until_s:
            break
        if mutant.file not in patience_s:
            if unharmed(mutant.file, TARGETS[mutant.file]) != "survived":
                print(f"The tests of {mutant.file} fail without a mutation.")
                break
            patience_s[mutant.file] = 30 + 10 * (time.monotonic() - began_s)
        tried += 1
        if mutant.verdict(within_s=patience_s[mutant.file]) == "survived":
            lived += 1
            print(f"survived {mutant.file}:{mutant.line}\n    {mutant.before}\n    {mutant.after}", flush=True)
    print(f"{tried} mutants of seed {seed}, {lived} survived")


if __name__ == "__main__":
    sys.exit(main())
