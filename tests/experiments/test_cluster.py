"""A sweep on a Dask cluster, whose workers are threads of this process: what becomes of it is what becomes of any other."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import deepseek_magic as ds
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.notebook.experiments.words import experiment_words
from deepseek_magic.session.experiments.calls import begun
from deepseek_magic.session.experiments.showing import working
from tests.experiments.conftest import Run, wait_until

distributed = pytest.importorskip("distributed", reason="it is in the extra dask, which .ci installs")
crew = pytest.importorskip("deepseek_magic.engine.cluster.crew")

pytestmark = pytest.mark.filterwarnings("ignore")  # of distributed's own


def rows(count: int) -> list[dict[str, int]]:
    return [{"n": n} for n in range(count)]


def test_a_sweep_on_a_cluster_is_as_one_here(run: Run, demo: DemoServer, client: Any) -> None:
    there = run("echo {n}", over=rows(12), repeats=2, on=client, fresh=True)
    asked = len(demo.requests)
    texts = [row["text"] for row in there.rows()]
    assert there.states == {"done": 24}
    assert asked == 24
    here = run("echo {n}", over=rows(12), repeats=2, fresh=True)
    assert [row["text"] for row in here.rows()] == texts
    assert len(demo.requests) == 48
    figures = ("completion_tokens", "prompt_tokens", "attempts", "ttft_s", "total_s")
    assert all(row[name] is not None for row in there.rows() for name in figures)
    assert run("echo {n}", over=rows(12), repeats=2, on=client).states == {"done": 24}
    assert len(demo.requests) == 48  # the journal has them


def test_faults_are_met_as_anywhere(run: Run, demo: DemoServer, client: Any) -> None:
    demo.fault = "500 p=0.1 seed=1; cut p=0.2 seed=2; 429 p=0.1 seed=3"
    sweep = run("echo words that take a while {n}", over=rows(40), on=client, concurrency=8)
    assert sweep.states == {"done": 40}
    assert all(f"take a while {n}" in str(row["text"]) for n, row in enumerate(sweep.rows()))
    assert len(demo.requests) > 40


def test_the_limit_is_the_driver_s(run: Run, demo: DemoServer, client: Any) -> None:
    demo.concurrency, demo.pace = 3, 0.2
    sweep = run("echo {n}", over=rows(30), on=client, concurrency=3)
    assert sweep.states == {"done": 30}
    assert [seen.status for seen in demo.requests] == [200] * 30


def test_maps_and_awaited_sweeps_take_a_client_too(demo: DemoServer, client: Any) -> None:
    made = ds.map(["a", "b"], "echo {input}", on=client, think="off")
    assert [row["answer_error"] for row in made] == [None, None]
    sweep = asyncio.run(ds.asweep("echo {n}", over=rows(3), on=client, think="off"))
    assert sweep.states == {"done": 3}
    assert len(demo.requests) == 5


def test_a_worker_without_a_key_says_so_and_nothing_is_sent(
    run: Run, demo: DemoServer, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY")
    monkeypatch.delenv("DEEPSEEK_BASE_URL")
    with pytest.raises(
        ds.MissingKey, match=r"^The worker \S+ has no API key for .* Set \S+ in the environment of every"
    ):
        run("echo {n}", over=rows(3), on=client)
    assert not demo.requests


def test_what_cannot_be_used_is_refused(run: Run, demo: DemoServer, client: Any) -> None:
    with pytest.raises(ds.ConfigurationError, match=r"^on cannot be str: it takes a distributed\.Client"):
        run("echo {n}", over=rows(3), on="cluster")
    with pytest.raises(ds.ConfigurationError, match="A key is not sent to a cluster"):
        run("echo {n}", over=rows(3), on=client, api_key="sk-test-5678")
    with distributed.Client(client.scheduler.address) as closed:
        pass
    with pytest.raises(ds.ConfigurationError, match="this one is closed"):
        run("echo {n}", over=rows(3), on=closed)
    assert not demo.requests


def test_another_version_on_a_worker_is_refused(
    run: Run, demo: DemoServer, cluster: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = rf"^The worker \S+ has deepseek-magic {re.escape(ds.__version__)}, and this is 9\.9\. Install the same"
    run("echo {n}", over=rows(1), on=client)
    monkeypatch.setattr(crew, "__version__", "9.9")
    with pytest.raises(ds.ConfigurationError, match=said):  # as of a worker that joined later
        run("echo {n}", over=rows(2), on=client, fresh=True)
    with distributed.Client(cluster) as other, pytest.raises(ds.ConfigurationError, match=said):
        run("echo {n}", over=rows(2), on=other, fresh=True)
    assert len(demo.requests) == 1


def test_a_stop_ends_the_requests_of_the_workers(demo: DemoServer, session: Any, client: Any) -> None:
    demo.pace = 1.0
    call = begun(session, "long 1 about {n}", {"over": rows(6), "on": client, "think": "off", "concurrency": 4})
    wait_until(lambda: len(demo.requests) == 4)
    wait_until(lambda: call.run.standing.running > 0)
    call.stop(wait_s=30)
    assert call.done
    wait_until(lambda: not demo.open_connections)
    assert len(demo.requests) == 4
    assert {seen.ended for seen in demo.requests} == {"client left"}, [seen.ended for seen in demo.requests]


def test_scorers_run_on_the_workers_where_they_can_travel(demo: DemoServer, session: Any, client: Any) -> None:
    lock = threading.Lock()

    def here(answer: str, row: Any) -> bool:
        with lock:  # which cannot be sent
            return "echo 1" in answer

    def there(answer: str, row: Any) -> float:
        return len(answer) / 100

    def fails(answer: str, row: Any) -> float:
        raise TimeoutError("of its own")

    how: Any = {"over": rows(5), "on": client, "think": "off", "scores": [here, there, fails], "name": "scored"}
    call = begun(session, "echo {n}", how)
    sweep = call.wait()
    assert [str(said).partition(" is given")[0] for said in call.notices] == ["The score here"]
    found = sweep.rows()
    assert [row["score.here"] for row in found] == [False, True, False, False, False]
    assert [row["score.there"] for row in found] == [len(str(row["text"])) / 100 for row in found]
    assert {row["score.fails"] for row in found} == {None}
    assert all("of its own" in str(row["why.fails"]) for row in found)
    prefixes = {name for name in client.cluster.scheduler.task_prefixes if name.startswith("deepseek-scored")}
    assert prefixes == {"deepseek-scored-trial", "deepseek-scored-score-there", "deepseek-scored-score-fails"}


def test_the_table_that_grows_says_what_each_worker_does(demo: DemoServer, session: Any, client: Any) -> None:
    demo.pace = 1.0
    call = begun(session, "long 1 about {n}", {"over": rows(4), "on": client, "think": "off", "concurrency": 4})
    wait_until(lambda: sum(each.running for each in call.run.standing.workers) == 4)
    table = working(call.run.standing)
    call.stop(wait_s=30)
    assert table is not None
    assert (table.caption, table.heads) == ("2 workers", ["worker", "running", "done"])
    assert [row[:2] for row in table.rows] == [["0", "2"], ["1", "2"]]


def test_no_key_is_in_what_the_cluster_shows(
    run: Run, demo: DemoServer, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", secret := "sk-a-key-that-nobody-may-see-17")
    demo.key = "sk-the-key-of-somebody-else-17"
    with pytest.raises(ds.AuthenticationError):
        run("echo {n}", over=rows(3), on=client)
    demo.key = secret
    assert run("echo {n}", over=rows(10), on=client, scores=lambda answer, row: True).states == {"done": 10}
    client.dump_cluster_state(str(tmp_path / "dump"), format="yaml")
    shown = [(tmp_path / "dump.yaml").read_text(), repr(client.get_task_stream()), repr(client.get_events())]
    shown += [repr(client.get_scheduler_logs()), repr(client.get_worker_logs()), repr(client.scheduler_info())]
    assert "deepseek-" in shown[0]
    assert not [place for place, text in enumerate(shown) if secret in text or "nobody-may-see" in text]


def test_cells_name_the_variable_of_a_client(priced: None, demo: DemoServer, client: Any) -> None:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_cell("%load_ext deepseek_magic")
    shell.push({"rows": rows(3), "client": client})
    error = shell.run_cell("%%deepseek_sweep --over rows --go --dask clent\necho {n}").error_in_exec
    assert "There is no variable clent" in str(error)
    shell.run_cell("%%deepseek_sweep -o s --over rows --go --think off --dask client\necho {n}").raise_error()
    assert shell.user_ns["s"].states == {"done": 3}
    shell.run_cell("%%deepseek_map rows -o m --go --think off --dask client\necho the {n}").raise_error()
    assert [row["answer_error"] for row in shell.user_ns["m"]] == [None] * 3
    shell.run_cell(f"%deepseek_sweeps resume {shell.user_ns['s'].name} --dask client").raise_error()
    assert len(demo.requests) == 6
    for line in ("%%deepseek_sweep --over rows --dask cl", "%%deepseek_map rows --dask cl"):
        assert experiment_words(line, shell.user_ns) == (["client"], True)
    InteractiveShell.clear_instance()


def test_what_comes_to_a_worker_whose_driver_is_gone_is_kept_there(
    demo: DemoServer, session: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.pace = 1.0
    leaving = distributed.Client(cluster)
    call = begun(session, "long 1 about {n}", {"over": rows(1), "on": leaving, "think": "off"})
    wait_until(lambda: any(len(str(row["text"])) > 100 for row in session.journal.rows()))
    monkeypatch.setenv("DEEPSEEK_MAGIC_HOME", str(tmp_path / "of the worker"))
    leaving.close()
    with pytest.raises(ds.DeepSeekError, match="was lost"):
        call.wait()
    left = Journal(tmp_path / "of the worker" / "journal.sqlite3")
    wait_until(lambda: any(row["text"] for row in left.rows()))
    wait_until(lambda: demo.open_connections == 0)
    (row,), (kept,) = session.journal.rows(), left.rows()
    assert (kept["call_id"], kept["prompt"]) == (row["call_id"], "long 1 about 0")
    assert session.journal.merge(left.path) == (len(str(kept["text"])) > len(str(row["text"])))
    (better,) = session.journal.rows()
    assert better["text"] == max((str(row["text"]), str(kept["text"])), key=len)
    demo.pace = 0
    assert begun(session, "long 1 about {n}", {"over": rows(1), "think": "off"}).wait().states == {"done": 1}
    went_on_from = str(demo.requests[-1].body["messages"][-1]["content"])
    assert len(went_on_from) > 100
    assert str(better["text"]).startswith(went_on_from)
