"""Ask cells before their turn: while one is being answered, those behind it that depend on nothing before them.

Off unless ``%config DeepSeekMagics.look_ahead`` says how many. A call that begins early is one like every other, under the
same limits and budget; what it brings is shown by its own cell alone, which takes the call over when its turn comes, if it
would still send the same request. Otherwise the call is ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...engine.home import engine
from ...engine.loop import Call
from ...protocol import template
from ...protocol.cells.independence import SETTINGS, Effect, PromptCell, effect_of, independent
from ...protocol.chat import Prompt
from ...protocol.errors import DeepSeekError
from ...session import session
from ...session.early.fate import Fate
from ...text.messages import Message
from ..frontend import notebook_path, request_id, stops_on_error
from ..view.background import BackgroundAnswer
from .obstacles import obstacles
from .queue import KernelQueue, WaitingCell, queue_of

if TYPE_CHECKING:
    from ...session.prepared import Prepared

IDLE_S: Final = 30.0
"""So long after the last cell an answer that nobody has taken is still waited for."""

MOST_AHEAD: Final = 8

LOOK_S: Final = 0.1
"""Looks are so far apart, at least: one takes some tenths of a millisecond."""

_HEAD: Final = "%%deepseek"

CHANGED: Final = Message(
    "It had been asked before its turn, but its question has changed since, so it was asked again."
)
FAILED: Final = Message("It had been asked before its turn, which was not answered, so it was asked again.")


class EarlyOrder(Protocol):
    """What one magic asks for, see ``magic.flags``."""

    @property
    def prompt(self) -> Prompt:
        """The prompt as it was typed."""

    @property
    def options(self) -> dict[str, Any]:
        """The settings that were typed."""

    @property
    def output(self) -> str | None:
        """The variable that the answer is bound to."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is shown."""

    @property
    def alone(self) -> bool:
        """Whether nothing else can be in the cell."""


