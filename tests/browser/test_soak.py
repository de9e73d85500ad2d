"""Hundreds of answers leave the tab and the kernel as they were, but for what an answer is there to leave."""

from __future__ import annotations

import os
from collections.abc import Callable

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .soak import ANSWERS_VARIABLE, CELLS, ROUND, Soak, growth

SHORT = 40
PLAIN_ROUNDS = 3


def test_the_memory_of_tab_and_kernel_stays_flat(open_notebook: Callable[..., Page], demo: DemoServer) -> None:
    soak = Soak(open_notebook(list(CELLS)), demo)
    plain = []
    for _ in range(PLAIN_ROUNDS):
        soak.plain_round()
        plain.append(soak.measure())
    rounds = []
    for _ in range(int(os.environ.get(ANSWERS_VARIABLE, SHORT)) // ROUND):
        soak.round()
        rounds.append(soak.measure())
        print(rounds[-1], flush=True)
    for name in rounds[0]:
        print(
            f"{name}: {growth(plain, name):.1f} a plain round, {growth(rounds[len(rounds) // 4 :], name):.1f} a round",
            flush=True,
        )
