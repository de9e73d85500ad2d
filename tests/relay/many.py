"""Thirty students run the same cell, and every connection is cut: is one call enough, and is each answer whole?

    python -m tests.relay.many --students 30 --processes 30 --seed 1

Each student is a client of this project with a token of their own. Between them and the relay is a proxy that cuts each one's first
connection at another place, one of them in the middle of a character. The demo's own log is the judge.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from tests.relay.running import HANG_S, RunningRelay

QUESTION: Final = "chinese: long 2"
PACE: Final = 2.0
STUDENT: Final = [sys.executable, "-m", "tests.relay.many", "--student"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one student got."""

    text: str
    outcome: str
    attempts: int
    resumes: int
    restarted: int


class CuttingProxy:
    """Passes bytes on, and resets the first connection of each student once so many bytes of the body have gone through.

    ``places`` has for each student's token where that is; "half" is the middle of the first character of several bytes.
    """

    def __init__(self, port: int, places: dict[str, int | str]) -> None:
        self._to = port
        self._places = places
        self.cuts: dict[str, bytes] = {}
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", self._to)
        state: dict[str, Any] = {"place": None}

        async def up() -> None:
            while data := await reader.read(65536):
                for token in [token for token in self._places if token.encode() in data]:
                    state["token"], state["place"] = token, self._places.pop(token)
                to.write(data)
                await to.drain()

        async def down() -> None:
            seen, body = bytearray(), 0
            while data := await there.read(65536):
                seen += data
                head = seen.find(b"\r\n\r\n")
                body = len(seen) - head - 4 if head >= 0 else 0
                place = state["place"]
                if place == "half":
                    at = next((n for n, byte in enumerate(seen) if byte >= 0xC0), None)
                    place = None if at is None else at + 1 - head - 4
                if place is not None and body >= place:
                    last = len(data) - (body - place)
                    writer.write(data[:last])
                    with contextlib.suppress(ConnectionError):
                        await writer.drain()
                    self.cuts[state["token"]] = bytes(seen[: head + 4 + place][-3:])
                    return
                writer.write(data)
                await writer.drain()

        tasks = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        with contextlib.suppress(ConnectionError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in (writer, to):
            end.close()


async def ask(url: str, token: str) -> Told:
    """The question by one student."""
    async with Client(url, api_key=token) as client:
        answer = await client.complete(QUESTION, think="off")
    record = answer.record
    assert record is not None
    restarted = sum(seam.at_chars is not None for seam in answer.seams)
    return Told(
        text=answer.text, outcome=answer.outcome, attempts=record.attempts, resumes=record.resumes, restarted=restarted
    )


async def student(url: str, tokens: list[str]) -> list[Told]:
    """Several students in one process, each with a client of their own."""
    return await asyncio.gather(*(ask(url, token) for token in tokens))


def play(
    students: int, processes: int, seed: int, *, cut: bool = True
) -> tuple[list[Told], RunningRelay, CuttingProxy]:
    """All of them at once."""
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        DemoServer(pace=PACE) as demo,
        RunningRelay(Path(folder) / "relay", demo, students=students) as relay,
    ):
        tokens = [*relay.tokens.values()]
        places: dict[str, int | str] = {token: chance.randrange(2_000, 20_000) for token in tokens}
        if cut:
            places[tokens[0]] = "half"
        proxy = CuttingProxy(relay.port, places if cut else {})
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        over = asyncio.Event()

        async def serve() -> None:
            async with proxy.running():
                ready.set()
                await over.wait()

        ready = threading.Event()
        serving = asyncio.run_coroutine_threadsafe(serve(), loop)
        assert ready.wait(HANG_S)
        shares = [tokens[n::processes] for n in range(processes)]
        commands = [[*STUDENT, f"http://127.0.0.1:{proxy.port}", *share] for share in shares if share]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        told = []
        for each in running:
            printed, _ = each.communicate(timeout=10 * HANG_S)
            assert each.returncode == 0
            told += [Told(**one) for one in json.loads(printed)]
        loop.call_soon_threadsafe(over.set)
        serving.result(HANG_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(HANG_S)
        loop.close()
    return told, relay, proxy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--processes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--student", nargs="+", help=argparse.SUPPRESS)
    typed = parser.parse_args()
    if typed.student:
        url, *tokens = typed.student
        told = asyncio.run(student(url, tokens))
        print(json.dumps([{name: getattr(one, name) for name in Told.__slots__} for one in told]))
        return 0
    told, relay, proxy = play(typed.students, typed.processes, typed.seed)
    texts = {one.text for one in told}
    posts = relay.posts()
    print(f"{len(told)} students, {len(proxy.cuts)} cut, {len(posts)} calls reached the demo")
    print(f"{sum(one.outcome == 'complete' for one in told)} answers complete, {len(texts)} different texts")
    print(f"attempts {sorted({one.attempts for one in told})}, resumes {sorted({one.resumes for one in told})}")
    return int(len(posts) != 1 or len(texts) != 1)


if __name__ == "__main__":
    sys.exit(main())
