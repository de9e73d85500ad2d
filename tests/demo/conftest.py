"""A client on the bare socket: it shows the bytes and how the connection ended, and hides nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer

KEY = "sk-test-1234"


@dataclass
class Heard:
    """What came over the wire. ``ending``: fin, rst, or open when nothing more came."""

    wire: bytes
    ending: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False

    def __post_init__(self) -> None:
        head, _, rest = self.wire.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if first:
            self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)
        if self.headers.get("transfer-encoding") == "chunked":
            self.body, self.whole = dechunked(rest)
        else:
            self.body = rest
            self.whole = len(rest) == int(self.headers.get("content-length", -1))

    @property
    def payloads(self) -> list[str]:
        return [line[6:] for line in self.body.decode("utf-8", "replace").splitlines() if line.startswith("data: ")]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(p) for p in self.payloads if p.startswith("{") and p.endswith("}")]

    def channel(self, name: str) -> str:
        deltas = (c["choices"][0].get("delta", {}) for c in self.chunks if c.get("choices"))
        return "".join(delta.get(name) or "" for delta in deltas)

    @property
    def text(self) -> str:
        return self.channel("content")

    @property
    def finish(self) -> str | None:
        reasons = [c["choices"][0]["finish_reason"] for c in self.chunks if c.get("choices")]
        return next((reason for reason in reasons if reason), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def dechunked(data: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        size, sign, rest = data.partition(b"\r\n")
        if not sign:
            return body, False
        if int(size, 16) == 0:
            return body, rest == b"\r\n"
        body += rest[: int(size, 16)]
        if len(rest) < int(size, 16) + 2:
            return body, False
        data = rest[int(size, 16) + 2 :]


def call(
    server: DemoServer,
    body: Any = None,
    *,
    path: str = "/chat/completions",
    method: str = "POST",
    quiet_s: float = 5.0,
    key: str | None = KEY,
    version: str = "HTTP/1.1",
    **headers: str,
) -> Heard:
    """One request on a connection of its own, read until it ends or nothing comes for ``quiet_s``."""
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"host": "127.0.0.1", "content-length": len(sent), "connection": "close"}
    named |= {"authorization": f"Bearer {key}"} if key else {}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in named.items())]
    wire, ending = b"", "open"
    port = int(server.base_url.rsplit(":", 1)[1])
    try:
        with socket.create_connection(("127.0.0.1", port), quiet_s) as sock:
            sock.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
            while data := sock.recv(65536):
                wire += data
            ending = "fin"
    except TimeoutError:
        pass
    except (ConnectionResetError, BrokenPipeError):
        ending = "rst"
    return Heard(wire=wire, ending=ending)


@pytest.fixture
def ask() -> Callable[..., Heard]:
    """``ask(server, prompt, **fields)``: one streamed chat over the bare socket."""

    def ask(server: DemoServer, prompt: str = "a table in Chinese 表格", quiet_s: float = 5.0, **fields: Any) -> Heard:
        gzip = {"accept_encoding": "gzip"} if fields.pop("gzip", False) else {}
        body = {"model": "deepseek-flash", "messages": [{"role": "user", "content": prompt}], "stream": True, **fields}
        return call(server, body, quiet_s=quiet_s, **gzip)

    return ask


@pytest.fixture
def http() -> Callable[..., Heard]:
    """``http(server, body, path=, method=, key=, **headers)``: any request over the bare socket."""
    return call
