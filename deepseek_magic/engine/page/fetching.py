"""The transport of a web page: a call becomes the browser's ``fetch``. What is on the page's own network goes there.

The browser keeps connections, unpacks bodies and asks the server whether this page may ask it (CORS), and tells little of
that: no time of connecting, no version of HTTP, and one and the same error for a server that is away and for one that
does not allow the page. Contract: https://fetch.spec.whatwg.org, https://streams.spec.whatwg.org.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NoReturn

from ...protocol.errors import Disconnected, ReadTimeout
from ...text.messages import Message
from ..calls import DRAIN_S, HTTPAnswer, HTTPCall, Transport, bearer
from ..network.loopback import Loopback

if TYPE_CHECKING:
    from ..transport import HTTPXTransport


class FetchTransport(Transport):
    """Transport over ``fetch``; ``loopback`` is the network inside the page."""

    keep_warm_s: float | None = None
    """The browser keeps connections by rules of its own: it can be set, and nothing comes of it."""

    def __init__(self, loopback: Loopback) -> None:
        self._loopback = loopback
        self._inside: HTTPXTransport | None = None

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """See Transport."""
        if not self._loopback.has(call.url):
            return _Fetched(call)
        if self._inside is None:
            from ..transport import HTTPXTransport

            self._inside = HTTPXTransport(loopback=self._loopback)
        return self._inside.open(call)

    async def aclose(self) -> None:
        """Close every connection of the page's own network."""
        if self._inside is not None:
            await self._inside.aclose()


class _Fetched(AbstractAsyncContextManager[HTTPAnswer]):
    """A ``fetch`` for as long as somebody reads its answer; leaving aborts what has not come."""

    def __init__(self, call: HTTPCall) -> None:
        self._call = call

    async def __aenter__(self) -> HTTPAnswer:
        import js
        from pyodide.ffi import JsException, to_js

        call = self._call
        self._abort = js.AbortController.new()
        wanted = {
            "method": call.method,
            "headers": {**bearer(call), **call.headers},
            "body": call.body,
            "signal": self._abort.signal,
            "cache": "no-store",
            "credentials": "omit",
            "redirect": "error",
        }
        options = to_js(wanted, dict_converter=js.Object.fromEntries)
        try:
            async with asyncio.timeout(call.read_s):
                return _Answer(await js.fetch(call.url, options), call)
        except TimeoutError:
            self._abort.abort()
            raise _silent(call) from None
        except JsException as error:
            said = Message("The browser got no answer from {host} ({reason}).", host=call.host, reason=_reason(error))
            hint = Message(
                "Is the server running, and does it allow pages of this origin (CORS)? deepseek-magic serve --allow-origin does."
            )
            raise Disconnected(said, hint=hint) from None
        except BaseException:
            self._abort.abort()
            raise

    async def __aexit__(self, *raised: object) -> None:
        self._abort.abort()


class _Answer:
    """HTTPAnswer over a ``Response``. The browser has unpacked the body, so both counts are of what was read."""

    http_version = ""
    connect_s: float | None = None
    read_every_s = 0.0

    def __init__(self, response: Any, call: HTTPCall) -> None:
        self.status = int(response.status)
        self.headers: Mapping[str, str] = {str(name): str(value) for name, value in response.headers.entries()}
        self.timings_s: Mapping[str, float] = {}
        self.body_bytes = self.wire_bytes = 0
        self._reader = response.body.getReader() if response.body else None
        self._call = call

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        from pyodide.ffi import JsException

        try:
            while self._reader is not None:
                async with asyncio.timeout(self._call.read_s):
                    part = await self._reader.read()
                if part.done:
                    return
                piece = part.value.to_bytes()
                self.body_bytes = self.wire_bytes = self.body_bytes + len(piece)
                yield piece
        except TimeoutError:
            raise _silent(self._call) from None
        except JsException as error:
            _broke_off(error, self._call)

    def leave_unread(self, at_most_s: float) -> None:
        """The browser reads as it likes."""

    async def drain(self) -> bool:
        with contextlib.suppress(Exception):  # the answer is whole, whatever comes now
            async with asyncio.timeout(DRAIN_S):
                async for _ in self.chunks():
                    pass
        return True


def _silent(call: HTTPCall) -> ReadTimeout:
    limit = f"{call.read_s:g}" if call.read_s is not None else ""
    said = Message("{host} sent nothing for {limit} s.", host=call.host, limit=limit)
    return ReadTimeout(said, hint=Message("Try again."))


def _broke_off(error: Exception, call: HTTPCall) -> NoReturn:
    said = Message("The answer of {host} broke off: {reason}.", host=call.host, reason=_reason(error))
    raise Disconnected(said, how="early") from None


def _reason(error: Exception) -> str:
    """What the browser says, without the name of its class."""
    return str(error).partition(": ")[2] or str(error)
