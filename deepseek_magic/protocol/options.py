"""Every setting of a call, declared once: type, unit, bounds, help.

Flags, the request body, panel controls, completion and the documentation table are derived from ``OPTIONS``. A setting
that was not given is absent from ``Options`` and is not sent. Source of names, bounds and defaults: DeepSeek's page
"create chat completion" and its thinking-mode guide (November 2026).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypedDict

from ..text.messages import Message
from .errors import ConfigurationError
from .tools.tool import Tool

Kind = Literal["text", "integer", "number", "choice", "switch", "json"]
Scope = Literal["request", "call", "cell"]
Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting.

    ``scope``: "request" settings are part of the body and of the request's digest, "call" settings say how the call is
    made, "cell" settings what the cell does with the answer. ``flags`` is empty for settings of the Python API alone.
    ``minimum`` and ``maximum`` are inclusive unless ``above_minimum``. ``many`` is how often it may be given, ``alone`` the
    value of a flag that is typed without one, ``shape`` what a setting of kind "json" must be: dict, list, or either (None).
    """

    name: str
    kind: Kind
    help: Message
    scope: Scope = "request"
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    unit: Message | str | None = None
    default: Message | str | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above_minimum: bool = False
    many: int = 1
    alone: float | None = None
    shape: type | None = None
    to_body: Callable[[Any], Body] | None = None

    def body(self, value: Any) -> Body:
        """What this setting adds to the request body."""
        return self.to_body(value) if self.to_body else {self.name: value}

    def parse(self, text: str) -> Any:
        """The value typed as ``text`` on a magic line. Raises ConfigurationError in one sentence."""
        try:
            if self.kind == "integer":
                return self.check(int(text.replace("_", "")))
            if self.kind == "number":
                return self.check(float(text))
            if self.kind == "json":
                return self.check(json.loads(text))
        except ValueError:
            raise self._wrong(text, _TAKES[self.kind]) from None
        return self.check(text)

    def check(self, value: Any) -> Any:
        """``value`` as it will be sent. Raises ConfigurationError when the type or the bounds do not allow it."""
        match self.kind:
            case "integer" | "number":
                return self._check_number(value)
            case "choice" if value not in self.choices:
                choices, near = ", ".join(self.choices), closest(str(value), self.choices)
                said = (
                    Message("it takes one of {choices}{near}")
                    if self.choices[1:]
                    else Message("it takes {choices}{near}")
                )
                raise self._wrong(value, said.filled(choices=choices, near=near))
            case "switch" if not isinstance(value, bool):
                raise self._wrong(value, Message("it is on or off (True or False)"))
            case "text":
                return self._check_text(value)
            case "json":
                return self._check_json(value)
        return value

    def _check_number(self, value: Any) -> int | float:
        whole = self.kind == "integer"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value != value:
            raise self._wrong(value, _TAKES[self.kind])
        low, high = self.minimum, self.maximum
        below = low is not None and (value <= low if self.above_minimum else value < low)
        if below or (high is not None and value > high):
            raise self._wrong(value, self._bounds(whole))
        return value if whole else float(value)  # 1 and 1.0 are one setting: equal, of one hash, sent alike

    def _bounds(self, whole: bool) -> Message:
        low, high = f"{self.minimum:g}", None if self.maximum is None else f"{self.maximum:.10g}"
        if self.above_minimum and high is None:
            return Message("it takes a number above {low}", low=low)
        if self.above_minimum:
            return Message("it takes a number above {low} to {high}", low=low, high=high)
        if high is None:
            return Message("it takes a whole number from {low}" if whole else "it takes a number from {low}", low=low)
        if whole:
            return Message("it takes a whole number from {low} to {high}", low=low, high=high)
        return Message("it takes a number from {low} to {high}", low=low, high=high)

    def _check_text(self, value: Any) -> str | tuple[str, ...]:
        if self.many == 1:
            if not isinstance(value, str):
                raise self._wrong(value, Message("it takes text"))
            return value
        if isinstance(value, Path):
            value = str(value)
        values = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
        values = tuple(str(v) if isinstance(v, Path) else v for v in values)
        if not values or not all(isinstance(v, str) and v for v in values):
            raise self._wrong(value, Message("it takes text that is not empty"))
        if len(values) > self.many:
            raise self._wrong(values, Message("it takes at most {count}", count=self.many))
        return values

    def _check_json(self, value: Any) -> Any:
        try:
            copy = json.loads(json.dumps(value, allow_nan=False))  # a copy: what the caller changes later was not sent
        except (TypeError, ValueError) as error:
            raise self._wrong(value, Message("it takes JSON ({error})", error=str(error))) from None
        if self.shape is not None and not isinstance(copy, self.shape):
            raise self._wrong(value, _SHAPES[self.shape])
        return copy

    def _wrong(self, value: Any, why: Message) -> ConfigurationError:
        shown = repr(value) if not isinstance(value, str) else f'"{value}"'
        name = self.flags[-1] if self.flags else self.name
        return ConfigurationError.of_setting(name, shown[:80], why)


