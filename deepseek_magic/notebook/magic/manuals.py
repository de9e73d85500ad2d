"""What ``%magic?``, ``--help`` and ``%config`` say of the magics, in the reader's language.

A manual is written once, in English, where the magic is. Its paragraphs are texts of the catalogue, and so are the
explanations in its indented block, which stand two spaces or more after what they explain. ``%%deepseek`` has its manual
from the options (``flags.help_text``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

from ...text.language import language
from ...text.messages import say
from .flags import HELP_FLAGS, wrapped

_EXPLAINED: Final = re.compile(r"(?P<what> *\S.*?)(?P<gap>  +)(?P<why>\S.*)\Z")
_ENGLISH: Final = "_deepseek_magic_english"
"""Where the English manual is kept on a function, or the English help on an argument, while another is shown."""


def speak(magics: type) -> None:
    """Have every magic of this class explain itself in the language in force, and every setting that it has."""
    if language() == "en" and not hasattr(magics, _ENGLISH):
        return  # as it is written; loading takes no time for it
    setattr(magics, _ENGLISH, "")
    for name in {name for kind in getattr(magics, "magics", {}).values() for name in kind.values()}:
        function = vars(magics).get(name)
        if function is not None and function.__doc__ is not None:
            function.__doc__ = manual(function)
    for trait in magics.class_traits(config=True).values():  # type: ignore[attr-defined]  # Magics are Configurable
        trait.help = say(_english(trait, "help"))


def helped(magics: object, name: str, line: str) -> bool:
    """Whether the line of the magic of that name asks for help, which is printed then."""
    if not set(line.split()) & set(HELP_FLAGS):
        return False
    print(plain(getattr(magics, name)))
    return True


def plain(function: Any) -> str:
    """The manual of a magic as it is printed: without the marks for what renders docstrings."""
    text = (inspect.getdoc(function) or "").strip()
    return re.sub(r"^::\n+", "", text, flags=re.MULTILINE).replace("``", "")


def manual(function: Any) -> str:
    """The manual of a magic in the language in force."""
    parser = getattr(function, "parser", None)
    if parser is not None:
        for action in parser._actions:
            action.help = say(_english(action, "help"))
        for group in parser._action_groups:
            group.title = say(_english(group, "title"))
        parser.description = "\n" + _localized(_english(parser, "description"))
        return str(parser.format_help())
    return _localized(_english(function, "__doc__"))


def texts_of(function: Any) -> Iterator[str]:
    """All that a manual says, in the pieces that the catalogue has."""
    parser = getattr(function, "parser", None)
    if parser is not None:
        yield from (_english(action, "help") for action in parser._actions)
        yield from (_english(group, "title") for group in parser._action_groups if group._group_actions)
        yield from _pieces(_english(parser, "description"))
    else:
        yield from _pieces(_english(function, "__doc__"))


def _english(what: Any, attribute: str) -> str:
    if not hasattr(what, _ENGLISH):
        setattr(what, _ENGLISH, getattr(what, attribute) or "")
    return str(getattr(what, _ENGLISH))


def _paragraphs(doc: str) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(doc))


def _pieces(doc: str) -> Iterator[str]:
    for paragraph in _paragraphs(doc):
        if paragraph.startswith(" "):
            yield from (found["why"] for line in paragraph.splitlines() if (found := _EXPLAINED.match(line)))
        elif paragraph != "::":
            yield " ".join(paragraph.split())


def _localized(doc: str) -> str:
    if language() == "en":
        return inspect.cleandoc(doc)
    parts = []
    for paragraph in _paragraphs(doc):
        if paragraph.startswith(" "):
            lines = [
                f"{found['what']}{found['gap']}{say(found['why'])}" if (found := _EXPLAINED.match(line)) else line
                for line in paragraph.splitlines()
            ]
        else:
            lines = wrapped(say(" ".join(paragraph.split())))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
