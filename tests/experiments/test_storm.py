"""Limits that fall and lines that break under many calls at once. Counts only: the commands beside this file tell times."""

from __future__ import annotations

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.session.calls import Session
from tests.experiments.gathered import gathered
from tests.experiments.storm import NARROW, WIDE, storm


def test_a_limit_that_falls_in_the_middle_of_a_sweep_is_found_by_a_few_refusals() -> None:
    seen = storm(150, 0.1)
    assert seen.done == 150
    assert seen.requests == 150 + seen.refused
    # Less than once for each that was open; who does not learn is refused at each turn.
    assert seen.refused < WIDE, seen
    assert (seen.most_open <= WIDE, seen.most_after <= NARROW) == (True, True), seen


@pytest.mark.programs
async def test_of_many_questions_asked_at_once_none_is_lost_to_a_bad_network(
    demo: DemoServer, session: Session
) -> None:
    demo.fault = (
        "500 p=0.12 seed=1; cut p=0.06 seed=2"  # more refusals than may be retried in a minute without their own share
    )
    found = await gathered(120, session.aask)
    assert (found.failed, found.wrong) == (0, 0)
