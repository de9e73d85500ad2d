"""Several who use one Dask cluster: drivers with one limit, sweeps beside each other, tasks of several requests, workers that come and go."""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

import deepseek_magic as ds
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.session.experiments.calls import begun
from tests.experiments.conftest import Run, wait_until
from tests.experiments.storm import most_at_once
from tests.experiments.test_cluster import rows

distributed = pytest.importorskip("distributed", reason="it is in the extra dask, which .ci installs")
members = pytest.importorskip("deepseek_magic.engine.cluster.members")
shared = pytest.importorskip("deepseek_magic.engine.cluster.shared")

pytestmark = pytest.mark.filterwarnings("ignore")  # of distributed's own


def test_drivers_share_one_limit(demo: DemoServer, session: Any, cluster: Any, client: Any) -> None:
    demo.concurrency, demo.pace = 5, 0.2
    with distributed.Client(cluster) as other:
        how: Any = {"over": rows(15), "think": "off", "concurrency": 5, "limits": "cluster"}
        calls = [
            begun(session, "echo one {n}", {**how, "on": client}),
            begun(session, "echo two {n}", {**how, "on": other}),
        ]
        assert [call.wait().states for call in calls] == [{"done": 15}] * 2
    assert [seen.status for seen in demo.requests] == [200] * 30
    assert most_at_once(demo.requests) <= 5
    (plugin,) = (each for each in cluster.scheduler.plugins.values() if isinstance(each, shared.ClusterLimits))
    wait_until(lambda: not any(place.inside or place.queue for place in plugin._places.values()))


def test_a_driver_that_goes_frees_its_places(demo: DemoServer, session: Any, cluster: Any, client: Any) -> None:
    demo.concurrency, demo.pace = 4, 1.0
    how: Any = {"over": rows(8), "think": "off", "concurrency": 4, "limits": "cluster"}
    leaving = distributed.Client(cluster)
    first = begun(session, "long 1 about one {n}", {**how, "on": leaving})
    wait_until(lambda: len(demo.requests) == 4)
    second = begun(session, "echo two {n}", {**how, "on": client})
    leaving.close()
    with pytest.raises(ds.DeepSeekError, match="The connection to the cluster's scheduler was lost"):
        first.wait()
    with pytest.raises(ds.ConfigurationError, match="this one is closed"):
        begun(session, "echo three {n}", {**how, "on": leaving})
    assert second.wait().states == {"done": 8}
    assert most_at_once(demo.requests) <= 4
    assert {seen.status for seen in demo.requests} == {200}


def test_what_a_shared_limit_needs(run: Run, demo: DemoServer, client: Any) -> None:
    with pytest.raises(ds.ConfigurationError, match="limits cannot be cluster: it goes with on"):
        run("echo {n}", over=rows(2), limits="cluster")
    with pytest.raises(ds.ConfigurationError, match="limits"):
        run("echo {n}", over=rows(2), on=client, limits="all")


class Tasks(distributed.SchedulerPlugin):  # type: ignore[misc, name-defined]
    """Notes the tasks of trials."""

    def __init__(self, tasks: list[str]) -> None:
        self.tasks = tasks

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
        if start == "released" and "-trial-" in str(key) and key not in self.tasks:
            self.tasks.append(str(key))


def test_each_key_has_a_limit_of_its_own() -> None:
    async def asked() -> list[bool]:
        limits = shared.ClusterLimits()
        await limits.start(SimpleNamespace(handlers={}, clients={"a driver"}))
        entering = [
            asyncio.ensure_future(limits.enter("http://host", account, f"{account} {number}", "a driver", 2))
            for account in ("one", "other")
            for number in range(8)
        ]
        await asyncio.sleep(0)
        let_in = [each.done() for each in entering]
        for each in entering:
            each.cancel()
        await asyncio.gather(*entering, return_exceptions=True)
        return let_in

    let_in = asyncio.run(asked())
    assert sum(let_in[:8]) == sum(let_in[8:]) == 4


def test_messages_that_overtake_each_other_keep_no_place() -> None:
    async def kept() -> int:
        limits = shared.ClusterLimits()
        await limits.start(SimpleNamespace(handlers={}, clients={"a driver"}))
        await limits.tell("http://host", "one", "given up", pickle.dumps("failed"))
        await limits.enter("http://host", "one", "given up", "a driver", 2)
        await limits.enter("http://host", "one", "too late", "a driver that is gone", 2)
        await limits.enter("http://host", "one", "asks", "a driver", 2)
        await limits.tell("http://host", "one", "ends sooner", pickle.dumps("done"))
        await limits.enter("http://host", "one", "ends sooner", "a driver", 2)
        return sum(len(place.inside) + len(place.queue) for place in limits._places.values())

    assert asyncio.run(kept()) == 1


