"""A question → its take. Equal questions get their takes in the order of the recording; what is on no tape is told with
the take that comes nearest, and what differs.

Where the person's home and the machine's name stood, a tape holds the words of ``HIDDEN``: on another machine another
folder stands there, so such a word fits any.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ...text.messages import Message
from .takes import Take, TapeQuestion

HOME: Final = "<home>"
HOST: Final = "<host>"
HIDDEN: Final = (HOME, HOST)

_RESOURCE: Final = re.compile(r"(?:/beta)?/(chat/completions|models|user/balance|\w+\.[\w.]+/\w+)/?\Z")
_WHO: Final = ("user", "user_id")
"""Who asks is no part of a question, and no matter of a tape."""
_STANDS_FOR: Final = r'[^\s"]{1,256}?'
_WORDS: Final = re.compile("|".join(map(re.escape, HIDDEN)))
_COMPARED_CHARS: Final = 300
"""So much of two prompts is compared: comparing takes the product of both lengths."""
_FIELD_WEIGHT: Final = 0.05
"""A setting that differs counts as little against the words of a prompt."""
_SHOWN_CHARS: Final = 60
_SHOWN_VALUE_CHARS: Final = 40


def resource_of(url: str) -> str:
    """What an address names, whichever server it is on and below which path. A question that continues an answer has
    that in its body, so DeepSeek's beta address is the same."""
    path = url.partition("?")[0].partition("#")[0]
    found = _RESOURCE.search(path)
    return found[1] if found else path.partition("://")[2].partition("/")[2]


def canonical(body: bytes | None) -> str:
    """A body as it is compared: JSON with its fields in order, without who asks; anything else as text."""
    if not body:
        return ""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("latin-1")
    if isinstance(fields, dict):
        fields = {name: value for name, value in fields.items() if name not in _WHO}
    return msgspec.json.encode(fields, order="sorted").decode()


class Finder:
    """Hands out takes. Not safe for several threads at once."""

    def __init__(self, takes: Sequence[Take]) -> None:
        self._of: dict[TapeQuestion, list[Take]] = defaultdict(list)
        for take in takes:
            self._of[take.question].append(take)
        self._patterns = [(_pattern(each), each) for each in self._of if _WORDS.search(each.body)]
        self._given: dict[TapeQuestion, int] = dict.fromkeys(self._of, 0)
        self.taken = 0
        """How many takes were handed out."""

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def find(self, question: TapeQuestion) -> Take | None:
        """The next take of a question; None when there is none, or all were handed out."""
        known = self._known(question)
        if known is None or (place := self._given[known]) >= len(self._of[known]):
            return None
        self._given[known] = place + 1
        self.taken += 1
        return self._of[known][place]

    def count(self, question: TapeQuestion) -> int:
        """How many takes of a question there are."""
        known = self._known(question)
        return 0 if known is None else len(self._of[known])

    def rewind(self) -> None:
        """Begin again with the questions all of whose takes were handed out: a cell that is run again is answered again."""
        for question, takes in self._of.items():
            if self._given[question] >= len(takes):
                self._given[question] = 0

    def add(self, take: Take) -> None:
        """One more take, which has been handed out."""
        if _WORDS.search(take.question.body) and take.question not in self._of:
            self._patterns.append((_pattern(take.question), take.question))
        self._of[take.question].append(take)
        self._given[take.question] = self._given.get(take.question, 0) + 1

    def nearest(self, question: TapeQuestion) -> tuple[Take, tuple[Message, ...]] | None:
        """The take that comes nearest, and what differs from it; None where the tape has nothing of the kind."""
        kind = (question.method, question.resource)
        alike = [(each, takes[0]) for each, takes in self._of.items() if (each.method, each.resource) == kind]
        if not alike:
            return None
        known, take = max(alike, key=lambda pair: _likeness(question, pair[0]))
        return take, tuple(differences(question, known))

    def _known(self, question: TapeQuestion) -> TapeQuestion | None:
        if question in self._of:
            return question
        for pattern, known in self._patterns:
            same = (known.method, known.resource, known.after) == (question.method, question.resource, question.after)
            if same and pattern.fullmatch(question.body):
                return known
        return None


def _pattern(question: TapeQuestion) -> re.Pattern[str]:
    return re.compile(_STANDS_FOR.join(map(re.escape, _WORDS.split(question.body))))


def _fields(question: TapeQuestion) -> Mapping[str, Any]:
    try:
        fields = msgspec.json.decode(question.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return fields if isinstance(fields, dict) else {}


def prompt_of(question: TapeQuestion) -> str:
    """The last words of the user in a question, on one line and not too long; nothing where there are none."""
    text = " ".join(_last(_fields(question)).split())
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def _last(fields: Mapping[str, Any]) -> str:
    """The text of the user's last message."""
    for message in reversed(_messages(fields)):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            return str(content or "")
    return ""


def _messages(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = fields.get("messages")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _likeness(asked: TapeQuestion, known: TapeQuestion) -> float:
    here, there = _fields(asked), _fields(known)
    one, other = _last(here)[:_COMPARED_CHARS], _last(there)[:_COMPARED_CHARS]
    words: float = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
    return words - _FIELD_WEIGHT * sum(bool(here.get(name) != there.get(name)) for name in {*here, *there})


def differences(asked: TapeQuestion, known: TapeQuestion) -> Iterator[Message]:
    """What is different here from a question of the tape, a message for each field."""
    here, there = _fields(asked), _fields(known)
    if asked.after != known.after:
        yield Message("the place where the answer is resumed")
    if _last(here) != _last(there):
        yield Message("the prompt")
    if _with_role(here, "system") != _with_role(there, "system"):
        yield Message("the system prompt")
    if _before(here) != _before(there):
        yield Message("the conversation before it")
    for name in sorted({*here, *there} - {"messages"}):
        if here.get(name) != there.get(name):
            values = {"here": _shown(here, name), "there": _shown(there, name)}
            yield Message("{field} ({here} here, {there} on the tape)", field=name, **values)


def _with_role(fields: Mapping[str, Any], role: str) -> list[Any]:
    return [message.get("content") for message in _messages(fields) if message.get("role") == role]


def _before(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All messages but the system's and the user's last one."""
    rest = [message for message in _messages(fields) if message.get("role") != "system"]
    last = max((place for place, message in enumerate(rest) if message.get("role") == "user"), default=len(rest))
    return rest[:last] + rest[last + 1 :]


def _shown(fields: Mapping[str, Any], name: str) -> Message | str:
    if name not in fields:
        return Message("not given")
    text = msgspec.json.encode(fields[name]).decode()
    return text if len(text) <= _SHOWN_VALUE_CHARS else f"{text[: _SHOWN_VALUE_CHARS - 1]}…"
