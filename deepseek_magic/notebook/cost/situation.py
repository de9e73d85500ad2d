"""What holds at a place of a notebook: the defaults, the demo, the conversations, and what the journal will have by then.

A session of its own carries it, which has the journal and the prices of the real one and keeps no conversation.
"""

from __future__ import annotations

import ast
import contextlib
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from ...engine.client import Client
from ...engine.hosts.endpoints import Endpoint, resolve
from ...engine.hosts.keys import Key
from ...engine.journal.reader import Journal
from ...engine.trials.store import SweepStore
from ...policy.estimates import tokens_at_most
from ...policy.plan_costs import Usual, usual_lengths
from ...protocol.chat import ChatMessage, Request
from ...protocol.completion import Completion
from ...protocol.conversation import Conversation, Turn
from ...protocol.errors import DeepSeekError
from ...session.chats import Remembered
from ...session.experiments.outlook import LEARNT_FROM
from ...session.prepared import Prepared
from ...session.state import Session
from ..lessons.magics import OFF, LessonMagics
from ..magic.flags import arguments
from ..magic.magics import DEFAULTS
from .steps import PlayedTape

_SETTING: Final = re.compile(r"DeepSeekMagics\.(\w+)\s*=\s*(.+?)\s*\Z", re.DOTALL)
_NOWHERE: Final = "http://127.0.0.1:9/{number}"
"""Where a demo that a cell starts will listen is not known; no journal has answers of it."""


class Unsaid(NamedTuple):
    """So many tokens of a conversation that are not there yet: at most, and as expected."""

    most: int = 0
    expected: int | None = 0


NOTHING: Final = Unsaid()
ANYTHING: Final = Unsaid(sys.maxsize, None)
"""As much as the longest history that is sent."""


