"""Hundreds of answers leave the tab and the kernel as they were, but for what an answer is there to leave.

Measured over 500 answers with JupyterLab 4.6: 18 kB an answer in the tab, where the first rounds are the compiler's, 2 nodes
and no listener; in the kernel 33 kB and 12 objects: the turn, the completion in ``Out``, the row of the log. Before their
widgets were swept out, an answer left 105 kB and 294 nodes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import Lab, Page
from .soak import ANSWERS_VARIABLE, CELLS, ROUND, TOOL_BAR, Soak, growth

SHORT = 30

LONG = 200
"""From so many answers on what is there once (code that is compiled, panels that fill) counts no more."""

MOST_AN_ANSWER = {
    "kernel_kb": (150, 60),
    "kernel_objects": (100, 30),
    "kernel_widgets": (1.5, 1.0),  # the empty box of a turn that is off the screen
    "kernel_threads": (0.2, 0.02),
    "tab_kb": (150, 40),
    "tab_nodes": (150, 10),
    "tab_listeners": (20, 1),
}
"""What may stay of one: in a short run, and in a long one."""


@pytest.mark.slow
def test_the_memory_of_tab_and_kernel_stays_flat(
    open_notebook: Callable[..., Page], start_lab: Callable[[Path], Lab], tmp_path: Path, demo: DemoServer
) -> None:
    lab = start_lab(tmp_path)
    lab.disable(TOOL_BAR)
    soak = Soak(open_notebook(list(CELLS), lab=lab), demo)
    rounds = []
    answers = int(os.environ.get(ANSWERS_VARIABLE, SHORT))
    for number in range(answers // ROUND):
        soak.round()
        rounds.append(soak.measure())
        print(f"{number + 1:3}", *(f"{name} {value:,.0f}" for name, value in rounds[-1].items()), flush=True)
    grown = {name: growth(rounds, name) / ROUND for name in MOST_AN_ANSWER}
    print("an answer:", {name: round(each, 1) for name, each in grown.items()})
    most = {name: limits[answers >= LONG] for name, limits in MOST_AN_ANSWER.items()}
    assert {name: each for name, each in grown.items() if each > most[name]} == {}
