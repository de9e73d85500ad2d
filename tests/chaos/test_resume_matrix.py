"""The 128 rows: how an answer breaks × in which phase × which way on × how the second segment goes.

Section 14 of the reliability sheet. What is asserted besides the invariants of ``play``: the requests in order by their
strategy, the seams in order, the outcome, and whether token counts are marked as estimated.
"""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Final

import pytest

from deepseek_magic.demo.api.tokens import tokenize
from tests.chaos.cases import TOOL, Case, oracle_of
from tests.chaos.play import OTHER_TEXT, play, watch_tasks

PROMPT: Final = "你好, tell me what arrived"
BREAKS: Final = ("reset", "eof-chunked", "stall", "insufficient_system_resource")
PHASES: Final = ("reasoning", "content start", "content middle", "content end", "tool")
SECOND: Final = ("success", "drop again", "400", "echo or divergence")
WAYS: Final = tuple(
    (phase, way)
    for phase, way in product(PHASES, ("prefix", "restart"))
    if way == "restart" or phase.startswith("content")
)
ROWS: Final = tuple(product(BREAKS, WAYS, SECOND))


def _place(phase: str) -> str:
    if phase == "reasoning":
        return "at=reasoning after=9"
    if phase == "tool":
        return "at=tool after=4"
    tokens = len(tokenize(oracle_of(Case(fault="none", effect="harmless", prompt=PROMPT)).text))
    # A prefix of fewer than 16 characters is not sent, so "start" is the 14th token.
    return f"at=content after={ {'start': 14, 'middle': tokens // 2, 'end': tokens - 1}[phase.split()[1]] }"


def _case(kind: str, phase: str, way: str, second: str) -> Case:
    where = _place(phase)
    again = {
        ("prefix", "drop again"): f"; {kind} {where.split()[0]} after=2 on=prefix times=1",
        ("restart", "drop again"): f"; {kind} {where} times=1",
        ("prefix", "400"): "; 400 on=prefix",
        ("restart", "400"): "; 400 on=plain",
        ("prefix", "echo or divergence"): "; echo-prefix on=prefix",
        ("restart", "echo or divergence"): "; diverge on=plain",
    }.get((way, second), "")
    return Case(
        fault=f"{kind} {where} times=1 {again}".strip(),
        effect="lost" if (way, second) == ("restart", "400") else "break",
        prompt='What is the get_weather of "Bergen" for 3 days?' if phase == "tool" else PROMPT,
        think=phase == "reasoning",
        options={"tools": [TOOL]} if phase == "tool" else {},
        continues=way == "prefix",
        clocks_s=0.4 if kind == "stall" else 20.0,
    )


def _requests(way: str, second: str) -> tuple[str, ...]:
    on = "continue" if way == "prefix" else "restart"
    match second:
        case "drop again":
            return ("first", on, on)
        case "400" if way == "prefix":
            return ("first", "continue", "restart")
        case _:
            return ("first", on)


def _seams(way: str, second: str) -> tuple[str, ...]:
    if second == "400":
        return ("restarted",) if way == "prefix" else ()
    kind = "continued" if way == "prefix" else "restarted"
    return (kind, kind) if second == "drop again" else (kind,)


def test_there_are_128_rows() -> None:
    assert len(ROWS) == 128


# Beyond the sheet's 128: DeepSeek also goes on inside a chain of thought.
@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize(("phase", "way"), [*WAYS, ("reasoning", "prefix")])
async def test_a_broken_answer_is_joined_as_the_table_says(kind: str, phase: str, way: str) -> None:
    watch_tasks(asyncio.get_running_loop())
    chosen = [_case(kind, phase, way, second) for second in SECOND]
    for second, case, played in zip(SECOND, chosen, await asyncio.gather(*map(play, chosen)), strict=True):
        row = f"{kind} · {phase} · {way} · {second}\n{case.line}"
        assert not played.broken, f"{row}\n{played.broken}"
        assert played.strategies == _requests(way, second), row
        assert played.seams == _seams(way, second), row
        assert played.completion is not None
        if second == "echo or divergence" and way == "prefix" and phase != "reasoning":
            assert "echo_stripped" in played.completion.anomalies, row
        if second == "echo or divergence" and way == "restart" and phase != "tool":
            assert played.completion.text == OTHER_TEXT, row
        if played.completion.outcome == "complete" and second == "success":
            # Only a segment that never told its tokens makes the sum an estimate.
            assert played.completion.usage.estimated is (kind != "insufficient_system_resource"), row
            assert (played.completion.usage.completion_tokens or 0) >= oracle_of(case).tokens, row
