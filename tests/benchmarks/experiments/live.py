"""What the live table of a sweep sends to the page: E9, on a kernel of a real Jupyter server, read from its websocket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.ports import free_port

from ..measuring import Bench
from ..report import Goal, Table
from ..wire import Ask
from .work import AT_ONCE

PROTOCOL: Final = "v1.kernel.websocket.jupyter.org"
"""As JupyterLab speaks it: after the offsets of its parts a message has its channel, four JSON texts, and buffers."""
TOKEN: Final = "bench"
START_S: Final = 60.0
LONGEST_S: Final = 600.0

OURS: Final = "deepseek-magic: %%deepseek_sweep"
EACH: Final = "display_id update of the same table, per answer"

_TABLE: Final = "rows = [{{'q': f'{prompt} {{number}}', 'a': 'x'}} for number in range({inputs})]"
_SWEEP: Final = "%%deepseek_sweep -o s --over rows --vary temperature=0,0.5,1,1.5 --think off --score exact={{a}} --concurrency {at_once} --go\n{{q}}"
_NAIVE: Final = """
import asyncio, httpx
from IPython.display import HTML, display
done = dict.fromkeys((0, 0.5, 1, 1.5), 0)
def table():
    body = "".join(f"<tr><td>{{name}}</td><td>{{count}}</td><td>0</td><td>{{len(rows) - count}}</td></tr>" for name, count in done.items())
    return HTML("<table><tr><th>temperature</th><th>done</th><th>failed</th><th>waiting</th></tr>" + body + "</table>")
handle = display(table(), display_id=True)
left = iter([(row, name) for row in rows for name in done])
async def one_after_another():
    for row, name in left:
        body = {{"model": "deepseek-flash", "messages": [{{"role": "user", "content": row["q"]}}], "temperature": name}}
        await client.post("{url}/chat/completions", json=body)
        done[name] += 1
        handle.update(table())
async with httpx.AsyncClient(timeout=120) as client:
    await asyncio.gather(*(one_after_another() for _ in range({at_once})))
"""


@dataclass(slots=True)
class Sent:
    """What a cell sent to the page."""

    size: int = 0
    messages: int = 0
    failed: str = ""


@contextlib.contextmanager
def _server(bench: Bench) -> Iterator[str]:
    """A Jupyter server on an empty home; its address without the scheme."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        address = f"127.0.0.1:{(port := free_port())}"
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", f"--port={port}", "--ip=127.0.0.1"]
        command += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}", "--allow-root"]
        command += ["--ServerApp.port_retries=0"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # Without its extensions, JupyterLab above all: the page is not looked at.
        environment = {**bench.environment, "JUPYTER_NO_CONFIG": "1"}
        process = subprocess.Popen(command, env=environment, cwd=bench.root, **quiet)
        try:
            yield address
        finally:
            process.terminate()
            process.wait()


async def _started(address: str) -> str:
    """The id of a fresh kernel, once the server is there. Raises TimeoutError."""

    def start() -> str:
        asked = urllib.request.Request(
            f"http://{address}/api/kernels?token={TOKEN}", data=b'{"name": "python3"}', method="POST"
        )
        with urllib.request.urlopen(asked, timeout=START_S) as answer:
            return str(json.load(answer)["id"])

    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(OSError):
                return await asyncio.to_thread(start)
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _kernel(address: str) -> AsyncIterator[WebSocketClientConnection]:
    kernel = await _started(address)
    url = f"ws://{address}/api/kernels/{kernel}/channels?session_id={uuid.uuid4()}&token={TOKEN}"
    connection = await websocket_connect(url, subprotocols=[PROTOCOL], max_message_size=1 << 30)
    try:
        yield connection
    finally:
        connection.close()


def packed(*parts: bytes) -> bytes:
    """A message of the websocket's protocol."""
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join(number.to_bytes(8, "little") for number in (len(offsets), *offsets)) + b"".join(parts)


def parts(data: bytes) -> list[bytes]:
    """The parts of one."""
    count = int.from_bytes(data[:8], "little")
    offsets = [int.from_bytes(data[8 * place : 8 * place + 8], "little") for place in range(1, count + 1)]
    return [data[begin:end] for begin, end in itertools.pairwise(offsets)]


async def _run(connection: WebSocketClientConnection, source: str) -> Sent:
    """Run a cell and count what comes on the kernel's public channel until it has ended. Raises RuntimeError if it fails."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "session": "bench",
        "username": "",
        "version": "5.3",
    }
    content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    texts: tuple[Any, ...] = (header, {}, {"cellId": "cell-1"}, content)
    await connection.write_message(packed(b"shell", *(json.dumps(text).encode() for text in texts)), binary=True)
    sent, asked = Sent(), header["msg_id"].encode()
    async with asyncio.timeout(LONGEST_S):
        while (data := await connection.read_message()) is not None:
            assert isinstance(data, bytes)
            channel, said, parent, _, body, *_ = parts(data)
            if channel != b"iopub" or asked not in parent:
                continue
            sent.size += len(data)
            sent.messages += 1
            kind = json.loads(said)["msg_type"]
            if kind == "error":
                sent.failed = str(json.loads(body)["evalue"])
            if kind == "status" and json.loads(body)["execution_state"] == "idle":
                break
    if sent.failed or not sent.messages:
        raise RuntimeError(sent.failed or "the kernel said nothing")
    return sent


async def _shown(bench: Bench, cells: dict[str, str], inputs: int, wait_s: float) -> dict[str, Sent]:
    """What each way sends, each in a kernel of its own."""
    found = {}
    filled = {"prompt": Ask(chunks=5, wait_s=wait_s).prompt, "inputs": inputs, "url": bench.http, "at_once": AT_ONCE}
    with _server(bench) as address:
        for name, cell in cells.items():
            async with _kernel(address) as kernel:
                await _run(kernel, "%load_ext deepseek_magic\n" + _TABLE.format(**filled))
                found[name] = await _run(kernel, cell.format(**filled))
    return found


def on_the_websocket(bench: Bench) -> Table:
    """E9."""
    inputs, wait_s = (10, 0.1) if bench.short else (250, 0.4)
    cells = {OURS: _SWEEP} if bench.short or bench.alone else {OURS: _SWEEP, EACH: _NAIVE}
    kb, messages = "kB", "messages"
    rows: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    try:
        found = asyncio.run(_shown(bench, cells, inputs, wait_s))
        rows = {name: {kb: sent.size / 1e3, messages: sent.messages} for name, sent in found.items()}
    except (RuntimeError, TimeoutError, OSError) as error:
        missing[OURS] = str(error) or type(error).__name__
    return Table(
        id="E9",
        title=f"The live table of {4 * inputs:,} trials",
        how=f"A kernel of a real Jupyter server; what its websocket carries of the kernel's public channel until the cell has ended. {inputs} inputs in "
        f"4 settings, {AT_ONCE} at once, {wait_s:g} s an answer. No peer has a table that grows in a notebook; below, the naive one.",
        columns=(kb, messages),
        rows=rows,
        missing=missing,
        goals=(Goal(says="kB", value=rows.get(OURS, {}).get(kb), limit=300),),
        relative_to=OURS,
    )
