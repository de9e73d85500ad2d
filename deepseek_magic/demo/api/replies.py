"""What the demo answers: a pure function of the messages and the options, so that any prefix of it can be continued.

Words in the last user message choose the pieces:

    table, code, formula, markdown, chinese, stream   that subject (also in Chinese: 表格, 代码, 公式, …)
    echo          (before all others) the message itself, unchanged, in a code block: shows how {name} was filled
    long N        about N kB of numbered paragraphs
    a failed cell and its error, as %deepseek_fix sends them    the cell again, with the error as a comment above it
    unsafe        hostile HTML, links and formulas, for testing that nothing of it runs
    a tool's name or a word of its description    a call of that tool, when tools are given

Anything else gets an explanation of what was sent. ``max_tokens``, ``stop`` and streaming never change the text: they
only end it, so a continuation with other budgets continues the same answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from typing import Any, Final

from ...protocol.models import MODELS, resolve_model
from ...text.fences import fenced
from .calls import CalledTool, calls_for, value_for
from .checks import text_of, thinks
from .images import described
from .sections import SECTIONS, unsafe
from .tokens import tokenize

__all__ = ["Inquiry", "Reply", "asked_for", "continuation", "prompt_tokens", "reply"]

_CJK: Final = re.compile(r"[\u3400-\u9fff]")
_FAILED: Final = re.compile(
    r"^(?P<fence>`{3,})python\n(?P<cell>.*?)^(?P=fence)$.*?^(?P<mark>`{3,})\n(?P<error>.*?)^(?P=mark)$",
    re.DOTALL | re.MULTILINE,
)
_LONG: Final = re.compile(r"\blong\s+(\d{1,5})\b", re.IGNORECASE)
_EFFORT_LINES: Final = {"low": 50, "high": 75, "max": 100}
_EFFORTS: Final = {"minimal": "low", "medium": "high", "xhigh": "high", "ultra": "max", "none": "high"}
_SHOWN_CHARS: Final = 60

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What decides a reply; ``messages`` without a prefix to be continued."""

    model: str
    messages: tuple[Message, ...]
    thinking: bool = True
    effort: str = "high"
    temperature: float | None = None
    json_mode: bool = False
    tools: tuple[Message, ...] = ()
    tool_choice: Any = None

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        said = (text_of(m.get("content")) for m in reversed(self.messages) if m["role"] == "user")
        return next(said, "")

    @property
    def chinese(self) -> bool:
        """Whether the question is written in Chinese."""
        return bool(_CJK.search(self.prompt))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model has to say. A reply with calls has no text."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CalledTool, ...] = ()


def asked_for(body: Mapping[str, Any]) -> Inquiry:
    """The part of a checked body that decides the reply."""
    messages = body["messages"]
    if messages[-1]["role"] == "assistant" and messages[-1].get("prefix"):
        messages = messages[:-1]
    effort = body.get("reasoning_effort") or "high"
    return Inquiry(
        model=resolve_model(body["model"]).id,
        messages=tuple(messages),
        thinking=thinks(body),
        effort=_EFFORTS.get(effort, effort),
        temperature=body.get("temperature"),
        json_mode=(body.get("response_format") or {}).get("type") == "json_object",
        tools=tuple(tool["function"] for tool in body.get("tools") or ()),
        tool_choice=body.get("tool_choice"),
    )


def prompt_tokens(asked: Inquiry) -> list[str]:
    """The prompt as the model sees it, in tokens; the thinking line comes first, so changing it loses the cache."""
    tokens = tokenize(f"<|System|>Reasoning Effort: {_EFFORT_LINES[asked.effort]}\n") if asked.thinking else []
    for tool in asked.tools:
        tokens += tokenize(json.dumps(tool, ensure_ascii=False, sort_keys=True))
    for message in asked.messages:
        tokens.append(f"<|{message['role']}|>")
        tokens += tokenize(text_of(message.get("content")))
        if message.get("tool_calls"):
            tokens += tokenize(json.dumps(message["tool_calls"], ensure_ascii=False))
    return [*tokens, "<|assistant|>"]


def reply(asked: Inquiry) -> Reply:
    """The whole reply, the same for the same question."""
    asks = asked.messages[-1]["role"] == "user"
    calls = tuple(calls_for(asked.prompt, asked.tools, asked.tool_choice)) if asks else ()
    text = "" if calls else _json_text(asked) if asked.json_mode else _text(asked)
    return Reply(text=text, reasoning=_reasoning(asked, calls) if asked.thinking else "", calls=calls)


