"""xAI's service over the demo's answers: the same checks, the same texts, and the faults that gRPC has.

gRPC's own server, in threads that do not keep the process alive. ``translated`` makes the messages.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import replace
from typing import Any, Final

from ...protocol.models import MODELS
from ..api.checks import check, is_prefix, text_of
from ..api.errors import bad_key, no_money, too_many
from ..api.frames import Frame, frames, plan
from ..api.shapes import Refused
from ..faults.refusals import ERROR_FAULTS, error_of, headers_of
from ..faults.rewrites import rewrite
from ..faults.spec import Fault, Trigger
from ..state import DemoState, Seen
from ..tour import import_extra
from .translated import body_of, chat, chunk_of, with_whole_calls

HOST: Final = "127.0.0.1"
CHAT: Final = "/xai_api.Chat/GetCompletionChunk"
FAULTS: Final = frozenset(
    (
        *("refuse", "reset", "cut", "eof-chunked", "stall", "error-event", "slow", "latency", *ERROR_FAULTS),
        *("insufficient_system_resource", "aborted", "empty", "reasoning-only", "no-finish", "finish-early"),
        *(
            "finish-every",
            "finish-twice",
            "no-delta",
            "usage-chunk",
            "usage-every",
            "whitespace",
            "echo-prefix",
            "diverge",
        ),
    )
)
"""The kinds that make sense over gRPC; the others are about the bytes of server-sent events."""
_CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
}
_TOO_LARGE: Final = "SERVER: Received message larger than max"
_GONE: Final = "Connection reset by peer"


@contextlib.contextmanager
def _no_word_at_forks() -> Iterator[None]:
    """gRPC looks at this when it is first used. Else it writes a line at every fork, as at each ``!`` of a notebook, to say that
    a child could not go on with its calls; no child does."""
    name = "GRPC_ENABLE_FORK_SUPPORT"
    before = os.environ.get(name)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


class Daemons(futures.Executor):
    """A thread for each call, as many as there are calls; one that waits does not keep the process from ending."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> futures.Future[Any]:
        """See Executor."""
        future: futures.Future[Any] = futures.Future()

        def run() -> None:
            try:
                future.set_result(work(*given, **named))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="deepseek-magic demo, gRPC", daemon=True).start()
        return future


