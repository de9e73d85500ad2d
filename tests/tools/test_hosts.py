"""Hosts that give calls no ids, or the same ones in each round: each call is run, once, and its result is its own."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deepseek_magic.protocol.errors import NotConfirmed
from deepseek_magic.session.state import Session
from deepseek_magic.session.tools.rounds import Returned, RunTool

from .conftest import KEY, Answers


@dataclass
class Host:
    """A server that asks for ``double`` with these numbers, one a round, and then says that it is done; what it was sent."""

    id: str | None
    numbers: list[int]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def events(self) -> list[dict[str, Any]]:
        place = sum(message["role"] == "assistant" for message in self.bodies[-1]["messages"])
        if place >= len(self.numbers):
            return [self.chunk({"role": "assistant", "content": "Done."}), self.chunk({}, "stop")]
        call: dict[str, Any] = {"index": 0, "type": "function"}
        call["function"] = {"name": "double", "arguments": json.dumps({"n": self.numbers[place]})}
        if self.id is not None:
            call["id"] = self.id
        return [self.chunk({"role": "assistant", "tool_calls": [call]}), self.chunk({}, "tool_calls")]

    @staticmethod
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    @property
    def results(self) -> list[tuple[str, str]]:
        """The arguments of each call in the last request, each with the result that has its id."""
        messages = self.bodies[-1]["messages"]
        calls = [call for message in messages for call in message.get("tool_calls", ())]
        gave = [(m["tool_call_id"], m["content"]) for m in messages if m["role"] == "tool"]
        assert len({id for id, _ in gave}) == len(gave) == len(calls)
        return [(call["function"]["arguments"], dict(gave)[call["id"]]) for call in calls]


@pytest.fixture(params=[None, "c1"], ids=["no-ids", "one-id"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    host = Host(request.param, [1, 2, 3])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            host.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            lines = [*map(json.dumps, host.events()), "[DONE]"]
            data = "".join(f"data: {line}\n\n" for line in lines).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host.url = f"http://127.0.0.1:{server.server_port}"
    yield host
    server.shutdown()
    server.server_close()


ALL = [('{"n": 1}', "2"), ('{"n": 2}', "4"), ('{"n": 3}', "6")]


def test_each_round_s_call_has_its_own_result(host: Host, session: Session, person: Answers) -> None:
    ran: list[int] = []

    def double(n: int) -> int:
        """Twice as much."""
        ran.append(n)
        return 2 * n

    answer = session.ask("Double", tools=[double], base_url=host.url, api_key=KEY, chat="c")
    assert ran == [1, 2, 3]
    assert host.results == ALL
    assert [run.result for run in answer.tool_runs] == ["2", "4", "6"]
    assert len({run.id for run in answer.tool_runs}) == 3
    page = session.chats["c"].to_markdown()
    assert [page.count(f"(n={n})\n\n```\n{2 * n}\n```") for n in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize("died_at", [1, 2, 3])
@pytest.mark.parametrize("from_journal", [False, True])
def test_a_call_that_was_run_is_not_run_again_on_resume(
    from_journal: bool, died_at: int, host: Host, session: Session, person: Answers
) -> None:
    ran: list[int] = []

    def double(n: int) -> int:
        """Twice as much."""
        ran.append(n)
        return 2 * n

    person.answers = [*["run"] * (died_at - 1), NotConfirmed("nobody"), "run"]
    with pytest.raises(NotConfirmed) as ended:
        session.ask("Double", tools=[double], base_url=host.url, api_key=KEY)
    before = ended.value.completion
    assert before is not None
    assert before.record is not None
    what = before.record.call_id if from_journal else before
    answer = session.resume(what, tools=[double], base_url=host.url, api_key=KEY)
    assert ran == [1, 2, 3]
    assert host.results == ALL
    assert answer.outcome == "complete"


def test_a_call_that_had_begun_when_its_process_died_is_known_in_a_later_round(
    host: Host, session: Session, person: Answers
) -> None:
    ran: list[int] = []

    class Died(BaseException):
        pass

    def double(n: int) -> int:
        """Twice as much."""
        ran.append(n)
        if n == 2:
            raise Died
        return 2 * n

    # Stands for a kernel that dies within the function: nothing is noted after "begun".
    def run(step: RunTool, _person: object) -> Returned:
        return Returned(value=step.tool.call(step.arguments))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepseek_magic.session.tools.driving._run", run)
        with pytest.raises(Died):
            session.ask("Double", tools=[double], base_url=host.url, api_key=KEY)
    call_id = str(session.journal.rows()[-1]["call_id"])
    answer = session.resume(call_id, tools=[double], base_url=host.url, api_key=KEY)
    assert ran == [1, 2, 3]
    assert "was not run again" in answer.tool_runs[-2].result
    assert answer.outcome == "complete"
