"""The kinds of faults: where each can happen, its own parameters, and its legend, one sentence for a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from ...text.messages import Message

Place = Literal["connect", "before-headers", "after-headers", "reasoning", "content", "tool", "before-done"]
PLACES: Final[tuple[Place, ...]] = get_args(Place)
_STREAM: Final = ("after-headers", "reasoning", "content", "tool", "before-done")
Value = float | str | None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: where it can happen, its own parameters with their defaults, and what it teaches.

    A default of None means "without limit" for seconds and "not" for the rest. ``words`` are the values that a
    parameter of text may have.
    """

    name: str
    legend: Message
    places: Sequence[str] = ()
    params: Mapping[str, Value] = field(default_factory=dict)
    words: tuple[str, ...] = ()


def _kind(name: str, legend: str, **details: Any) -> Kind:
    return Kind(name, Message(legend), **details)


_in_stream = partial(_kind, places=_STREAM)
_in_answer = partial(_kind, places=_STREAM[1:4])
_anywhere = partial(_kind, places=PLACES, params={"inside": ""}, words=("size", "json", "utf8"))
_status = partial(
    _kind, params={"retry-after": "", "retry-after-ms": None, "type": "json"}, words=("json", "octet", "html")
)

_KINDS: Final = (
    # the connection breaks
    _kind(
        "refuse",
        "The port is closed for some seconds: nobody answers, so the client tries again later.",
        params={"for": 5.0},
    ),
    _anywhere(
        "reset",
        "The connection is torn down with a reset, as when a router restarts: what came so far is all there is.",
    ),
    _anywhere("cut", "The connection closes in the middle of the answer, before the body has ended."),
    _in_stream(
        "eof-chunked",
        "The body ends properly, only too early: no finish reason, no [DONE]. Many clients call this a success.",
    ),
    _in_stream(
        "eof-close", "A body without declared length simply stops: on the wire a cut looks exactly like an end."
    ),
    _kind(
        "stall",
        "The server falls silent but keeps the line open: only the client's own clock can notice.",
        places=PLACES[1:],
        params={"for": None},
    ),
    _in_stream(
        "keepalive-drip",
        "Only keep-alive comments arrive: the line lives, the answer does not move.",
        params={"every": 1.0, "for": None},
    ),
    _in_stream("proxy-line", "A proxy in between gives up and writes its own line of text into the stream."),
    _in_stream("error-event", "An error object arrives inside the stream, after the status 200 has long been sent."),
    # slowness
    _kind("slow", "The model writes only a few tokens a second.", params={"rate": 4.0}),
    _kind(
        "latency",
        "A pause of some seconds, then the answer continues as if nothing had happened.",
        places=PLACES[1:],
        params={"s": 2.0},
    ),
    _in_stream(
        "drip",
        "Single bytes arrive slowly: something always comes, yet hardly ever a complete event.",
        params={"bytes": 1.0, "every": 1.0},
    ),
    _kind("bandwidth", "A narrow line: so many KiB a second and no more.", params={"kib": 1.0}),
    _kind(
        "slice",
        "The network cuts the bytes anywhere, even inside one Chinese character; nothing is lost.",
        params={"bytes": 1.0},
    ),
    _kind(
        "slow-close",
        "After [DONE] the server keeps the body open for a while: a client that waits for its end waits for nothing.",
        params={"s": 5.0},
    ),
    # damaged bytes
    _in_stream("garbage", "One event is not JSON: a token in it may be lost."),
    _in_stream("replay", "A faulty proxy sends the last KiB once more: text appears twice.", params={"bytes": 1024.0}),
    _in_stream(
        "gzip-truncated",
        "The compressed stream ends in the middle while the outer framing ends properly: few clients look.",
    ),
    _in_stream("gzip-corrupt", "The compressed stream turns into nonsense half-way."),
    _kind("gzip-bad-crc", "All text arrives, only the checksum after it is wrong."),
    _kind("gzip-no-trailer", "All text arrives, only the gzip trailer is missing."),
    _in_stream("gzip-members", "Two gzip streams, one after the other: legal, and often read only half."),
    _kind(
        "wrong-content-length",
        "The announced length is wrong: too long and the end never comes, too short and it comes early.",
        params={"by": 100.0},
    ),
    _kind("http10", "An answer in HTTP/1.0: no chunks, the end of the connection is the end of the body."),
    _kind("crlf", "Lines end with CR LF, as the SSE standard allows; some readers stumble."),
    _kind(
        "wrong-type",
        "A stream that is labelled as something else.",
        params={"type": "plain"},
        words=("plain", "json", "html", "octet", "none"),
    ),
    _kind("no-blank-line", "The stream ends without [DONE], and without the blank line that completes its last event."),
    _in_stream(
        "ping-events", "Signs of life arrive as events of their own, named ping or saying ping: no text is in them."
    ),
    _kind("html", "A page of HTML with status 200: a login wall or a proxy answers instead of the API."),
    # error answers
    _status("400", "The request itself is wrong: sending it again would fail again."),
    _status("401", "The key is wrong."),
    _status("402", "The account is empty."),
    _status("404", "There is nothing at this address: look at the base URL."),
    _status("413", "The request is too large."),
    _status("429", "Too many requests at once: the answer names the limit, a good client slows down."),
    _status("429-balance", "The same, with a limit that shrank because the balance did."),
    _status("500", "The server has failed; the second or third try usually works."),
    _status("502", "A proxy could not reach the API and says so in HTML."),
    _status("503", "The service is too busy; the second or third try usually works."),
    # endings
    _in_answer(
        "insufficient_system_resource",
        "The server gives up half-way and says so in the finish reason: text, but no answer.",
    ),
    _in_answer("aborted", "The server broke the generation off and says so."),
    _in_answer("content_filter", "A filter ended the answer: this is final."),
    _kind("empty", "The answer ends without a single word, so the question was not answered."),
    _kind("reasoning-only", "The model thinks, and stops without answering."),
    _kind("no-done", "The last line [DONE] is missing, though the finish reason came: complete, with a blemish."),
    _kind("no-finish", "The line [DONE] comes without a finish reason, so nothing says that the answer is complete."),
    _in_answer(
        "finish-early",
        "A finish reason arrives in the middle and the answer continues: a client that stops there loses the rest.",
    ),
    _in_answer(
        "finish-every", "From some place on, every chunk carries the finish reason: only the last one ends the answer."
    ),
    _kind("finish-twice", "The finish reason comes twice: the answer still has one end."),
    # dialects
    _kind("no-delta", "The finish chunk has no delta: legal, and a trap for careless readers."),
    _kind("usage-chunk", "The token counts come in a chunk of their own, after the finish."),
    _kind("usage-every", "Every chunk carries token counts: they must be replaced, never added."),
    _kind(
        "full-message",
        "The last chunk repeats the complete answer as a message, which must not be added to the pieces.",
    ),
    _kind("reasoning-field", "The thoughts come under the name of other hosts: reasoning."),
    _kind("whitespace", "Blank space without end before the answer: known from JSON mode.", params={"bytes": 4096.0}),
    _kind("echo-prefix", "A continuation repeats the text or the thought that it should continue."),
    _kind("diverge", "The second try says something else than the first."),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _KINDS})
