"""Hundreds of answers leave the tab and the kernel as they were, but for what an answer is there to leave.

Measured over 130 answers with JupyterLab 4.6: 100 kB and 105 nodes an answer beyond what JupyterLab keeps of the same text
shown by IPython, no listener, and 75 kB in the kernel. Before Outputs were emptied and turns drawn once: 1,700 nodes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .soak import ANSWERS_VARIABLE, CELLS, ROUND, Soak, growth

SHORT = 30
PLAIN_ROUNDS = 2

MOST_AN_ANSWER = {
    "kernel_kb": 300,
    "kernel_objects": 200,
    "kernel_widgets": 2.5,  # the empty box of a turn that is off the screen, and its layout
    "kernel_threads": 0.2,
    "tab_kb": 250,
    "tab_nodes": 300,
    "tab_listeners": 20,
}
"""What may stay of one, beyond what IPython's own display leaves: the size of the text itself, seen as the page sees it."""


@pytest.mark.slow
def test_the_memory_of_tab_and_kernel_stays_flat(open_notebook: Callable[..., Page], demo: DemoServer) -> None:
    soak = Soak(open_notebook(list(CELLS)), demo)
    plain, rounds = [], []
    for _ in range(PLAIN_ROUNDS):
        soak.plain_round()
        plain.append(soak.measure())
    for number in range(int(os.environ.get(ANSWERS_VARIABLE, SHORT)) // ROUND):
        soak.round()
        rounds.append(soak.measure())
        print(f"{number + 1:3}", *(f"{name} {value:,.0f}" for name, value in rounds[-1].items()), flush=True)
    grown = {name: (growth(rounds, name) - max(0.0, growth(plain, name))) / ROUND for name in MOST_AN_ANSWER}
    print("an answer beyond plain output:", {name: round(each, 1) for name, each in grown.items()})
    assert {name: each for name, each in grown.items() if each > MOST_AN_ANSWER[name]} == {}
