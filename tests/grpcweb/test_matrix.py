"""The fault matrix over gRPC-Web: nothing lost, nothing doubled, nothing silent, against the demo's pure answers."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from deepseek_magic.demo.faults.spec import parse
from deepseek_magic.demo.grpcweb.server import GRPCWebDemo
from deepseek_magic.demo.grpcweb.servicer import FAULTS
from deepseek_magic.demo.server import DemoServer
from tests.chaos.play import watch_tasks
from tests.grpcweb.matrix import UNKNOWN_HERE, chosen, play
from tests.steady import SteadyLoop

pytestmark = pytest.mark.programs

SEED: Final = 20261129


def test_every_fault_that_grpc_has_is_in_it() -> None:
    """But for those that only make sense after another one: an echo is drawn behind a break, and a second answer differs."""
    met = {fault.kind for case in chosen(SEED, 1) for fault in parse(case.fault)}
    assert FAULTS - met - {*UNKNOWN_HERE} <= {"echo-prefix", "diverge"}


def test_no_fault_loses_doubles_or_hides_anything(state: DemoServer, front: GRPCWebDemo) -> None:
    broken: list[str] = []
    seams: set[str] = set()

    async def all_of_them() -> None:
        watch_tasks(asyncio.get_running_loop())
        for case in chosen(SEED, 1):
            played = await play(case, state, front)
            seams.update(played.seams)
            broken.extend(f"{case.line}\n    {rule}" for rule in played.broken)

    loop = SteadyLoop()
    try:
        loop.run_until_complete(all_of_them())
    finally:
        loop.close()
    assert not broken, "\n".join(broken)
    assert seams == {"continued", "restarted"}
