"""One answer for three hundred readers: CPU and memory of the relay, and how far the last reader is behind the first.

    python -m tests.relay.fan --readers 300                       # ours
    python -m tests.relay.fan --readers 300 --deaf 1              # one more, who never reads
    python -m tests.relay.fan --readers 30 --litellm PYTHON       # LiteLLM's proxy, of the environment of that Python

The provider is the demo in this process at a pace without chance. A reader-chunk is one event at one reader. CPU and memory are of the
relay's process alone, from /proc; lags are what this process sees, which reads for all and shares the machine, so they are bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.relay.file import RelayFile
from deepseek_magic.relay.roster import make
from tests.ports import free_port

EVENTS: Final = 300
RATE: Final = 60.0
START_S: Final = 180
MASTER: Final = "sk-master-of-the-benchmark"
WORDS: Final = f"echo {'one two three four five six seven ' * ((EVENTS - 20) // 7)}"
"""LiteLLM ends a stream in which one piece comes a hundred times."""
DEAF_BUFFER: Final = 4096


class Reader:
    """When each event came, in the monotonic clock."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self.whole = False

    async def read(self, port: int, path: str, token: str, body: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        while data := await reader.read(65536):
            now_s, count = time.monotonic(), data.count(b"data: {")
            self.at_s += [now_s] * count
            if b"data: [DONE]" in data:
                self.whole = True
                break
        writer.close()


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid: int) -> int:
    """Resident memory."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@contextlib.contextmanager
def ours(folder: Path, demo: DemoServer, readers: int) -> Iterator[tuple[int, int, list[str]]]:
    """The relay as a process: its id, its port, a token a reader."""
    (folder / "classroom.toml").write_text("")
    file = RelayFile(folder)
    tokens = [token for _, token in make(file, [f"student {n}" for n in range(readers)])]
    file.close()
    command = [
        sys.executable,
        "-m",
        "deepseek_magic",
        "relay",
        "--class",
        str(folder / "classroom.toml"),
        "--port",
        "0",
    ]
    environment = {**os.environ, DEMO_VARIABLE: demo.base_url, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--endpoint", "demo", "--data", str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            yield process.pid, port, tokens
        finally:
            process.terminate()


@contextlib.contextmanager
def litellm(folder: Path, demo: DemoServer, readers: int, python: str) -> Iterator[tuple[int, int, list[str]]]:
    """LiteLLM's proxy without a database: all have the master key."""
    port = free_port()
    model = {"model": "openai/deepseek-flash", "api_base": demo.base_url, "api_key": "any"}
    model |= {"allowed_openai_params": ["thinking"]}  # else it refuses what it does not know
    config = {"model_list": [{"model_name": "deepseek-flash", "litellm_params": model}]}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    program = Path(python).with_name("litellm")
    environment = {**os.environ, "LITELLM_MASTER_KEY": MASTER, "LITELLM_LOG": "ERROR", "HOME": str(folder)}
    command = [str(program), "--config", str(folder / "config.yaml"), "--port", str(port), "--host", "127.0.0.1"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            until_s = time.monotonic() + START_S
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < until_s, "LiteLLM did not start"
                time.sleep(0.2)
            yield process.pid, port, [MASTER] * readers
        finally:
            process.terminate()


async def measure(pid: int, port: int, tokens: list[str], *, deaf: int, longest_s: float) -> dict[str, float]:
    """One answer for all."""
    asked = {"model": "deepseek-flash", "stream": True, "thinking": {"type": "disabled"}}
    body = json.dumps(asked | {"messages": [{"role": "user", "content": WORDS}]}).encode()
    path = "/v1/chat/completions"
    warm = Reader()
    await warm.read(port, path, tokens[0], body.replace(b"one", b"ten"))
    hearing = tokens[deaf:]
    closed = []
    before_kb, before_s = memory_kb(pid), cpu_s(pid)
    for token in tokens[:deaf]:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_BUFFER)
        one.connect(("127.0.0.1", port))
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        one.sendall(head.encode() + body)
        closed.append(one)
    readers = [Reader() for _ in hearing]
    began_s = time.monotonic()
    peak_kb = before_kb

    async def watch() -> None:
        nonlocal peak_kb
        while True:
            peak_kb = max(peak_kb, memory_kb(pid))
            await asyncio.sleep(0.2)

    watching = asyncio.ensure_future(watch())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            work = (reader.read(port, path, token, body) for reader, token in zip(readers, hearing, strict=True))
            await asyncio.gather(*work)
    watching.cancel()
    for one in closed:
        one.close()
    used_s, chunks = cpu_s(pid) - before_s, sum(len(reader.at_s) for reader in readers)
    whole = [reader for reader in readers if reader.whole]
    most = max((len(reader.at_s) for reader in whole), default=0)
    lags = sorted(
        at_s - first_s
        for column in zip(*(reader.at_s for reader in whole if len(reader.at_s) == most), strict=True)
        for first_s in (min(column),)
        for at_s in column
    )
    return {
        "readers": len(hearing),
        "whole": len(whole),
        "seconds": time.monotonic() - began_s,
        "chunks": chunks,
        "cpu_us": 1e6 * used_s / max(1, chunks),
        "kb_a_reader": (peak_kb - before_kb) / len(hearing),
        "lag_p50_ms": 1e3 * lags[len(lags) // 2] if lags else float("nan"),
        "lag_p99_ms": 1e3 * lags[int(0.99 * (len(lags) - 1))] if lags else float("nan"),
        "lag_max_ms": 1e3 * lags[-1] if lags else float("nan"),
    }


def run(readers: int, *, deaf: int = 0, python: str | None = None, longest_s: float = 120.0) -> dict[str, float]:
    """The figures of one server: ours, or LiteLLM's where a Python that has it is named. ``calls`` reached the demo."""
    pace = Pace(tokens_per_s=RATE, jitter=0.0)
    with tempfile.TemporaryDirectory() as name, DemoServer(pace=pace, keep=5_000) as demo:
        folder, count = Path(name), readers + deaf
        server = ours(folder, demo, count) if python is None else litellm(folder, demo, count, python)
        with server as (pid, port, tokens):
            found = asyncio.run(measure(pid, port, tokens, deaf=deaf, longest_s=longest_s))
        return found | {"calls": sum(seen.method == "POST" for seen in demo.requests) - 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=300)
    parser.add_argument("--deaf", type=int, default=0, help="readers besides who never read")
    parser.add_argument("--litellm", metavar="PYTHON")
    parser.add_argument("--longest", type=float, default=120.0, metavar="SECONDS")
    typed = parser.parse_args()
    found = run(typed.readers, deaf=typed.deaf, python=typed.litellm, longest_s=typed.longest)
    for name, value in found.items():
        print(f"{name:12} {value:,.1f}" if isinstance(value, float) else f"{name:12} {value:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
