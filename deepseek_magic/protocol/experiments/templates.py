"""The prompts of a plan: one text, or several under names, each begun by a line ``--- name``.

A bare ``---`` stays what it is in Markdown, a rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ...text.messages import Message
from ..errors import ConfigurationError

ONLY: Final = "prompt"
"""The name of a template that was given none."""

_BEGINS: Final = re.compile(r"^---[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A prompt with ``{column}`` in it, under the name that tables show."""

    name: str
    text: str


def templates(prompt: str | Mapping[str, str]) -> tuple[Template, ...]:
    """The templates of a text with ``--- name`` lines, or of a dict from names to texts.

    Raises ConfigurationError for an empty template, a name given twice, and text before the first name.
    """
    if isinstance(prompt, str):
        first, *rest = _BEGINS.split(prompt)
        if not rest:
            return _checked([(ONLY, prompt)])
        if first.strip():
            raise ConfigurationError(
                Message("There is text before the first template, {name}.", name=f"--- {rest[0]}"),
                hint=Message("Begin with a line --- and a name for it, too."),
            )
        return _checked(list(zip(rest[::2], (text.strip("\n") for text in rest[1::2]), strict=True)))
    if not isinstance(prompt, Mapping) or not prompt:
        raise ConfigurationError(
            Message("The prompt of a plan is a text or a dict of named texts, not {kind}.", kind=type(prompt).__name__),
            hint=Message('Write {name: text}, like {"short": "…{question}", "long": "…{question}"}.'),
        )
    return _checked(list(prompt.items()))


def written(named: Sequence[tuple[str, str]]) -> str:
    """The text that ``templates`` reads as these names and texts; the name of a single one is not in it.

    Raises ConfigurationError for a text that would be read as several.
    """
    for name, text in named:
        if (line := _BEGINS.search(text)) is not None:
            raise ConfigurationError(
                Message("The line {line} in the prompt would begin another one.", line=line[0].strip()),
                hint=Message("Put a space before the three dashes."),
            )
        if len(named) > 1 and not name.strip():
            raise ConfigurationError(
                Message("A prompt has no name."), hint=Message("Give each its own: tables show it.")
            )
    texts = [text.strip("\n") for _, text in named]
    if len(named) == 1:
        return texts[0]
    names = [" ".join(name.split()) for name, _ in named]
    return "\n".join(f"--- {name}\n{text}" for name, text in zip(names, texts, strict=True))


def _checked(named: list[tuple[str, str]]) -> tuple[Template, ...]:
    for name, text in named:
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(
                Message("The template {name} is empty or no text.", name=name),
                hint=Message("Write what you want to ask."),
            )
    name, times = Counter(str(name) for name, _ in named).most_common(1)[0]
    if times > 1:
        raise ConfigurationError(
            Message("Two templates are called {name}.", name=name), hint=Message("Give each its own name.")
        )
    return tuple(Template(name=str(name), text=str(text)) for name, text in named)
