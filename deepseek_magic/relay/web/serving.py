"""The relay as a process: its address, its certificate, its file, and uvicorn around the application."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ...engine.client import Client
from ...engine.hosts.classroom import Classroom
from ...engine.hosts.endpoints import Endpoints, is_loopback
from ...engine.hosts.keys import find_key, mask_content
from ...engine.journal.reader import Journal
from ...policy.limits.limiter import LimitPolicy
from ...policy.pricing import PRICES
from ...protocol.errors import ConfigurationError, MissingKey
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
HEAD_S: Final = 20.0
LARGEST_HEAD_BYTES: Final = 2**16
"""A connection that has not said what it wants in so long a time, or so many words, is closed: open ones are bounded."""
OPEN_FILES: Final = 2**16
LARGEST_PORT: Final = 2**16 - 1


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
        if not 0 <= self.port <= LARGEST_PORT:
            raise ConfigurationError.of_setting("--port", self.port, Message("it takes a number from 0 to 65535"))
        if self.certificate is not None and self.key is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password=lambda: "")
            except (OSError, ValueError) as error:  # an SSLError among them
                said = Message(
                    "The certificate {path} and its key cannot be used: {why}.",
                    path=self.certificate,
                    why=getattr(error, "reason", None) or str(error),
                )
                hint = Message("Give a certificate and its own private key, both as PEM and without a password.")
                raise ConfigurationError(said, hint=hint) from None
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
    replay_pace: float = 0.0,
) -> None:
    """Serve until interrupted. ``say`` is told where, once the port is open. ``replay_pace``: see ClassService.

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
    _allow_open_files()
    file = RelayFile(folder, alone=True)
    try:
        service = service_of(classroom, endpoint, file, hub=hub, replay_pace=replay_pace)
        app = RelayApp(service, teacher_token=teacher, hub=hub)
        host, port = (hub.host, hub.port) if hub is not None else (address.host, address.port)
        settings: dict[str, Any] = {"host": host, "port": port, "log_level": "error", "server_header": False}
        if address.certificate is not None:
            settings |= {"ssl_certfile": address.certificate, "ssl_keyfile": address.key}
        scheme = "http" if hub is not None else address.scheme

        def opened(at: int) -> None:
            url = f"{scheme}://{as_others_write(host)}:{at}{hub.prefix if hub is not None else '/'}"
            _tell(say, url, None if hub is not None else teacher)

        server = RelayServer(app, opened, timeout_keep_alive=KEEP_ALIVE_S, **settings)
        with contextlib.suppress(SystemExit):  # of a port that cannot be opened
            server.run()
        if not server.started:
            said = Message("The port {port} of {host} cannot be opened.", port=port, host=host)
            raise ConfigurationError(said, hint=Message("Name another one with --port."))
    finally:
        file.close()


def _allow_open_files() -> None:
    """A class has more connections than the 1,024 files that some systems begin with."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows counts otherwise
        import resource

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


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
        try:
            find_key(each)
        except MissingKey:
            names = {"endpoint": each.title, "variable": (*each.key_variables, "api_key")[0]}
            said = Message("The relay has no API key for {endpoint}: set {variable}.", **names)
            raise MissingKey(said, hint=Message("--demo asks a demo server instead: no key, no money.")) from None
    door = (
        Roster(file)
        if hub is None
        else HubDoor(hub, client.transport, teachers=classroom.teachers, teacher_groups=classroom.teacher_groups)
    )
    return ClassService(classroom, client, file, door, **settings)


def as_others_write(host: str) -> str:
    """A host that is listened at, as it stands in an address: of "all of this machine's" the one by which it goes out."""
    if host not in ("0.0.0.0", "::", ""):
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        try:
            out.connect(("192.0.2.1", 9))  # of documentation (RFC 5737); to connect sends nothing
        except OSError:
            return socket.gethostname()  # no network yet
        return str(out.getsockname()[0])


def _tell(say: Callable[[Message], None], url: str, teacher: str | None) -> None:
    """Where it is, and with which tokens. A hub, which has no use for these, writes into its log what it is told."""
    base = url.rstrip("/")
    say(Message("Relay: {url}", url=base))
    if teacher is None:
        return
    say(Message("For students: DEEPSEEK_BASE_URL={url}, and their own token as DEEPSEEK_API_KEY", url=base))
    say(Message("For the teacher alone: {url}", url=f"{base}/teacher?token={teacher}"))


class ImpatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """HTTP as uvicorn has it, with an end to waiting for the head of a request, which uvicorn waits for as long as it takes."""

    _waiting: asyncio.TimerHandle | None = None
    _unasked_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait(transport)

    def data_received(self, data: bytes) -> None:
        before, had_all = self.cycle, self.cycle is not None and not self.cycle.more_body
        super().data_received(data)
        asked = self.cycle is not None and not self.cycle.response_complete
        new = self.cycle is not before or not had_all
        self._unasked_bytes = 0 if asked and new else self._unasked_bytes + len(data)
        if self._unasked_bytes > LARGEST_HEAD_BYTES:
            self.transport.close()
        elif asked:
            self._served()
        elif self._waiting is None:
            self._wait(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._served()
        super().connection_lost(exc)

    def _wait(self, transport: Any) -> None:
        self._waiting = asyncio.get_running_loop().call_later(HEAD_S, transport.close)

    def _served(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class RelayServer(uvicorn.Server):
    """Tells when it listens, and at which port; ends what is under way before it waits for its end."""

    def __init__(self, app: RelayApp, opened: Callable[[int], None], **settings: Any) -> None:
        patience: dict[str, Any] = {"http": ImpatientProtocol, "ws": "none", "timeout_graceful_shutdown": GRACEFUL_S}
        super().__init__(uvicorn.Config(app, access_log=False, **patience, **settings))
        self._app = app
        self._opened = opened

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._opened(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: Any = None) -> None:
        await self._app.close()
        await super().shutdown(sockets)
