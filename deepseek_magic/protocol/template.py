"""``{name}`` in a prompt: filled from variables, with every other brace left as it was typed.

Prompts are full of braces (JSON, code, LaTeX, sets), so nothing is an error merely for being a brace and nothing needs
doubling: only a path that starts with the name of an existing variable is filled. The path may go on with attributes
and subscripts (``{row.title}``, ``{rows[0]["id"]}``); it is looked up, never evaluated. A name of another kind (the column of a
table: ``{unit price}``, ``{user.name}``) is filled where it is one of ``variables`` as a whole. Doubled braces around such a path
mean the path itself, as in an f-string: ``{{name}}`` is sent as ``{name}``, and ``{{{name}}}`` as the value in braces.
LaTeX and code are full of names in braces as well: there only a path alone on its line of code is filled, and it is said.
"""

from __future__ import annotations

import ast
import functools
import keyword
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..text.contexts import Contexts
from ..text.messages import Message
from ..text.values import shown
from .context import pieces
from .errors import ConfigurationError
from .options import closest

MAX_VALUE_CHARS: Final = 20_000
"""A longer value is cut, with a notice: some 6,000 tokens, more than anyone wants to send by accident."""

MAX_GUESSES: Final = 10
FIRST_NAMES: Final = 5

_SENTENCES: Final = {
    "tex": Message("{names} is part of LaTeX and {was} sent as typed."),
    "code": Message("{names} is part of code and {was} sent as typed; alone on its line it would be filled."),
    "filled": Message("{names} was filled inside code; --raw sends it as typed."),
    "only": Message(
        "{names} {was} sent as typed, because a project's prompt is filled only with what the cell names (or --fill NAME)."
    ),
}

_STRANGER: Final = Message("{name} is not a variable: sent as typed.")
_STRANGERS: Final = Message("{names} and {last} are not variables: sent as typed.")
_BEFORE: Final = {
    _STRANGER.template: Message("{name} is not a variable: it would be sent as typed."),
    _STRANGERS.template: Message("{names} and {last} are not variables: they would be sent as typed."),
    pieces.SENT.template: Message("Would be sent along: {names}; about {tokens} tokens."),
    pieces.SENT_AT.template: Message("Would be sent along: {names}; about {tokens} tokens, {cost}."),
}
_SENT: Final = {"was": Message("was"), "were": Message("were")}
_NOT_SENT: Final = dict.fromkeys(_SENT, Message("would be"))

_STEP = r"""\.[^\W\d]\w*|\[(?:-?\d+|(?:-?\d+)?:(?:-?\d+)?|"[^"\\\n]*"|'[^'\\\n]*')\]"""
_PATH: Final = re.compile(rf"(?<!\{{)(\{{++)(?:([^\W\d]\w*)((?:{_STEP})*)|([^{{}}\n]{{1,200}}))(\}}+)")
"""The fourth group is what no variable is called but a column of a table may be."""
_STEPS: Final = re.compile(_STEP)
_COLUMN: Final = re.compile(r"[\w .-]+")
"""What is a column's name rather than code or a set."""


class Uncut:
    """A value that sees to its own length: its ``text`` is filled in as it is."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """What is filled in."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The filled text, and sentences for the user about what was cut or looks like a slip."""

    text: str
    notices: tuple[Message, ...] = ()


def fill(
    template: str,
    variables: Mapping[str, Any],
    *,
    max_chars: int = MAX_VALUE_CHARS,
    only: Container[str] | None = None,
    seen: Callable[[str, str], str] | None = None,
) -> Filled:
    """Fill every ``{path}`` whose first name is in ``variables``, but in LaTeX none, and in code one alone on its line.

    Of a text that the user did not write, ``only`` those paths are filled that the user named. ``seen`` is given each path
    with its text, and says what is filled in. Raises ConfigurationError when the variable exists but the rest of the path
    does not.
    """
    filling = _Filling(template, variables, max_chars, only, seen)
    return Filled(text=_PATH.sub(filling.replace, template), notices=tuple(filling.notices()))


