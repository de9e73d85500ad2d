"""The relay as a process: its address, its certificate, its file, and uvicorn around the application."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from ...engine.client import Client
from ...engine.hosts.classroom import Classroom
from ...engine.hosts.endpoints import Endpoints, is_loopback
from ...engine.hosts.keys import find_key, mask_content
from ...engine.journal.reader import Journal
from ...policy.limits.limiter import LimitPolicy
from ...policy.pricing import PRICES
from ...protocol.errors import ConfigurationError
from ...text.messages import Message
from ..file import RelayFile
from ..hub import HubDoor, HubService
from ..roster import Roster
from ..service import ClassService, TextKeeper
from .app import RelayApp

TEACHER_VARIABLE: Final = "DEEPSEEK_MAGIC_TEACHER_TOKEN"
SHORTEST_TEACHER_TOKEN: Final = 16
CONCURRENCY: Final = 64
"""Answers of the provider at once, unless it says that fewer are allowed."""
GRACEFUL_S: Final = 5
KEEP_ALIVE_S: Final = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the relay listens. Beyond this machine it does so with a certificate, or where ``clear_text`` was typed."""

    host: str = "127.0.0.1"
    port: int = 8700
    certificate: Path | None = None
    key: Path | None = None
    clear_text: bool = False

    def check(self) -> None:
        """Raise ConfigurationError for an address at which tokens could be read on the way."""
        if (self.certificate is None) != (self.key is None):
            raise ConfigurationError(Message("--tls-cert and --tls-key go together."), hint=Message("Give both."))
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise ConfigurationError(
                    Message("There is no file {path}.", path=path), hint=Message("Correct the path.")
                )
        if not is_loopback(self.host) and self.certificate is None and not self.clear_text:
            raise ConfigurationError(
                Message("Tokens and answers could be read on their way to {host}.", host=self.host),
                hint=Message("Give --tls-cert and --tls-key, or --clear-text if something in front encrypts."),
            )

    @property
    def scheme(self) -> str:
        """``https`` or ``http``."""
        return "https" if self.certificate is not None else "http"


def serve(
    classroom: Classroom,
    endpoint: Endpoints,
    address: Address,
    folder: Path,
    *,
    say: Callable[[Message], None],
    hub: HubService | None = None,
) -> None:
    """Serve until interrupted. ``say`` is told where, once the port is open.

    Raises ConfigurationError where it cannot begin: a key that is missing, a file or a port that is taken.
    """
    if hub is None:
        address.check()
    teacher = os.environ.get(TEACHER_VARIABLE) or secrets.token_urlsafe(24)
    if len(teacher) < SHORTEST_TEACHER_TOKEN:
        said = Message(
            "{variable} has fewer than {count} characters.", variable=TEACHER_VARIABLE, count=SHORTEST_TEACHER_TOKEN
        )
        raise ConfigurationError(said, hint=Message("Take a longer one."))
    file = RelayFile(folder, alone=True)
    try:
        service = service_of(classroom, endpoint, file, hub=hub)
        prefix = hub.prefix if hub is not None else "/"
        app = RelayApp(service, teacher_token=teacher, prefix=prefix)
        host, port = (hub.host, hub.port) if hub is not None else (address.host, address.port)
        settings: dict[str, Any] = {"host": host, "port": port, "log_level": "error", "server_header": False}
        if address.certificate is not None:
            settings |= {"ssl_certfile": address.certificate, "ssl_keyfile": address.key}
        scheme = "http" if hub is not None else address.scheme

        def opened(at: int) -> None:
            _tell(say, f"{scheme}://{host}:{at}{prefix}", teacher)

        server = RelayServer(app, opened, timeout_keep_alive=KEEP_ALIVE_S, **settings)
        with contextlib.suppress(SystemExit):  # of a port that cannot be opened
            server.run()
        if not server.started:
            said = Message("The port {port} of {host} cannot be opened.", port=port, host=host)
            raise ConfigurationError(said, hint=Message("Name another one with --port."))
    finally:
        file.close()


def service_of(
    classroom: Classroom, endpoint: Endpoints, file: RelayFile, *, hub: HubService | None = None, **settings: Any
) -> ClassService:
    """The service of a class, with its provider and its students' tokens. Raises ConfigurationError, also for a key that is
    missing: nobody in the class could see to it."""
    journal = Journal(file.folder / "texts.sqlite3", mask=mask_content) if classroom.rules.keep == "texts" else None
    client = Client(
        endpoint,
        rewind=False,  # what readers have been given cannot be taken back
        limits=LimitPolicy(concurrency=CONCURRENCY),
        keeper=TextKeeper(journal) if journal is not None else None,
        prices=PRICES.with_prices(*classroom.prices),
    )
    for each in client.endpoints:
        find_key(each)
    door = Roster(file) if hub is None else HubDoor(hub, client.transport, teachers=classroom.teachers)
    return ClassService(classroom, client, file, door, **settings)


def _tell(say: Callable[[Message], None], url: str, teacher: str) -> None:
    base = url.rstrip("/")
    say(Message("Relay: {url}", url=base))
    say(Message("For students: DEEPSEEK_BASE_URL={url}, and their own token as DEEPSEEK_API_KEY", url=base))
    say(Message("For the teacher alone: {url}", url=f"{base}/teacher?token={teacher}"))


class RelayServer(uvicorn.Server):
    """Tells when it listens, and at which port; ends what is under way before it waits for its end."""

    def __init__(self, app: RelayApp, opened: Callable[[int], None], **settings: Any) -> None:
        super().__init__(uvicorn.Config(app, timeout_graceful_shutdown=GRACEFUL_S, access_log=False, **settings))
        self._app = app
        self._opened = opened

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._opened(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: Any = None) -> None:
        await self._app.close()
        await super().shutdown(sockets)