_SHAPES: Final[Mapping[type, Message]] = {
    dict: Message("it takes a JSON object"),
    list: Message("it takes a JSON array"),
}
_TAKES: Final[Mapping[str, Message]] = {
    "integer": Message("it takes a whole number"),
    "number": Message("it takes a number"),
    "json": Message("it takes JSON"),
}


def _think(value: str) -> Body:
    if value == "off":
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"}, "reasoning_effort": value}


def _json(value: bool) -> Body:
    return {"response_format": {"type": "json_object"}} if value else {}


def _option(kind: Kind, usage: str, help: str, **details: Any) -> Option:
    """An option as its usage is written: its flags, the last of which is its name, then the word for its value."""
    words = usage.split()
    flags = tuple(word for word in words if word.startswith("-"))
    name = (flags or words)[-1].removeprefix("--").replace("-", "_")
    metavar = words[-1] if words[-1].isupper() else None
    return Option(name=name, kind=kind, help=Message(help), flags=flags, metavar=metavar, **details)


_text = partial(_option, "text")
_integer = partial(_option, "integer")
_number = partial(_option, "number")
_seconds = partial(_number, scope="call", unit="seconds", minimum=0, above_minimum=True)
_choice = partial(_option, "choice")
_switch = partial(_option, "switch")
_data = partial(_option, "json")

