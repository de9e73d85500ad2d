"""The live view of one answer: what arrives is held, cut into settled blocks, and drawn as often as it is worth it.

The view decides (what is settled, what to redraw, when), a surface draws (widgets, display handles, a terminal). Text
that is settled is sent to the front end once; only the open tail is redrawn, the less often the longer it is, so that
the cost of an answer grows with its length and not with its square.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ...policy.buffering import BufferPolicy, ChunkBuffer
from ...policy.pricing import estimate_tokens
from ...protocol.completion import Completion
from ...protocol.events import AttemptStarted, Event, ReasoningDelta, ResponseStarted, Seam, TextDelta, Waiting
from ...text.messages import Message, localized
from ...text.segmenter import ShownSegment
from .formats import complaint, segmenter
from .seam_marks import cause
from .status import WAIT_WORDS, Status

MAX_REDRAWS_PER_S: Final = 20
"""More is not seen, and costs the browser 9 ms per kB each time."""

TAIL_BYTES_PER_S: Final = 30_000
"""A long open tail (one big table or code block) is redrawn only so often that it sends no more than this."""

FREE_TAIL_BYTES: Final = 500
"""So much of a tail is not counted: one of 2 kB, as most are, is redrawn as often as is seen."""

STATUS_INTERVAL_S: Final = 0.5

LONGEST_TOKEN_CHARS: Final = 20
"""A longer piece is several tokens: of a host that sends in lumps, or what a resumed answer brings along."""

KEEP_AFTER_S: Final = 5.0
KEEP_GROWTH: Final = 1.5
"""What has come is left in the notebook's file when it takes longer than this, and again when there is half as much
more: all of it together is at most three times the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a surface is left with. Of the ``segments`` the first ``drawn`` ones are settled already."""

    completion: Completion
    segments: Sequence[ShownSegment] = ()
    drawn: int = 0
    elapsed_s: float = 0.0
    notices: Sequence[Message | str] = ()
    format: str = "markdown"
    detached: bool = False
    """Whether the cell has ended, so that nobody else will show the error."""

    @property
    def empty(self) -> bool:
        """Whether nothing came but an error, which the cell itself will show."""
        nothing = not self.completion.text and not self.completion.reasoning
        failed = self.completion.error is not None and self.completion.outcome != "interrupted"
        return nothing and failed and not self.detached

    @property
    def said(self) -> tuple[str, ...]:
        """The sentences below the answer."""
        said = (*self.notices, *self.completion.notices, complaint(self.format, self.completion))
        return tuple(dict.fromkeys(localized(sentence) for sentence in said if sentence is not None))

    @property
    def failure(self) -> str | None:
        """Why the call failed, where nobody else will say it."""
        error = self.completion.error
        return error.localized() if self.detached and error is not None else None


class Surface:
    """Where an answer is drawn: nothing of it, unless a subclass does. All that is called ``markdown`` is safe to render."""

    def open(self, status: Status) -> None:
        """Show that something is coming."""
        self.status(status)

    def settle(self, blocks: Sequence[str]) -> None:
        """Append Markdown that will not change any more."""

    def tail(self, markdown: str) -> None:
        """Draw the open rest in place of the last one."""

    def reasoning(self, text: str) -> None:
        """Append to the chain of thought; ``text`` is raw."""

    def status(self, status: Status) -> None:
        """Redraw the status line."""

    def reset(self) -> None:
        """Take back all answer text that was drawn."""

    def keep(self, text: str) -> None:
        """Leave ``text``, raw, for the case that nothing more can be said: the kernel may die. Empty: no more needed."""

    def close(self, ending: Settlement) -> None:
        """Leave what is to last."""


class View:
    """What a bridge feeds with the events of a call: ``LiveView``, and where only text is printed ``PlainView``."""

    def show(self, events: Sequence[Event]) -> None:
        """Take events and draw what is due."""

    def stopping(self) -> None:
        """Say that the user's Stop was heard."""

    def say(self, notice: Message | str) -> None:
        """Take one more sentence for what is left below the answer."""

    def finish(self, completion: Completion) -> None:
        """Leave what is to last."""


