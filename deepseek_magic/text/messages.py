"""A message is its template and its values until somebody reads it; then it is English, or the reader's language.

So the engine, the journal and the log keep English (``str``), the reader gets their own language (``localized``), and
what others said (a server's words, a name, a number) is a value: it is inserted as it is and never translated.
No message is kept here: each stands where it is raised or shown; its Chinese is in ``catalogues/zh.po``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

from .catalogue import catalogue
from .language import Language, language

_HAN: Final = re.compile(r"[\u3001-\u303f\u3400-\u9fff\uff00-\uffef]")
_FIELD: Final = re.compile(rf"((?<={_HAN.pattern}) )?(\{{([a-z_]+)\}})( (?={_HAN.pattern}))?")
"""A field with the spaces between it and Chinese characters: these are meant for Latin words and digits."""


class Message:
    """``template`` with the ``values`` for its ``{fields}``. A field without a value stays as it is written.

    A value that is a message is localized with it, every other one is inserted as ``str`` gives it, braces and all.
    Immutable; messages with the same template and values are equal. No dataclass: msgspec would write one as an object.
    """

    __slots__ = ("pairs", "template")
    template: str
    pairs: tuple[tuple[str, Any], ...]

    def __init__(self, template: str, /, **values: Any) -> None:
        object.__setattr__(self, "template", template)
        object.__setattr__(self, "pairs", tuple(sorted(values.items())))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a message is not changed: {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and (self.template, self.pairs) == (other.template, other.pairs)

    def __hash__(self) -> int:
        return hash((self.template, self.pairs))

    def __reduce__(self) -> tuple[Callable[[], Message], tuple[()]]:
        return functools.partial(Message, self.template, **self.values), ()

    @property
    def values(self) -> dict[str, Any]:
        """The values by their field's name."""
        return dict(self.pairs)

    def __str__(self) -> str:
        return self._filled(self.template, str)

    def __repr__(self) -> str:
        return repr(str(self))  # what people see of it, in an error or a seam, is its sentence

    def localized(self, into: Language | None = None) -> str:
        """The message in this language, by default the reader's; English where the catalogue does not have it."""
        into = into or language()
        template = catalogue(into).get(self.template, self.template)
        return self._filled(template, lambda value: localized(value, into))

    def filled(self, **values: Any) -> Message:
        """The same message with these values besides; for tables of templates."""
        return Message(self.template, **self.values | values)

    def mapped(self, change: Callable[[str], str]) -> Message:
        """The same message with ``change`` made to each text that is inserted; for what must not be shown, such as a key."""

        def of(value: Any) -> Any:
            if isinstance(value, Message):
                return value.mapped(change)
            return change(value) if isinstance(value, str) else value

        return Message(self.template, **{name: of(value) for name, value in self.pairs})

    def _filled(self, template: str, shown: Callable[[Any], str]) -> str:
        if not self.pairs:
            return template
        values = self.values

        def put(field: re.Match[str]) -> str:
            before, _, name, after = field.groups("")
            if name not in values:
                return field[0]
            said = shown(values[name])
            before, after = (
                "" if _HAN.match(end) else space for space, end in ((before, said[:1]), (after, said[-1:]))
            )
            return f"{before}{said}{after}"

        return _FIELD.sub(put, template)


def localized(said: Any, into: Language | None = None) -> str:
    """A message in the reader's language; anything else as it is, for a text that is no message is somebody else's."""
    return said.localized(into) if isinstance(said, Message) else str(said)


def numbered(count: int, one: Message, many: Message) -> Message:
    """``one``, or ``many`` with its ``{count}``; for languages that have a plural."""
    return one if count == 1 else many.filled(count=f"{count:,}")


def words(*codes: str) -> dict[str, Message]:
    """A message for each of these words, for codes that read as they are written: outcomes, verdicts, groups."""
    return {code: Message(code) for code in codes}


def say(template: str, /, **values: Any) -> str:
    """A message at once in the reader's language, for what is made where it is shown."""
    return Message(template, **values).localized()
