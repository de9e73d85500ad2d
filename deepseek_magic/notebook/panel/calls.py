"""What the panel asks for: send, continue, regenerate, stop; the call that runs, and what is shown of it meanwhile.

One call at a time belongs to a panel. It is sent by the session of all cells, so limits, connections, conversations and
the log are shared; it is drawn by the live view of the magics, in a thread of its own, so the kernel stays free.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...engine.client import Client
from ...engine.gate import Gate
from ...engine.loop import Call
from ...protocol.completion import Completion
from ...protocol.events import Event
from ...protocol.outcome import RESUMABLE
from ...session import session
from ...session.prepared import Prepared
from ..magic.magics import DeepSeekMagics
from ..magic.past import variables
from ..view.background import BackgroundAnswer
from ..view.live import LiveView, View
from ..view.settled import Part
from ..view.shield import Shielded
from ..view.status import Status
from ..view.views import live_view
from .answers import PanelSurface, Transcript
from .gauges import Gauges
from .tabs.story import Lane, Story

if TYPE_CHECKING:
    from .panel import Panel

_RESUMED: Final = ("model", "max_tokens", "continue_on_length", "format", "buffer", "show_reasoning")
"""The options that can still act on an answer whose question is asked already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as it was asked, so that it can be asked again."""

    prompt: str
    chat: str
    uploads: Mapping[str, Path] = field(default_factory=dict)
    """The files that were picked for it, by name."""
    turn: str = field(default_factory=lambda: uuid.uuid4().hex)


class _Watched(View):
    """A view, and the gauges and the story that see the same events."""

    def __init__(self, view: LiveView, gauges: Gauges, story: Story, ended: Callable[[Completion], None]) -> None:
        self._view = view
        self._gauges = gauges
        self._story = story
        self._ended = ended

    def show(self, events: Sequence[Event]) -> None:
        now_s = time.monotonic()
        self._gauges.note(events, now_s)
        self._story.note(events, now_s)
        self._view.show(events)

    def stopping(self) -> None:
        self._view.stopping()

    def finish(self, completion: Completion) -> None:
        try:
            self._view.finish(completion)
        finally:
            self._ended(completion)


class Calls:
    """The calls of one panel. ``answer`` is the completion of the last one, ``lasting`` what is left of it to show."""

    def __init__(self, magics: DeepSeekMagics, transcript: Transcript, panel: Panel) -> None:
        self._magics = magics
        self._transcript = transcript
        self._panel = panel
        self._call: Call | None = None
        self._view: View | None = None
        self.asked: Asked | None = None
        self.answer: Completion | None = None
        self.lasting: Sequence[Part] = ()
        self._client: Client | None = None
        self.lanes: Sequence[Lane] = ()

    @property
    def running(self) -> bool:
        """Whether an answer is being written."""
        return self._call is not None

    @property
    def gate(self) -> Gate | None:
        """The queue that the last call stood in, None before the first one."""
        return self._client.gate if self._client is not None else None

    @property
    def can_continue(self) -> bool:
        """Whether the last answer was stopped, broke off or reached its length, and there is text to go on from."""
        last = self.answer
        return not self.running and last is not None and bool(last.text) and last.outcome in RESUMABLE

    def send(self, prompt: str, chat: str, options: dict[str, Any], uploads: Mapping[str, Path]) -> None:
        """Ask, with these files along. Raises DeepSeekError when nothing could be sent."""
        self._ask(Asked(prompt=prompt, chat=chat, uploads=uploads), options)

    def regenerate(self, options: dict[str, Any]) -> None:
        """Ask the last question again, in the place of its answer. Raises as ``send`` does."""
        if self.asked is not None:
            self._ask(self.asked, {**options, "fresh": True})  # from the journal it would be the same answer

    def _ask(self, asked: Asked, options: dict[str, Any]) -> None:
        shell, last_error = self._magics.shell, self._magics.last_error
        prepared = session().prepare(
            asked.prompt,
            variables=variables(shell, last_error),
            turn=asked.turn,
            uploads=asked.uploads,
            **{**options, "chat": asked.chat},
        )
        self._start(asked, prepared)

    def go_on(self, options: dict[str, Any]) -> None:
        """Resume the last answer, in its place. Raises as ``send`` does."""
        if self.answer is None or self.asked is None:
            return
        typed = {name: value for name, value in options.items() if name in _RESUMED}
        self._start(self.asked, session().prepare_resume(self.answer, **typed))

    @property
    def several(self) -> bool:
        """Whether one of those that were asked at once has not ended."""
        return any(lane.open for lane in self.lanes)

    def ask_several(self, prompt: str, count: int, options: dict[str, Any]) -> None:
        """Ask the same ``count`` times at once, outside of any conversation, and draw none of it: ``lanes`` are what is
        seen of them. Raises as ``send`` does."""
        alone = {**options, "no_history": True, "fresh": True}
        prepared = [session().prepare(prompt, **alone) for _ in range(count)]
        self._client = prepared[0].client
        self.lanes = [Lane(session().start(one)) for one in prepared]

    def forget_lanes(self) -> None:
        """Something else is done: those that were asked at once are shown no longer, if all have ended."""
        if not self.several:
            self.lanes = ()

    def forget(self) -> None:
        """Another conversation is shown: what was asked last is none of its business."""
        self.asked = self.answer = None
        self.lasting = ()

    def stop(self) -> None:
        """End what runs, the running answer and those that were asked at once, and keep what has come."""
        for lane in self.lanes:
            lane.stop()
        if self._call is not None:
            self._call.stop()
        if self._view is not None:
            self._view.stopping()

    def _start(self, asked: Asked, prepared: Prepared) -> None:
        now_s = time.monotonic()
        gauges, story = Gauges(now_s), Story(now_s)
        self.forget_lanes()
        self._client = prepared.client
        self.asked = asked
        call = self._call = session().start(prepared, mode=prepared.options.get("buffer", "balanced"))

        def moved(status: Status) -> None:
            self._panel.moved(status, gauges.read(time.monotonic()), story)

        def left(parts: Sequence[Part]) -> None:
            self.lasting = parts

        def ended(completion: Completion) -> None:
            self._call = self._view = None
            self.answer = completion
            name = prepared.options.get("output")
            if name is not None and str(name).isidentifier():
                self._magics.shell.push({name: completion})
            self._panel.ended(completion, story)

        surface = PanelSurface(
            self._transcript.slot(asked.turn, asked.prompt),
            on_status=moved,
            on_leave=left,
            unfolded=bool(prepared.options.get("show_reasoning")),
        )
        view = live_view(surface, prepared, detached=True)
        self._view = Shielded(_Watched(view, gauges, story, ended))
        BackgroundAnswer(call, self._view, self._magics.shell)