def continuation(asked: Inquiry, text: str, reasoning: str | None) -> Reply:
    """What comes after ``text`` (or, while that is empty, after ``reasoning``).

    A prefix of the reply that these messages get is continued to its end, also when it began with another thinking mode
    or in JSON mode; any other text is answered with a few sentences that fit behind it. With thinking off, newlines at
    the start of a continuation are lost, as in DeepSeek's published protocol code.
    """
    modes = product((asked.json_mode, not asked.json_mode), (asked.thinking, not asked.thinking))
    replies = [reply(replace(asked, json_mode=as_json, thinking=on)) for as_json, on in modes]
    if not text and asked.thinking:
        thought = reasoning or ""
        whole = next((r for r in replies if r.reasoning and r.reasoning.startswith(thought)), None)
        rest = whole.reasoning[len(thought) :] if whole else _gap(thought) + _ONWARD_THOUGHT
        return Reply(text=(whole or replies[0]).text, reasoning=rest)
    known = next((r.text[len(text) :] for r in replies if r.text.startswith(text)), None)
    rest = known if known is not None else _gap(text) + _ONWARD[asked.chinese].format(chars=len(text))
    return Reply(text=rest if asked.thinking else rest.lstrip("\n"))


_ONWARD_THOUGHT: Final = "That is as far as the given thought goes; now the answer."
_ONWARD: Final = {
    False: "… and from here the demo goes on by itself: it was given {chars} characters to continue, and they are not the "
    "beginning of an answer that it would have written.",
    True: "……从这里起由演示服务器自己写：它收到 {chars} 个字符的开头，而那不是它自己的回答。",
}


def _gap(before: str) -> str:
    return "" if not before or before[-1].isspace() else " "


# thinking


def _reasoning(asked: Inquiry, calls: Sequence[CalledTool]) -> str:
    subject = _short(asked.prompt)
    if asked.chinese:
        lines = [f"用户问的是“{subject}”。", "先说明收到了什么，再给出一个清楚的例子。", "保持简短，适合投影。"]
    else:
        lines = [
            f'The user says: "{subject}".',
            "I should first tell what arrived here, then give one clear example.",
            "Keep it short enough to be read on a projector.",
        ]
    if calls:
        lines[1:] = [f"The tool {calls[0].name} fits; I call it with what the prompt gives."]
    amount = {"low": 1, "high": 3}.get(asked.effort, 4)
    if amount > len(lines):
        lines.append("再检查一遍：数字、格式、结尾。" if asked.chinese else "Check once more: figures, format, ending.")
    return ("" if asked.chinese else " ").join(lines[:amount])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1].rstrip() + "…"


# the answer


def _text(asked: Inquiry) -> str:
    if asked.messages[-1]["role"] == "tool":
        return _after_tools(asked)
    images = described(asked.messages[-1].get("content"))
    return "\n\n".join([*_seen(images, asked), _answer(asked)])


def _seen(images: Sequence[str], asked: Inquiry) -> list[str]:
    """What reached the demo as images, first of all; a model that does not see is told of none."""
    if not images or asked.model not in {model.id for model in MODELS if model.vision}:
        return []
    head = (
        f"我收到了 {len(images)} 张图片："
        if asked.chinese
        else f"I got {len(images)} image{'' if len(images) == 1 else 's'}:"
    )
    return [head + "\n\n" + "\n".join(f"- {image}" for image in images)]


def _answer(asked: Inquiry) -> str:
    prompt = asked.prompt
    if re.search(r"\becho\b", prompt, re.IGNORECASE):
        return _echo(prompt)
    if long := _LONG.search(prompt):
        return _long(int(long[1]) * 1000)
    if re.search(r"\bunsafe\b", prompt, re.IGNORECASE):
        return unsafe()
    if failed := _FAILED.search(prompt):
        return _repair(failed["cell"], failed["error"], asked.chinese)
    wanted = [s.chinese if asked.chinese else s.english for s in SECTIONS if s.wanted(prompt)]
    if wanted:
        return "\n\n".join([*wanted, _footer(asked)])
    return _explanation(asked)


