"""What can happen to a call, as values: every fault of the demo × where it strikes × how one asked × who reads.

A case is one line of JSON, so that a failing one can be played again alone. ``cases(seed)`` goes round the grid of
faults, places, thinking and gzip for ever; what the grid leaves open (the prompt, the options, how far into a phase,
how the endpoint goes on, what the consumer can take) is drawn anew each round.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from typing import Any, Final, Literal

import msgspec

from deepseek_magic.demo.api.frames import plan
from deepseek_magic.demo.api.tokens import PrefixCache
from deepseek_magic.protocol.chat import Request

__all__ = ["GRID", "Case", "Effect", "Oracle", "Row", "cases", "load", "oracle_of"]

Effect = Literal["harmless", "break", "refused", "fatal", "filtered", "lost"]
"""What a fault means for one request: nothing; its stream breaks; it is refused but may be repeated; it is refused for
good; the provider's filter ends it, which is final; it breaks where nothing can go on, so that the part is kept."""

Ids = Literal["resume", "inclusive", "replay", "ignore", "count"]

CLOCK_S: Final = 0.4
"""The progress deadlines of a case that only a deadline can end."""

TOOL: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call and everything that will happen to it. ``fault`` is the demo's spec.

    ``act`` stops or cancels the call after ``act_after`` events. ``clocks_s`` is every progress deadline in seconds;
    ``chance`` seeds the spread of waits.
    """

    fault: str
    effect: Effect
    prompt: str
    think: bool = False
    gzip: bool = False
    options: dict[str, Any] = {}
    continues: bool = True
    rewind: bool = True
    ids: Ids | None = None
    act: Literal["stop", "stop_elsewhere", "cancel"] | None = None
    act_after: int = 0
    batches: bool = False
    clocks_s: float = 20.0
    base_s: float = 0.005
    chance: int = 0

    @property
    def place(self) -> str:
        """Where the fault strikes, in the demo's words; "" for one of the whole answer."""
        words = dict(word.split("=", 1) for word in self.fault.partition(";")[0].split()[1:])
        return words.get("at", "")

    @property
    def line(self) -> str:
        """The case as a command that plays it again."""
        quoted = msgspec.json.encode(self).decode().replace("'", "'\\''")
        return f"python -m tests.chaos.run --replay '{quoted}'"

    def request(self) -> Request:
        """What is asked."""
        options = {"model": "deepseek-flash", "think": "high" if self.think else "off", **self.options}
        return Request.of(self.prompt, **options)


def load(line: str) -> Case:
    """The case that a line of JSON describes."""
    return msgspec.json.decode(line, type=Case)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """What the server says when nothing goes wrong. ``tokens`` counts all of it; with a budget the texts are what would
    come without one, and ``tokens`` what the budget allows."""

    text: str
    reasoning: str
    calls: tuple[tuple[str, str, str], ...]
    finish_reason: str
    tokens: int


def oracle_of(case: Case) -> Oracle:
    """The fault-free answer, from the demo's own plan and not through any client."""
    body = case.request().body()
    made = plan(body, beta=False, cache=PrefixCache())
    whole = plan({**body, "max_tokens": None}, beta=False, cache=PrefixCache())
    blank = " " * 4096 if case.fault.startswith("whitespace") else ""
    return Oracle(
        text=blank + "".join(whole.content),
        reasoning="".join(whole.reasoning),
        calls=tuple((id, name, "".join(pieces)) for id, name, pieces in whole.calls),
        finish_reason=made.finish_reason,
        tokens=made.usage["completion_tokens"],
    )


