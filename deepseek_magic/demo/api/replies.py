"""What the demo answers: a pure function of the messages and the options, so that any prefix of it can be continued.

Words in the last user message choose the pieces:

    table, code, formula, markdown, chinese, stream   that subject (also in Chinese: 表格, 代码, 公式, …)
    echo          (before all others) the message itself, unchanged, in a code block: shows how {name} was filled
    long N        (also 长文 N) about N kB of numbered paragraphs
    17 × 24?      the result of that sum, right or wrong by the setting, see sums.py; a judge of such answers gets a verdict
    a failed cell and its error, as %deepseek_fix sends them    the cell again, with the error as a comment above it
    Where do we meet?    what was said about it before in this conversation, or that nobody told it, see recall.py
    unsafe        hostile HTML, links and formulas, for testing that nothing of it runs
    a tool's name or a word of its description    a call of that tool, when tools are given, see tool_talk.py

Anything else gets an explanation of what was sent. The n-th answer to a sum may be another one than the first: ``Inquiry.draw``. ``max_tokens``, ``stop`` and streaming never change the text: they
only end it, so a continuation with other budgets continues the same answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, product, takewhile
from typing import Any, Final

from ...protocol.models import MODELS
from ...text.fences import fenced, ticks_around
from .calls import CalledTool, value_for
from .checks import text_of
from .images import described
from .inquiry import Inquiry, prompt_tokens
from .recall import recalled
from .sums import worked_out
from .texts import Language, say, sections, table_of, unsafe
from .tool_talk import tool_calls
from .verdicts import verdict_on

_FAILED: Final = re.compile(
    r"^(?P<fence>`{3,})python\n(?P<cell>.*?)^(?P=fence)$.*?^(?P<mark>`{3,})\n(?P<error>.*?)^(?P=mark)$",
    re.DOTALL | re.MULTILINE,
)
_LONG: Final = re.compile(r"(?:\blong\s+|长文\s*)(\d{1,5})(?![0-9A-Za-z_])", re.IGNORECASE)
_THOUGHTS: Final = {"low": 1, "high": 3, "max": 4}
_SHOWN_CHARS: Final = 60
_DRAWS: Final = 50
"""So many of the newest answers to a sum are looked through for one that began as a prefix does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model has to say. A reply with calls has no text."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CalledTool, ...] = ()


def reply(asked: Inquiry) -> Reply:
    """The whole reply, the same for the same question."""
    calls = tool_calls(asked)
    text = "" if calls else _json_text(asked) if asked.json_mode else _text(asked)
    return Reply(text=text, reasoning=_reasoning(asked, calls) if asked.thinking else "", calls=calls)


def continuation(asked: Inquiry, text: str, reasoning: str | None) -> Reply:
    """What comes after ``text`` (or, while that is empty, after ``reasoning``).

    A prefix of the reply that these messages get is continued to its end, also when it began with another thinking mode
    or in JSON mode; any other text is answered with a few sentences that fit after it. With thinking off, newlines at
    the start of a continuation are lost, as in DeepSeek's published protocol code.
    """
    draws = range(asked.draw, max(0, asked.draw - _DRAWS), -1)
    modes = product(draws, (asked.json_mode, not asked.json_mode), (asked.thinking, not asked.thinking))
    replies = [reply(replace(asked, draw=draw, json_mode=as_json, thinking=on)) for draw, as_json, on in modes]
    if not text and asked.thinking:
        thought = reasoning or ""
        whole = next((r for r in replies if r.reasoning and r.reasoning.startswith(thought)), None)
        rest = whole.reasoning[len(thought) :] if whole else _gap(thought) + say(asked.language, "onward_thought")
        return Reply(text=(whole or replies[0]).text, reasoning=rest)
    known = next((r.text[len(text) :] for r in replies if r.text.startswith(text)), None)
    rest = known if known is not None else _gap(text) + say(asked.language, "onward", chars=len(text))
    return Reply(text=rest if asked.thinking else rest.lstrip("\n"))


def _gap(before: str) -> str:
    return "" if not before or before[-1].isspace() else " "


def _reasoning(asked: Inquiry, calls: Sequence[CalledTool]) -> str:
    thoughts = table_of(asked.language, "thoughts")
    first, *middle, last = thoughts["lines"]
    if calls:
        middle = [thoughts["call"].format(name=calls[0].name)]
    lines = [first.format(subject=_short(asked.prompt)), *middle, last]
    return str(thoughts["between"].join(lines[: _THOUGHTS[asked.effort]]))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1].rstrip() + "…"


# the answer


def _text(asked: Inquiry) -> str:
    if asked.messages[-1]["role"] == "tool":
        return _after_tools(asked)
    images = described(asked.messages[-1].get("content"), asked.language)
    return "\n\n".join([*_seen(images, asked), _answer(asked)])