def test_a_digest_tells_keys_apart_and_nothing_else(demo: DemoServer, run: Run, cluster: Any, client: Any) -> None:
    one, other = (Key(secret, source="a test") for secret in ("sk-test-1234", "sk-test-5678"))
    assert one.digest == Key("sk-test-1234", source="elsewhere").digest != other.digest
    assert run("echo {n}", over=rows(4), on=client, limits="cluster").states == {"done": 4}
    (plugin,) = (each for each in cluster.scheduler.plugins.values() if isinstance(each, shared.ClusterLimits))
    assert (demo.base_url, one.digest) in plugin._places
    assert "sk-test-1234" not in repr(plugin._places)


def test_what_is_ready_together_is_one_task(run: Run, demo: DemoServer, client: Any) -> None:
    tasks: list[str] = []
    client.cluster.scheduler.add_plugin(Tasks(tasks), name="tasks of the test")
    sweep = run("echo {n}", over=rows(64), on=client, concurrency=32, name="together")
    client.cluster.scheduler.remove_plugin("tasks of the test")
    assert sweep.states == {"done": 64}
    assert len(demo.requests) == 64
    numbers = [word for task in tasks for word in task.removeprefix("deepseek-together-trial-").split("-")[:-1]]
    assert 1 <= len(tasks) < 64
    assert {int(word) for word in numbers if word.isdecimal()} <= set(range(64))


def test_tasks_are_called_by_their_trials() -> None:
    def key(*numbers: int) -> str:
        return str(members.key_of([SimpleNamespace(label="deepseek-a-trial", number=number) for number in numbers]))

    assert key(7).rpartition("-")[0] == "deepseek-a-trial-7"
    assert key(1, 2, 3, 4).rpartition("-")[0] == "deepseek-a-trial-1-2-3-4"
    assert key(1, 2, 3, 4, 5, 6).rpartition("-")[0] == "deepseek-a-trial-1-2-3-and-3-more"
    from dask.utils import key_split

    assert key_split(key(1, 2)) == "deepseek-a-trial"


def test_one_of_several_requests_is_given_up_and_the_others_go_on(demo: DemoServer, session: Any, client: Any) -> None:
    demo.fault = "stall after=1 times=1"
    timeouts = Timeouts(idle_s=0.5)
    how: Any = {"over": rows(8), "on": client, "think": "off", "concurrency": 8, "timeouts": timeouts}
    assert begun(session, "echo words {n}", how).wait().states == {"done": 8}
    wait_until(lambda: all(seen.ended for seen in demo.requests))  # the one that hung hangs until it is called off
    assert len(demo.requests) == 9


def test_two_sweeps_at_once_on_one_client(demo: DemoServer, session: Any, client: Any) -> None:
    demo.pace = 0.2
    how: Any = {"over": rows(20), "on": client, "think": "off", "concurrency": 8}
    calls = [begun(session, f"echo {name} {{n}}", {**how, "name": name}) for name in ("first", "second")]
    assert [call.wait().states for call in calls] == [{"done": 20}] * 2
    assert len(demo.requests) == 40
    assert {"deepseek-first-trial", "deepseek-second-trial"} <= set(client.cluster.scheduler.task_prefixes)


def test_a_worker_that_is_retired_in_the_middle_costs_nothing_twice(demo: DemoServer, session: Any) -> None:
    demo.pace, demo.concurrency = 0.05, 8
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        how: Any = {"over": rows(40), "on": client, "think": "off", "concurrency": 8}
        call = begun(session, "long 1 about {n}", how)
        wait_until(lambda: call.run.standing.count("done") >= 3)
        known = {row["prompt"] for row in session.journal.rows() if row["outcome"] == "complete"}
        cut = len(demo.requests)
        cluster.scale(1)
        assert call.wait().states == {"done": 40}
        assert len(client.scheduler_info()["workers"]) == 1
    again = {str(seen.body["messages"][0]["content"]) for seen in demo.requests[cut:] if seen.body}
    assert not known & again
    assert most_at_once(demo.requests) <= 8
