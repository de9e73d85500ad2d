"""A demo server to answer, an empty home to run in, and real kernels to run cells in."""

from __future__ import annotations

import os
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ipykernel
import IPython
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from traitlets.config import Config

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.notebook.frontend import AWAITING_KERNEL

KEY = "sk-test-1234"
LOAD = "%load_ext deepseek_magic"
WIDGETS_VIEW = "%config DeepSeekMagics.view = 'widgets'"
"""For what is about this view, on every ipywidgets: below 8 another one is chosen."""
HEARS_CLICKS = tuple(ipykernel.version_info[:2]) >= AWAITING_KERNEL
"""Older kernels do not read a button's message while a cell runs, so none is drawn there."""
OTHERS_COMPLETE = IPython.version_info[:2] < (8, 6)
"""This IPython adds names and magics of its own to what a matcher finds."""


def newer_only(why: str, *, twin: str, has: bool = HEARS_CLICKS) -> pytest.MarkDecorator:
    """A test of what kernels like Colab's lack; ``has``: this one does not. ``twin`` is the test of what there is in its
    place."""
    return pytest.mark.skipif(not has, reason=f"needs a newer kernel: {why}; in its place: {twin}")


@pytest.fixture
def demo() -> Iterator[DemoServer]:
    """A demo server that answers as fast as it can; its pace may be changed."""
    with DemoServer(pace=0) as server:
        yield server


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An IPython of this process with the extension loaded, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_cell(LOAD)
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def environment(tmp_path: Path, demo: DemoServer) -> dict[str, str]:
    """An environment with an empty home, a key, and the demo server as DeepSeek."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    homes = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "XDG_CONFIG_HOME")
    for name in homes:
        (tmp_path / name.lower()).mkdir()
        kept[name] = str(tmp_path / name.lower())
    # `python -m jupyter execute` looks for jupyter-execute on the PATH: it must be this environment's.
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    kept["DEEPSEEK_MAGIC_HOME"] = str(tmp_path / "deepseek")
    return {**kept, "DEEPSEEK_BASE_URL": demo.base_url, "DEEPSEEK_API_KEY": KEY, "PYTHONWARNINGS": "ignore"}


def notebook_of(*cells: str) -> Any:
    """A notebook that loads the extension and then has these cells."""
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (LOAD, *cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


@contextmanager
def ipc() -> Iterator[dict[str, str]]:
    """How a kernel is spoken to: by sockets in a folder, since a free port may be another's by the time it is bound."""
    with tempfile.TemporaryDirectory(prefix="ds") as folder:
        yield {"transport": "ipc", "ip": f"{folder}/k"}


@pytest.fixture
def run_headless(environment: dict[str, str]) -> Callable[..., list[list[Any]]]:
    """Run cells as nbclient does; the outputs of each."""

    def run(*cells: str, **options: Any) -> list[list[Any]]:
        notebook = notebook_of(*cells)
        with ipc() as sockets:
            config = Config(KernelManager=sockets)
            options = {"allow_errors": True, **options}
            NotebookClient(notebook, timeout=60, kernel_name="python3", config=config, **options).execute(
                env=environment
            )
        return [cell.outputs for cell in notebook.cells[1:]]

    return run


@dataclass(slots=True)
class Ran:
    """What came back for one execute request."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The contents of the messages of a type."""
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    @property
    def printed(self) -> str:
        """What was printed."""
        return "".join(content["text"] for content in self.of("stream"))


class Kernel:
    """A kernel, and a front end that speaks to it as a notebook in JupyterLab does."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def send(self, source: str, *, cell: str | None = "cell-1", stop_on_error: bool = True) -> str:
        """Ask for a cell to be run; its message id. Where it fails, what waits behind it is not run, as in *Run All*, nor
        what comes in the moment after: ``stop_on_error`` off has neither."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": cell is not None,
            "stop_on_error": stop_on_error,
        }
        metadata = {"cellId": cell} if cell is not None else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def collect(
        self, sent: str, *, when: Callable[[Ran], bool] | None = None, do: Callable[[], None] | None = None
    ) -> Ran:
        """Everything until the cell has ended; ``do`` is done once, as soon as ``when`` holds."""
        ran = Ran()
        deadline = time.monotonic() + 60
        idle = False
        while not idle:
            assert time.monotonic() < deadline, "the cell did not end"
            if when is not None and do is not None and when(ran):
                do()
                when = None
            try:
                message = self.client.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") == sent:
                ran.messages.append(message)
                idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
        while ran.reply == {}:
            reply = self.client.get_shell_msg(timeout=10)
            if reply["parent_header"].get("msg_id") == sent:
                ran.reply = reply["content"]
        return ran

    def run(
        self,
        source: str,
        *,
        cell: str | None = "cell-1",
        when: Callable[[Ran], bool] | None = None,
        do: Callable[[], None] | None = None,
    ) -> Ran:
        """Run a cell to its end, whatever was sent before; ``when`` and ``do`` as for ``collect``."""
        ran = self.collect(self.send(source, cell=cell, stop_on_error=False), when=when, do=do)
        while (
            ran.reply["status"] == "aborted"
        ):  # ipykernel 6 does so to what comes right after a cell of ``send`` that failed
            time.sleep(0.1)
            ran = self.collect(self.send(source, cell=cell, stop_on_error=False), when=when, do=do)
        return ran

    def offers(self, code: str, *words: str) -> bool:
        """Whether Tab behind ``code`` offers these words."""
        matches = self.client.complete(code, len(code), reply=True, timeout=20)["content"]["matches"]
        return set(words) <= set(matches) if OTHERS_COMPLETE else sorted(matches) == sorted(words)


@contextmanager
def kernel_in(environment: dict[str, str]) -> Iterator[Kernel]:
    with ipc() as sockets:
        manager = KernelManager(kernel_name="python3", **sockets)
        manager.start_kernel(env=environment)
        kernel = Kernel(manager)
        try:
            yield kernel
        finally:
            kernel.client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()


@pytest.fixture
def kernel(environment: dict[str, str]) -> Iterator[Kernel]:
    """A kernel with the extension loaded."""
    with kernel_in(environment) as kernel:
        kernel.run(LOAD)
        yield kernel