def paths(template: str) -> Iterator[str]:
    """The paths that ``fill`` would look up, if their variables exist."""
    for opened, name, steps, whole, closed in _PATH.findall(template):
        if min(len(opened), len(closed)) % 2:
            yield whole or name + steps


def strangers(template: str, known: Sequence[str]) -> dict[str, Message | str]:
    """What looks like a slip in a prompt that a table fills: ``{name}`` as it is typed, where no ``known`` name is that, and the
    known one that is near it.

    Braces of code and formulas, and doubled ones, are not looked at; a text with more than ``MAX_GUESSES`` is no template.
    """
    names, contexts = set(known), Contexts(template)
    found: dict[str, Message | str] = {}
    for match in _PATH.finditer(template):
        opened, name, steps, whole, closed = match.groups()
        typed = whole or name + steps
        if {typed, name} & names or len(opened) != 1 or len(closed) != 1 or keyword.iskeyword(typed):
            continue
        if contexts.of(*match.span()) is not None or contexts.in_dollars(match.start()):
            continue
        near = closest(name or typed, known) if name or _COLUMN.fullmatch(typed) else ""
        if near or typed == name:
            found[match[0]] = near
    return found if len(found) <= MAX_GUESSES else {}


def inserted(template: str, variables: Mapping[str, Any], shown: Callable[[Any], str]) -> str:
    """``template`` with every path that ``variables`` has in it, in code and LaTeX as well; for texts that are no prompts."""

    def of(match: re.Match[str]) -> str:
        opened, name, steps, whole, closed = match.groups()
        whole = whole or f"{name}{steps}"
        pairs = min(len(opened), len(closed))
        if (whole not in variables and name not in variables) or not pairs % 2:
            return match[0]
        value = variables[whole] if whole in variables else lookup(variables, name, steps)
        return f"{opened[: len(opened) - pairs + pairs // 2]}{shown(value)}{closed[: len(closed) - pairs + pairs // 2]}"

    return _PATH.sub(of, template)


@functools.lru_cache(maxsize=4)
def _contexts_of(template: str) -> Contexts:
    """A table fills one template row after row."""
    return Contexts(template)


