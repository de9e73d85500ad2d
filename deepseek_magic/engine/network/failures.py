"""What httpcore, h11, ssl and the operating system raise → our TransportError, one sentence that names the host."""

from __future__ import annotations

import re
import ssl
from typing import Final, NoReturn

import httpcore

from ...protocol.errors import ConfigurationError, ConnectTimeout, DeepSeekError, Disconnected, ReadTimeout
from ..calls import HTTPCall

__all__ = ["raise_ours"]

_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")
_LIBRARIES: Final = ("httpcore", "h11", "h2", "hpack", "anyio", "socksio")


def raise_ours(error: Exception, call: HTTPCall) -> NoReturn:
    """Raise our error for what the libraries below raised; a defect of our own stays what it is."""
    ours = _translated(error, call)
    if ours is None:
        raise error
    raise ours from error


def _translated(error: Exception, call: HTTPCall) -> DeepSeekError | None:
    host = call.host
    match error:
        case DeepSeekError():
            return None
        case httpcore.ConnectTimeout() | httpcore.PoolTimeout():
            return ConnectTimeout(
                f"No connection to {host} within {call.connect_s:g} s.", hint="Check the network, or try again."
            )
        case httpcore.ReadTimeout():
            return ReadTimeout(f"{host} sent nothing for {call.read_s:g} s.", deadline="read", hint="Try again.")
        case httpcore.ConnectError():
            return _no_connection(error, host)
        case httpcore.ProxyError():
            return Disconnected(f"The proxy on the way to {host} refused: {error}.", hint="Check the proxy settings.")
        case httpcore.LocalProtocolError() | httpcore.UnsupportedProtocol():
            return ConfigurationError(f"The request to {host} cannot be written in HTTP: {error}.")
        case httpcore.RemoteProtocolError():
            whole = f"{host} closed the connection before its answer was whole."
            return Disconnected(whole, how="early", hint="Try again.")
        case ImportError():
            return ConfigurationError(
                f"A package is missing for this connection: {error}.",
                hint="pip install 'deepseek-magic[http2]' for HTTP/2, 'httpx[socks]' for a SOCKS proxy.",
            )
        case OSError() | EOFError():
            return _broken(error, host)
    return _broken(error, host) if type(error).__module__.partition(".")[0] in _LIBRARIES else None


def _broken(error: Exception, host: str) -> Disconnected:
    return Disconnected(f"The connection to {host} broke ({_reason(error)}).", hint="Try again.")


def _no_connection(error: Exception, host: str) -> Disconnected:
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return Disconnected(
                    f"The certificate of {host} is not trusted: {cause.verify_message}.",
                    hint="A proxy that opens TLS needs its certificate in SSL_CERT_FILE.",
                )
            case ssl.SSLError():
                return Disconnected(f"No secure connection to {host} ({cause.reason}).", hint="Is it https there?")
            case ConnectionRefusedError():
                return Disconnected(f"Nothing listens at {host}.", hint="Is the server running, and the port right?")
            case OSError() if type(cause).__name__ == "gaierror":
                return Disconnected(
                    f"The name {host} could not be resolved.", hint="Check the address and the network."
                )
    return Disconnected(f"No connection to {host} ({_reason(error)}).", hint="Check the network, or try again.")


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything below it, groups opened (happy eyeballs fails with one error for each address)."""
    found, waiting = [], [error]
    while waiting:
        one = waiting.pop(0)
        found.append(one)
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        below = one.__cause__ or one.__context__
        if below is not None and below not in found:
            waiting.append(below)
    return found


def _reason(error: BaseException) -> str:
    """The first words that say something, without the number that the operating system gives them."""
    texts = (_ERRNO.sub("", str(e)).strip().rstrip(".") for e in _causes(error))
    return next((text for text in texts if text), type(error).__name__)
