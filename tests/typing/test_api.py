"""The checked file of the public interface leaves no name out."""

from __future__ import annotations

import re
from pathlib import Path

import deepseek_magic as ds


def test_every_public_name_is_used_in_the_file_that_the_type_checker_reads() -> None:
    used = set(re.findall(r"\bds\.(\w+)", (Path(__file__).parent / "api.py").read_text("utf-8")))
    assert set(ds._HOMES) - used == set()
    assert {name for name in used if not hasattr(ds, name)} == set()
