"""The ways on that are not DeepSeek's: a last assistant message (OpenRouter), vLLM's body fields, and Last-Event-ID.

Broken at every token, with and without a gateway that sends the prefix back, the text comes out as if nothing had been.
"""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import Endpoint
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.policy.seams import ECHO_MIN_CHARS, REWIND_MAX_CHARS
from deepseek_magic.protocol.chat import ContinueStyle
from deepseek_magic.protocol.events import Seam
from tests.chaos.cases import Case
from tests.chaos.play import play, watch_tasks
from tests.engine.wire import CLOSE, DONE, END, RESET, Received, Script, ScriptedServer, Step, delta, head, piece

TOKENS: Final = (
    *("Streams", " break", ", ha", " ha", " ha", ":\n", "\n", "- a", "\n- a", "\n\n"),
    *(
        "```py",
        "\nx = {",
        "}",
        "}",
        "}\n",
        "```",
        "\n流",
        "式",
        "输出",
        "，",
        "👩\u200d👩",
        "\u200d👧",
        " e",
        "\u0301",
        " end.",
    ),
)
TEXT: Final = "".join(TOKENS)
BREAKS: Final[dict[str, Step]] = {"cut": CLOSE, "reset": RESET, "clean end": END}
QUICK: Final = RecoveryPolicy(base_s=0.005, cap_s=0.02)


def serving(kind: str, at: int, *, echo: bool) -> ScriptedServer:
    """A host that goes on behind a last assistant message; its first answer breaks after ``at`` tokens."""

    def script(request: Received) -> Script:
        last = request.json["messages"][-1]
        prefix = last["content"] if last["role"] == "assistant" else ""
        assert TEXT.startswith(prefix)
        rest = [TEXT[len(prefix) :][i : i + 4] for i in range(0, len(TEXT) - len(prefix), 4)] if prefix else [*TOKENS]
        words = [prefix, *rest] if echo and prefix else rest
        events = [piece(delta(word)) for word in words]
        if len(server.requests) == 1:
            return [head(), *events[:at], BREAKS[kind], *([CLOSE] if kind == "clean end" else [])]
        return [head(), *events, piece(delta("", finish="stop") + DONE), END]

    server = ScriptedServer(script)
    return server


async def joined(style: ContinueStyle, kind: str, at: int, *, echo: bool) -> None:
    async with serving(kind, at, echo=echo) as server:
        own = Endpoint(
            name="own", title="Own", base_url=server.base_url, needs_key=False, default_model="m", continuing=style
        )
        async with Client(own, recovery=QUICK) as client:
            completion = await client.complete("Go")
    case = f"{style}, {kind} after {at}{', echoed' if echo else ''}"
    assert (completion.text, completion.outcome) == (TEXT, "complete"), case
    body = server.requests[-1].json
    went_on = body["messages"][-1]["role"] == "assistant"
    assert went_on == any(isinstance(seam, Seam) and seam.kind == "continued" for seam in completion.seams), case
    assert went_on or len("".join(TOKENS[:at])) < ECHO_MIN_CHARS + REWIND_MAX_CHARS, case
    assert body.get("continue_final_message", False) == (went_on and style == "continue_final_message"), case


@pytest.mark.parametrize("style", ["trailing_assistant", "continue_final_message"])
@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("echo", [False, True], ids=["", "echoed"])
async def test_an_answer_is_gone_on_with_from_every_token(style: ContinueStyle, kind: str, echo: bool) -> None:
    await asyncio.gather(*(joined(style, kind, at, echo=echo) for at in range(1, len(TOKENS))))


@pytest.mark.parametrize("ids", ["resume", "inclusive", "replay"])
@pytest.mark.parametrize("fault", ["reset", "cut", "eof-chunked", "garbage"])
async def test_a_stream_with_event_ids_is_taken_up_again_from_every_place(ids: str, fault: str) -> None:
    watch_tasks(asyncio.get_running_loop())
    places = [*(f"at=content after={after}" for after in (0, 1, 2, 7, 20)), "at=reasoning after=3", "at=after-headers"]
    chosen = [
        Case(
            fault=f"{fault} {place} times=1",
            effect="break",
            prompt="echo ha ha ha, 你好 and on to the end of it",
            think="reasoning" in place,
            ids=ids,  # type: ignore[arg-type]
            rewind=False,
        )
        for place in places
    ]
    for case, played in zip(chosen, await asyncio.gather(*map(play, chosen)), strict=True):
        assert not played.broken, f"{case.line}\n{played.broken}"
        began = "after-headers" not in case.fault and "after=0" not in case.fault
        assert played.seams == (("resumed",) if began else ()), case.line