OPTIONS: Final[tuple[Option, ...]] = (
    _text("-m --model ID", "the model's id, or flash or pro", default="deepseek-flash"),
    _text(
        "-o --output NAME", "bind the completion to this variable; it is bound even when the call fails", scope="cell"
    ),
    _text(
        "-s --system TEXT", "the system prompt; $name takes the text of a variable, @name a saved prompt", scope="call"
    ),
    _text(
        "--prompt --template NAME",
        "a saved prompt (prompts/NAME.md, or pyproject.toml); the cell's text takes the place of {prompt} in it",
        scope="call",
    ),
    _text(
        "--fill NAME",
        "let a saved prompt of the project take this variable, which the cell does not name itself",
        scope="call",
        many=100,
    ),
    _switch("--raw", "send every brace as typed; fill no {name}", scope="call"),
    _number(
        "-t --temperature T",
        "how freely the next token is drawn; has an effect only with --think off",
        minimum=0,
        maximum=2,
        default="1",
    ),
    _number(
        "--top-p P",
        "draw from the smallest set of tokens with this probability; has an effect only while thinking, from 0.95 on",
        minimum=0,
        above_minimum=True,
        maximum=1,
        default="1",
    ),
    _integer(
        "--max-tokens N",
        "end the answer after this many tokens, reasoning included",
        unit=Message("tokens"),
        minimum=1,
        maximum=393_216,
        default=Message("8192, while thinking 65536, at max 131072"),
    ),
    _text("--stop TEXT", "end the answer before this text; may be given up to 16 times", many=16),
    _choice(
        "--think",
        "how hard the model thinks before it answers",
        choices=("off", "low", "high", "max"),
        default="high",
        to_body=_think,
    ),
    _switch("--json", "the answer is one JSON object; the prompt must contain the word json", to_body=_json),
    _text(
        "--schema CLASS",
        "the answer is JSON that fits this dataclass, TypedDict or pydantic model; the variable's .value is one",
        scope="call",
    ),
    _text(
        "-i --image NAME",
        "show the model this image: a variable, a file or an address; may be given often",
        scope="call",
        many=600,
    ),
    _integer(
        "--context N",
        "send the last N cells along, with what they printed and returned",
        scope="call",
        minimum=1,
        maximum=1_000,
    ),
    _text(
        "--file PATH",
        "send a file along: text, code, a table, a PDF, a notebook, or a pattern like 'src/*.py'; may be given often",
        scope="call",
        many=100,
    ),
    _text("--url URL", "send the text of a web page along; may be given often", scope="call", many=20),
    _switch("--private-urls", "let --url ask this machine and private networks, too", scope="call"),
    _integer(
        "--seed N",
        "ask the model to answer the same way each time (accepted, not documented by DeepSeek)",
        minimum=0,
        maximum=2**63 - 1,
    ),
    _choice(
        "--format",
        "how the answer is shown",
        scope="cell",
        choices=("markdown", "text", "json", "code"),
        default="markdown",
    ),
    _choice(
        "--run",
        "what becomes of the answer's code: with never it is the next cell, with ask you choose to run, edit or discard it; ask means --format code, too",
        scope="cell",
        choices=("never", "ask"),
        default="never",
    ),
    _choice(
        "--buffer",
        "when text is shown: at once, in small groups, or in whole sentences",
        scope="cell",
        choices=("realtime", "balanced", "sentence"),
        default="balanced",
    ),
    _text(
        "--endpoint NAME",
        "an endpoint's name, or several separated by commas: when one is down, the next takes over",
        scope="call",
        default="deepseek",
    ),
    _choice(
        "--prefer",
        "which of several endpoints is asked first: the one named first, or the one whose first token came soonest lately",
        scope="call",
        choices=("order", "fastest"),
        default="order",
    ),
    _number(
        "--hedge SHARE",
        "when the first token is late, ask a second time and take the answer that begins first; this may cost so large a share of the money, 0.05 if the flag stands alone",
        scope="call",
        minimum=0,
        maximum=0.2,
        default="0",
        alone=0.05,
    ),
    _text("--base-url URL", "the address of any server with the OpenAI chat API", scope="call"),
    _text("--chat NAME", "the conversation this cell belongs to", scope="call", default="main"),
    _switch("--new", "start the conversation over with this prompt", scope="call"),
    _switch("--no-history", "send this prompt alone, and keep the answer out of the conversation", scope="call"),
    _integer(
        "--max-history N",
        "send at most this much of the conversation; the oldest turns are left out, with a notice",
        scope="call",
        unit=Message("tokens"),
        minimum=0,
        maximum=1_000_000,
        default="200000",
    ),
    _switch(
        "-b --background",
        "let the next cell run while the answer arrives; the variable named by -o can be awaited, has wait(), and is stopped with stop()",
        scope="cell",
    ),
    _switch(
        "--continue --continue-on-length",
        "when the answer reaches the token limit, continue it, up to three times",
        scope="call",
    ),
    _number(
        "--budget USD",
        "the most that all calls of this session may cost together; a call that could exceed it is not sent",
        scope="call",
        unit=Message("US dollars"),
        minimum=0,
    ),
    _switch(
        "--cache",
        "answer an unchanged question from the journal, at no cost, if it was answered there before",
        scope="call",
    ),
    _switch(
        "--no-cache --fresh",
        "ask again even if the journal has the answer; for when --cache is the default",
        scope="call",
    ),
    _seconds("--first-token S", "wait so many seconds for the first word; a cold model or a long prompt may need many"),
    _seconds("--idle S", "wait so many seconds between two pieces of the answer"),
    _seconds("--total S", "end the call after so many seconds, with all its attempts"),
    _text(
        "--tool NAME",
        "let the model ask for this function of yours, or for the tools of an MCP server (mcp:NAME, mcp:NAME/TOOL); may be given often",
        scope="call",
        many=128,
    ),
    _choice(
        "--confirm",
        "before a function is run: ask each time, ask once for each function, or run it unasked",
        scope="call",
        choices=("ask", "once", "unasked"),
        default="ask",
    ),
    _seconds(
        "--confirm-wait S",
        "wait so many seconds for your answer, then run nothing and fail",
        default="120",
    ),
    _switch(
        "--timeline", "keep every event of the stream with its time, in the answer's record.timeline", scope="call"
    ),
    _switch("--no-ahead", "ask only when the cell's turn comes, also where look_ahead is set", scope="cell"),
    _switch("--dry-run", "show the request that would be sent, and send nothing", scope="cell"),
    _switch("--quiet", "show nothing; the answer is in the variable named by -o", scope="cell"),
    _switch("--show-reasoning", "leave the reasoning unfolded", scope="cell"),
    _data("tools", "functions the model may call, as the API's list", shape=list),
    _data("tool_choice", "none, auto, required, or one function by name"),
    _switch("logprobs", "report the log probability of each token"),
    _integer("top_logprobs", "alternatives reported for each token", minimum=0, maximum=20),
    _text("user_id", "keeps cache and scheduling of one of your users apart"),
    _data("extra_body", "fields that other hosts know and this table does not", shape=dict, to_body=dict),
)

