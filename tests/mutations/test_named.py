"""The named faults are where the list says, and so are the tests that notice them: the run itself takes minutes."""

from __future__ import annotations

import pytest

from .named import NAMED, Named
from .running import ROOT


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named.fault)
def test_a_named_fault_quotes_its_line_and_names_its_test(named: Named) -> None:
    assert (ROOT / "deepseek_magic" / named.file).read_text("utf-8").count(named.old) == 1
    path, _, name = named.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (ROOT / "tests" / path).read_text("utf-8")
