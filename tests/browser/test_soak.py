"""Hundreds of answers leave the tab and the kernel as they were, but for what an answer is there to leave."""

from __future__ import annotations

import os
from collections.abc import Callable

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .soak import ANSWERS_VARIABLE, CELLS, ROUND, Soak, growth

SHORT = 45


def test_the_memory_of_tab_and_kernel_stays_flat(open_notebook: Callable[..., Page], demo: DemoServer) -> None:
    answers = int(os.environ.get(ANSWERS_VARIABLE, SHORT))
    soak = Soak(open_notebook(list(CELLS)), demo)
    for _ in range(answers // ROUND):
        soak.round()
        print(soak.measure(), flush=True)
    print({name: growth(soak.measured[1:], name) for name in soak.measured[0]})