THEMES: Final[Mapping[Message, tuple[str, ...]]] = {
    Message("The common ones"): (
        *("model", "output", "system", "think", "max_tokens", "no_history", "background", "dry_run"),
    ),
    Message("What is asked"): ("image", "context", "file", "url", "private_urls", "template", "fill", "raw"),
    Message("How the model answers"): (
        *("temperature", "top_p", "stop", "seed", "json", "schema", "continue_on_length"),
        *("tool", "confirm", "confirm_wait"),
    ),
    Message("How the answer is shown"): ("format", "run", "buffer", "show_reasoning", "quiet"),
    Message("The conversation"): ("chat", "new", "max_history"),
    Message("Where it is sent, and what it may cost"): (
        "endpoint",
        "prefer",
        "hedge",
        "base_url",
        "budget",
        "cache",
        "fresh",
    ),
    Message("How long it may take"): ("first_token", "idle", "total", "timeline", "no_ahead"),
}
"""Every setting that has a flag, in the order in which a reader looks for it."""

OPTIONS_BY_NAME: Final[Mapping[str, Option]] = MappingProxyType({o.name: o for o in OPTIONS})
_REQUEST_OPTIONS: Final = tuple(option for option in OPTIONS if option.scope == "request")


class RequestOptions(TypedDict, total=False):
    """What a request is made of, for type checkers; a test holds it to ``OPTIONS``. None counts as not given."""

    model: str | None
    system: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | list[str] | tuple[str, ...] | None
    think: Literal["off", "low", "high", "max"] | None
    json: bool | None
    seed: int | None
    tools: Sequence[Mapping[str, object] | Callable[..., object] | Tool] | None
    tool_choice: str | Mapping[str, object] | None
    logprobs: bool | None
    top_logprobs: int | None
    user_id: str | None
    extra_body: Mapping[str, object] | None


class CallOptions(RequestOptions, total=False):
    """Every setting but ``endpoint``, whose values only the engine knows; the same test holds it to ``OPTIONS``."""

    output: str | None
    template: str | None
    fill: str | list[str] | tuple[str, ...] | None
    raw: bool | None
    schema: type | str | None
    image: object
    context: int | None
    file: str | Path | Sequence[str | Path] | None
    url: str | list[str] | tuple[str, ...] | None
    private_urls: bool | None
    format: Literal["markdown", "text", "json", "code"] | None
    run: Literal["never", "ask"] | None
    buffer: Literal["realtime", "balanced", "sentence"] | None
    prefer: Literal["order", "fastest"] | None
    hedge: float | None
    base_url: str | None
    chat: str | None
    new: bool | None
    no_history: bool | None
    max_history: int | None
    background: bool | None
    continue_on_length: bool | None
    tool: str | list[str] | tuple[str, ...] | None
    confirm: Literal["ask", "once", "unasked"] | None
    confirm_wait: float | None
    budget: float | None
    cache: bool | None
    fresh: bool | None
    first_token: float | None
    idle: float | None
    total: float | None
    timeline: bool | None
    no_ahead: bool | None
    dry_run: bool | None
    quiet: bool | None
    show_reasoning: bool | None


def closest(word: str, known: Sequence[str]) -> Message | str:
    """`` (did you mean X?)`` where one known word is near, else nothing. One of the same letters is nearer than others: two
    letters in the wrong order are the commonest slip."""
    near = difflib.get_close_matches(word, known, n=5, cutoff=0.6)
    same = (each for each in near if sorted(each) == sorted(word))
    return Message(" (did you mean {word}?)", word=next(same, near[0])) if near else ""


