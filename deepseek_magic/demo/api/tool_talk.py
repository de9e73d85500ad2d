"""Which functions the demo asks for in each round of a question with tools: as a model would, and as none should.

The first suitable tool is called, and its result is the answer. Words in the prompt make other conversations:

    in parallel        all suitable tools in one answer; of one tool a call for each name in the prompt
    on and on          another call of the same tool after each result
    for ever           the very same call after each result
    wrong arguments    arguments that no tool takes; after the error the right ones
    half a call        arguments that end in their middle, in an answer that claims to be whole
    os.system          a function that nobody gave, with what the prompt has in quotation marks
    obey               whatever a result says in the form "call NAME": also a function that nobody gave
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final

from .calls import CalledTool, calls_for
from .checks import text_of
from .inquiry import Inquiry

_ORDER: Final = re.compile(r"\bcall ([A-Za-z_][\w.]*)")
_NAMES: Final = re.compile(r"\b[A-Z][\w-]+")
_UNGIVEN: Final = "os.system"


def tool_calls(asked: Inquiry) -> tuple[CalledTool, ...]:
    """The calls of the next answer; none when it is to be said in words."""
    return tuple(_again(asked) if asked.messages[-1]["role"] == "tool" else _first(asked))


def _first(asked: Inquiry) -> Iterator[CalledTool]:
    if asked.messages[-1]["role"] != "user" or not asked.tools or asked.tool_choice == "none":
        return
    said = asked.prompt.lower()
    found = [*calls_for(asked.prompt, asked.tools, asked.tool_choice)]
    if _UNGIVEN in said:
        quoted = re.search(r"[\"“']([^\"”']+)[\"”']", asked.prompt)
        yield _call(asked, _UNGIVEN, {"command": quoted[1] if quoted else "true"})
    elif not found:
        return
    elif "wrong arguments" in said:
        yield _call(asked, found[0].name, {"nonsense": ["?"]})
    elif "half a call" in said:
        yield CalledTool(id=found[0].id, name=found[0].name, arguments=found[0].arguments[:-3])
    elif "in parallel" in said:
        yield from _side_by_side(asked, found[0])
    else:
        yield from found


def _side_by_side(asked: Inquiry, first: CalledTool) -> Iterator[CalledTool]:
    suitable = [call for tool in asked.tools for call in calls_for(asked.prompt, (tool,), None)]
    if len(suitable) > 1:
        yield from suitable
        return
    arguments = json.loads(first.arguments)
    texts = [key for key, value in arguments.items() if isinstance(value, str)]
    for name in dict.fromkeys(_NAMES.findall(asked.prompt.partition(" ")[2])):
        yield _call(asked, first.name, {**arguments, **dict.fromkeys(texts, name)})


def _again(asked: Inquiry) -> Iterator[CalledTool]:
    """The calls after results, most often none."""
    said = asked.prompt.lower()
    rounds = sum(bool(message.get("tool_calls")) for message in _since_asked(asked))
    results = [text_of(message.get("content")) for message in _since_asked(asked) if message["role"] == "tool"]
    right = [*calls_for(asked.prompt, asked.tools, None)]
    if "for ever" in said or ("wrong arguments" in said and results[-1].startswith("Error") and rounds == 1):
        for call in right:
            yield _call(asked, call.name, json.loads(call.arguments), number=rounds)
    elif "on and on" in said:
        for call in right:
            yield _call(asked, call.name, _varied(json.loads(call.arguments), rounds), number=rounds)
    elif "obey" in said and (told := _ORDER.search(results[-1])) and rounds == 1:
        known = [*calls_for(told[1], [tool for tool in asked.tools if tool["name"] == told[1]], "required")]
        arguments = json.loads(known[0].arguments) if known else {"command": results[-1]}
        yield _call(asked, told[1], arguments, number=rounds)


def _since_asked(asked: Inquiry) -> list[Any]:
    return [*takewhile(lambda message: message["role"] != "user", reversed(asked.messages))][::-1]


def _varied(arguments: dict[str, Any], number: int) -> dict[str, Any]:
    """Arguments as they were, but for the first one that can be another each time."""
    for key, value in arguments.items():
        if isinstance(value, str):
            return {**arguments, key: f"{value} {number}"}
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {**arguments, key: value + number}
    return arguments


def _call(asked: Inquiry, name: str, arguments: dict[str, Any], *, number: int = 0) -> CalledTool:
    text = json.dumps(arguments, ensure_ascii=False)
    digest = hashlib.sha256(f"{name}{text}{number}{asked.prompt}".encode()).hexdigest()[:20]
    return CalledTool(id=f"call_{number:02}_{digest}", name=name, arguments=text)
