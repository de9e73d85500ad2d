"""The language that a reader is spoken to in: one setting of the process, by name or by locale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

Language = Literal["en", "zh"]

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")

TAGS: Final[Mapping[Language, str]] = {"en": "en", "zh": "zh-CN"}
"""What a page calls a language (BCP 47): fonts, line breaks and voices are chosen by it."""

MOMENT: Final = "%Y-%m-%d %H:%M"
"""A date and hour as both languages write it: names of months would need a third way of speaking."""


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
