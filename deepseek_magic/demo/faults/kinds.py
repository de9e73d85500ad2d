"""The kinds of faults: where each can happen, its own parameters, and its legend, one sentence for a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

from ...text.messages import Message

Place = Literal["connect", "before-headers", "after-headers", "reasoning", "content", "tool", "before-done"]
PLACES: Final[tuple[Place, ...]] = get_args(Place)
_STREAM: Final = ("after-headers", "reasoning", "content", "tool", "before-done")
Value = float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
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


_INSIDE: Final = {"inside": ""}
_INSIDE_WORDS: Final = ("size", "json", "utf8")
_STATUS: Final[Mapping[str, Value]] = {"retry-after": "", "retry-after-ms": None, "type": "json"}
_STATUS_WORDS: Final = ("json", "octet", "html")
_LABELS: Final = ("plain", "json", "html", "octet", "none")


def _status(name: str, legend: Message) -> Kind:
    return Kind(name=name, legend=legend, params=_STATUS, words=_STATUS_WORDS)


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            # the connection breaks
            Kind(
                name="refuse",
                params={"for": 5.0},
                legend=Message("The port is closed for some seconds: nobody answers, so the client tries again later."),
            ),
            Kind(
                name="reset",
                places=PLACES,
                params=_INSIDE,
                words=_INSIDE_WORDS,
                legend=Message(
                    "The connection is torn down with a reset, as when a router restarts: what came so far is all there is."
                ),
            ),
            Kind(
                name="cut",
                places=PLACES,
                params=_INSIDE,
                words=_INSIDE_WORDS,
                legend=Message("The connection closes in the middle of the answer, before the body has ended."),
            ),
            Kind(
                name="eof-chunked",
                places=_STREAM,
                legend=Message(
                    "The body ends properly, only too early: no finish reason, no [DONE]. Many clients call this a success."
                ),
            ),
            Kind(
                name="eof-close",
                places=_STREAM,
                legend=Message(
                    "A body without declared length simply stops: on the wire a cut looks exactly like an end."
                ),
            ),
            Kind(
                name="stall",
                places=PLACES[1:],
                params={"for": None},
                legend=Message(
                    "The server falls silent but keeps the line open: only the client's own clock can notice."
                ),
            ),
            Kind(
                name="keepalive-drip",
                places=_STREAM,
                params={"every": 1.0, "for": None},
                legend=Message("Only keep-alive comments arrive: the line lives, the answer does not move."),
            ),
            Kind(
                name="proxy-line",
                places=_STREAM,
                legend=Message("A proxy in between gives up and writes its own line of text into the stream."),
            ),
            Kind(
                name="error-event",
                places=_STREAM,
                legend=Message("An error object arrives inside the stream, after the status 200 has long been sent."),
            ),
            # slowness
            Kind(name="slow", params={"rate": 4.0}, legend=Message("The model writes only a few tokens a second.")),
            Kind(
                name="latency",
                places=PLACES[1:],
                params={"s": 2.0},
                legend=Message("A pause of some seconds, then the answer continues as if nothing had happened."),
            ),
            Kind(
                name="drip",
                places=_STREAM,
                params={"bytes": 1.0, "every": 1.0},
                legend=Message("Single bytes arrive slowly: something always comes, yet hardly ever a complete event."),
            ),
            Kind(
                name="bandwidth",
                params={"kib": 1.0},
                legend=Message("A narrow line: so many KiB a second and no more."),
            ),
            Kind(
                name="slice",
                params={"bytes": 1.0},
                legend=Message(
                    "The network cuts the bytes anywhere, even inside one Chinese character; nothing is lost."
                ),
            ),
            Kind(
                name="slow-close",
                params={"s": 5.0},
                legend=Message(
                    "After [DONE] the server keeps the body open for a while: a client that waits for its end waits for nothing."
                ),
            ),
            # damaged bytes
            Kind(name="garbage", places=_STREAM, legend=Message("One event is not JSON: a token in it may be lost.")),
            Kind(
                name="replay",
                places=_STREAM,
                params={"bytes": 1024.0},
                legend=Message("A faulty proxy sends the last KiB once more: text appears twice."),
            ),
            Kind(
                name="gzip-truncated",
                places=_STREAM,
                legend=Message(
                    "The compressed stream ends in the middle while the outer framing ends properly: few clients look."
                ),
            ),
            Kind(
                name="gzip-corrupt",
                places=_STREAM,
                legend=Message("The compressed stream turns into nonsense half-way."),
            ),
            Kind(name="gzip-bad-crc", legend=Message("All text arrives, only the checksum after it is wrong.")),
            Kind(name="gzip-no-trailer", legend=Message("All text arrives, only the gzip trailer is missing.")),
            Kind(
                name="gzip-members",
                places=_STREAM,
                legend=Message("Two gzip streams, one after the other: legal, and often read only half."),
            ),
            Kind(
                name="wrong-content-length",
                params={"by": 100.0},
                legend=Message(
                    "The announced length is wrong: too long and the end never comes, too short and it comes early."
                ),
            ),
            Kind(
                name="http10",
                legend=Message("An answer in HTTP/1.0: no chunks, the end of the connection is the end of the body."),
            ),
            Kind(
                name="crlf", legend=Message("Lines end with CR LF, as the SSE standard allows; some readers stumble.")
            ),
            Kind(
                name="wrong-type",
                params={"type": "plain"},
                words=_LABELS,
                legend=Message("A stream that is labelled as something else."),
            ),
            Kind(
                name="no-blank-line",
                legend=Message(
                    "The stream ends without [DONE], and without the blank line that completes its last event."
                ),
            ),
            Kind(
                name="ping-events",
                places=_STREAM,
                legend=Message(
                    "Signs of life arrive as events of their own, named ping or saying ping: no text is in them."
                ),
            ),
            Kind(
                name="html",
                legend=Message("A page of HTML with status 200: a login wall or a proxy answers instead of the API."),
            ),
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
            Kind(
                name="insufficient_system_resource",
                places=_STREAM[1:4],
                legend=Message("The server gives up half-way and says so in the finish reason: text, but no answer."),
            ),
            Kind(
                name="aborted", places=_STREAM[1:4], legend=Message("The server broke the generation off and says so.")
            ),
            Kind(
                name="content_filter", places=_STREAM[1:4], legend=Message("A filter ended the answer: this is final.")
            ),
            Kind(
                name="empty",
                legend=Message("The answer ends without a single word, so the question was not answered."),
            ),
            Kind(name="reasoning-only", legend=Message("The model thinks, and stops without answering.")),
            Kind(
                name="no-done",
                legend=Message(
                    "The last line [DONE] is missing, though the finish reason came: complete, with a blemish."
                ),
            ),
            Kind(
                name="no-finish",
                legend=Message(
                    "The line [DONE] comes without a finish reason, so nothing says that the answer is complete."
                ),
            ),
            Kind(
                name="finish-early",
                places=_STREAM[1:4],
                legend=Message(
                    "A finish reason arrives in the middle and the answer continues: a client that stops there loses the rest."
                ),
            ),
            Kind(
                name="finish-every",
                places=_STREAM[1:4],
                legend=Message(
                    "From some place on, every chunk carries the finish reason: only the last one ends the answer."
                ),
            ),
            Kind(name="finish-twice", legend=Message("The finish reason comes twice: the answer still has one end.")),
            # dialects
            Kind(
                name="no-delta",
                legend=Message("The finish chunk has no delta: legal, and a trap for careless readers."),
            ),
            Kind(
                name="usage-chunk", legend=Message("The token counts come in a chunk of their own, after the finish.")
            ),
            Kind(
                name="usage-every",
                legend=Message("Every chunk carries token counts: they must be replaced, never added."),
            ),
            Kind(
                name="full-message",
                legend=Message(
                    "The last chunk repeats the complete answer as a message, which must not be added to the pieces."
                ),
            ),
            Kind(name="reasoning-field", legend=Message("The thoughts come under the name of other hosts: reasoning.")),
            Kind(
                name="whitespace",
                params={"bytes": 4096.0},
                legend=Message("Blank space without end before the answer: known from JSON mode."),
            ),
            Kind(
                name="echo-prefix",
                legend=Message("A continuation repeats the text or the thought that it should continue."),
            ),
            Kind(name="diverge", legend=Message("The second try says something else than the first.")),
        )
    }
)