class LiveView(View):
    """Feeds one surface from the events of one call.

    ``show`` takes the events as they come, and must also be called with none every now and then: what is due is drawn
    then. ``finish`` settles.
    """

    def __init__(
        self,
        surface: Surface,
        *,
        model: str = "",
        place: str = "",
        notices: Sequence[Message | str] = (),
        buffer: BufferPolicy | None = None,
        format: str = "markdown",
        detached: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._surface = surface
        self._clock = clock
        self._started_s = clock()
        self._buffer = ChunkBuffer(buffer or BufferPolicy())
        self._format = format
        self._segmenter = segmenter(format)
        self._thoughts: list[str] = []
        self._tail_dirty = False
        self._tail_due_s = 0.0
        self._status_due_s = 0.0
        self._status = Status(model=model, place=place)
        self._thinking_since_s: float | None = None
        self._writing_since_s: float | None = None
        self._tokens = 0
        self._notices = tuple(notices)
        self._detached = detached
        self._kept_chars = 0
        self._next: Surface | None = surface  # opened at the first look: whoever feeds the view hears of its failures

    def show(self, events: Sequence[Event]) -> None:
        now_s = self._clock()
        self._change_surface()
        for event in events:
            for ready in self._buffer.add(event, now_s):
                self._take(ready)
            self._note(event, now_s)
        due_s = self._buffer.due_s(now_s)
        if due_s is not None and due_s <= 0:
            self._flush()
        self._draw(now_s)

    def _flush(self) -> None:
        for ready in self._buffer.flush():
            self._take(ready)

    def move(self, surface: Surface) -> None:
        """Draw on another surface from the next look on, all that has come once more. Safe from any thread."""
        self._next = surface

    def _change_surface(self) -> None:
        if self._next is not None:
            self._surface, self._next = self._next, None
            self._surface.open(self._status)
            if self._segmenter.text:
                self._surface.settle(self._segmenter.shown)
                self._tail_dirty = True

    def stopping(self) -> None:
        self._change_surface()
        self._say(state="stopping")
        self._surface.status(self._status)

    def say(self, notice: Message | str) -> None:
        self._notices = (*self._notices, notice)

    def finish(self, completion: Completion) -> None:
        """Settle the answer as ``completion`` has it. Nothing may be shown after this."""
        self._flush()
        try:
            self._change_surface()
            if self._kept_chars:
                self._surface.keep("")
            self._draw_thoughts()
        finally:  # what lasts is left even where the live part fails
            drawn = self._segmenter.given
            self._segmenter.finish()
            self._surface.close(
                Settlement(
                    completion=completion,
                    segments=self._segmenter.segments,
                    drawn=drawn,
                    elapsed_s=self._clock() - self._started_s,
                    notices=self._notices,
                    format=self._format,
                    detached=self._detached,
                )
            )

    def _note(self, event: Event, now_s: float) -> None:
        """What the status line knows at once, whatever the buffer holds back. That it writes is known when text is shown."""
        match event:
            case ReasoningDelta(text=text):
                if self._thinking_since_s is None:
                    self._thinking_since_s = now_s
                tokens = _tokens_in(text)
                self._tokens += tokens
                tokens += self._status.reasoning_tokens
                thinking_s = now_s - self._thinking_since_s
                self._say(state="thinking", detail="", reasoning_tokens=tokens, thinking_s=thinking_s)
            case TextDelta(text=text):
                if self._writing_since_s is None:
                    self._writing_since_s, self._tokens = now_s, 0
                self._tokens += _tokens_in(text)
            case ResponseStarted(model=str(model)):
                self._say(model=model)
            case AttemptStarted(attempt=attempt):
                self._say(state="connecting", attempt=attempt, detail="")
            case Waiting(detail=detail, reason=reason, of_attempts=of_attempts):
                said, because = detail or WAIT_WORDS[reason], cause(detail) or self._status.because
                self._say(state="waiting", detail=said, because=because, of_attempts=of_attempts)
                self._status_due_s = now_s
            case Seam(detail=detail):
                self._say(seams=self._status.seams + 1, because=cause(detail) or self._status.because)
                self._status_due_s = now_s

    def _say(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)

    def _take(self, event: Event) -> None:
        match event:
            case TextDelta(text=text):
                self._segmenter.feed(text)
                self._tail_dirty = True
                if self._status.state not in ("writing", "stopping"):
                    self._say(state="writing", detail="")
                    self._status_due_s = 0.0  # the line changes with the text that is drawn, and not before
            case ReasoningDelta(text=text):
                self._thoughts.append(text)
            case Seam(at_chars=int(at_chars)):
                self._rewind(at_chars)

    def _rewind(self, at_chars: int) -> None:
        """Go back to ``at_chars`` characters of answer. What is settled stays, unless it is void itself."""
        text, drawn = self._segmenter.text, self._segmenter.shown
        if at_chars >= len(text):
            return
        self._segmenter = segmenter(self._format)
        self._segmenter.feed(text[:at_chars])
        settled = self._segmenter.settled()
        if settled[: len(drawn)] != drawn:
            self._surface.reset()
            drawn = []
        if settled[len(drawn) :]:
            self._surface.settle(settled[len(drawn) :])
        self._tail_dirty = True

    def _keep(self, now_s: float) -> None:
        if now_s - self._started_s > KEEP_AFTER_S:
            text = self._segmenter.text
            if len(text) > KEEP_GROWTH * self._kept_chars:
                self._surface.keep(text)
                self._kept_chars = len(text)

    def _draw(self, now_s: float) -> None:
        if now_s >= self._status_due_s:
            self._draw_thoughts()
            since_s = self._writing_since_s if self._writing_since_s is not None else self._thinking_since_s
            writing_s = now_s - since_s if since_s is not None else 0.0
            tokens_per_s = self._tokens / writing_s if writing_s > 1 else None
            self._say(elapsed_s=now_s - self._started_s, tokens_per_s=tokens_per_s)
            self._surface.status(self._status)
            self._keep(now_s)
            self._status_due_s = now_s + STATUS_INTERVAL_S
        if self._tail_dirty and now_s >= self._tail_due_s:
            settled, tail = self._segmenter.settled(), self._segmenter.tail()
            if settled:
                self._surface.settle(settled)
            self._surface.tail(tail)
            self._tail_dirty = False
            counted = len(tail.encode()) - FREE_TAIL_BYTES
            self._tail_due_s = now_s + max(1 / MAX_REDRAWS_PER_S, counted / TAIL_BYTES_PER_S)

    def _draw_thoughts(self) -> None:
        if self._thoughts:
            self._surface.reasoning("".join(self._thoughts))
            self._thoughts.clear()


def _tokens_in(piece: str) -> int:
    """About how many tokens a piece is."""
    return 1 if len(piece) <= LONGEST_TOKEN_CHARS else estimate_tokens(piece)
