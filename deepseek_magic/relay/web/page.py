"""The teacher's page: one file of HTML, with its texts in the reader's language put in."""

from __future__ import annotations

import html
import json
import pkgutil
from typing import Final

from ...engine.hosts.classroom import Classroom
from ...text.language import Language
from ...text.messages import Message

_TEXTS: Final = {
    "title": Message("The class"),
    "waiting": Message("waiting"),
    "reading": Message("reading"),
    "questions": Message("questions"),
    "upstream": Message("paid calls"),
    "saved": Message("{amount} saved"),
    "failures": Message("failed"),
    "refusals": Message("refused"),
    "stop": Message("Stop everybody"),
    "go": Message("Let everybody ask again"),
    "stopped": Message("Stopped: nobody can ask."),
    "lost": Message("No news from the relay; trying again."),
    "nobody": Message("Nobody has asked yet."),
    "left": Message("{share} % of the budget left"),
    "confirm": Message("All answers under way end. Stop everybody?"),
    "refused": Message("refused: {rule}"),
    "shared": Message("{count} shared"),
    "figures": Message("Only figures"),
    "list": Message("Show the list"),
}


def page(language: Language, classroom: Classroom, nonce: str) -> str:
    """The page of a class. Only what carries the ``nonce`` may run or be a style in it."""
    source = pkgutil.get_data(__package__, "teacher.html")
    assert source is not None, "the package's own loader reads its files"
    texts = {name: message.localized(language) for name, message in _TEXTS.items()}
    title = classroom.rules.name or texts["title"]
    told = json.dumps(texts, ensure_ascii=False).replace("<", "\\u003c")
    whole = source.decode("utf-8").replace("%LANGUAGE%", language).replace("%TITLE%", html.escape(title))
    return whole.replace("%NONCE%", nonce).replace("%TEXTS%", told)
