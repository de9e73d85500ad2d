"""What a relay that was started again still has, and at what pace a whole answer is given to who comes late."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.policy.rules import Rules
from deepseek_magic.relay.file import FILE_NAME, RelayFile
from deepseek_magic.relay.roster import make
from deepseek_magic.relay.web.reader import LOST
from tests.relay.money import started
from tests.relay.running import HANG_S, RunningRelay
from tests.relay.test_relay import BODY


def answer_of(url: str, token: str, body: dict[str, Any], last_id: str | None = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} | ({"last-event-id": last_id} if last_id is not None else {})
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=HANG_S)


def stream_of(relay: RunningRelay, number: int = 0, last_id: str | None = None) -> bytes:
    return answer_of(relay.base_url, relay.token(number), BODY | {"stream": True}, last_id).content


def ids_of(stream: bytes) -> list[str]:
    return [line.removeprefix("id: ") for line in stream.decode().splitlines() if line.startswith("id: ")]


def kept(folder: Path) -> int:
    """How many answers are in the relay's file."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        return int(file.execute("SELECT count(*) FROM answers").fetchone()[0])


def test_where_texts_are_kept_an_answer_outlives_the_relay(demo: DemoServer, tmp_path: Path) -> None:
    relay = RunningRelay(tmp_path / "relay", demo, Rules(keep="texts"))
    with relay:
        stream = stream_of(relay)
        whole = answer_of(relay.base_url, relay.token(), BODY).content
    ids = ids_of(stream)
    place = len(ids) // 2
    with relay:
        rest = stream_of(relay, last_id=ids[place])
        assert ids_of(rest) == ids[place + 1 :]
        assert stream.endswith(rest)
        assert stream_of(relay, 1) == stream  # who comes late, and pays as if alone
        accounts = [
            httpx.get(f"{relay.base_url}/v1/budget", headers=relay.headers(number)).json()["demo USD"]
            for number in (0, 1)
        ]
        assert accounts[0] == accounts[1]
        assert accounts[0]["day"]["used"] > 0
        assert answer_of(relay.base_url, relay.token(), BODY).content == whole
        other = BODY | {"messages": [{"role": "user", "content": "Something else"}]}
        assert answer_of(relay.base_url, relay.token(), other, ids[place]).status_code == 409
    assert len(relay.posts()) == 1


def test_without_texts_it_says_that_the_answer_is_not_kept_and_begins_anew(demo: DemoServer, tmp_path: Path) -> None:
    relay = RunningRelay(tmp_path / "relay", demo)
    with relay:
        ids = ids_of(stream_of(relay))
    assert kept(relay.folder) == 0
    with relay:
        anew = stream_of(relay, last_id=ids[3])
    assert anew.startswith(LOST)
    nonce, _, number = ids_of(anew)[0].partition(":")
    assert (nonce != ids[0].partition(":")[0], number) == (True, "0")
    assert len(relay.posts()) == 2


def test_what_was_kept_is_deleted_where_texts_are_kept_no_more(demo: DemoServer, tmp_path: Path) -> None:
    with RunningRelay(tmp_path / "relay", demo, Rules(keep="texts")) as relay:
        stream_of(relay)
    assert kept(relay.folder) == 1
    with RunningRelay(tmp_path / "relay", demo) as relay:
        assert kept(relay.folder) == 0


@pytest.mark.programs
def test_an_answer_outlives_a_kill(demo: DemoServer, tmp_path: Path) -> None:
    (tmp_path / "classroom.toml").write_text('[class]\nkeep = "texts"\n')
    file = RelayFile(tmp_path)
    token = next(token for _, token in make(file, ["ann"]))
    file.close()
    process, url = started(tmp_path, demo)
    try:
        ids = ids_of(answer_of(url, token, BODY | {"stream": True}).content)
        until_s = time.monotonic() + HANG_S
        while not kept(tmp_path):
            assert time.monotonic() < until_s
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()
    process, url = started(tmp_path, demo)
    try:
        assert ids_of(answer_of(url, token, BODY | {"stream": True}, ids[4]).content) == ids[5:]
    finally:
        process.terminate()
        process.communicate()
    assert sum(seen.method == "POST" for seen in demo.requests) == 1


def test_a_whole_answer_takes_its_time_where_that_is_wanted(start: Callable[..., RunningRelay]) -> None:
    relay = start(replay_pace=1.0)
    relay.demo.pace = 0.5
    stream = stream_of(relay)
    (flight,) = relay.service.flights.values()
    took_s = flight.at_s[-1] - flight.at_s[0]
    assert took_s > 0
    began_s = time.monotonic()
    assert stream_of(relay, 1) == stream
    assert time.monotonic() - began_s >= took_s
    assert ids_of(stream_of(relay, 1, ids_of(stream)[-2])) == ids_of(stream)[-1:]
    assert len(relay.posts()) == 1
