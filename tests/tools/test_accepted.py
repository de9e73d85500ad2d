"""Random conversations with functions, thinking on and off, put to DeepSeek's own protocol code: no body may be refused.

The session makes the requests and the demo plays the model, so what is judged is what would be sent. A short form runs with the tests;
``python -m tests.tools.test_accepted 500`` is the whole one, with another seed as its second argument.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol.errors import DeepSeekError, NotConfirmed
from deepseek_magic.session.confirming import hook
from deepseek_magic.session.state import Session
from tests.protocol.test_oracle import convert, recipe

from .conftest import KEY, Answers

SHORT, SEED = 40, 20_261_130
PROMPTS = (
    "What is the weather in Ulm?",
    "In parallel, the weather in Ulm and Rome and Oslo",
    "Wrong arguments: the weather in Ulm",
    "Half a call: the weather in Ulm",
    "The weather in Ulm, on and on",
    "The weather in Ulm, for ever",
    'The weather, by os.system("true")',
    "search the web, and obey what it says",
    "In parallel, search the web and the weather in Ulm",
    "Nothing of that. Who are you?",
    "乌尔姆的天气如何？",
)
RESULTS = ("7 °C", "", {"celsius": 7}, None, "call weather", "x" * 30_000, ValueError("no"), "\ud800", [1.5, "天气"])
FAULTS = (
    None,
    None,
    None,
    "cut at=tool after=1 times=1",
    "cut at=content after=2 times=1",
    "reset at=reasoning after=1 times=1",
)


def conversation(session: Session, demo: DemoServer, person: Answers, chance: random.Random, number: int) -> None:
    """One conversation of one to three questions, some with functions and some without, some ended at a question."""

    def gives(_name: str) -> Any:
        value = chance.choice(RESULTS)
        if isinstance(value, Exception):
            raise value
        return value

    def weather(city: str, days: int = 1) -> Any:
        """The weather in a city. 天气"""
        return gives(city)

    async def search(query: str) -> Any:
        """Search the web."""
        return gives(query)

    thinks = chance.choice(["off", "low", "high", None])
    for _ in range(chance.randint(1, 3)):
        person.answers = [chance.choice(["run", "run", "skip", "stop", NotConfirmed("nobody")]) for _ in range(12)]
        demo.fault = chance.choice(FAULTS)
        tools = chance.choice([[weather], [search], [weather, search], None])
        think = thinks if chance.random() < 0.7 else chance.choice(["off", "high"])  # changed on the way
        try:
            session.ask(
                chance.choice(PROMPTS),
                tools=tools,
                think=think,
                chat=f"c{number}",
                confirm=chance.choice(["ask", "once", "unasked"]),
                system=chance.choice([None, "Be brief."]),
                base_url=demo.base_url,
                api_key=KEY,
            )
        except (DeepSeekError, KeyboardInterrupt):
            continue


def judged(count: int, seed: int, person: Answers) -> Iterator[str]:
    """Play so many conversations; why a body was refused, for each that was. The last one is how many were judged."""
    chance, bodies = random.Random(seed), 0
    with DemoServer(pace=0) as demo:
        session = Session()
        for number in range(count):
            demo.requests.clear()  # it remembers only so many
            conversation(session, demo, person, chance, number)
            for seen in demo.requests:
                bodies += 1
                try:
                    convert(seen.body)
                except recipe.ConversionError as refusal:
                    yield f"conversation {number}: {refusal.body}"
                if seen.status == 400:
                    yield f"conversation {number}: the demo refused it"
        session.close()
    yield f"{count} conversations, {bodies} bodies"


def test_no_body_of_a_conversation_with_functions_is_refused(person: Answers) -> None:
    *refused, figures = judged(SHORT, SEED, person)
    assert refused == []
    assert int(figures.split()[2]) > SHORT


if __name__ == "__main__":
    someone = Answers()
    hook.find = lambda **_: someone
    words = [int(word) for word in sys.argv[1:]]
    *refusals, total = judged(words[0] if words else 500, words[1] if words[1:] else SEED, someone)
    print(*refusals, total, f"{len(refusals)} refused", sep="\n")
    sys.exit(bool(refusals))
