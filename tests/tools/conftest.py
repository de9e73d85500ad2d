"""A demo that plays conversations with functions, and a person whose answers are known beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.session.confirming import hook
from deepseek_magic.session.confirming.question import ToConfirm
from deepseek_magic.session.state import Session

KEY = "sk-test-1234"


@dataclass
class Answers:
    """Somebody who answers so, the last way for ever; an exception is raised. ``asked`` is what was asked."""

    answers: list[Any] = field(default_factory=lambda: ["run"])
    asked: list[ToConfirm] = field(default_factory=list)

    def ask(self, question: ToConfirm) -> str:
        self.asked.append(question)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    async def aask(self, question: ToConfirm) -> str:
        return self.ask(question)

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.fixture
def demo() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as server:
        yield server


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Who is asked; runs everything unless told otherwise."""
    person = Answers()
    monkeypatch.setattr(hook, "find", lambda **_: person)
    return person


@pytest.fixture
def ask(session: Session, demo: DemoServer, person: Answers) -> Callable[..., Completion]:
    """Ask the demo, with somebody there who says yes."""

    def ask(prompt: str, **options: Any) -> Completion:
        return session.ask(prompt, **{"base_url": demo.base_url, "api_key": KEY, **options})

    return ask
