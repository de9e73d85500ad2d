"""A kernel without a network, and what its cells leave: ``python -m tests.lessons.kernel CELLS.json OUT.json FOLDER``.

Its sockets are files: a network namespace without interfaces has no loopback either.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

START_S: Final = 120
CELL_S: Final = 300
_TIMES: Final = re.compile(
    r"\d+(?:[.,]\d+)*(?= (?:s|ms|tokens/s)\b)|(?<=\| )\d+\.\d+(?= \|)|(?<= )\d+\.\d+(?=\\n)|(?<=– {4})\d+(?=\\n)"
)
_IDS: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@contextmanager
def running(folder: Path, environment: dict[str, str] | None = None) -> Iterator[BlockingKernelClient]:
    """A kernel in ``folder``."""
    with tempfile.TemporaryDirectory(prefix="ds") as sockets:
        manager = KernelManager(transport="ipc", ip=f"{sockets}/k")
        manager.start_kernel(
            cwd=str(folder), env=environment or dict(os.environ), extra_arguments=["--IPKernelApp.log_level=CRITICAL"]
        )
        client = manager.blocking_client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=START_S)
            yield client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, source: str) -> list[dict[str, Any]]:
    """Run a cell; its outputs as a notebook would keep them."""
    outputs: list[dict[str, Any]] = []
    shown: dict[str, dict[str, Any]] = {}

    def take(message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            outputs.append({"kind": kind, "text": content["text"]})
        elif kind == "error":
            outputs.append({"kind": kind, "text": "\n".join(content["traceback"])})
        elif kind in ("display_data", "execute_result"):
            made = {"kind": kind, "data": dict(content["data"])}
            outputs.append(made)
            if (name := content.get("transient", {}).get("display_id")) is not None:
                shown[name] = made
        elif kind == "update_display_data" and (name := content["transient"].get("display_id")) in shown:
            shown[name]["data"] = dict(content["data"])

    client.execute_interactive(source, timeout=CELL_S, output_hook=take, allow_stdin=False)
    return outputs


def without_times(outputs: list[dict[str, Any]]) -> str:
    """The outputs as text, but for seconds and the ids of what was made at random."""
    text = json.dumps(outputs, ensure_ascii=False, sort_keys=True)
    return _IDS.sub("ID", re.sub(" +TIME", " TIME", _TIMES.sub("TIME", text)))


def play(
    cells: list[str],
    folder: Path,
    before: Callable[[int], None] = lambda _place: None,
    took: Callable[[float], None] = lambda _seconds: None,
    environment: dict[str, str] | None = None,
) -> list[list[dict[str, Any]]]:
    """Run cells; ``before`` is called with the place of each."""
    with running(folder, environment) as client:
        left = []
        for place, source in enumerate(cells):
            before(place)
            began_s = time.perf_counter()
            left.append(run(client, source))
            took(time.perf_counter() - began_s)
        return left


if __name__ == "__main__":
    given, out, where = map(Path, sys.argv[1:])
    seconds: list[float] = []
    left = play(json.loads(given.read_text("utf-8")), where, took=seconds.append)
    out.write_text(json.dumps({"left": left, "seconds": seconds}), "utf-8")
