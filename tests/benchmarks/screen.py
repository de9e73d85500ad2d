"""What a growing answer costs between the kernel and the front end: P8, on real kernels at a real pace.

Bytes are those of the messages on the kernel's public channel, which is what crosses the websocket. The lag of a word is
the time from the server's writing it to the first message that has it; what the browser then needs comes on top. The
answer carries marks, so that both ends speak of the same words.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from jupyter_client.manager import KernelManager

from .measuring import Bench
from .report import Goal, Table, median
from .wire import Ask

LONGEST_S: Final = 240
OFTEN: Final = 5
"""How often the open end of an answer is drawn differs from run to run: the long answers are shown so many times."""
_MARK: Final = re.compile(rb"k(\d{5})")

_NAIVE: Final = """
import json, requests
from IPython.display import Markdown, clear_output, display
def tokens(prompt):
    body = {{"model": "deepseek-flash", "stream": True, "messages": [{{"role": "user", "content": prompt}}]}}
    with requests.post("{url}/chat/completions", json=body, stream=True) as response:
        for line in response.iter_lines(chunk_size=1):
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                chunk = json.loads(line[6:])
                if chunk["choices"]:
                    yield chunk["choices"][0]["delta"]["content"]
"""
OURS: Final = "deepseek-magic: %%deepseek"
CLEARED: Final = "clear_output and display, per token"
UPDATED: Final = "display_id update, per token"
PEER: Final = "jupyter-ai-magics: %%ai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of showing an answer: what the kernel runs once, and the cell. ``{url}`` and ``{prompt}`` are filled in."""

    setup: str
    cell: str


WAYS: Final[Mapping[str, Way]] = {
    OURS: Way(
        setup="%load_ext deepseek_magic",
        cell="%%deepseek -o answer --think off\n{prompt}",
    ),
    CLEARED: Way(
        setup=_NAIVE,
        cell="text = ''\nfor token in tokens('{prompt}'):\n"
        "    text += token\n    clear_output(wait=True)\n    display(Markdown(text))",
    ),
    UPDATED: Way(
        setup=_NAIVE,
        cell="text = ''\nhandle = display(Markdown(''), display_id=True)\nfor token in tokens('{prompt}'):\n"
        "    text += token\n    handle.update(Markdown(text))",
    ),
    PEER: Way(
        setup="import os\nos.environ['OPENAI_API_KEY'] = 'sk-test-1234'\nos.environ['OPENAI_API_BASE'] = '{url}'\n"
        "%load_ext jupyter_ai_magics",
        cell="%%ai openai-chat-custom:deepseek-flash\n{prompt}",
    ),
}


@dataclass(slots=True)
class Shown:
    """What came out of the kernel for one cell."""

    sent_bytes: int = 0
    messages: int = 0
    took_s: float = 0.0
    cpu_s: float = 0.0
    failed: str = ""
    seen_s: dict[int, float] | None = None
    printed: str = ""


class Screen:
    """A kernel, and a reader of all that it sends."""

    def __init__(self, manager: KernelManager) -> None:
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, source: str) -> Shown:
        """Run a cell and read what it sends, as fast as it comes."""
        shown = Shown(seen_s={})
        began_s = time.monotonic()
        message = self.client.session.msg(
            "execute_request",
            {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True,
             "stop_on_error": False},
            metadata={"cellId": "cell-1"},
        )  # fmt: skip
        self.client.shell_channel.send(message)
        asked = message["header"]["msg_id"].encode()
        newest, idle = -1, False
        socket = self.client.iopub_channel.socket
        while not idle:
            if time.monotonic() - began_s > LONGEST_S:
                raise RuntimeError("the cell did not end")
            if not socket.poll(100):
                continue
            frames = socket.recv_multipart()
            now_s = time.monotonic()
            header, parent, _metadata, content = frames[frames.index(b"<IDS|MSG>") + 2 :][:4]
            if asked not in parent:
                continue
            shown.messages += 1
            shown.sent_bytes += sum(len(frame) for frame in frames)
            marks = [int(each) for each in _MARK.findall(content)]
            if marks and max(marks) > newest:
                newest = max(marks)
                shown.seen_s[newest] = now_s  # type: ignore[index]
            self._note(header, content, shown)
            idle = b'"status"' in header and b'"idle"' in content
        shown.took_s = time.monotonic() - began_s
        return shown

    def _note(self, header: bytes, content: bytes, shown: Shown) -> None:
        if b'"error"' in header:
            shown.failed = str(self.client.session.unpack(content)["evalue"])
        elif b'"stream"' in header:
            shown.printed += self.client.session.unpack(content)["text"]

    def cpu_s(self) -> float:
        """CPU time of the kernel's process so far."""
        return float(self.run("import time; print(time.process_time())").printed)


