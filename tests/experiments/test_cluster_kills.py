"""Workers, drivers and a scheduler of a Dask cluster that die: nothing is paid for twice, nothing is missing, no limit is passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.experiments import driver_kills
from tests.experiments.cluster_kills import ClusterVerdict, Commanded, one

pytest.importorskip("distributed", reason="it is in the extra dask, which .ci installs")

pytestmark = [pytest.mark.programs, pytest.mark.filterwarnings("ignore")]  # warnings of distributed's own

SIZE: Final[dict[str, Any]] = {"trials": 24, "task_s": 0.3, "limit": 8}


def check(verdict: ClusterVerdict) -> None:
    assert (verdict.asked_twice, verdict.missing) == (0, 0), verdict
    assert verdict.most_at_once <= SIZE["limit"], verdict


@pytest.fixture(scope="module")
def there() -> Iterator[Commanded]:
    with Commanded() as there:
        yield there


def test_a_driver_is_killed_and_begun_again(there: Commanded) -> None:
    left = 0
    for seed in range(1, 6):  # at the moment of a kill the driver may know all that its workers do
        verdict = driver_kills.one(there, seed, **SIZE)
        assert (verdict.asked_twice, verdict.missing) == (0, 0), verdict
        assert verdict.most_at_once <= SIZE["limit"], verdict
        if left := verdict.left:
            break
    assert left > 0, "in five kills no worker had more than its driver"


def test_workers_and_the_scheduler_are_killed(there: Commanded) -> None:
    check(one(there.client, there.living[:1], 1, **SIZE))
    check(both := one(there.client, there.living, 2, then=there.worker, **SIZE))
    check(last := one(there.client, [there.scheduler.pid], 3, **SIZE))
    assert both.ended == ""
    assert last.ended.startswith("The connection to the cluster's scheduler was lost.")
