"""nginx and HAProxy as they come from Debian, in front of a server on this machine.

Their configuration is written for each test; nothing outside its folder is read or written. No test here says how long
anything may take: ``HANG_S`` only ends what would never end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

import pytest

from tests.ports import free_port

HANG_S: Final = 30.0
_READY_EVERY_S: Final = 0.02
_HEARD_S: Final = 3.0
"""A signal that has done nothing for so long was lost."""


async def listening(port: int, *, within_s: float = HANG_S) -> None:
    """Wait until somebody listens on ``port``."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(_READY_EVERY_S)


async def silent(port: int) -> None:
    """Wait until nobody listens on ``port``."""
    async with asyncio.timeout(HANG_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(_READY_EVERY_S)


async def until(condition: Callable[[], object]) -> None:
    """Wait until the other side has got so far."""
    async with asyncio.timeout(HANG_S):
        while not condition():  # noqa: ASYNC110 - the other side is another program, it sets no event
            await asyncio.sleep(_READY_EVERY_S)


class Program:
    """A program that listens on a port of its own, with all that it starts; ``ready_s`` is how long it may take to."""

    ready_s: ClassVar[float] = HANG_S

    def __init__(self) -> None:
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, *command: str, **environment: str) -> None:
        """Start it; returns when it listens."""
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, env={**os.environ, **environment}
        )
        await listening(self.port, within_s=self.ready_s)

    def signal(self, number: signal.Signals) -> None:
        """Tell its first process something."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it at once, as a machine that loses its power would; safe to call again."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await silent(self.port)  # what it had started may live on for a moment, and take the next connection with it


class Demo(Program):
    """The demo server as a program of its own, which can be killed."""

    async def start(self, *, pace: float) -> None:
        """Start it on its port, also a second time."""
        code = f"from deepseek_magic.demo.server import serve; serve({self.port}, None, {pace})"
        await self.run(sys.executable, "-c", code)


class Proxy(Program, ABC):
    """One of the two, in front of the server on a port. ``silence_s`` is how long that may say nothing."""

    program: ClassVar[str]
    down: ClassVar[int]
    """The status that it answers with while nobody listens behind it."""

    def __init__(self, folder: Path) -> None:
        if shutil.which(self.program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{self.program} is not installed, though .ci/environment should have seen to it.")
            pytest.skip(f"{self.program} is not on the PATH.")
        super().__init__()
        self.folder = folder
        self.file = folder / f"{self.program}.conf"

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, behind: int, *, silence_s: float = HANG_S, drain_s: float = HANG_S, more: str = "") -> None:
        """Start it in front of port ``behind``. A reload lets answers go on for ``drain_s``; ``more`` is configuration."""
        self.file.write_text(self.configuration(behind, silence_s=silence_s, drain_s=drain_s, more=more), "utf-8")
        await self.restart()

    @abstractmethod
    def configuration(self, behind: int, *, silence_s: float, drain_s: float, more: str) -> str:
        """The text of its file."""

    @abstractmethod
    async def restart(self) -> None:
        """Start it with the file that is there."""

    @abstractmethod
    async def reload(self) -> None:
        """Have it read its file again and hand over to new workers; returns when those have taken over."""


class Nginx(Proxy):
    """nginx; ``more`` goes into the location."""

    program = "nginx"
    down = 502

    def configuration(self, behind: int, *, silence_s: float, drain_s: float, more: str) -> str:
        temporary = "\n".join(
            f"  {name}_temp_path {self.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
worker_shutdown_timeout {round(drain_s * 1000)}ms;
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log info;
events {{ worker_connections 64; }}
http {{
{temporary}
  access_log {self.folder}/access.log;
  server {{
    listen 127.0.0.1:{self.port};
    proxy_http_version 1.1;
    location / {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_read_timeout {round(silence_s * 1000)}ms;
      {more}
    }}
  }}
}}
"""

    async def restart(self) -> None:
        await self.run("nginx", "-p", str(self.folder), "-e", str(self.folder / "error.log"), "-c", str(self.file))

    async def reload(self) -> None:
        log = self.folder / "error.log"
        begun = log.read_text("utf-8").count("start worker process ")
        asked = await asyncio.create_subprocess_exec(
            *("nginx", "-p", str(self.folder), "-e", str(log), "-c", str(self.file), "-s", "reload"),
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await asked.wait() == 0
        await until(lambda: log.read_text("utf-8").count("start worker process ") > begun)


class HAProxy(Proxy):
    """HAProxy with a master and a worker; ``more`` goes into the backend."""

    program = "haproxy"
    down = 503

    def configuration(self, behind: int, *, silence_s: float, drain_s: float, more: str) -> str:
        return f"""
global
  maxconn 100
  hard-stop-after {round(drain_s * 1000)}ms
defaults
  mode http
  timeout connect 5s
  timeout client {round(HANG_S)}s
  timeout server {round(silence_s * 1000)}ms
frontend front
  bind 127.0.0.1:{self.port}
  default_backend behind
backend behind
  server one 127.0.0.1:{behind}
  {more}
"""

    def _workers(self) -> set[int]:
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return {int(pid) for pid in listed.read_text().split()}

    async def restart(self) -> None:
        await self.run("haproxy", "-W", "-db", "-f", str(self.file))

    async def reload(self) -> None:
        before = self._workers()
        async with asyncio.timeout(HANG_S):
            while not self._workers() - before:
                self.signal(signal.SIGUSR2)  # the master hears none while it starts a worker itself
                for _ in range(round(_HEARD_S / _READY_EVERY_S)):
                    await asyncio.sleep(_READY_EVERY_S)
                    if self._workers() - before:
                        break
        await listening(self.port)


KINDS: Final[tuple[type[Proxy], ...]] = (Nginx, HAProxy)