# the grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault with its own parameters, the places at which it strikes (none: the whole answer) and its effect.

    ``clocked``: only a deadline of the client can end it. ``dear``: it makes every byte dear, so the prompt is short.
    ``second`` is the fault that the next request meets, ``ids`` how the server names its events.
    """

    spec: str
    places: tuple[str, ...] = ("",)
    effect: Effect = "harmless"
    clocked: bool = False
    dear: bool = False
    second: str = ""
    ids: Ids | None = None


_STREAM: Final = ("after-headers", "reasoning", "content", "tool", "before-done")
_BEFORE: Final = ("before-headers", *_STREAM)
_ALL: Final = ("connect", *_BEFORE)
_DELTAS: Final = ("reasoning", "content", "tool")


def _rows(specs: str, places: tuple[str, ...] = ("",), effect: Effect = "harmless", **more: Any) -> list[Row]:
    return [Row(spec=spec.strip(), places=places, effect=effect, **more) for spec in specs.split(",")]


_AGAIN: Final = "reset at=content after={} times=1"

ROWS: Final[tuple[Row, ...]] = (
    # the connection breaks
    Row(spec="refuse for=0.1", effect="refused"),
    *_rows("reset, cut", _ALL, "break"),
    *_rows(
        "reset inside=size, reset inside=json, reset inside=utf8, cut inside=size, cut inside=json, cut inside=utf8",
        _DELTAS,
        "break",
    ),
    *_rows("eof-chunked, eof-close, proxy-line, error-event, garbage", _STREAM, "break"),
    *_rows("gzip-truncated, gzip-corrupt", _STREAM, "break"),
    *_rows("stall", _BEFORE, "break", clocked=True),
    *_rows("keepalive-drip every=0.03", _STREAM, "break", clocked=True),
    *_rows("drip bytes=1 every=0.05", _DELTAS, "break", clocked=True),
    *_rows("wrong-content-length by=-700, no-finish, empty, reasoning-only", ("",), "break"),
    *_rows("insufficient_system_resource, aborted", _DELTAS, "break"),
    # ids that begin again with every answer, and ids of a continuation or a restart that breaks as well
    *_rows("reset, eof-chunked", ("reasoning", "content"), "break", ids="count"),
    *_rows("insufficient_system_resource, reset", ("reasoning", "content"), "break", ids="resume", second=_AGAIN),
    *_rows("aborted", ("reasoning", "content"), "break", ids="inclusive", second=_AGAIN),
    *_rows("reset", ("reasoning",), "break", second="echo-prefix on=prefix times=1"),
    # refusals before a stream
    *_rows("429, 429 retry-after=0, 429 retry-after=0.05, 429 retry-after-ms=30, 429-balance", ("",), "refused"),
    Row(spec="429 retry-after=Wed,_21_Oct_2015_07:28:00_GMT", effect="refused"),
    *_rows("500, 502, 503, 500 type=octet, 503 type=html, 503 retry-after=0.03", ("",), "refused"),
    *_rows("400, 401, 402, 404, 413, 400 type=html, html", ("",), "fatal"),
    *_rows("content_filter", _DELTAS, "filtered"),
    # whole all the same
    *_rows("latency s=0.03", _BEFORE),
    *_rows("gzip-members", _STREAM),
    *_rows("drip bytes=2000 every=0.001", _STREAM, dear=True),
    *_rows("slice bytes=1, slice bytes=3, bandwidth kib=300, slow rate=2000", dear=True),
    *_rows("slice bytes=1400, slow-close s=0.4, wrong-content-length by=100, http10, crlf"),
    *_rows("wrong-type, wrong-type type=json, wrong-type type=html, wrong-type type=octet, wrong-type type=none"),
    *_rows("ping-events", _STREAM),
    *_rows("finish-early, finish-every", _DELTAS),
    *_rows("finish-twice, full-message, no-blank-line"),
    *_rows("gzip-bad-crc, gzip-no-trailer, no-done, no-delta, usage-chunk, usage-every, reasoning-field, whitespace"),
)

GRID: Final = tuple(
    (row, place, think, gzip)
    for row, think, gzip in product(ROWS, (False, True), (False, True))
    for place in row.places
    if think or (place != "reasoning" and row.spec != "reasoning-only")
)
"""Every fault × every place × thinking × gzip. With thinking off there is no reasoning to strike."""


def cases(seed: int) -> Iterator[Case]:
    """Cases without end; the first ``len(GRID)`` have each point of the grid once."""
    for number in count():
        row, place, think, gzip = GRID[number % len(GRID)]
        yield _drawn(row, place, think=think, gzip=gzip, chance=random.Random(f"{seed}:{number}"))


def _drawn(row: Row, place: str, *, think: bool, gzip: bool, chance: random.Random) -> Case:
    options: dict[str, Any] = {}
    prompt = _prompt(chance, short=row.dear)
    if place == "tool":
        options["tools"] = [TOOL]
        prompt = f'What is the get_weather of "{_words(chance, 3)}" for {chance.randint(1, 9)} days?'
    elif row.effect in ("break", "harmless") and chance.random() < 0.35:
        options |= _more_options(chance, prompt, think=think)
    fault = _spec(row, place, chance)
    if "empty" in fault or row.spec == "reasoning-only":
        options.pop("max_tokens", None)  # where the budget ends it, an empty answer is what was asked for
    ends_whole = row.effect != "break" or place == "before-done"
    return Case(
        fault=fault,
        effect="harmless" if row.effect == "break" and ends_whole else row.effect,
        prompt=prompt,
        think=think,
        gzip=gzip,
        options=options,
        continues=chance.random() < 0.8,
        rewind=chance.random() < 0.7,
        ids=row.ids or (chance.choice(_IDS) if chance.random() < 0.2 else None),
        batches=chance.random() < 0.5,
        clocks_s=CLOCK_S if row.clocked else 20.0,
        base_s=0.04 if row.spec.startswith("refuse") else 0.005,
        chance=chance.getrandbits(32),
        **_act(chance),
    )


def _spec(row: Row, place: str, chance: random.Random) -> str:
    words = [row.spec]
    if place:
        words.append(f"at={place}")
    if place in _DELTAS:
        words.append(f"after={chance.randint(0, 60) if place == 'content' else chance.randint(0, 12)}")
    if row.effect not in ("fatal",) and not row.spec.startswith("refuse"):
        words.append(f"times={1 if row.clocked or chance.random() < 0.75 else 2}")
    if row.second:
        words.append(f"; {row.second.format(chance.randint(0, 8))}")
    elif row.effect == "break" and chance.random() < 0.25:
        second = chance.choice(_SECOND if place == "content" else _SECOND[:-1]).format(chance.randint(0, 30))
        words.append(f"; {second}")
    return " ".join(words)


_IDS: Final[tuple[Ids, ...]] = ("resume", "inclusive", "replay", "ignore", "count")
_SECOND: Final = (
    "reset at=content after={} times=1",
    "eof-chunked at=content after={} times=1",
    "cut at=after-headers times=1",
    "503 times=1",
    "429 times=1 retry-after-ms=20",
    "error-event at=reasoning after={} times=1",
    "cut at=content after={} on=prefix times=1",
    "502 on=prefix times=1",
    "empty on=prefix times=1",
    "empty times=1",
    "echo-prefix on=prefix times=1",  # the last one: it is drawn where there is a text to be echoed
)
"""What meets an answer that is on its way again."""


def _more_options(chance: random.Random, prompt: str, *, think: bool) -> dict[str, Any]:
    kind = chance.choice(("json", "stop", "max_tokens", "temperature"))
    if kind == "json":
        return {"json": True}
    if kind == "max_tokens":
        return {"max_tokens": chance.randint(60, 200)}
    if kind == "temperature":
        return {"temperature": 0.0} if not think else {}
    at = chance.randint(len(prompt) // 3, max(len(prompt) // 3, len(prompt) - 8))
    stop = prompt[at : at + chance.randint(2, 7)]
    return {"stop": [stop]} if stop.strip() else {}


def _act(chance: random.Random) -> dict[str, Any]:
    if chance.random() >= 0.12:
        return {}
    return {"act": chance.choice(("stop", "stop_elsewhere", "cancel")), "act_after": chance.randint(1, 60)}


# prompts

_PIECES: Final = (
    *("the", "answer", "streams", "ha", "ha", "model", "I", "a", "list:", "- item", "1. one", "x = {a: [1]}", "$E=mc^2$"),
    *("流式", "输出", "中断后继续。", "表", "日本語のテキスト", "👩\u200d👩\u200d👧", "🙂", "e\u0301", "i\u0307", "नमस्ते"),
    *("\u2028", "\u0085", "\\n", '"quoted"', "<b>", "data: [DONE]", ": keep-alive", "\ufeff", "https://example.test/a/very/long/path"),
)  # fmt: skip
_GAPS: Final = (" ", " ", " ", " ", "", "\n", "\n\n", "  ", "\t", "\r\n")


def _words(chance: random.Random, number: int) -> str:
    return " ".join(chance.choice(("Kyoto", "Bergen", "Porto", "Xian", "Lima", "Quito")) for _ in range(number))


def _prompt(chance: random.Random, *, short: bool) -> str:
    """Text to be echoed, with everything that is awkward to cut; or one of the demo's subjects."""
    if not short and chance.random() < 0.2:
        return chance.choice(
            ("a table and json code", "表格 json", "a formula, not json", "long 1 json", "用中文说说流式 json")
        )
    pieces = [chance.choice(_PIECES) + chance.choice(_GAPS) for _ in range(chance.randint(12, 25 if short else 70))]
    return "echo json " + "".join(pieces).strip() + " end"
