"""The tapes beside the notebooks play on every Python, and by a package of another version: they were recorded once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import deepseek_magic as ds
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.tape import recorder
from deepseek_magic.engine.tape.deck import deck, load

from .shipped import NOTEBOOKS, lessons

LESSONS = [(path, tape) for path, tape in lessons()]


@pytest.fixture(autouse=True)
def no_tape_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL", "DEEPSEEK_MAGIC_DEMO"):
        monkeypatch.delenv(variable, raising=False)
    yield
    deck.stop()


@pytest.mark.parametrize("version", ["0.1.0", "99.0"])
@pytest.mark.parametrize(
    ("notebook", "tape"), LESSONS, ids=[path.relative_to(NOTEBOOKS).as_posix() for path, _ in LESSONS]
)
def test_a_shipped_tape_is_played_whole(
    notebook: Path, tape: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "__version__", version)
    path = notebook.parent / tape
    questions = [msgspec.json.decode(take.question.body) for take in load(path).takes]
    asked = {body["messages"][-1]["content"]: body for body in questions if not body["messages"][-1].get("prefix")}

    async def ask(prompt: str, thinks: bool) -> ds.Completion:
        async with Client() as client:
            return await client.complete(prompt, think="high" if thinks else "off")

    with ds.replay(path, pace=0) as replay:
        answers = [asyncio.run(ask(prompt, body["thinking"]["type"] != "disabled")) for prompt, body in asked.items()]
        assert replay.taken == replay.count
    assert [answer.outcome for answer in answers] == ["complete"] * 4
    assert sum(len(answer.seams) for answer in answers) == 1
    assert {answer.record.endpoint for answer in answers if answer.record is not None} == {"tape"}
    assert len(answers[1].reasoning) > 20
