"""Going on after a process died, or after a Stop, between the calls of functions: what was run is known, and not run twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.journal import tool_runs
from deepseek_magic.policy.tools.approval import asks_for_tools
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ConfigurationError, NotConfirmed
from deepseek_magic.session.state import Session

from .conftest import KEY, Answers

Ask = Callable[..., Completion]
DIES = """
import os, sys
from pathlib import Path
import deepseek_magic as ds

def weather(city: str) -> str:
    "The weather in a city."
    with Path({canary!r}).open("a") as file:
        file.write(city + "\\n")
    if city == "Rome":
        os._exit(9)
    return "dry in " + city

ds.ask("In parallel, the weather in Ulm and Rome and Oslo", tools=[weather], confirm="unasked",
       base_url={url!r}, api_key={key!r})
"""


def test_after_a_process_died_nothing_is_run_twice(
    session: Session, demo: DemoServer, person: Answers, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    script = DIES.format(canary=str(canary), url=demo.base_url, key=KEY)
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode == 9
    (row,) = session.journal.rows()
    call_id = str(row["call_id"])
    states = {run.shown: run.state for run in tool_runs.of_call(session.journal, call_id).values()}
    assert states == {'weather(city="Ulm")': "ran", 'weather(city="Rome")': "begun"}

    def weather(city: str) -> str:
        """The weather in a city."""
        with canary.open("a") as file:
            file.write(city + "\n")
        return f"wet in {city}"

    with pytest.raises(ConfigurationError, match=r"still to be run \(weather\).*--tool"):
        session.resume(call_id[:8], base_url=demo.base_url, api_key=KEY)
    answer = session.resume(call_id[:8], tools=[weather], base_url=demo.base_url, api_key=KEY)
    assert canary.read_text().split() == ["Ulm", "Rome", "Oslo"]
    assert [question.detail for question in person.asked] == ['weather(city="Oslo")']
    assert [run.state for run in answer.tool_runs] == ["ran", "failed", "ran"]
    assert [run.result for run in answer.tool_runs][::2] == ["dry in Ulm", "wet in Oslo"]
    assert "was not run again" in answer.tool_runs[1].result
    assert answer.outcome == "complete"
    ended = tool_runs.of_call(session.journal, call_id)
    assert [run.state for run in ended.values()].count("begun") == 0


def test_after_a_process_died_its_answer_is_found_without_an_id(
    session: Session, demo: DemoServer, person: Answers, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    script = DIES.format(canary=str(canary), url=demo.base_url, key=KEY)
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode == 9
    (entry,) = session.journal.resumable()
    assert asks_for_tools(entry.completion)

    def weather(city: str) -> str:
        """The weather in a city."""
        with canary.open("a") as file:
            file.write(city + "\n")
        return f"wet in {city}"

    with pytest.raises(ConfigurationError, match=r"still to be run \(weather\)"):
        session.resume(base_url=demo.base_url, api_key=KEY)
    assert session.resume(tools=[weather], base_url=demo.base_url, api_key=KEY).outcome == "complete"
    assert canary.read_text().split() == ["Ulm", "Rome", "Oslo"]
    assert session.journal.resumable() == []


def test_an_answer_whose_process_lives_is_left_to_it(ask: Ask, session: Session, person: Answers) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        assert session.journal.resumable() == []  # another kernel would run it as well
        return "dry"

    ask("What is the weather in Ulm?", tools=[weather])
    person.answers = [NotConfirmed("nobody")]
    with pytest.raises(NotConfirmed):
        ask("And the weather in Rome?", tools=[weather])
    assert session.journal.resumable() == []


@pytest.mark.parametrize("from_journal", [False, True])
def test_after_nobody_answered_the_question_is_put_again(
    from_journal: bool, ask: Ask, session: Session, demo: DemoServer, person: Answers
) -> None:
    ran: list[str] = []

    def weather(city: str) -> str:
        """The weather in a city."""
        ran.append(city)
        return "dry"

    person.answers = ["run", NotConfirmed("nobody"), "run"]
    with pytest.raises(NotConfirmed) as ended:
        ask("In parallel, the weather in Ulm and Rome", tools=[weather])
    assert ran == ["Ulm"]
    before = ended.value.completion
    assert before is not None
    assert before.record is not None
    what = before.record.call_id if from_journal else before
    answer = session.resume(what, tools=[weather], base_url=demo.base_url, api_key=KEY)
    assert ran == ["Ulm", "Rome"]
    assert [run.state for run in answer.tool_runs] == ["ran", "ran"]
    assert answer.outcome == "complete"


def test_an_answer_that_broke_off_after_its_functions_is_asked_for_again_with_what_they_gave(
    ask: Ask, session: Session, demo: DemoServer
) -> None:
    ran: list[str] = []

    def weather(city: str) -> str:
        """The weather in a city."""
        ran.append(city)
        demo.fault = "aborted at=content after=3"
        return "dry"

    with pytest.raises(Exception, match=r"\w") as broken:
        ask("What is the weather in Ulm?", tools=[weather], think="off")
    demo.fault = None
    before = broken.value.completion  # type: ignore[attr-defined]
    assert before.outcome == "incomplete"
    assert [run.state for run in before.tool_runs] == ["ran"]
    answer = session.resume(before, tools=[weather], base_url=demo.base_url, api_key=KEY)
    assert ran == ["Ulm"]
    assert answer.outcome == "complete"
    assert "dry" in answer.text
    assert answer.tool_runs == before.tool_runs


def test_calls_stand_in_the_journal_with_what_they_gave(ask: Ask, session: Session, person: Answers) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return "dry"

    person.answers = ["run", "skip"]
    ask("In parallel, the weather in Ulm and Rome", tools=[weather])
    first = (
        session.journal.rows()[-1]["call_id"]
        if session.journal.rows()[0]["purpose"] == "tool"
        else session.journal.rows()[0]["call_id"]
    )
    runs = tool_runs.of_call(session.journal, str(first))
    assert sorted((run.shown, run.state, run.result) for run in runs.values()) == [
        ('weather(city="Rome")', "skipped", "The user did not allow this call, so it was not run."),
        ('weather(city="Ulm")', "ran", "dry"),
    ]


def test_a_call_that_begins_again_from_the_cache_is_noted_as_begun(ask: Ask, session: Session) -> None:
    seen: list[list[str]] = []

    def weather(city: str) -> str:
        """The weather in a city."""
        call_id = str(session.journal.rows()[0]["call_id"])
        seen.append([run.state for run in tool_runs.of_call(session.journal, call_id).values()])
        return "dry"

    for _ in range(2):
        answer = ask("What is the weather in Ulm?", tools=[weather], cache=True)
    assert answer.kept is not None
    assert seen == [["begun"], ["begun"]]


def test_a_reloaded_conversation_has_the_calls(ask: Ask, session: Session, demo: DemoServer) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return "dry"

    ask("What is the weather in Ulm?", tools=[weather], chat="c")
    session.journal.flush()
    later = Session()
    later.chats.reload("c")
    later.ask("And tomorrow?", chat="c", base_url=demo.base_url, api_key=KEY)
    later.close()
    assert [m["role"] for m in demo.requests[-1].body["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


def test_an_exported_conversation_has_the_calls(ask: Ask, session: Session) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return "dry"

    ask("What is the weather in Ulm?", tools=[weather], chat="c")
    page = session.chats["c"].to_markdown()
    assert '## weather(city="Ulm")' in page
    assert (
        page.index("What is the weather") < page.index("weather(city") < page.index("dry") < page.index("## DeepSeek")
    )
    assert [line.count('"role":') for line in session.chats["c"].to_jsonl().splitlines()] == [4]
