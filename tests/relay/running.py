"""A relay on 127.0.0.1 in a thread of this process, with the demo behind it, so that a test can look into both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.classroom import Classroom
from deepseek_magic.engine.hosts.endpoints import Endpoints, resolve
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.rules import Rules
from deepseek_magic.relay.file import RelayFile
from deepseek_magic.relay.roster import make
from deepseek_magic.relay.service import ClassService
from deepseek_magic.relay.web.app import RelayApp
from deepseek_magic.relay.web.serving import RelayServer, service_of

TEACHER = "the-teachers-own-token"
HANG_S = 60


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(HANG_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


class RunningRelay:
    """``students`` have a token each. ``recovery`` is how patient the relay is with its provider."""

    def __init__(
        self,
        folder: Path,
        demo: DemoServer,
        rules: Rules | None = None,
        *,
        students: int = 3,
        names: Sequence[str] = (),
        endpoint: Endpoints = None,
        recovery: RecoveryPolicy | None = None,
        server: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.demo = demo
        self.folder = folder
        self.classroom = Classroom(rules=rules or Rules(name="Physics"))
        self._endpoint = endpoint if endpoint is not None else resolve("demo", demo.base_url)
        self._settings = settings
        self._recovery = recovery
        self._server_settings = server or {}
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self.port = 0
        self.service: ClassService
        file = RelayFile(folder)
        self.tokens = dict(make(file, names or [f"student {n:02}" for n in range(students)], renew=True))
        file.close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, number: int = 0, **settings: Any) -> Client:
        """The project's own client with the token of one student."""
        return Client(self.base_url, api_key=self.token(number), **settings)

    def token(self, number: int = 0) -> str:
        return [*self.tokens.values()][number]

    def headers(self, number: int = 0, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(number)}", **more}

    def posts(self) -> list[Any]:
        """The chats that the demo was asked."""
        return [seen for seen in self.demo.requests if seen.method == "POST"]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(HANG_S)
        return self

    async def _serve(self) -> None:
        file = RelayFile(self.folder, alone=True)
        self.service = service_of(self.classroom, self._endpoint, file, **self._settings)
        if self._recovery is not None:
            self.service.client.recovery = self._recovery
        app = RelayApp(self.service, teacher_token=TEACHER)
        self.loop = asyncio.get_running_loop()
        self._server = RelayServer(app, self._opened, port=self.port, log_level="error", **self._server_settings)
        await self._server.serve()
        file.close()

    def _opened(self, port: int) -> None:
        self.port = port
        self._ready.set()

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        assert self._thread is not None
        self._thread.join(HANG_S)
        self._ready.clear()
