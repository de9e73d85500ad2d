"""What an attempt that goes on with an answer brings → what is delivered.

Its first piece is preceded by the ``Seam`` that says what of the earlier text is void: not sooner, because an attempt
that brings nothing must take nothing away. What is known to be sent again is dropped, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..policy.recovery import Continue, Restart
from ..policy.seams import EchoFilter, RestartFilter, StopFilter
from ..protocol.chat import Request
from ..protocol.events import Event, Finish, LogProbs, ReasoningDelta, Seam, TextDelta, ToolCallDelta
from ..protocol.outcome import verdict

HOLD_S: Final = 2.0
"""An echo is complete at once or none; text is not held back longer for one."""


class Splice:
    """Joins one attempt to what was delivered before.

    ``rewind`` is false for a consumer that cannot take text back. ``over`` is set when the attempt need not go on: with
    ``stopped`` a stop string was found across the seam, with ``diverged`` the repeated answer is another one.
    ``anomalies`` names what was odd.
    """

    def __init__(
        self, step: Continue | Restart, *, sent: Request, text: str, reasoning: str, rewind: bool = True
    ) -> None:
        self.stopped = False
        self.diverged = False
        self.anomalies: list[str] = []
        self._seam: Seam | None = None
        self._echo: EchoFilter | None = None
        self._thought_echo: EchoFilter | None = None
        self._compare: RestartFilter | None = None
        self._stop: StopFilter | None = None
        self._held_since_s: float | None = None
        self._keeps_reasoning = True
        self._brought = False
        self._kept_chars = 0
        self._why = step.why
        self._rewind = rewind
        if isinstance(step, Restart):
            if step.compare:
                self._compare = RestartFilter(text)
                self._keeps_reasoning = False
            else:
                self._seam = Seam(kind="restarted", at_chars=0, reasoning_at_chars=0, detail=step.why)
            return
        prefix = sent.messages[-1]
        kept = text[: step.text_chars]
        self._kept_chars = step.text_chars
        if step.text_chars:
            # A thought was sent along whole; one that restarts is none of the answer.
            self._keeps_reasoning = False
            self._echo = EchoFilter(prefix.content if isinstance(prefix.content, str) else kept)
        else:
            self._thought_echo = EchoFilter(prefix.reasoning_content or "")
        self._stop = StopFilter(sent.options.get("stop", ()), before=kept)
        self._seam = Seam(
            kind="continued",
            at_chars=step.text_chars if step.text_chars < len(text) else None,
            reasoning_at_chars=step.reasoning_chars if step.reasoning_chars < len(reasoning) else None,
            detail=step.why,
        )

    @property
    def over(self) -> bool:
        """Whether nothing more of the attempt is wanted."""
        return self.stopped or self.diverged

    @property
    def pending(self) -> bool:
        """Whether the seam is still to come, with the first piece."""
        return self._seam is not None

    @property
    def spoke(self) -> bool:
        """Whether a word has come that is part of the answer, be it one that was there or its end."""
        return self._brought or self.stopped or self.agreed_chars > 0

    @property
    def held_chars(self) -> int:
        """How much has come that is neither delivered nor dropped yet."""
        return sum(len(echo.held) for echo in (self._echo, self._thought_echo) if echo is not None)

    @property
    def agreed_chars(self) -> int:
        """How much of a compared text has come again and was dropped."""
        return self._compare.at if self._compare is not None else 0

    def patience_s(self, now_s: float) -> float | None:
        """After how many more seconds of silence ``release`` is due; None while nothing is held back."""
        if not self.held_chars or self._held_since_s is None:
            return None
        return max(0.0, self._held_since_s + HOLD_S - now_s)

    def release(self) -> list[Event]:
        """What was held back as a possible echo, which would be complete by now."""
        out: list[Event] = []
        self._end_thought(out)
        if self._echo is not None and self._echo.held:
            self._past_stop(self._let_go(self._echo), out)
        return out

    def _end_thought(self, out: list[Event]) -> None:
        """The answer begins: what was held back of the thought was no echo of it, and comes before."""
        if self._thought_echo is not None and self._thought_echo.held:
            self._deliver(ReasoningDelta(text=self._let_go(self._thought_echo)), out)

    def _let_go(self, echo: EchoFilter) -> str:
        text = echo.release()
        if echo.suspicious and "seam_suspicious" not in self.anomalies:
            self.anomalies.append("seam_suspicious")
        return text

    def feed(self, batch: Sequence[Event], now_s: float) -> list[Event]:
        """The events to deliver for those that came at ``now_s``."""
        out: list[Event] = self.release() if self.patience_s(now_s) == 0.0 else []
        for event in batch:
            if self.over:
                break
            match event:
                case TextDelta(text=text):
                    self._text(text, out)
                case ReasoningDelta(text=text):
                    self._reasoning(text, out)
                case ToolCallDelta():
                    self._end_thought(out)
                    self._deliver(event, out)
                case Finish(reason=reason):
                    self._end(out)
                    if not self.over and not self._is_empty(reason):
                        out.append(event)
                case LogProbs() if self._seam is not None or self._echo is not None or self._compare is not None:
                    if "logprobs_incomplete" not in self.anomalies:  # which of them are of new words nobody can say
                        self.anomalies.append("logprobs_incomplete")
                case _:
                    out.append(event)
        if not self.held_chars:
            self._held_since_s = None
        elif self._held_since_s is None:
            self._held_since_s = now_s
        return out

    def _is_empty(self, reason: str) -> bool:
        """Whether the attempt ends well without a word, which is no end of the answer that stood before."""
        return not self.spoke and verdict(reason, has_answer=True) == "complete"

    def _deliver(self, event: Event, out: list[Event]) -> None:
        self._brought = True
        if self._seam is not None:
            out.append(self._seam)
            self._seam = None
        out.append(event)

    def _reasoning(self, text: str, out: list[Event]) -> None:
        if not self._keeps_reasoning:
            if "rethought" not in self.anomalies:
                self.anomalies.append("rethought")
            return
        if text := self._through_echo(self._thought_echo, text):
            self._deliver(ReasoningDelta(text=text), out)

    def _text(self, text: str, out: list[Event]) -> None:
        self._end_thought(out)
        if self._compare is not None:
            text = self._compare.feed(text)
            self.diverged = self._compare.diverged_at is not None
        self._past_stop(self._through_echo(self._echo, text), out)

    def _through_echo(self, echo: EchoFilter | None, text: str) -> str:
        if echo is None:
            return text
        before = (echo.stripped, echo.suspicious)
        text = echo.feed(text)
        if (echo.stripped, echo.suspicious) != before:
            self.anomalies.append("echo_stripped" if echo.stripped else "seam_suspicious")
        return text

    def _past_stop(self, text: str, out: list[Event]) -> None:
        if self._stop is not None and text:
            text = self._stop.feed(text)
        if text:
            self._deliver(TextDelta(text=text), out)
        if self._stop is None or self._stop.matched is None:
            return
        self.stopped = True
        # One that began before the seam voids its beginning; what cannot be taken back stays, and the answer ends there.
        if self._stop.void_chars and self._rewind:
            out.append(Seam(kind="continued", at_chars=self._kept_chars - self._stop.void_chars, detail=self._why))
        elif self._seam is not None:
            out.append(self._seam)
        out.append(Finish(reason="stop"))

    def _end(self, out: list[Event]) -> None:
        """The answer ends: what was held back for a reason that did not come true is part of it."""
        if self._compare is not None and self._compare.at and not self._compare.verified:
            self.diverged = True  # a shorter answer is another one
            return
        out += self.release()
        if self._stop is not None and not self.over and (text := self._stop.release()):
            self._deliver(TextDelta(text=text), out)