class Service:
    """gRPC's server on ``port`` of this machine (0: a free one), with the settings, faults and memory of ``state``."""

    def __init__(self, state: DemoState, port: int = 0) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._refusing: tuple[object, float] = (None, 0.0)
        with _no_word_at_forks():
            self._grpc = import_extra("grpc", "grpc")
            self._server = self._grpc.server(Daemons(), options=[("grpc.so_reuseport", 0)])
        self._add()
        self.port: int = self._server.add_insecure_port(f"{HOST}:{port}")

    def start(self) -> None:
        """Serve."""
        self._server.start()

    def stop(self) -> None:
        """End every call and the server."""
        self._server.stop(0).wait()

    def _add(self) -> None:
        chat()
        made = import_extra("xai_sdk.proto", "grpc")
        give, models = self._give, self._models

        class Chat(made.chat_pb2_grpc.ChatServicer):  # type: ignore[name-defined, misc]
            def GetCompletionChunk(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - gRPC's name
                return give(request, context)

        class Models(made.models_pb2_grpc.ModelsServicer):  # type: ignore[name-defined, misc]
            def ListLanguageModels(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
                return models(made.models_pb2, context)

        made.chat_pb2_grpc.add_ChatServicer_to_server(Chat(), self._server)
        made.models_pb2_grpc.add_ModelsServicer_to_server(Models(), self._server)

    def _models(self, messages: Any, context: Any) -> Any:
        self._authorise(context)
        return messages.ListLanguageModelsResponse(models=[{"name": model.id} for model in MODELS])

    # one chat

    def _give(self, request: Any, context: Any) -> Iterator[Any]:
        gone = threading.Event()
        context.add_callback(gone.set)
        seen = self._see(context)
        try:
            with self._state.counted():
                yield from self._answer(request, context, seen, gone)
            seen.ended = seen.ended or ("client left" if gone.is_set() else "done")
        except Refused as refused:
            seen.status = refused.status
            self._refuse(context, refused, {})
        finally:
            seen.ended = seen.ended or ("client left" if gone.is_set() else "fault")
            seen.ended_at_s = time.monotonic()

    def _answer(self, request: Any, context: Any, seen: Seen, gone: threading.Event) -> Iterator[Any]:
        state = self._state
        self._authorise(context)
        with self._lock:
            self._admit(context)
            body = seen.body = body_of(request)
            check(body)
            made = plan(body, beta=True, cache=state.cache)
            phases = {"reasoning": made.reasoning, "content": made.content, "tool": made.calls}
            there = {name for name, pieces in phases.items() if pieces}
            fault = state.faults.take(there, prefixed=is_prefix(body["messages"][-1]))
        if fault is not None and fault.kind not in FAULTS:
            fault = None
        seen.fault = str(fault) if fault else ""
        if fault is not None and fault.kind in ERROR_FAULTS:
            refused = error_of(fault, key="", limit=state.concurrency)
            self._refuse(context, refused, headers_of(fault), fault)
        sent = frames(made, id=str(uuid.uuid4()), created=int(time.time()), include_usage=True)
        if fault is not None:
            last = body["messages"][-1] if body["messages"][-1].get("prefix") else {}
            given = {"prefix": text_of(last.get("content")), "thought": str(last.get("reasoning_content") or "")}
            sent = rewrite(sent, fault, **given)
        yield from self._deliver([*with_whole_calls(sent)], fault, context, seen, gone)

    def _deliver(
        self, sent: list[Frame], fault: Fault | None, context: Any, seen: Seen, gone: threading.Event
    ) -> Iterator[Any]:
        """The chunks when they are due; the fault where its place is."""
        state, began_s = self._state, time.monotonic()
        pace = state.pace
        if fault is not None and fault.kind == "slow":
            pace = replace(pace, tokens_per_s=fault.number("rate") or 1.0, thinking_s=None)
        if fault is not None and fault.at == "before-headers":
            began_s += self._happen(fault, context, seen, gone)
            fault = None
        trigger = Trigger(fault) if fault is not None and fault.kind in _PLACED else None
        for one, due_s in zip(sent, pace.schedule([one.phase for one in sent]), strict=True):
            wait_s = began_s + due_s - time.monotonic()
            if gone.wait(wait_s) if wait_s > 0 else gone.is_set():
                return
            if trigger is not None and trigger.due(one.phase):
                assert fault is not None
                if fault.kind == "eof-chunked":
                    seen.ended = "fault"
                    return
                began_s += self._happen(fault, context, seen, gone)
                trigger = None
            if one.phase != "done":
                yield chunk_of(one)
                seen.events += 1

    def _happen(self, fault: Fault, context: Any, seen: Seen, gone: threading.Event) -> float:
        """Let the fault happen; returns the seconds that it took where the answer goes on."""
        codes = self._grpc.StatusCode
        before_s = time.monotonic()
        match fault.kind:
            case "stall":
                gone.wait(fault.number("for"))
            case "latency":
                gone.wait(fault.number("s"))
            case "error-event":
                seen.ended = "fault"
                context.abort(codes.INTERNAL, "The server had an error while writing the answer.")
            case _:  # a server that is gone, as whoever stands before it tells it
                seen.ended = "fault"
                context.abort(codes.CANCELLED if fault.kind == "reset" else codes.UNAVAILABLE, _GONE)
        return time.monotonic() - before_s

    # what is refused

    def _see(self, context: Any) -> Seen:
        told = {name: value for name, value in context.invocation_metadata() if name != "authorization"}
        seen = Seen(method="POST", path=CHAT, headers=told, connection=0, at_s=time.monotonic(), status=200)
        state = self._state
        state.requests.append(seen)
        del state.requests[: max(0, len(state.requests) - state.keep)]
        return seen

    def _authorise(self, context: Any) -> None:
        told = dict(context.invocation_metadata()).get("authorization", "")
        key = told.partition(" ")[2].strip()
        if not key or (self._state.key is not None and key != self._state.key):
            self._refuse(context, bad_key(key), {})

    def _admit(self, context: Any) -> None:
        state = self._state
        refusing = next((fault for fault in state.faults.faults if fault.kind == "refuse"), None)
        if refusing is not None:
            if self._refusing[0] is not state.faults:  # its seconds begin with the first who meets it
                self._refusing = (state.faults, time.monotonic() + (refusing.number("for") or 0.0))
            if time.monotonic() < self._refusing[1]:
                context.abort(self._grpc.StatusCode.UNAVAILABLE, "Connection refused")
        if state.faults.take(connecting=True) is not None:
            context.abort(self._grpc.StatusCode.UNAVAILABLE, _GONE)
        if state.concurrency is not None and state.running > state.concurrency:
            raise too_many(state.running, state.concurrency)
        if state.balance <= 0:
            raise no_money()

    def _refuse(self, context: Any, refused: Refused, headers: Any, fault: Fault | None = None) -> None:
        """End the call with the code of a refusal. Never returns."""
        said = _TOO_LARGE if refused.status == 413 else refused.message
        wait_ms = headers.get("retry-after-ms")
        if wait_ms is None and (wait := headers.get("retry-after", "")).replace(".", "", 1).isdecimal():
            wait_ms = f"{float(wait) * 1000:g}"
        if wait_ms is not None:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", wait_ms),))
        context.abort(getattr(self._grpc.StatusCode, _CODES.get(refused.status, "UNKNOWN")), said)


_PLACED: Final = frozenset(("cut", "reset", "eof-chunked", "stall", "latency", "error-event"))