def _seen(images: Sequence[str], asked: Inquiry) -> list[str]:
    """What reached the demo as images, first of all; a model that does not see says nothing of them."""
    if not images or asked.model not in {model.id for model in MODELS if model.vision}:
        return []
    head = say(asked.language, "images", number=len(images), s=_plural(images))
    return [head + "\n\n" + "\n".join(f"- {image}" for image in images)]


def _plural(things: Sequence[Any]) -> str:
    return "" if len(things) == 1 else "s"


def _answer(asked: Inquiry) -> str:
    prompt = asked.prompt
    if re.search(r"\becho\b", prompt, re.IGNORECASE):
        return _echo(prompt)
    if long := _LONG.search(prompt):
        return _long(int(long[1]) * 1000, asked.language)
    if re.search(r"\bunsafe\b", prompt, re.IGNORECASE):
        return unsafe()
    if failed := _FAILED.search(prompt):
        error = (failed["error"].strip().splitlines() or ["?"])[-1]
        cell = fenced(f"# {error}\n{failed['cell']}", "python")
        return f"{say(asked.language, 'repair', error=error)}\n\n{cell}"
    if (result := worked_out(asked)) is not None:
        return result
    if wanted := [*sections(asked.language, prompt)]:
        footer = say(asked.language, "footer", s=_plural(asked.messages), **_facts(asked, "footer"))
        return "\n\n".join([*wanted, footer])
    return recalled(asked) or _explanation(asked)


def _echo(text: str) -> str:
    fence = ticks_around(text)
    return f"{fence}text\n{text}\n{fence}"


def _long(size_bytes: int, language: Language) -> str:
    paragraphs: list[str] = []
    written = 0
    for number in count(1):
        digest = hashlib.sha256(str(number).encode()).hexdigest()[:8]
        paragraphs.append(say(language, "paragraph", number=number, digest=digest))
        written += len(paragraphs[-1].encode()) + 2
        if written >= size_bytes:
            break
    return "\n\n".join(paragraphs)


def _after_tools(asked: Inquiry) -> str:
    latest = [*takewhile(lambda message: message["role"] == "tool", reversed(asked.messages))]
    results = [_echo(text_of(message.get("content"))) for message in reversed(latest)]
    return say(asked.language, "after_tools", results="\n\n".join(results))


def _explanation(asked: Inquiry) -> str:
    """What was sent, in a table: after an introduction at first, later after a proof that the chat is remembered."""
    table = say(
        asked.language,
        "table",
        temperature=_temperature(asked),
        turns=len(asked.said),
        system=_cell(asked.system) or say(asked.language, "no_system"),
        **_facts(asked, "thinking"),
    )
    quote = "> " + (_cell(asked.prompt) or "…")
    if len(asked.said) < 2:
        return say(asked.language, "first", quote=quote, table=table)
    return say(asked.language, "later", quote=quote, before=_cell(asked.said[-2]), table=table)


def _temperature(asked: Inquiry) -> str:
    if asked.temperature is None:
        return say(asked.language, "temperature_unset")
    if asked.thinking:
        return say(asked.language, "temperature_void", temperature=asked.temperature)
    return str(asked.temperature)


def _facts(asked: Inquiry, style: str) -> dict[str, Any]:
    """What was sent, for a phrase; ``style`` is its way to say whether the model thinks."""
    return {
        "model": asked.model,
        "thinking": say(asked.language, f"{style}_on" if asked.thinking else f"{style}_off", effort=asked.effort),
        "messages": len(asked.messages),
        "tokens": len(prompt_tokens(asked)),
    }


def _cell(text: str) -> str:
    # A bracket that opens stays as it is: after a backslash it would open a formula.
    return re.sub(r"([\\`*_\]<>|$])", r"\\\1", _short(text))


def _json_text(asked: Inquiry) -> str:
    if (verdict := verdict_on(asked)) is not None:
        return json.dumps(verdict, ensure_ascii=False, indent=2)
    schema = next((found for m in asked.messages if (found := _schema_in(text_of(m.get("content"))))), None)
    if schema is not None:
        return json.dumps(value_for(schema, asked.prompt), ensure_ascii=False, indent=2)
    pattern = table_of(asked.language, "json")
    answer = {key: _short(asked.prompt) if value == "{question}" else value for key, value in pattern.items()}
    return json.dumps({**answer, "model": asked.model, "demo": True}, ensure_ascii=False, indent=2)


def _schema_in(text: str) -> dict[str, Any] | None:
    """The JSON Schema that a line of a message holds."""
    for line in text.splitlines():
        if line.startswith("{") and ("properties" in line or "$ref" in line):
            with contextlib.suppress(ValueError):
                found: dict[str, Any] = json.loads(line)
                return found
    return None