def _echo(text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _repair(cell: str, error: str, chinese: bool) -> str:
    last = error.strip().splitlines()[-1] if error.strip() else "?"
    if chinese:
        said = f"错误是 `{last}`。真正的模型会在这里说明原因并修好单元格；演示服务器只把它原样交还，并在上面注明错误。"
    else:
        said = (
            f"The error is `{last}`. A model would say here why, and repair the cell. I am only the demo server: I give it "
            "back as it was, with the error above it."
        )
    return f"{said}\n\n{fenced(f'# {last}{chr(10)}{cell}', 'python')}"


def _long(chars: int) -> str:
    paragraphs: list[str] = []
    written = 0
    for number in count(1):
        digest = hashlib.sha256(str(number).encode()).hexdigest()[:8]
        paragraph = (
            f"**{number}.** This is paragraph {number} of a long answer, marked {digest}. It is made of ordinary sentences, "
            f"so that scrolling, buffering and recovery can be watched at leisure. 第 {number} 段，标记 {digest}。"
        )
        paragraphs.append(paragraph)
        written += len(paragraph.encode()) + 2
        if written >= chars:
            break
    return "\n\n".join(paragraphs)


def _after_tools(asked: Inquiry) -> str:
    results = []
    for message in reversed(asked.messages):
        if message["role"] != "tool":
            break
        results.append(text_of(message.get("content")))
    shown = "\n\n".join(_echo(result) for result in reversed(results))
    lead = "工具返回了下面的结果：" if asked.chinese else "The tool has answered:"
    close = "据此即可回答问题。" if asked.chinese else "With that the question is answered."
    return f"{lead}\n\n{shown}\n\n{close}"


def _explanation(asked: Inquiry) -> str:
    tokens = len(prompt_tokens(asked))
    system = next((text_of(m.get("content")) for m in asked.messages if m["role"] == "system"), "")
    turns = sum(m["role"] == "user" for m in asked.messages)
    if asked.chinese:
        rows = [
            ("模型", f"`{asked.model}`"),
            ("思考", f"开（{asked.effort}）" if asked.thinking else "关"),
            ("温度", _temperature(asked)),
            ("消息", f"{len(asked.messages)} 条，其中 {turns} 条是你的"),
            ("系统提示", _cell(system) or "无"),
            ("提示长度", f"约 {tokens} 个 token"),
        ]
        table = _table(("项目", "内容"), rows)
    else:
        rows = [
            ("model", f"`{asked.model}`"),
            ("thinking", f"on, effort {asked.effort}" if asked.thinking else "off"),
            ("temperature", _temperature(asked)),
            ("messages", f"{len(asked.messages)}, of which {turns} from you"),
            ("system prompt", _cell(system) or "none"),
            ("prompt", f"about {tokens} tokens"),
        ]
        table = _table(("what", "value"), rows)
    head, tail = _framed(asked)
    return f"{head}\n\n{table}{tail}"


def _framed(asked: Inquiry) -> tuple[str, str]:
    """What stands before and behind the table: an introduction at first, later a proof that the chat is remembered."""
    earlier = [text_of(m.get("content")) for m in asked.messages if m["role"] == "user"][:-1]
    if earlier:
        said = _cell(earlier[-1])
        if asked.chinese:
            return f"你现在说：\n\n{_quote(asked.prompt)}\n\n我记得你上一句是：“{said}”，因为整个对话又发送了一遍：", ""
        return (
            f'Now you say:\n\n{_quote(asked.prompt)}\n\nI remember what you said before, "{said}", because the whole '
            "conversation was sent again:",
            "",
        )
    if asked.chinese:
        return (
            f"你好！我是**演示服务器**，运行在这台机器上，不是真正的模型。你说的是：\n\n{_quote(asked.prompt)}\n\n我收到了：",
            "\n\n试试在提示里写：`表格`、`代码`、`公式`、`echo`、`long 4`，或者问问什么是 `流式`。",
        )
    return (
        "Hello! I am the **demo server** on your own machine: no model, no key, no bill, but the same stream that "
        f"DeepSeek would send. You said:\n\n{_quote(asked.prompt)}\n\nThis is what reached me:",
        "\n\nPut one of these words into a prompt and see what comes: `table`, `code`, `formula`, `markdown`, `chinese`, "
        "`stream`, `echo`, `long 4`.",
    )


def _temperature(asked: Inquiry) -> str:
    if asked.temperature is None:
        return "默认" if asked.chinese else "default"
    if asked.thinking:
        return f"{asked.temperature}{'（思考时无效）' if asked.chinese else ', without effect while thinking'}"
    return str(asked.temperature)


def _footer(asked: Inquiry) -> str:
    tokens = len(prompt_tokens(asked))
    if asked.chinese:
        mode = f"思考开（{asked.effort}）" if asked.thinking else "思考关"
        return f"*演示服务器 · `{asked.model}` · {mode} · {len(asked.messages)} 条消息 · 约 {tokens} 个 token*"
    mode = f"thinking {asked.effort}" if asked.thinking else "thinking off"
    plural = "" if len(asked.messages) == 1 else "s"
    return f"*demo server · `{asked.model}` · {mode} · {len(asked.messages)} message{plural} · about {tokens} prompt tokens*"


def _quote(text: str) -> str:
    return "> " + (_cell(text) or "…")


def _cell(text: str) -> str:
    # A bracket that opens stays as it is: behind a backslash it would open a formula.
    return re.sub(r"([\\`*_\]<>|$])", r"\\\1", _short(text))


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|:---|:---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines)


def _json_text(asked: Inquiry) -> str:
    schema = next((found for m in asked.messages if (found := _schema_in(text_of(m.get("content"))))), None)
    if schema is not None:
        return json.dumps(value_for(schema, asked.prompt), ensure_ascii=False, indent=2)
    if asked.chinese:
        answer = {"回答": "这是 JSON 模式的回答", "问题": _short(asked.prompt), "要点": ["短", "有效", "可解析"]}
    else:
        answer = {
            "answer": "This is JSON mode",
            "question": _short(asked.prompt),
            "points": ["short", "valid", "parsable"],
        }
    return json.dumps({**answer, "model": asked.model, "demo": True}, ensure_ascii=False, indent=2)


def _schema_in(text: str) -> Message | None:
    """The JSON Schema that a line of a message holds."""
    for line in text.splitlines():
        if line.startswith("{") and ("properties" in line or "$ref" in line):
            with contextlib.suppress(ValueError):
                found: Message = json.loads(line)
                return found
    return None
