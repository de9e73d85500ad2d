"""gRPC-Web under the seam: the chat API's calls as xAI's, and the answers as the chat API's, so that nothing above changes.

A transport around a transport: what goes out is a protobuf message in one frame, what comes back is handed on as
server-sent events, the trailers as ``[DONE]`` or as the error that they name. It rides on HTTP/1.1, so connections,
deadlines, proxies and a page's own ``fetch`` are those of the transport below.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from ...policy.limits.ratelimit_headers import retry_after_s
from ...protocol.chunks import DONE
from ...protocol.errors import APIStatusError, DeepSeekError, Disconnected, ProtocolError, status_error
from ...protocol.grpcweb import frames
from ...protocol.grpcweb.answering import Chunks, models
from ...protocol.grpcweb.asking import request
from ...text.characters import named
from ...text.messages import Message
from ..calls import HTTPAnswer, HTTPCall, Transport

_END: Final = f"data: {DONE}\n\n".encode()
_OK: Final = 200
_SERVERS_FAULT: Final = 500
_GONE: Final = (503, 504)
_EMPTY: Final = frames.frame(b"")


class GRPCWeb(Transport):
    """Calls to a server that is asked by gRPC-Web, over the transport ``below``."""

    def __init__(self, below: Transport) -> None:
        self._below = below

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """See Transport. Raises ConfigurationError for a setting that has no field in the interface."""
        return _Opened(self._below, call)

    async def aclose(self) -> None:
        """Close every connection of the transport below."""
        await self._below.aclose()


@dataclass
class _Opened(AbstractAsyncContextManager[HTTPAnswer]):
    """One call for as long as its answer is read."""

    below: Transport
    call: HTTPCall

    async def __aenter__(self) -> HTTPAnswer:
        call = self.call
        url, listed = call.url.removeprefix(frames.SCHEME), call.body is None
        message = _EMPTY if call.body is None else frames.frame(request(msgspec.json.decode(call.body)))
        headers = {"content-type": frames.CONTENT_TYPE, "accept": frames.CONTENT_TYPE, "x-grpc-web": "1"}
        sent = replace(call, method="POST", url=url, headers={**call.headers, **headers}, body=message)
        self._opened = self.below.open(sent)
        return _Answer(await self._opened.__aenter__(), call, listed=listed)

    async def __aexit__(self, *raised: Any) -> None:
        await self._opened.__aexit__(*raised)


class _Answer:
    """HTTPAnswer over the answer of the transport below. An answer that is none of gRPC-Web is handed on as it is."""

    def __init__(self, below: HTTPAnswer, call: HTTPCall, *, listed: bool) -> None:
        self._below = below
        self._call = call
        self._listed = listed
        self._kind = below.headers.get("content-type", "")
        # An answer without a body, or an Envoy's own, which has a status of HTTP besides.
        self._failed = self._failure(below.headers)
        self.status = self._failed.status if self._failed is not None else below.status
        kind = "application/json" if listed or self._failed else "text/event-stream"
        own = {"content-type": kind} if self._is_ours or self._failed else {}
        self.headers: Mapping[str, str] = {**below.headers, **frames.wait_headers(below.headers), **own}
        self.http_version = below.http_version
        self.connect_s = below.connect_s
        self.timings_s = below.timings_s

    @property
    def _is_ours(self) -> bool:
        return self._below.status == _OK and self._kind.startswith("application/grpc")

    @property
    def wire_bytes(self) -> int:
        """See HTTPAnswer."""
        return self._below.wire_bytes

    @property
    def body_bytes(self) -> int:
        """See HTTPAnswer."""
        return self._below.body_bytes

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See HTTPAnswer."""
        if self._failed is not None:
            await self.drain()
            said = {"message": self._failed.said, "type": self._failed.type}
            yield json.dumps({"error": said}, ensure_ascii=False).encode()
            return
        if not self._is_ours:
            if self._below.status == _OK and "html" not in self._kind:
                raise self._other_server()
            async for data in self._below.chunks():
                yield data
            return
        read, chunks, begun = frames.Frames(), Chunks(), False
        async for data in self._below.chunks():
            messages = read.feed(data)
            if self._listed:
                for message in messages:
                    yield models(message)
            elif messages:
                yield b"".join([b"data: %b\n\n" % chunks.payload(message) for message in messages])
            begun = begun or bool(messages)
            if read.trailers is not None:
                if (error := self._failure(read.trailers)) is not None:
                    raise self._break(error) if begun else error
                if self._listed:
                    await self.drain()  # nobody else does, and the connection is to be kept
                else:
                    yield _END
                return
        raise self._broke_off(_NO_TRAILERS)

    @property
    def read_every_s(self) -> float:
        """See HTTPAnswer."""
        return self._below.read_every_s

    def leave_unread(self, at_most_s: float) -> None:
        """See HTTPAnswer."""
        self._below.leave_unread(at_most_s)

    async def drain(self) -> bool:
        """See HTTPAnswer."""
        return await self._below.drain()

    def _failure(self, told: Mapping[str, str]) -> APIStatusError | None:
        """The error that trailers name, or the headers of an answer without a body; None where they name none."""
        code = frames.status_in(told)
        if not code:
            return None
        said = frames.said_in(told)
        wait_s = retry_after_s({**told, **frames.wait_headers(told)}, 0.0)
        return status_error(frames.http_status(code, said), said, type=frames.name_of(code), retry_after_s=wait_s)

    def _break(self, error: APIStatusError) -> DeepSeekError:
        """The same inside an answer. Where the server is gone, it is the connection that broke; another fault of the server's
        own is an error inside the stream, which is 200 as for server-sent events."""
        if error.status in _GONE:
            return self._broke_off(error.said or error.type or "")
        if error.status >= _SERVERS_FAULT:
            return status_error(_OK, error.said, type=error.type, retry_after_s=error.retry_after_s)
        return error

    def _broke_off(self, why: Message | str) -> Disconnected:
        said = Message("The answer of {host} broke off: {reason}.", host=self._call.host, reason=why)
        return Disconnected(said, how="early")

    def _other_server(self) -> ProtocolError:
        values = {"host": self._call.host, "kind": named(self._kind)[:60] or Message("nothing")}
        return ProtocolError(
            Message("{host} does not speak gRPC-Web: it answered with {kind}.", **values),
            hint=Message("Give the address of a gRPC-Web proxy, such as an Envoy, in front of the gRPC server."),
            permanent=True,
        )


_NO_TRAILERS: Final = Message("it ended without trailers")