@contextmanager
def screen(bench: Bench, python: str) -> Iterator[Screen]:
    """A fresh kernel on that interpreter."""
    with tempfile.TemporaryDirectory(prefix="ds") as folder:
        manager = KernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/k")
        assert manager.kernel_spec is not None
        manager.kernel_spec.argv[0] = python
        manager.start_kernel(env={**bench.environment, "PYTHONWARNINGS": "ignore"}, cwd=str(bench.root))
        seen = None
        try:
            seen = Screen(manager)
            yield seen
        finally:
            if seen is not None:
                seen.client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()


def show(bench: Bench, name: str, ask: Ask) -> Shown:
    """Show one answer in a fresh kernel. Raises RuntimeError with the kernel's word when it cannot."""
    way = WAYS[name]
    with screen(bench, (name == PEER and bench.python_of("ai")) or sys.executable) as seen:
        warm = seen.run(way.setup.format(url=bench.http))
        if not warm.failed:
            warm = seen.run(_cell(way, bench, Ask(chunks=20, per_s=100, prose=1)))
        if warm.failed:
            raise RuntimeError(warm.failed)
        before_s = seen.cpu_s()
        shown = seen.run(_cell(way, bench, ask))
        shown.cpu_s = seen.cpu_s() - before_s
        if shown.failed or not shown.seen_s:
            raise RuntimeError(shown.failed or shown.printed or "no text was shown")
        return shown


def _cell(way: Way, bench: Bench, ask: Ask) -> str:
    return way.cell.format(url=bench.http, prompt=ask.prompt)


def lags_s(sent_s: Mapping[int, float], seen_s: Mapping[int, float]) -> list[float]:
    """For each mark that was sent, how long it took until it, or a later one, was seen."""
    lags, marks = [], sorted(sent_s)
    for shown in sorted(seen_s):
        while marks and marks[0] <= shown:
            lags.append(seen_s[shown] - sent_s[marks.pop(0)])
    return lags


def tokens_of(kilobytes: float) -> int:
    """How many tokens of prose make so much text."""
    per_token = Ask(chunks=1200, prose=1).chars / 1200
    return round(kilobytes * 1000 / per_token)


def rendering(bench: Bench) -> Table:
    """P8."""
    scale = 0.02 if bench.short else 1
    bytes_12, cpu, middle, worst = (
        "12 kB, 100 tokens/s: MB",
        "kernel CPU, % of a core",
        "lag median, ms",
        "lag worst, ms",
    )
    sizes = (120, 240) if bench.short else (24, 120, 240)
    fast = {f"{size} kB, 1,000 tokens/s: MB": size for size in sizes}
    rows: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    for name in (OURS,) if bench.alone else WAYS:
        try:
            shown = show(bench, name, Ask(chunks=tokens_of(12 * scale), per_s=100, prose=1))
            sent_s = {int(mark): at for mark, at in bench.told()["marks_sent_s"].items()}
            lags_ms = [lag * 1e3 for lag in lags_s(sent_s, shown.seen_s or {})] if sent_s else []
            row = {bytes_12: shown.sent_bytes / 1e6, cpu: shown.cpu_s / shown.took_s * 100}
            row |= {middle: median(lags_ms), worst: max(lags_ms)} if lags_ms else {}
            for column, size in fast.items():
                if name == OURS or (size == 24 and name != PEER):
                    ask = Ask(chunks=tokens_of(size * scale), per_s=1000, prose=1)
                    times = 1 if bench.short or size == 24 else OFTEN
                    row[column] = median(show(bench, name, ask).sent_bytes / 1e6 for _ in range(times))
            rows[name] = row
        except RuntimeError as error:
            missing[name] = str(error)
    ours = rows.get(OURS, {})
    half, whole = (ours.get(column) for column in tuple(fast)[-2:])
    return Table(
        id="P8",
        title="Showing an answer",
        how="A real kernel, real pace. MB are the messages to the front end; lag is from the server's writing a word to the "
        "kernel's sending it, the browser not counted. Ways that redraw per token send all text with each token: ten times "
        "the text is a hundred times the bytes, so they are not run on 240 kB. 120 and 240 kB: medians of five. `%%ai` does not stream: its lag is the answer.",
        columns=(bytes_12, cpu, middle, worst, *fast),
        rows=rows,
        missing=missing,
        goals=(
            Goal(says="12 kB at 100 tokens/s, MB", value=ours.get(bytes_12), limit=1.2),
            Goal(says="240 kB at 1,000 tokens/s, MB", value=whole, limit=5),
            Goal(says="240 kB / 120 kB, bytes", value=None if not half or whole is None else whole / half, limit=1.9),
            Goal(says="lag median, the kernel's part, ms", value=ours.get(middle), limit=60),
            Goal(says="lag worst, the kernel's part, ms", value=ours.get(worst), limit=250),
            Goal(says="kernel CPU at 100 tokens/s, %", value=ours.get(cpu), limit=8),
        ),
    )
