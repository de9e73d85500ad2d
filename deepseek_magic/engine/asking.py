"""What was typed → what is sent: the words filled, the system prompt found, the schema added.

Apart from the session, because none of it depends on what went before: the same words, settings and variables always
make the same messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..protocol import template
from ..protocol.chat import Prompt, Request
from ..protocol.errors import ConfigurationError
from ..protocol.options import Options
from ..protocol.schema import Schema

__all__ = ["Question", "question"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, before it is known where; ``notices`` are sentences for the user."""

    prompt: Prompt
    system: str | None = None
    schema: Schema | None = None
    notices: tuple[str, ...] = ()

    def complete(self, request: Request) -> Request:
        """The request made of this prompt and system prompt, with the schema in it."""
        return request if self.schema is None else self.schema.ask_in(request)


def question(
    prompt: Prompt, options: Options, variables: Mapping[str, Any] | None = None, *, schema: type | str | None = None
) -> Question:
    """Make the question. ``variables`` fill ``{name}``, ``$name`` and the name of a schema.

    Raises ConfigurationError where a name leads nowhere.
    """
    notices: list[str] = []

    def filled(text: str) -> str:
        if variables is None or options.get("raw"):
            return text
        done = template.fill(text, variables)
        notices.extend(done.notices)
        return done.text

    system = options.get("system")
    if system is not None:
        system = _variable(system[1:], variables) if system.startswith("$") else filled(system)
    schema = schema if schema is not None else options.get("schema")
    return Question(
        prompt=filled(prompt) if isinstance(prompt, str) else prompt,
        system=system,
        schema=Schema.named(schema, variables) if isinstance(schema, str) else Schema.of(schema) if schema else None,
        notices=tuple(notices),
    )


def _variable(name: str, variables: Mapping[str, Any] | None) -> str:
    if variables is None or name not in variables:
        raise ConfigurationError(
            f"The system prompt ${name} names a variable that does not exist.",
            hint="Define it first, or write the text.",
        )
    return template.show(variables[name])