Read = Callable[[str, str | None], EarlyOrder | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Early:
    """A call that began before its turn, and what it was asked with."""

    prepared: Prepared
    call: Call
    fate: Fate

    def drop(self) -> None:
        """End it: nobody will be given its answer."""
        if self.fate.drop():
            self.call.stop()


@dataclass(slots=True)
class _Seen:
    """What a waiting cell is. ``order``: of one that asks; ``over``: whether it has been looked at for good."""

    cell: Effect | PromptCell
    order: EarlyOrder | None = None
    over: bool = False


class LookAhead:
    """The look-ahead of one shell. For the kernel's main thread. ``read`` makes an order of a magic's line and body,
    ``variables`` are what its prompt is filled with."""

    def __init__(self, shell: Any, magics: Any, read: Read, variables: Callable[[], Mapping[str, Any]]) -> None:
        self._shell = shell
        self._magics = magics
        self._read_order = read
        self._variables = variables
        self._queue: KernelQueue | None = None
        self._early: dict[str, _Early] = {}
        self._seen: dict[str, _Seen] = {}
        self._under: Any = None
        self._due_s = 0.0
        self._depth = 0
        self._runs = 0

    @property
    def sees(self) -> bool:
        """Whether what waits in the kernel is looked at."""
        return self._queue is not None

    @property
    def is_late(self) -> bool:
        """Whether the cells behind the running one had come before there was a look at them."""
        running = request_id(self._shell)
        return self._queue is not None and running is not None and not self._queue.saw(running)

    def switch(self) -> None:
        """Look ahead, or no more, as the setting has it now."""
        wanted, kernel = self._magics.look_ahead > 0, getattr(self._shell, "kernel", None)
        if wanted and self._queue is None and kernel is not None:
            self._queue = queue_of(kernel)
        elif not wanted:
            self.close()

    def look(self, order: EarlyOrder) -> None:
        """Begin what may be begun, while the cell of ``order`` is being answered. Cheap, and meant to be called often."""
        if self._queue is None or not order.alone or self._depth > 1 or (now_s := time.monotonic()) < self._due_s:
            return
        self._due_s = now_s + LOOK_S
        running = request_id(self._shell)
        if running is None:
            return
        cells = self._waiting(running)
        for lost in [
            each for each in self._early if each != running and each not in {cell.request_id for cell in cells}
        ]:
            self._early.pop(lost).drop()
        if len(self._early) >= self._magics.look_ahead:
            return
        self._forget()
        self._seen = {cell.request_id: self._seen.get(cell.request_id) or self._read(cell) for cell in cells}
        known = [self._seen[cell.request_id] for cell in cells]
        for place in independent(_bound(order), [each.cell for each in known]):
            if len(self._early) >= self._magics.look_ahead:
                return
            early = self._early.get(cells[place].request_id)
            if early is not None and early.fate.failed and not early.fate.sent:
                return  # the budget is for those in front
            if not known[place].over and not self._begin(cells[place].request_id, known[place]):
                return

    def _waiting(self, running: str) -> list[WaitingCell]:
        assert self._queue is not None
        try:
            return self._queue.waiting(running)
        except Exception:  # another version than it looked like: no cell is asked ahead from here on
            self._queue = None
            return []

    def _forget(self) -> None:
        """Read anew what waits, if a cell before it has changed the settings; but not what has begun."""
        if (now := session().defaults) != self._under:
            self._under = now
            self._seen = {request: seen for request, seen in self._seen.items() if seen.over}

    def _read(self, cell: WaitingCell) -> _Seen:
        head, _, body = cell.source.partition("\n")
        if head.split(maxsplit=1)[:1] != [_HEAD] or not head.startswith(_HEAD):
            own = self._shell.user_ns
            return _Seen(effect_of(cell.source, own=own, ours=[name for name, value in own.items() if _is_ours(value)]))
        try:
            order = self._read_order(head.removeprefix(_HEAD), body)
        except DeepSeekError:
            order = None
        if order is None:
            return _Seen(Effect())
        takes = frozenset(_names(order))
        return _Seen(PromptCell(takes=takes, effect=_bound(order), may_lead=self._may_lead(order, takes)), order)

    def _may_lead(self, order: EarlyOrder, takes: frozenset[str]) -> bool:
        """Whether its text says all that it would send."""
        try:
            waits = any(True for _ in obstacles(session().in_force(order.options)))
        except DeepSeekError:
            return False
        own = self._shell.user_ns
        return not waits and not any(isinstance(own.get(name), BackgroundAnswer) for name in takes)

    def _begin(self, request: str, seen: _Seen) -> bool:
        """Begin one, if it can be; whether there is room for it."""
        assert seen.order is not None
        try:
            prepared = session().prepare(
                seen.order.prompt,
                variables=self._variables(),
                **{"chat": session().chat, **seen.order.options},
            )
        except DeepSeekError:  # it is told in its own cell
            seen.over = True
            return True
        gate = prepared.client.gate
        if gate.waiting or gate.standing.running >= gate.standing.window:
            return False
        seen.over = True
        session().chats.notebook = notebook_path(self._shell)
        fate = Fate()
        mode = None if seen.order.quiet else prepared.options.get("buffer", "balanced")
        call = session().start(prepared, mode=mode, fate=fate)
        self._early[request] = _Early(prepared=prepared, call=call, fate=fate)
        return True

    def take(self, prepared: Prepared) -> tuple[Call | None, Message | None]:
        """The call that has begun for the running cell, if it would send this request now; or why it is not used."""
        early = self._early.pop(request_id(self._shell) or "", None)
        if early is None:
            return None, None
        same = (early.prepared.addressed, early.prepared.options) == (prepared.addressed, prepared.options)
        if not same or early.prepared.client is not prepared.client:
            early.drop()
            return None, CHANGED
        again = early.fate.failed and not early.fate.refused  # what was refused would be refused once more
        if again or not early.fate.take():
            early.drop()
            return None, FAILED if early.fate.sent else None
        self._due_s = 0.0  # there is room for another one
        return early.call, None

    def drop(self) -> None:
        """End all that has begun."""
        while self._early:
            self._early.popitem()[1].drop()
        self._seen.clear()

    def pre_run_cell(self, _info: Any) -> None:
        """IPython's event: a cell begins, perhaps inside another one."""
        self._depth += 1
        self._runs += 1

    def post_run_cell(self, result: Any) -> None:
        """IPython's event: a cell has ended. After one that failed or was stopped the kernel runs none of those behind it, unless
        the front end said that it may fail."""
        self._depth = max(self._depth - 1, 0)  # the cell that loaded us began unseen
        if self._depth or not self._early:
            return
        if not result.success and stops_on_error(self._shell):
            self.drop()
        else:
            engine.submit(self._expire(self._runs, [*self._early.values()]))

    async def _expire(self, runs: int, early: list[_Early]) -> None:
        await asyncio.sleep(IDLE_S)
        if self._runs == runs:
            for each in early:
                if each.fate.open:
                    each.drop()

    def close(self) -> None:
        """Look ahead no more."""
        self.drop()
        if self._queue is not None:
            self._queue.close()
            self._queue = None


def _bound(order: EarlyOrder) -> Effect:
    """What the cell may change: the code of an answer may be run in it, and do anything."""
    if session().in_force(order.options).get("run") == "ask":
        return SETTINGS
    return Effect(names=frozenset([order.output] if order.output else []))


def _is_ours(value: Any) -> bool:
    name = getattr(value, "__name__", "") if type(value) is type(asyncio) else getattr(value, "__module__", "")
    return isinstance(name, str) and name.partition(".")[0] == "deepseek_magic"


def _names(order: EarlyOrder) -> list[str]:
    """The names that a prompt and its system prompt take."""
    if order.options.get("raw"):
        return []
    system = str(session().in_force(order.options).get("system") or "")
    names = [system[1:]] if system.startswith("$") else []
    for text in (str(order.prompt), system):
        for path in template.paths(text):
            names += [path, path.replace("[", ".").partition(".")[0]]
    return names