class Situation:
    """What holds now. ``pocket``: what a sweep may cost without permission (US dollars). ``look_ahead``: how many cells are
    begun early at once. ``tape``: what answers in place of the network."""

    def __init__(
        self,
        here: Session,
        cells: Iterable[str | None],
        *,
        pocket: float,
        look_ahead: int = 0,
        tape: PlayedTape | None = None,
    ) -> None:
        self.session = _aside(here, cells)
        self.pocket = pocket
        self.look_ahead = look_ahead
        self.tape = tape
        self.soon: dict[tuple[str, str], int] = {}
        """How many answers to a request at an address the journal will have at least, by what was asked so far."""
        self._unsaid: dict[str, Unsaid] = {}
        self._known: dict[tuple[str, str | None], Mapping[tuple[str, str | None], Usual]] = {}
        self._before_demo: dict[str, Any] | None = None

    # what cells change

    def configure(self, line: str) -> None:
        """``%config``: a value that is written out becomes the default."""
        found = _SETTING.match(line.strip())
        if found is None:
            return
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(found[2])
            if isinstance(value, bool) and found[1] in ("pocket", "look_ahead"):
                return  # it will be refused
            if found[1] == "pocket":
                self.pocket = float(value)
            elif found[1] == "look_ahead":
                self.look_ahead = int(value)
            elif found[1] in DEFAULTS:
                self.session.defaults = self.session.defaults.replace(**{found[1]: value})

    def demo(self, line: str) -> None:
        """``%deepseek_demo``: it starts at an address of its own, or stops."""
        here = self.session
        if "stop" in line.split():
            here.defaults = here.defaults.replace(**(self._before_demo or {}))
            self._before_demo = None
            return
        if self._before_demo is None:
            runs = (
                here.defaults.get("endpoint") == "demo"
            )  # before the notebook: what was there before that is not told
            self._before_demo = {name: None if runs else here.defaults.get(name) for name in ("endpoint", "base_url")}
        here.demos += 1
        here.defaults = here.defaults.replace(endpoint="demo", base_url=None)

    def replay(self, line: str) -> None:
        """``%deepseek_replay``: a tape answers, or none any more."""
        with contextlib.suppress(DeepSeekError):
            typed = arguments(LessonMagics.deepseek_replay, line)
            if typed.file is not None:
                path = Path(typed.file).expanduser()  # without it the cell will fail, and no tape plays
                plays = typed.file != OFF and path.is_file()
                self.tape = PlayedTape(path.name, typed.otherwise == "ask") if plays else None

    def chat(self, line: str) -> None:
        """``%deepseek_chat``: another conversation is continued, or one is copied, renamed or forgotten."""
        words: list[str] = []
        with contextlib.suppress(ValueError):  # an open quotation mark
            words = shlex.split(line)
        action, *given = words or ["list"]
        here, chats, unsaid = self.session, self.session.chats, self._unsaid
        if not given:
            return
        if action == "switch":
            here.defaults = here.defaults.replace(chat=given[0])
        elif action == "reload":
            unsaid[given[0]] = ANYTHING
        elif action == "delete":
            chats.pop(given[0], None)
            unsaid.pop(given[0], None)
        elif action in ("branch", "rename"):
            name, new = given if len(given) == 2 else (here.chat, given[0])
            chats[new] = (
                replace(chats.pop(name) if action == "rename" else chats[name], name=new)
                if name in chats
                else Conversation(name=new)
            )
            if name in unsaid:
                unsaid[new] = unsaid.pop(name) if action == "rename" else unsaid[name]
            if action == "rename" and here.chat == name:
                here.defaults = here.defaults.replace(chat=new)

    # conversations

    def unsaid(self, chat: str | None) -> Unsaid:
        """What of a conversation is not there yet."""
        return NOTHING if chat is None else self._unsaid.get(chat, NOTHING)

    def lose(self, chat: str) -> None:
        """From here on nobody knows what is said in a conversation."""
        self._unsaid[chat] = ANYTHING

    def said(self, made: Prepared, answer: Completion | None, before: Unsaid) -> None:
        """A conversation goes on with a call: by its answer, or by so much more that is not there yet."""
        name, request, begins = str(made.chat), made.request, bool(made.options.get("new"))
        left = None if answer is None else Turn.of(made.turn, answer)
        if left is None:
            user = next(message for message in reversed(request.messages) if message.role == "user")
            left = Turn(id=made.turn, user=user, assistant=ChatMessage(role="assistant"))
            usual, longest = self.usual(request, made.endpoint), tokens_at_most(request, 0, 0)[1]
            expected = None if usual is None or before.expected is None else before.expected + usual.tokens
            self._unsaid[name] = Unsaid(before.most + longest, expected)
        elif begins:
            self._unsaid.pop(name, None)
        empty, chats = Conversation(name=name), self.session.chats
        chats[name] = (empty if begins else chats.get(name, empty)).with_turn(left)

    def usual(self, request: Request, endpoint: Endpoint) -> Usual | None:
        """How long answers to its prompt usually were, or else those of its model and thinking setting."""
        name = endpoint.name
        key = (request.model, request.options.get("think"))
        to_prompt = self._lengths(name, request.prompt)
        return to_prompt[key] if key in to_prompt else self._lengths(name, None).get(key)

    def _lengths(self, endpoint: str, prompt: str | None) -> Mapping[tuple[str, str | None], Usual]:
        """Looked up once: a notebook asks many times, and the journal may be long."""
        if (endpoint, prompt) not in self._known:
            found = SweepStore(self.session.journal).lengths({endpoint}, limit=LEARNT_FROM, prompt=prompt)
            self._known[endpoint, prompt] = usual_lengths(found)
        return self._known[endpoint, prompt]


class _Aside(Session):
    """A session whose demo listens where the last of its ``demos`` will, of which nothing is known."""

    demos = 0

    def client(self, *endpoints: Endpoint, keys_found: Sequence[Key | None] = ()) -> Client:
        """See Session."""
        there = _NOWHERE.format(number=self.demos) if self.demos else None
        moved = [resolve(each, there) if each.name == "demo" else each for each in endpoints]
        return super().client(*moved, keys_found=keys_found)


def _aside(here: Session, cells: Iterable[str | None]) -> _Aside:
    """A session like this one. Of its conversations it has the turns that ``cells`` will not make again."""
    made = _Aside()
    made.journal, made.defaults = here.journal, here.defaults
    made.log.prices, made.wall = here.log.prices, here.wall
    made.chats = Remembered(Journal(enabled=False))
    again = {cell for cell in cells if cell is not None}
    for name, conversation in here.chats.items():
        turns = tuple(turn for turn in conversation.turns if turn.id.rpartition(":")[0] not in again)
        made.chats[name] = replace(conversation, turns=turns)
    return made
