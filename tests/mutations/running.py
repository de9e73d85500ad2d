"""One mutant: a module's changed source, in memory alone, and the tests that should fail on it.

A child is forked for each, so that what all tests import is imported once; the files on disk are never touched.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType
from typing import Final, Literal

import hypothesis  # noqa: F401 - imported here, not in each child
import pytest

__all__ = ["ROOT", "Verdict", "verdict_on"]

ROOT: Final = Path(__file__).parents[2]
HANGS_AFTER_S: Final = 600.0
"""On a machine that is busy elsewhere a file of tests may take minutes."""
_CRASHED: Final = 100
_QUIETLY: Final = (
    "-q",
    "-x",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)

Verdict = Literal["killed", "survived", "broken"]
"""``broken``: the tests could not be run at all, which says nothing about them."""


class _Changed(importlib.machinery.SourceFileLoader):
    """Loads one module from a source that is not the file's."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        super().__init__(name, str(path))
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec")


class _Finder:
    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, _Changed(name, self._path, self._source))


def verdict_on(file: str, source: str, tests: Sequence[str], *, within_s: float = HANGS_AFTER_S) -> Verdict:
    """What ``tests`` say of ``file`` (relative to the repository) when it holds ``source``. A hang is noticed, too."""
    child = multiprocessing.get_context("fork").Process(target=_run, args=(file, source, tests))
    child.start()
    child.join(within_s)
    if child.is_alive():
        child.kill()
        child.join()
        return "killed"
    if child.exitcode == pytest.ExitCode.OK:
        return "survived"
    return "killed" if child.exitcode in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED) else "broken"


def _run(file: str, source: str, tests: Sequence[str]) -> None:
    name = ".".join(Path(file).with_suffix("").parts)
    sys.meta_path.insert(0, _Finder(name, ROOT / file, source))  # type: ignore[arg-type]
    os.chdir(ROOT)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    code = _CRASHED
    try:
        code = pytest.main([*_QUIETLY, *tests])
    finally:
        os._exit(code)  # threads that a mutant left behind are not waited for
