"""--cache: an unchanged cell in a fresh kernel is answered from the journal, and costs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer

Run = Callable[..., list[list[Any]]]

CELLS = (
    "%config DeepSeekMagics.cache = True",
    "city = 'Köln'",
    "%%deepseek -o a\nA table of {city}",
    "%%deepseek -o b --think off\nand now code",
)
USED = "print(repr(a.text), repr(b.text), b.finish_reason, len(a.reasoning), a.usage.completion_tokens)"


def test_run_all_in_a_fresh_kernel_sends_nothing_twice(run_headless: Run, demo: DemoServer) -> None:
    first = run_headless(*CELLS, USED)
    assert len(demo.requests) == 2
    again = run_headless(*CELLS, USED)
    assert len(demo.requests) == 2
    assert again[-1][0].text == first[-1][0].text
    for before, now in zip(first[2:4], again[2:4], strict=True):
        assert now[0].data["text/plain"] == before[0].data["text/plain"]
        assert re.search(r"from the journal, \d{4}-\d\d-\d\d \d\d:\d\d", now[0].data["text/markdown"])
        assert "from the journal" not in before[0].data["text/markdown"]


def test_a_cell_that_changed_is_asked_and_so_is_what_follows_from_it(run_headless: Run, demo: DemoServer) -> None:
    run_headless(*CELLS)
    changed = [cell.replace("Köln", "Bonn") for cell in CELLS]
    run_headless(*changed)
    assert [seen.body["messages"][-1]["content"] for seen in demo.requests[2:]] == ["A table of Bonn", "and now code"]


def test_the_log_says_that_nothing_was_paid(run_headless: Run) -> None:
    row = "import deepseek_magic as ds; [r] = ds.log; print(r['outcome'], r['cost'], r['completion_tokens'])"
    run_headless("%deepseek --cache hello")
    _, said, summed = run_headless("%deepseek --cache hello", row, "print(ds.log.summary().calls, a := _.outcome)")
    assert said[0].text == "cached 0.0 0\n"
    assert summed[0].text == "0 complete\n"


@pytest.mark.parametrize("flag", ["", "--no-cache", "--cache --no-cache", "--cache --fresh", "--cache -m pro"])
def test_what_asks_anew_is_sent(run_headless: Run, demo: DemoServer, flag: str) -> None:
    run_headless("%deepseek --cache hello")
    run_headless(f"%deepseek {flag} hello")
    assert len(demo.requests) == 2


def test_an_answer_that_is_not_complete_is_asked_again(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%deepseek --cache --think off --max-tokens 3 A table")
    run_headless("%deepseek --cache --think off --max-tokens 3 A table")
    assert len(demo.requests) == 2


def test_a_dry_run_says_what_the_journal_knows(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%deepseek hello")
    asked = ("--cache hello", "hello", "--cache --fresh hello", "--cache something else", "something else")
    shown = run_headless(*(f"%deepseek --no-history --dry-run {line}" for line in asked))
    said = [re.findall(r"The journal .*", outputs[0].data["text/plain"]) for outputs in shown]
    known = r"The journal has this answer from \d{4}-\d\d-\d\d \d\d:\d\d: "
    assert re.fullmatch(known + "nothing would be sent or paid.", said[0][0])
    assert re.fullmatch(known + "--cache would use it at no cost.", said[1][0])
    assert said[2:] == [said[1], ["The journal does not have this answer: the request would be sent."], []]
    assert len(demo.requests) == 1
