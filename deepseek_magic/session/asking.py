"""What was typed → what is sent: saved prompts found, words filled, images and a schema added.

Apart from the session, because none of it depends on what went before: the same words, settings and variables always
make the same messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..protocol import template
from ..protocol.chat import ChatMessage, Prompt, Request
from ..protocol.errors import ConfigurationError
from ..protocol.options import Options, ProjectText
from ..protocol.schema import Schema
from ..text.messages import Message
from . import images, prompts

_SAVED: Final = re.compile(r"@([\w.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, before it is known where; ``notices`` are sentences for the user."""

    prompt: Prompt
    system: str | None = None
    schema: Schema | None = None
    notices: tuple[Message | str, ...] = ()

    def complete(self, request: Request) -> Request:
        """The request made of this prompt and system prompt, with the schema in it."""
        return request if self.schema is None else self.schema.ask_in(request)


def question(
    prompt: Prompt,
    options: Options,
    variables: Mapping[str, Any] | None = None,
    *,
    schema: type | str | Schema | None = None,
    image: Any = None,
    seen: Callable[[str, str], str] | None = None,
) -> Question:
    """Make the question. ``variables`` fill ``{name}``, ``$name`` and the names of a schema and of images; ``seen`` as in
    ``template.fill``.

    Raises ConfigurationError where a name leads nowhere.
    """
    notices: list[Message] = []
    system = options.get("system")
    named = _named(options.get("fill", ()), prompt, system)

    def filled(text: str) -> str:
        if variables is None or options.get("raw"):
            return str(text)
        done = template.fill(text, variables, only=named if isinstance(text, ProjectText) else None, seen=seen)
        notices.extend(done.notices)
        return done.text

    if system is not None and system.startswith("$"):
        if isinstance(system, ProjectText) and system[1:] not in named:
            said = Message("The pyproject.toml in {folder} asks for the variable {name}, which the cell does not name.")
            hint = Message("--fill {name} allows it.", name=system[1:])
            raise ConfigurationError(said.filled(folder=system.folder, name=system[1:]), hint=hint)
        system = _variable(system[1:], variables)
    elif system is not None:
        saved = _SAVED.fullmatch(system)
        system = filled(prompts.saved_prompt(saved[1]) if saved else system)
    if isinstance(prompt, str):
        prompt = filled(prompt)
    if "template" in options:
        if not isinstance(prompt, str):
            sentence = Message("A saved prompt goes with a prompt that is text.")
            raise ConfigurationError(sentence, hint=Message("Leave one of them out."))
        prompt = prompts.applied(prompts.saved_prompt(options["template"]), prompt, filled)
    schema = schema if schema is not None else options.get("schema")
    if image:
        prompt = _with_images(prompt, image if isinstance(image, list | tuple) else (image,), variables)
    return Question(
        prompt=prompt,
        system=system,
        schema=_schema(schema, variables),
        notices=tuple(notices),
    )


def _schema(schema: type | str | Schema | None, variables: Mapping[str, Any] | None) -> Schema | None:
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, str):
        return Schema.named(schema, variables)
    return Schema.of(schema) if schema else None


def _with_images(prompt: Prompt, given: Sequence[Any], variables: Mapping[str, Any] | None) -> Prompt:
    if not isinstance(prompt, str):
        said = Message("Images go with a prompt that is text.")
        raise ConfigurationError(said, hint=Message("Put them into your messages as parts."))
    if not prompt.strip():
        return prompt  # which is refused as such
    shown = images.parts(given, variables)
    return (ChatMessage(role="user", content=(*shown, {"type": "text", "text": prompt})),)


def _named(allowed: Sequence[str], prompt: Prompt, system: str | None) -> frozenset[str]:
    """The paths that the user has named: by ``--fill``, in the cell, in a system prompt that was typed."""
    typed = [text for text in (prompt, system) if isinstance(text, str) and not isinstance(text, ProjectText)]
    return frozenset((*allowed, *(path for text in typed for path in template.paths(text))))


def _variable(name: str, variables: Mapping[str, Any] | None) -> str:
    if variables is None or name not in variables:
        said = Message("The system prompt {text} names a variable that does not exist.", text=f"${name}")
        raise ConfigurationError(said, hint=Message("Define it first, or write the text."))
    return template.show(variables[name])
