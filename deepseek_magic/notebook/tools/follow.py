"""Following the rounds of one cell: each answer in a view of its own, each call in an output between them.

What the rounds are is the session's (``session.tools.rounds``); here they are drawn, and the person at the notebook is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...engine.loop import Call, apump, pump
from ...policy.tools.approval import asks_for_tools
from ...protocol.completion import Completion
from ...protocol.tools.tool import ToolRun
from ...session import session
from ...session.tools.driving import adrive, drive
from ...session.tools.rounds import rounds
from ..frontend import ViewName
from ..gate.gate import ConfirmGate
from ..view.live import View
from .shown import lasting_run

if TYPE_CHECKING:
    from ...session.prepared import Prepared


class Following:
    """One cell's rounds. ``start`` sends a prepared request and makes its view; ``watching`` is what looks at its events."""

    def __init__(
        self,
        shell: Any,
        first: Prepared,
        *,
        view: ViewName,
        quiet: bool,
        awaited: bool,
        start: Callable[[Prepared], Any],
        watching: Callable[[Any], Callable[[Any], None]],
    ) -> None:
        assert first.tools is not None
        self._first = first
        self._quiet = quiet or bool(first.options.get("quiet"))
        self._unfolded = bool(first.options.get("show_reasoning"))
        self._in_terminal = view in ("text", "rich")
        self._gate = ConfirmGate(shell, view=view, awaited=awaited, wait_s=first.tools.wait_s)
        self._start = start
        self._watching = watching
        self._call: Call | None = None
        self.view = View()
        """That of the round that is not settled yet; where the answer ended at a call there is none, and nothing is drawn."""
        self.interrupted = False

    def follow(self) -> Completion:
        """Carry the rounds out, blocking. The view of the last one is left to be settled."""
        return drive(rounds(session(), self._first), self._ask, self._gate, self._tell)

    async def follow_awaited(self) -> Completion:
        """The same in an async cell."""
        return await adrive(rounds(session(), self._first), self._aask, self._gate, self._tell)

    def settle(self) -> None:
        """Settle the last round."""
        if self._call is not None:
            self.view.show(self._call.drain())  # what came between the last look and an interrupt
            self.view.finish(self._call.completion)
        self._call, self.view = None, View()

    def _ask(self, prepared: Prepared) -> Completion:
        run = self._start(prepared)
        self._call, self.view = run.call, run.view
        try:
            pump(run.call, self._watching(run))
        except KeyboardInterrupt:
            self.interrupted = True
        return self._answered(run.call.completion)

    async def _aask(self, prepared: Prepared) -> Completion:
        run = self._start(prepared)
        self._call, self.view = run.call, run.view
        try:
            await apump(run.call, self._watching(run))
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.interrupted = True
        return self._answered(run.call.completion)

    def _answered(self, completion: Completion) -> Completion:
        if self.interrupted and completion.outcome != "interrupted":  # it was whole a moment before
            completion = replace(completion, outcome="interrupted")
        if asks_for_tools(completion):
            self.settle()
        return completion

    def _tell(self, run: ToolRun) -> None:
        if self._quiet:
            return
        data, metadata = lasting_run(run, unfolded=self._unfolded)
        if self._in_terminal:
            if run.state != "begun":  # nothing is taken back there, and its result follows
                print(data["text/plain"])
            return
        self._gate.leave(data, metadata)
        if run.state != "begun":
            self._gate.fresh()
