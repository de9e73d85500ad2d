"""A page of the web, for a prompt: fetched from an address that was checked, and from no other.

A name is resolved here, every address that it has is looked at, and the connection is made to one of those: nobody can answer
the check with one address and the connection with another (DNS rebinding). Each redirect begins anew. Nothing is sent along:
no key, no cookie, no name of this machine. What counts as private follows the registries of special-purpose addresses
(RFC 6890, as Python's ``ipaddress`` has them), and addresses that carry another one inside count as that.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message as Header
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import httpcore
import idna

from ...protocol.context.secrets import MASK
from ...protocol.errors import ConfigurationError, DeepSeekError
from ...text.messages import Message
from ..calls import HTTPCall
from .connections import ssl_context
from .failures import raise_ours
from .proxies import address_of, proxy_of
from .sockets import AsyncioBackend

MAX_PAGE_BYTES: Final = 5_000_000
MAX_PAGE_S: Final = 20.0
MAX_REDIRECTS: Final = 5
_CONNECT_S: Final = 10.0
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_HEADERS: Final = (
    (b"User-Agent", b"deepseek-magic"),
    (b"Accept", b"text/html,application/xhtml+xml,text/plain,text/markdown,application/json,text/*;q=0.8"),
    (b"Accept-Encoding", b"gzip"),
)
_TRANSLATED: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""Addresses of IPv4 behind a translator (RFC 6052, RFC 8215): the last 32 bits."""
_PORTS: Final = {"http": 80, "https": 443}
_TEXTS: Final = ("text/", "application/json", "application/xml", "application/xhtml+xml", "application/javascript")
_TEXT_ENDINGS: Final = ("+json", "+xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPage:
    """What an address holds: its media type, the encoding that the server names, and its bytes."""

    media: str
    charset: str | None
    body: bytes


async def fetch(url: str, *, private: bool = False) -> WebPage:
    """The page at ``url``, redirects followed; ``private``: also of this machine and of private networks.

    Raises ConfigurationError for an address that is refused, a status other than success, what is no text, and what is
    too large or too slow; the network's own failures as every call does.
    """
    try:
        async with asyncio.timeout(MAX_PAGE_S):
            for _ in range(MAX_REDIRECTS + 1):
                found = await _get(url, private)
                if isinstance(found, WebPage):
                    return found
                try:
                    url = urljoin(url, found)
                except ValueError:
                    raise _refused(url, Message("it was redirected to what is no address")) from None
    except TimeoutError:
        raise _refused(url, Message("it took longer than {limit} s", limit=f"{MAX_PAGE_S:g}")) from None
    raise _refused(url, Message("it was redirected more than {count} times", count=MAX_REDIRECTS))


async def _get(url: str, private: bool) -> WebPage | str:
    """The page, or where it went."""
    host, target = _parsed(url)
    if not private and proxy_of(url) is not None:
        raise _refused(
            url,
            Message("a proxy would be asked for it, so it cannot be checked that its address is a public one"),
            Message("Name the host in NO_PROXY, or add --private-urls to ask the proxy."),
        )
    checked = _Checked(url, private)
    plain = url.lower().startswith("http:")
    proxy = proxy_of(url) if private else None
    pool = httpcore.AsyncConnectionPool(
        ssl_context=None if plain else ssl_context(),
        proxy=None if proxy is None else httpcore.Proxy(proxy.address),
        max_connections=1,
        network_backend=checked,
    )
    headers = [(b"Host", host), *_HEADERS]
    waits = {"timeout": {"connect": _CONNECT_S, "read": MAX_PAGE_S, "write": MAX_PAGE_S, "pool": None}}
    async with pool:
        try:
            async with pool.stream("GET", target, headers=headers, extensions=waits) as response:
                return await _read(url, response)
        except DeepSeekError:
            raise
        except Exception as error:
            raise_ours(error, HTTPCall(method="GET", url=url, connect_s=_CONNECT_S, read_s=MAX_PAGE_S))


def _parsed(url: str) -> tuple[bytes, httpcore.URL]:
    """The Host header, and the address in the form that is sent. Raises ConfigurationError."""
    try:
        parts = urlsplit(url)
        port = parts.port
        name = parts.hostname or ""
        host = name if address_of(name) is not None or name.isascii() else idna.encode(name, uts46=True).decode()
    except (ValueError, idna.IDNAError):
        parts, name, host, port = urlsplit(""), "", "", None
    if parts.scheme.lower() not in _PORTS or not host or not url.isprintable() or " " in url:
        raise _refused(url, Message("it is no address that begins with https:// or http://"))
    if "@" in parts.netloc:
        raise _refused(url, Message("it holds a name or a password"), Message("Leave it out."))
    try:
        host.encode("idna")  # as it is resolved: at most 63 characters between dots, and none of them empty
    except UnicodeError:
        raise _refused(url, Message("no host can have its name")) from None
    scheme, number = parts.scheme.lower(), port or _PORTS[parts.scheme.lower()]
    bracketed = f"[{host}]" if ":" in host else host
    shown = bracketed if number == _PORTS[scheme] else f"{bracketed}:{number}"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~-._[]')}" if parts.query else ""
    at = httpcore.URL(scheme=scheme.encode(), host=host.encode(), port=number, target=f"{path}{query}".encode())
    return shown.encode(), at


async def _read(url: str, response: httpcore.Response) -> WebPage | str:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    status = response.status
    if status in _REDIRECTS and headers.get("location"):
        return headers["location"]
    if not 200 <= status < 300:
        raise _refused(url, Message("the server answered {status}", status=_status(status)))
    kind = Header()
    kind["content-type"] = headers.get("content-type", "text/plain")
    media = kind.get_content_type()
    if not media.startswith(_TEXTS) and not media.endswith(_TEXT_ENDINGS):
        hint = Message("Save it, and name the file with --file.") if media == "application/pdf" else ""
        raise _refused(url, Message("it is no text but {kind}", kind=media), hint)
    packed = headers.get("content-encoding", "identity").lower()
    if packed not in ("identity", "gzip", "x-gzip", ""):
        raise _refused(url, Message("it is compressed in a way that was not asked for ({kind})", kind=packed[:20]))
    inflate = None if packed in ("identity", "") else zlib.decompressobj(zlib.MAX_WBITS | 16)
    body = bytearray()
    async for piece in response.aiter_stream():
        try:
            body += piece if inflate is None else inflate.decompress(piece, MAX_PAGE_BYTES + 1)
        except zlib.error:
            raise _refused(url, Message("its compressed data is damaged")) from None
        if len(body) > MAX_PAGE_BYTES or (inflate is not None and inflate.unconsumed_tail):
            limit = f"{MAX_PAGE_BYTES // 1_000_000}"
            raise _refused(url, Message("it is larger than {limit} MB", limit=limit))
    if inflate is not None and not inflate.eof:
        raise _refused(url, Message("its compressed data is damaged"))
    return WebPage(media=media, charset=kind.get_content_charset(), body=bytes(body))


def _status(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _refused(url: str, why: Message, hint: Message | str = "") -> ConfigurationError:
    shown = re.sub(r"//[^/?#]*@", f"//{MASK}@", "".join(sign if sign.isprintable() else "·" for sign in url)[:200])
    said = Message("The page {url} was not fetched: {why}.", url=shown, why=why)
    return ConfigurationError(said, hint=hint or Message("Nothing was sent."))


class _Checked(httpcore.AsyncNetworkBackend):
    """Makes the connections of one page: to addresses that were looked at."""

    def __init__(self, url: str, private: bool) -> None:
        self._url, self._private = url, private
        self._below = AsyncioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to an address of ``host``; none is made where one of them is private."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not self._private and not is_public(address):
                raise _refused(
                    self._url,
                    Message(
                        "{host} is of this machine or of a private network ({address})", host=host, address=address
                    ),
                    Message("--private-urls allows it."),
                )
        failed: Exception | None = None
        for address in addresses:
            try:
                return await self._below.connect_tcp(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = failed or error
        raise failed or httpcore.ConnectError("no address")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet: neither of this machine nor of a private or special network."""
    found = address_of(address)
    if found is None:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and any(found in network for network in _TRANSLATED):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local:
            return False
    special = (found.is_private, found.is_loopback, found.is_link_local, found.is_multicast, found.is_reserved)
    return found.is_global and not any(special)