class ProjectText(str):
    """A text that a project wrote and not its user: a setting of a pyproject.toml, a saved prompt of a repository.

    What is written so may not say where a request goes, nor see what the user did not name. ``folder`` is the project's,
    ``digest`` that of its settings. What is made of such a text is a plain ``str``, so it is asked for what it is first.
    """

    folder: str
    digest: str

    def __new__(cls, text: str, *, folder: str, digest: str = "") -> Self:
        made = super().__new__(cls, text)
        made.folder, made.digest = folder, digest
        return made


class Options(Mapping[str, Any]):
    """The settings that were given, checked; immutable and hashable.

    Raises ConfigurationError for an unknown name, a wrong type or a value out of bounds. A value of None counts as
    not given.
    """

    __slots__ = ("_values",)

    def __init__(self, /, **values: Any) -> None:
        self._values = MappingProxyType(self._checked(values))

    @staticmethod
    def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        for name, value in values.items():
            option = OPTIONS_BY_NAME.get(name)
            if option is None:
                raise ConfigurationError(
                    Message("There is no option {name}{near}.", name=name, near=closest(name, tuple(OPTIONS_BY_NAME))),
                    hint=Message("%%deepseek --help lists them all."),
                )
            if value is not None:
                checked[name] = option.check(value)
        return checked

    @classmethod
    def _of(cls, checked: dict[str, Any]) -> Options:
        made = cls.__new__(cls)
        made._values = MappingProxyType(checked)
        return made

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    # Mapping's own are slow: both ask __getitem__ and catch what it raises.
    def __contains__(self, name: object) -> bool:
        return name in self._values

    def get(self, name: str, default: Any = None) -> Any:
        """The setting, or ``default`` where it was not given."""
        return self._values.get(name, default)

    def __hash__(self) -> int:
        return hash(json.dumps(dict(self._values), sort_keys=True, default=str))

    def __reduce__(self) -> tuple[Callable[[], Options], tuple[()]]:
        return partial(Options, **self._values), ()  # a mapping proxy cannot be pickled

    def __repr__(self) -> str:
        if not hasattr(self, "_values"):  # its making was refused, and a debugger asks
            return "Options(…)"
        return f"Options({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"

    def of(self, *scopes: Scope) -> Options:
        """Only the settings of these scopes."""
        return self._of({k: v for k, v in self.items() if OPTIONS_BY_NAME[k].scope in scopes})

    def only(self, names: Container[str]) -> Options:
        """Only the settings of these names."""
        return self._of({k: v for k, v in self.items() if k in names})

    def merged(self, others: Options) -> Options:
        """These settings, and others that win."""
        return self._of({**self._values, **others._values})

    def replace(self, **changes: Any) -> Options:
        """These settings with some changed; None takes one away. What stays is not checked again."""
        kept = {k: v for k, v in self._values.items() if k not in changes or changes[k] is v}
        new = {k: v for k, v in changes.items() if k not in kept}
        return self._of({**kept, **self._checked(new)})

    def body(self) -> Body:
        """The request settings as the API's JSON fields."""
        fields: Body = {}
        for option in _REQUEST_OPTIONS:  # in the table's order, so that extra_body, the last one, has the last word
            if option.name in self._values:
                fields.update(option.body(self._values[option.name]))
        return fields


def notices(options: Mapping[str, Any]) -> list[Message]:
    """Sentences about settings that cannot act in the chosen mode (guide "thinking mode": sampling is fixed there)."""
    said: list[Message] = []
    thinking = options.get("think") != "off"
    if thinking and "temperature" in options:
        said.append(Message("temperature has no effect while the model thinks; add --think off to use it."))
    if not thinking and "top_p" in options:
        said.append(Message("top_p is ignored with thinking off; use temperature, or let the model think."))
    if thinking and options.get("top_p", 1) < 0.95:
        said.append(Message("top_p below 0.95 is raised to 0.95 while the model thinks."))
    if thinking and 0 < options.get("max_tokens", 0) < 4096:
        said.append(Message("max_tokens counts the reasoning too: a small value may leave no room for the answer."))
    return said
