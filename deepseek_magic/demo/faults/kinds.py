"""The kinds of faults: where each can happen, its own parameters, and its legend, one sentence for a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, get_args

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


_in_stream = partial(Kind, places=_STREAM)
_in_answer = partial(Kind, places=_STREAM[1:4])
_anywhere = partial(Kind, places=PLACES, params={"inside": ""}, words=("size", "json", "utf8"))
_status = partial(
    Kind, params={"retry-after": "", "retry-after-ms": None, "type": "json"}, words=("json", "octet", "html")
)

_KINDS: Final = (
    # the connection breaks
    Kind(
        "refuse",
        Message("The port is closed for some seconds: nobody answers, so the client tries again later."),
        params={"for": 5.0},
    ),
    _anywhere(
        "reset",
        Message(
            "The connection is torn down with a reset, as when a router restarts: what came so far is all there is."
        ),
    ),
    _anywhere("cut", Message("The connection closes in the middle of the answer, before the body has ended.")),
    _in_stream(
        "eof-chunked",
        Message(
            "The body ends properly, only too early: no finish reason, no [DONE]. Many clients call this a success."
        ),
    ),
    _in_stream(
        "eof-close",
        Message("A body without declared length simply stops: on the wire a cut looks exactly like an end."),
    ),
    Kind(
        "stall",
        Message("The server falls silent but keeps the line open: only the client's own clock can notice."),
        places=PLACES[1:],
        params={"for": None},
    ),
    _in_stream(
        "keepalive-drip",
        Message("Only keep-alive comments arrive: the line lives, the answer does not move."),
        params={"every": 1.0, "for": None},
    ),
    _in_stream("proxy-line", Message("A proxy in between gives up and writes its own line of text into the stream.")),
    _in_stream(
        "error-event", Message("An error object arrives inside the stream, after the status 200 has long been sent.")
    ),
    # slowness
    Kind("slow", Message("The model writes only a few tokens a second."), params={"rate": 4.0}),
    Kind(
        "latency",
        Message("A pause of some seconds, then the answer continues as if nothing had happened."),
        places=PLACES[1:],
        params={"s": 2.0},
    ),
    _in_stream(
        "drip",
        Message("Single bytes arrive slowly: something always comes, yet hardly ever a complete event."),
        params={"bytes": 1.0, "every": 1.0},
    ),
    Kind("bandwidth", Message("A narrow line: so many KiB a second and no more."), params={"kib": 1.0}),
    Kind(
        "slice",
        Message("The network cuts the bytes anywhere, even inside one Chinese character; nothing is lost."),
        params={"bytes": 1.0},
    ),
    Kind(
        "slow-close",
        Message(
            "After [DONE] the server keeps the body open for a while: a client that waits for its end waits for nothing."
        ),
        params={"s": 5.0},
    ),
    # damaged bytes
    _in_stream("garbage", Message("One event is not JSON: a token in it may be lost.")),
    _in_stream(
        "replay", Message("A faulty proxy sends the last KiB once more: text appears twice."), params={"bytes": 1024.0}
    ),
    _in_stream(
        "gzip-truncated",
        Message("The compressed stream ends in the middle while the outer framing ends properly: few clients look."),
    ),
    _in_stream("gzip-corrupt", Message("The compressed stream turns into nonsense half-way.")),
    Kind("gzip-bad-crc", Message("All text arrives, only the checksum after it is wrong.")),
    Kind("gzip-no-trailer", Message("All text arrives, only the gzip trailer is missing.")),
    _in_stream("gzip-members", Message("Two gzip streams, one after the other: legal, and often read only half.")),
    Kind(
        "wrong-content-length",
        Message("The announced length is wrong: too long and the end never comes, too short and it comes early."),
        params={"by": 100.0},
    ),
    Kind("http10", Message("An answer in HTTP/1.0: no chunks, the end of the connection is the end of the body.")),
    Kind("crlf", Message("Lines end with CR LF, as the SSE standard allows; some readers stumble.")),
    Kind(
        "wrong-type",
        Message("A stream that is labelled as something else."),
        params={"type": "plain"},
        words=("plain", "json", "html", "octet", "none"),
    ),
    Kind(
        "no-blank-line",
        Message("The stream ends without [DONE], and without the blank line that completes its last event."),
    ),
    _in_stream(
        "ping-events",
        Message("Signs of life arrive as events of their own, named ping or saying ping: no text is in them."),
    ),
    Kind("html", Message("A page of HTML with status 200: a login wall or a proxy answers instead of the API.")),
    # error answers
    _status("400", Message("The request itself is wrong: sending it again would fail again.")),
    _status("401", Message("The key is wrong.")),
    _status("402", Message("The account is empty.")),
    _status("404", Message("There is nothing at this address: look at the base URL.")),
    _status("413", Message("The request is too large.")),
    _status("429", Message("Too many requests at once: the answer names the limit, a good client slows down.")),
    _status("429-balance", Message("The same, with a limit that shrank because the balance did.")),
    _status("500", Message("The server has failed; the second or third try usually works.")),
    _status("502", Message("A proxy could not reach the API and says so in HTML.")),
    _status("503", Message("The service is too busy; the second or third try usually works.")),
    # endings
    _in_answer(
        "insufficient_system_resource",
        Message("The server gives up half-way and says so in the finish reason: text, but no answer."),
    ),
    _in_answer("aborted", Message("The server broke the generation off and says so.")),
    _in_answer("content_filter", Message("A filter ended the answer: this is final.")),
    Kind("empty", Message("The answer ends without a single word, so the question was not answered.")),
    Kind("reasoning-only", Message("The model thinks, and stops without answering.")),
    Kind(
        "no-done", Message("The last line [DONE] is missing, though the finish reason came: complete, with a blemish.")
    ),
    Kind(
        "no-finish",
        Message("The line [DONE] comes without a finish reason, so nothing says that the answer is complete."),
    ),
    _in_answer(
        "finish-early",
        Message(
            "A finish reason arrives in the middle and the answer continues: a client that stops there loses the rest."
        ),
    ),
    _in_answer(
        "finish-every",
        Message("From some place on, every chunk carries the finish reason: only the last one ends the answer."),
    ),
    Kind("finish-twice", Message("The finish reason comes twice: the answer still has one end.")),
    # dialects
    Kind("no-delta", Message("The finish chunk has no delta: legal, and a trap for careless readers.")),
    Kind("usage-chunk", Message("The token counts come in a chunk of their own, after the finish.")),
    Kind("usage-every", Message("Every chunk carries token counts: they must be replaced, never added.")),
    Kind(
        "full-message",
        Message("The last chunk repeats the complete answer as a message, which must not be added to the pieces."),
    ),
    Kind("reasoning-field", Message("The thoughts come under the name of other hosts: reasoning.")),
    Kind(
        "whitespace",
        Message("Blank space without end before the answer: known from JSON mode."),
        params={"bytes": 4096.0},
    ),
    Kind("echo-prefix", Message("A continuation repeats the text or the thought that it should continue.")),
    Kind("diverge", Message("The second try says something else than the first.")),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _KINDS})
