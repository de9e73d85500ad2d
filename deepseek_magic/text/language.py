"""The language that a reader is spoken to in: English is what the code says, a catalogue knows the other tongues' words.

Two ways in. ``say`` takes a template and its values, for texts that are made where they are shown. ``translated`` takes
a finished English sentence, for what the floors below have said already (errors, notices, why a call waits): it finds the
template that the sentence was made from. So the engine, its log and its journal speak one language, which can be
searched for, and only what a person sees is translated. Nothing is lost where a text has no entry: it stays English.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any, Final, Literal

from .catalogue import catalogue as _catalogue

__all__ = ["LANGUAGES", "MOMENT", "Language", "language", "of_locales", "translated", "use"]

Language = Literal["en", "zh"]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")

MOMENT: Final = "%Y-%m-%d %H:%M"
"""A date and hour as both languages write it: names of months would need a third way of speaking."""

_FIELD: Final = re.compile(r"\{([a-z_]+)\}")
_VERBATIM: Final = frozenset(
    ("name", "names", "near", "new", "path", "model", "prompt", "first", "last", "text", "value")
)
"""Fields that hold what somebody called something: a variable called "balance" is no balance."""
_NESTED: Final = 3
"""A sentence that quotes a sentence that quotes one: no text goes deeper."""

_current: Language = "en"


def language() -> Language:
    """The language in force."""
    return _current


def use(chosen: Language) -> None:
    """Speak this language from now on, in the whole process."""
    global _current
    _current = chosen


def of_locales(names: Iterable[str | None]) -> Language:
    """The language that the first locale name that is set stands for: ``zh_CN.UTF-8`` and Windows' ``Chinese`` are Chinese."""
    first = next((name for name in names if name), "")
    return "zh" if re.match(r"zh\b|zh_|chinese", first, re.IGNORECASE) else "en"


def translated(sentence: Any) -> str:
    """A finished English sentence in the reader's language; unchanged where no template fits."""
    if hasattr(sentence, "localized"):
        return str(sentence.localized())
    return sentence if _current == "en" else _translated(sentence, _current, _NESTED)


@functools.lru_cache(maxsize=512)
def _translated(sentence: str, into: Language, depth: int) -> str:
    catalogue = _catalogue(into)
    if sentence in catalogue:
        return catalogue[sentence]
    if depth == 0:
        return sentence
    for pattern, target in _patterns(into):
        if found := pattern.fullmatch(sentence):
            values = {
                name: text if name in _VERBATIM else _translated(text, into, depth - 1)
                for name, text in found.groupdict().items()
            }
            return _FIELD.sub(lambda field, values=values: values.get(field[1], field[0]), target)  # type: ignore[misc]
    return sentence


@functools.cache
def _patterns(into: Language) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Templates with fields as patterns; those with more words of their own first, since they say more."""
    with_fields = [(text, target) for text, target in _catalogue(into).items() if _FIELD.search(text)]
    with_fields.sort(key=lambda entry: len(_FIELD.sub("", entry[0])), reverse=True)
    return tuple((_pattern(text), target) for text, target in with_fields)


def _pattern(template: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts = []
    for index, part in enumerate(_FIELD.split(template)):
        if index % 2 == 0:
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P={part})")
        else:
            seen.add(part)
            parts.append(f"(?P<{part}>.+?)")
    return re.compile("".join(parts), re.DOTALL)
