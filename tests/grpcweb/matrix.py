"""The demo's faults over gRPC-Web, drawn and judged as those over server-sent events (``tests.chaos``).

One Envoy and one server serve all cases, one after the other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Iterator
from typing import Final

import msgspec

from deepseek_magic.demo.faults.spec import parse
from deepseek_magic.demo.grpcweb.server import GRPCWebDemo
from deepseek_magic.demo.grpcweb.servicer import FAULTS
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine import stream as engine_stream
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import resolve
from deepseek_magic.engine.stream import Stream
from deepseek_magic.engine.transport import HTTPXTransport
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.deadlines import Timeouts
from tests.chaos import play as chaos
from tests.chaos.cases import GRID, Case, cases, oracle_of

UNKNOWN_HERE: Final = ("402",)
"""What has no code of gRPC: it is a 429 that says so."""


def chosen(seed: int, rounds: int) -> Iterator[Case]:
    """The cases of the chaos matrix whose faults gRPC has, each once a round: what is drawn for a round is new."""
    seen: set[str] = set()
    for number, case in enumerate(cases(seed)):
        if number == rounds * len(GRID):
            return
        kinds = {fault.kind for fault in parse(case.fault)}
        if case.gzip or not kinds <= FAULTS or kinds & set(UNKNOWN_HERE):
            continue
        # Without ids and without a beginning of the reasoning to go on from, such a reader could only be told so.
        rewind = case.rewind or case.think or not case.continues
        # What is left of a budget behind a seam is an estimate where nobody says that a chunk is a token: not judged here.
        options = {name: value for name, value in case.options.items() if name != "max_tokens" or not case.continues}
        one = msgspec.structs.replace(case, ids=None, rewind=rewind, options=options)
        if one.line not in seen:
            seen.add(one.line)
            yield one


async def play(case: Case, state: DemoServer, front: GRPCWebDemo) -> chaos.Played:
    """Play a case and judge it. Never raises for what the engine does wrong."""
    played = chaos.Played(case=case)
    say = played.broken.append
    engine_stream._REFUSED._until_s.clear()
    state.requests.clear()
    state.fault = case.fault
    oracle = oracle_of(case)
    endpoint = resolve("demo", front.base_url)
    endpoint = endpoint if case.continues else dataclasses.replace(endpoint, continuing="none")
    watched, key, clock = chaos._Watched(HTTPXTransport()), f"sk-test-{random.getrandbits(64)}", case.clocks_s
    clocks = Timeouts(
        connect_s=10, read_s=10 * clock, queue_s=clock, first_delta_s=clock, idle_s=clock, idle_reasoning_s=clock
    )
    client = Client(
        endpoint,
        api_key=key,
        transport=watched,
        recovery=RecoveryPolicy(base_s=case.base_s, cap_s=0.2),
        timeouts=clocks,
        rewind=case.rewind,
        chance=random.Random(case.chance).random,
    )
    try:
        async with asyncio.timeout(chaos.HANG_S):
            reader, stream = chaos._Reader(case, oracle, say), client.stream(case.request())
            assert isinstance(stream, Stream)
            error = await chaos._read(case, stream, reader, say)
            completion = stream.completion
            chaos._remember(played, completion, watched, reader)
            early = case.fault.startswith(chaos.EARLY_ENDS) and reader.finished and completion.outcome == "complete"
            if not case.act or (case.act != "stop" and completion.outcome != "interrupted" and not early):
                chaos._judge_end(case, oracle, completion, error, reader, say)
            chaos._judge_words(case, completion, error, reader, key, say)
            await chaos._settled(lambda: state.running == 0, "I12: the server still answers somebody", say)
            if watched.live:
                say(f"I12: {watched.live} exchanges are open after the end")
            chaos._judge_requests(case, state, watched, played, say)
            state.fault = None
            after = await client.complete("echo afterwards", think="off")
            if after.text != "```text\necho afterwards\n```":
                say(f"I12: the next call: {after.text!r}")
    except TimeoutError:
        say(f"I7: not over after {chaos.HANG_S:g} s")
    except Exception as error:
        say(f"I6: {type(error).__name__} came out: {error}")
    finally:
        await watched.inner.aclose()
    return played
