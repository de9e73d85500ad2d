"""What httpcore, h11, ssl and the operating system raise → our error: one sentence that names what failed.

First the cause, from the exception's type and those below it; then its row, which says what becomes of it. The proxy is
told from the server: where one is in force, it is all that a connection here is ever made to.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

import h11
import httpcore

from ...protocol.errors import (
    ConfigurationError,
    ConnectTimeout,
    DeepSeekError,
    Disconnected,
    DisconnectedHow,
    ReadTimeout,
)
from ...text.characters import named
from ...text.messages import Message
from ..calls import HTTPCall
from ..hosts.endpoints import ENDPOINTS
from ..hosts.keys import mask
from .proxies import Proxy, proxy_of
from .sockets import HandshakeError

_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")
_LIBRARIES: Final = ("httpcore", "h11", "h2", "hpack", "anyio", "socksio")
_STATUS: Final = re.compile(r"([1-5]\d\d)\b")
_LONGEST_REASON_CHARS: Final = 500
_NO_TLS_THERE: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


@dataclass(frozen=True, slots=True)
class _Row:
    """What a cause becomes. ``permanent``: the same call would fail again; another server may still be asked. ``absent``:
    nobody has started what is asked."""

    said: str
    hint: str = ""
    kind: type[DeepSeekError] = Disconnected
    how: DisconnectedHow = "broken"
    permanent: bool = False
    absent: bool = False


_AGAIN: Final = "Try again."
_NETWORK: Final = "Check the network, or try again."
_PROXY: Final = "Start the proxy, or correct or remove the setting."
ROWS: Final[Mapping[str, _Row]] = {
    "late": _Row("No connection to {host} within {limit} s.", _NETWORK, ConnectTimeout),
    "silent": _Row("{host} sent nothing for {limit} s.", _AGAIN, ReadTimeout),
    "untrusted": _Row(
        "The certificate of {host} is not trusted: {reason}.",
        "If a proxy inspects TLS, put its certificate into SSL_CERT_FILE.",
        permanent=True,
    ),
    "not_tls": _Row("No secure connection to {host} ({reason}).", "Is it https there?", permanent=True),
    "tls_broke": _Row("No secure connection to {host} ({reason}).", _AGAIN),
    "refused": _Row("Nothing is listening at {host}.", "Is the server running, and the port right?"),
    "no_demo": _Row(
        "No demo server is listening at {host}.",
        "%deepseek_demo starts one here, deepseek-magic serve in a shell; base_url= (--base-url) names another address.",
        absent=True,
    ),
    "unknown_name": _Row("The name {host} could not be resolved.", "Check the address and the network."),
    "unconnected": _Row("No connection to {host} ({reason}).", _NETWORK),
    "proxy_late": _Row("No connection to {host} within {limit} s through the proxy {proxy}.", _PROXY, ConnectTimeout),
    "proxy_refused": _Row("Nothing is listening at the proxy {proxy}, so {host} was not asked.", _PROXY),
    "proxy_unknown_name": _Row("The name of the proxy {proxy} could not be resolved, so {host} was not asked.", _PROXY),
    "proxy_unconnected": _Row("No connection to the proxy {proxy} ({reason}), so {host} was not asked.", _PROXY),
    "proxy_tls_broke": _Row("No secure connection to {host} through the proxy {proxy} ({reason}).", _AGAIN),
    "proxy_wants_a_password": _Row(
        "The proxy {proxy} wants a name and a password ({reason}), so {host} was not asked.",
        "Put them into its address: http://name:password@host:port.",
        permanent=True,
    ),
    "proxy_forbids": _Row(
        "The proxy {proxy} does not let anybody ask {host} ({reason}).",
        "Ask who runs the proxy, or name the host in NO_PROXY.",
        permanent=True,
    ),
    "proxy_says_no": _Row("The proxy {proxy} could not reach {host} ({reason}).", "Check the address, or try again."),
    "unwritable": _Row("The request to {host} cannot be written in HTTP: {reason}.", kind=ConfigurationError),
    "early": _Row("{host} closed the connection before the answer was complete.", _AGAIN, how="early"),
    "not_http": _Row(
        "{host} does not answer as HTTP demands: {reason}.",
        "Check the base URL, or what is in front of the server.",
        how="damaged",
        permanent=True,
    ),
    "no_socks": _Row(
        "The proxy {proxy} needs a package that is not installed, so {host} was not asked.",
        "pip install 'httpx[socks]'",
        ConfigurationError,
    ),
    "no_package": _Row(
        "A package is missing for this connection: {reason}.", "pip install 'deepseek-magic[http2]'", ConfigurationError
    ),
    "broken": _Row("The connection to {host} broke ({reason}).", _AGAIN),
}

_BELOW: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ssl.SSLCertVerificationError, "untrusted"),
    (ssl.SSLError, "tls_broke"),
    (ConnectionRefusedError, "refused"),
    (socket.gaierror, "unknown_name"),
)
"""What may lie below a connection that was not made; the first that is found anywhere there says it."""

_BY_TYPE: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (httpcore.ConnectTimeout, "late"),
    (httpcore.PoolTimeout, "late"),
    (httpcore.ReadTimeout, "silent"),
    (HandshakeError, "tls_broke"),
    (httpcore.ConnectError, "unconnected"),
    (httpcore.ProxyError, "proxy_says_no"),
    (httpcore.LocalProtocolError, "unwritable"),
    (httpcore.UnsupportedProtocol, "unwritable"),
    (httpcore.RemoteProtocolError, "early"),
    (ImportError, "no_package"),
    (OSError, "broken"),
    (EOFError, "broken"),
)
_OF_THE_PROXY: Final[Mapping[str, str]] = {
    "late": "proxy_late",
    "refused": "proxy_refused",
    "unknown_name": "proxy_unknown_name",
    "unconnected": "proxy_unconnected",
    "tls_broke": "proxy_tls_broke",
}
_PROXY_STATUS: Final[Mapping[str, str]] = {"407": "proxy_wants_a_password", "403": "proxy_forbids"}


def raise_ours(error: Exception, call: HTTPCall) -> NoReturn:
    """Raise our error for what the libraries below raised; a defect of our own stays what it is."""
    proxy = proxy_of(call.url)
    cause = _cause_of(error, proxy)
    if isinstance(error, DeepSeekError) or cause is None:
        raise error
    if cause == "refused" and call.url.startswith(ENDPOINTS["demo"].base_url + "/"):
        cause = "no_demo"
    row = ROWS[cause]
    limit_s = call.read_s if cause == "silent" else call.connect_s
    limit = f"{limit_s:g}" if limit_s is not None else ""
    said = Message(row.said, host=call.host, proxy=_shown(proxy), reason=_reason(error), limit=limit)
    hint = row.hint and Message(row.hint)
    if row.kind is not Disconnected:
        raise row.kind(said, hint=hint) from error
    ours = Disconnected(said, hint=hint, how=row.how)
    ours.permanent, ours.absent = row.permanent, row.absent
    raise ours from error


def _shown(proxy: Proxy | None) -> Message | str:
    if proxy is None:
        return Message("on the way")
    if proxy.variable:
        return Message("{address} (from {variable})", address=proxy.shown, variable=proxy.variable)
    return Message("{address} (from the system's settings)", address=proxy.shown)


def _cause_of(error: Exception, proxy: Proxy | None) -> str | None:
    """The row of an error; None for one that is not the network's."""
    library = type(error).__module__.partition(".")[0] in _LIBRARIES
    cause = next((cause for kind, cause in _BY_TYPE if isinstance(error, kind)), "broken" if library else None)
    below = list(_causes(error))
    if cause in ("unconnected", "tls_broke"):
        cause = next((row for kind, row in _BELOW if any(isinstance(one, kind) for one in below)), cause)
    if cause == "tls_broke" and any(isinstance(one, ssl.SSLError) and one.reason in _NO_TLS_THERE for one in below):
        return "not_tls"
    if cause == "no_package" and any(getattr(one, "name", None) == "socksio" for one in below):
        return "no_socks"
    if cause == "proxy_says_no" and (status := _STATUS.match(str(error))):
        return _PROXY_STATUS.get(status[1], cause)
    if cause == "early" and any(isinstance(one, h11.RemoteProtocolError) for one in below):
        return cause if str(error).startswith("peer closed") else "not_http"
    return _OF_THE_PROXY.get(cause, cause) if proxy is not None and cause is not None else cause


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything below it, groups opened (happy eyeballs fails with one error for each address)."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one in found:
            continue
        found.append(one)
        yield one
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += [below for below in (one.__cause__ or one.__context__,) if below is not None]


def _reason(error: BaseException) -> Message | str:
    """The first words that say something, without the number that the operating system gives them; they may be those of
    a server or a proxy, such as the reason phrase of its status line."""
    for one in _causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return one.verify_message
        if one.args and isinstance(one.args[0], Message):
            return one.args[0]
    texts = (_ERRNO.sub("", str(one)).strip().rstrip(".") for one in _causes(error))
    return said_by_server(next((text for text in texts if text), type(error).__name__))


def said_by_server(text: str) -> str:
    """What may be shown of a text from the other side of the connection."""
    return named(mask(text))[:_LONGEST_REASON_CHARS]
