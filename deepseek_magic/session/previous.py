"""Which earlier answer a user means who wants to go on with one: what was named, the last one, or the journal's newest."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ..engine.hosts.endpoints import ENDPOINTS, Endpoint
from ..engine.journal.reader import NO_JOURNAL, Entry, Journal
from ..protocol.completion import Completion
from ..protocol.errors import ConfigurationError
from ..protocol.options import OPTIONS
from ..text.language import MOMENT
from ..text.messages import Message

SHOWN_CHARS: Final = 60
"""So much of a prompt tells which one it is."""

_KNOCK_S: Final = 1.0


_STILL: Final = frozenset(
    {"endpoint", "base_url", "continue_on_length", "budget", "first_token", "idle", "total", "timeline"}
    | {"tool", "confirm", "confirm_wait"}
)
_ASKS: Final = tuple(option.name for option in OPTIONS if option.scope == "call" and option.name not in _STILL)
"""Settings that make a question, or say how it is asked: nothing of an answer whose question has been asked."""


def check_typed(typed: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a setting that was typed and cannot act on an answer that is resumed."""
    for name in _ASKS:
        if typed.get(name):
            said = Message(
                "A call that resumes an answer cannot take {name}: the question is asked already.", name=name
            )
            raise ConfigurationError(said, hint=Message("Leave it out."))


class Found(NamedTuple):
    """The answer, the name of the endpoint it came from, and what to tell about it when the user did not name it."""

    completion: Completion
    endpoint: str | None
    said: Message | str = ""


def find_earlier(what: Completion | Entry | str | None, *, last: Completion | None, journal: Journal) -> Found:
    """The answer that ``what`` means: itself, the call of the journal whose id begins so, or without one the ``last`` of
    this process, else the newest of the journal that waits. Raises ConfigurationError when there is none, or several."""
    what = last if what is None else what
    if isinstance(what, Completion):
        return Found(what, what.record.endpoint if what.record is not None else None)
    if isinstance(what, Entry):
        return Found(what.completion, what.endpoint)
    entries = journal.resumable() if what is None else journal.beginning_with(what)
    if what is None and not entries:
        sentence = Message("There is no answer to resume.")
        why = Message("Only stopped and broken answers can be resumed.") if journal.enabled else NO_JOURNAL
        raise ConfigurationError(sentence, hint=why)
    if what is not None and not entries:
        said = Message("The journal has no call whose id begins with {name}.", name=what[:40])
        listed = Message("%deepseek_resume --list shows the answers that can be resumed.")
        raise ConfigurationError(said, hint=listed if journal.enabled else NO_JOURNAL)
    if what is not None and len(entries) > 1:
        many = Message("The journal has {count} calls whose id begins with {name}.", count=len(entries), name=what[:40])
        raise ConfigurationError(many)
    entry = entries[0]
    began = entry.started_at.astimezone().strftime(MOMENT)
    prompt = " ".join(entry.completion.request.prompt.split())
    shown = f"{prompt[:SHOWN_CHARS]}…" if len(prompt) > SHOWN_CHARS else prompt
    said = Message("Resuming the answer to “{prompt}”, asked {when}.", prompt=shown, when=began)
    return Found(entry.completion, entry.endpoint, said)


def check_demo(place: Endpoint) -> None:
    """Raise ConfigurationError where ``place`` is the usual address of the demo and nothing runs there: most demos end
    with their kernel, which had an address of its own.

    A knock at this machine takes no time; the engine would retry for many seconds, since other servers come back.
    """
    if place != ENDPOINTS["demo"]:
        return
    address = urlsplit(place.base_url)
    try:
        socket.create_connection((address.hostname or "", address.port or 80), timeout=_KNOCK_S).close()
    except OSError:
        said = Message("The demo server at {host} that should resume this answer is not running.", host=place.host)
        raise ConfigurationError(said, hint=Message("Run %deepseek_demo first, then resume again.")) from None