class _Filling:
    """One text while it is filled, with what the user should hear about it: once, however often a name is in it."""

    def __init__(
        self,
        template: str,
        variables: Mapping[str, Any],
        max_chars: int,
        only: Container[str] | None,
        seen: Callable[[str, str], str] | None = None,
    ) -> None:
        self._template, self._variables, self._max_chars, self._only = template, variables, max_chars, only
        self._seen = seen
        self._values: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._cut: list[Message] = []
        self._kept: dict[str, dict[str, None]] = {kind: {} for kind in _SENTENCES}

    @functools.cached_property
    def _contexts(self) -> Contexts:
        return _contexts_of(self._template)

    def replace(self, match: re.Match[str]) -> str:
        """What a match becomes."""
        opened, name, steps, whole, closed = match.groups()
        whole = whole or f"{name}{steps}"
        if name is None or whole in self._variables:
            if whole not in self._variables:
                return match[0]
            name, steps = whole, ""
        pairs = min(len(opened), len(closed))  # what is more on one side belongs to the text around
        context = self._contexts.of(*match.span())
        alone = context == "code" and self._contexts.alone(*match.span())
        if name not in self._variables:
            if context is None and not self._contexts.in_dollars(match.start()):
                self._missing.setdefault(name, match[0])
            return match[0]
        kept: str | None = context if not alone else None
        if kept is None and pairs % 2 and self._only is not None and name + steps not in self._only:
            kept = "only"
        if kept is not None or alone:
            self._kept[kept or "filled"][f"{{{name}{steps}}}"] = None
        if kept is not None:
            return match[0]
        before, after = "{" * (len(opened) - pairs + pairs // 2), "}" * (len(closed) - pairs + pairs // 2)
        return f"{before}{self._value(name, steps) if pairs % 2 else name + steps}{after}"

    def _value(self, name: str, steps: str) -> str:
        path = name + steps
        if path not in self._values:
            value = lookup(self._variables, name, steps)
            if isinstance(value, Uncut):
                self._values[path] = value.text
                return self._values[path]
            text, part, whole, elided = shown(value)
            if self._seen is not None:
                text = self._seen(path, text)
            if part < whole:
                rows = Message("{path} has {count} rows; only the first {part} {were} sent.")
                self._cut.append(rows.filled(path=f"{{{path}}}", count=f"{whole:,}", part=f"{part:,}"))
            if elided:
                printed = Message("{path} {was} sent as Python prints it, which leaves values out (...).")
                self._cut.append(printed.filled(path=f"{{{path}}}"))
            if len(text) > self._max_chars:
                chars = Message("{path} has {chars} characters; only the first {limit} {were} sent.")
                self._cut.append(chars.filled(path=f"{{{path}}}", chars=f"{len(text):,}", limit=f"{self._max_chars:,}"))
                text = f"{text[: self._max_chars]}\n… (cut: {len(text) - self._max_chars:,} more characters)"
            self._values[path] = text
        return self._values[path]

    def notices(self) -> Iterator[Message]:
        """Sentences for the user."""
        said = [*self._cut]
        for kind, found in self._kept.items():
            if found:
                said.append(_SENTENCES[kind].filled(names=", ".join(list(found)[:FIRST_NAMES])))
        if 0 < len(self._missing) <= MAX_GUESSES:  # a text with more is no template with a slip in it
            said += self._slips()
        yield from (sentence.filled(**_SENT) for sentence in said)

    def _slips(self) -> Iterator[Message]:
        """Of names that are no variables: one that was meant, where one is near; the others in one sentence."""
        known, strange = [name for name in self._variables if not name.startswith("_")], list[str]()
        for name, typed in self._missing.items():
            if near := closest(name, known):
                slip = Message("{path} {was} sent as typed: there is no variable {name}{near}.")
                yield slip.filled(path=typed, name=name, near=near)
            elif typed == f"{{{name}}}" and not keyword.iskeyword(name):  # code without a fence
                strange.append(typed)
        if len(strange) > 1:
            names = ", ".join(strange[:-1])
            yield _STRANGERS.filled(names=names, last=strange[-1])
        elif strange:
            yield _STRANGER.filled(name=strange[0])


def before_sending(notice: Message | str) -> Message | str:
    """A notice as it is said of a request that is only looked at."""
    if not isinstance(notice, Message):
        return notice
    return _BEFORE.get(notice.template, notice).filled(**notice.values | _NOT_SENT)


def lookup(variables: Mapping[str, Any], name: str, steps: str = "") -> Any:
    """The value at a path. Raises ConfigurationError in one sentence when a step leads nowhere."""
    value, path = variables[name], name
    for step in _STEPS.findall(steps):
        path += step
        try:
            value = getattr(value, step[1:]) if step.startswith(".") else value[_subscript(step[1:-1])]
        except Exception as error:
            said = Message("{path} cannot be filled: {value} does not exist ({error}).")
            said = said.filled(path=f"{{{name}{steps}}}", value=path, error=type(error).__name__)
            hint = Message("Change the path, or define the value first.")
            raise ConfigurationError(said, hint=hint) from None
    return value


def _subscript(typed: str) -> Any:
    start, colon, end = typed.partition(":")
    if not colon or typed[0] in "\"'":
        return ast.literal_eval(typed)
    return slice(int(start) if start else None, int(end) if end else None)


def show(value: Any) -> str:
    """A value as text for a prompt, whatever is left out of it."""
    return shown(value).text
