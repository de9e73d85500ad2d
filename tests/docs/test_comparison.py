"""The comparison with other magics: each row of ours names a test that there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_each_row_names_a_test_that_shows_it() -> None:
    rows = [line for line in (ROOT / "docs/comparison.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    named = [SHOWN.findall(row) for row in rows]
    assert len(rows) > 90
    assert [row for row, found in zip(rows, named, strict=True) if not found and "shown by" not in row] == []
    missing = [
        f"{path}::{test}"
        for found in named
        for path, test in found
        if not (ROOT / path).exists() or f"def {test}(" not in (ROOT / path).read_text("utf-8")
    ]
    assert missing == []
