"""One call for all who ask the same, each answer whole, and one sentence for what is refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.rules import Hours, Rules
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import APIStatusError, DeepSeekError
from deepseek_magic.protocol.options import Options
from tests.relay.running import HANG_S, TEACHER, RunningRelay, until

Start = Callable[..., RunningRelay]
QUESTION = "Tell me a story: long 3"
BODY = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}]}


async def ask_all(relay: RunningRelay, count: int, question: str = QUESTION, **options: Any) -> list[Completion]:
    """The question from so many students at once."""

    async def one(number: int) -> Completion:
        async with relay.client(number) as client:
            try:
                return await client.complete(question, **options)
            except DeepSeekError as error:
                return error.completion or Completion(request=Request.of(question), error=error)

    return await asyncio.gather(*map(one, range(count)))


async def test_all_who_ask_the_same_share_one_call_and_a_late_one_needs_none(start: Start) -> None:
    relay = start(students=11)
    relay.demo.pace = 1.0
    asking = asyncio.create_task(ask_all(relay, 10))
    answers = await asking
    assert len(relay.posts()) == 1
    texts = {(answer.text, answer.reasoning, answer.outcome) for answer in answers}
    assert len(texts) == 1
    assert next(iter(texts))[2] == "complete"
    assert {answer.record.attempts for answer in answers if answer.record is not None} == {1}
    async with relay.client(10) as client:
        assert (await client.complete(QUESTION)).text == answers[0].text
    assert len(relay.posts()) == 1
    assert answers[0].usage.completion_tokens
    assert answers[0].usage == answers[1].usage


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"model": "deepseek-v4-pro"},
        {"think": "off"},
        {"max_tokens": 1000},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_one_difference_is_another_call(relay: RunningRelay, change: dict[str, Any]) -> None:
    async with relay.client() as one, relay.client(1) as other:
        await asyncio.gather(one.complete("Hello"), other.complete("Hello", **change))
    assert len(relay.posts()) == 2


async def test_another_history_is_another_call_and_another_user_is_not(relay: RunningRelay) -> None:
    said = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "Hello"},
    ]
    async with relay.client() as one, relay.client(1) as other:
        await asyncio.gather(one.complete("Hello"), other.complete(said))
        assert len(relay.posts()) == 2
        await asyncio.gather(one.complete("Hi", user_id="a"), other.complete("Hi", user_id="b"))
    assert len(relay.posts()) == 3
    assert len({seen.body["user_id"] for seen in relay.posts()}) == 1  # one prefix cache for the class


async def test_who_asks_for_no_cache_has_a_call_of_their_own(relay: RunningRelay) -> None:
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        for _ in range(2):
            headers = relay.headers(0, **{"cache-control": "no-cache"})
            answer = await http.post(f"{relay.base_url}/v1/chat/completions", json=BODY, headers=headers)
            assert answer.status_code == 200
    assert len(relay.posts()) == 2


async def test_a_class_may_share_nothing(start: Start) -> None:
    relay = start(Rules(share=False))
    await ask_all(relay, 3, "Hello")
    assert len(relay.posts()) == 3


# ids


async def stream_of(
    relay: RunningRelay, body: dict[str, Any], number: int = 0, **headers: str
) -> tuple[int, list[str], str]:
    """Status, ids and text of one stream."""
    ids, text = [], ""
    async with (
        httpx.AsyncClient(timeout=HANG_S) as http,
        http.stream(
            "POST",
            f"{relay.base_url}/v1/chat/completions",
            json=body | {"stream": True},
            headers=relay.headers(number, **headers),
        ) as answer,
    ):
        if answer.status_code != 200:
            return answer.status_code, [], (await answer.aread()).decode()
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                ids.append(line.removeprefix("id: "))
            elif line.startswith("data: {"):
                text += json.loads(line.removeprefix("data: "))["choices"][0]["delta"].get("content") or ""
    return 200, ids, text


async def test_an_id_brings_what_came_behind_it(relay: RunningRelay) -> None:
    _, ids, text = await stream_of(relay, BODY)
    assert len({name.partition(":")[0] for name in ids}) == 1
    middle = len(ids) // 2
    _, rest, end = await stream_of(relay, BODY, **{"last-event-id": ids[middle]})
    assert rest == ids[middle + 1 :]
    assert text.endswith(end)
    assert len(relay.posts()) == 1


async def test_an_id_is_refused_for_another_question_and_unknown_ones_begin_anew(relay: RunningRelay) -> None:
    _, ids, text = await stream_of(relay, BODY)
    other = {**BODY, "messages": [{"role": "user", "content": "Something else"}]}
    status, _, said = await stream_of(relay, other, **{"last-event-id": ids[3]})
    assert (status, json.loads(said)["error"]["code"]) == (409, "last_event_id")
    nonce = ids[0].partition(":")[0]
    assert (await stream_of(relay, BODY, **{"last-event-id": f"{nonce}:99999"}))[0] == 409
    for unknown in ("another:3", "3", "x:y", ":"):
        _, anew, again = await stream_of(relay, BODY, **{"last-event-id": unknown})
        assert (anew, again) == (ids, text)
    # Somebody who never asked this question takes up nobody's answer, they are given their own from the front.
    _, anew, _ = await stream_of(relay, BODY, number=1, **{"last-event-id": ids[-5]})
    assert anew == ids


async def test_a_restart_never_joins_two_answers(demo: DemoServer, tmp_path: Any) -> None:
    """The demo answers differently each time; the relay is restarted in the middle."""
    demo.pace = 3.0
    relay = RunningRelay(tmp_path / "relay", demo, grace_s=0.2)
    seen: list[str] = []
    with relay:
        port = relay.port
        client = relay.client()
        stream = client.stream("long 20", think="off")
        async for event in stream:
            seen.append(getattr(event, "text", ""))
            if len("".join(seen)) > 200:
                break
    relay.port = port
    demo.fault, demo.pace = "diverge", 0.02
    with relay:  # the same port, another run
        async for _ in stream:
            pass
    answer = stream.completion
    await client.aclose()
    assert answer.outcome == "complete"
    assert len(relay.posts()) >= 2
    # Either the words so far went along and were continued, or it is one answer from its beginning: a resume by id, which
    # would have spliced two, is none of its seams.
    assert answer.seams
    assert all(seam.kind in ("continued", "restarted") for seam in answer.seams if seam.at_chars is not None)
    last = relay.posts()[-1].body["messages"][-1]
    assert answer.seams[-1].kind == "restarted" or last.get("prefix") is True


# grace


async def test_when_the_last_reader_has_gone_the_provider_is_left(start: Start) -> None:
    relay = start(grace_s=0.5)
    relay.demo.pace = 20.0
    one, other = relay.client().stream(QUESTION), relay.client(1).stream(QUESTION)
    async for event in one:
        if getattr(event, "text", ""):
            break
    async for event in other:
        if getattr(event, "text", ""):
            break
    await one.aclose()
    flight = next(iter(relay.service.flights.values()))
    await asyncio.sleep(1.5)  # longer than the grace: the other one is still there
    assert not relay.posts()[0].ended
    await other.aclose()
    await until(lambda: relay.posts()[0].ended)
    assert relay.posts()[0].ended == "client left"
    assert flight.over.is_set()
    service = relay.service
    asking = service.accounts.everybody(service.clock.now())
    account = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, relay.loop))
    assert account["", "demo USD"].used["course"] > 0
    assert account["", "demo USD"].used == account["student 00", "demo USD"].used


# rules


@pytest.mark.parametrize(
    ("rules", "body", "status", "code"),
    [
        (Rules(hours=(Hours(first_minute=0, last_minute=1, day=date(2020, 1, 1)),)), {}, 403, "class.hours"),
        (Rules(models=("deepseek-flash",)), {"model": "deepseek-v4-pro"}, 403, "models.allow"),
        (Rules(max_tokens=10), {"max_completion_tokens": 11}, 403, "limits.max_tokens"),
        (Rules(fixed=Options(temperature=0)), {"temperature": 1}, 403, "fixed.temperature"),
        (Rules(fixed=Options(think="off")), {"thinking": {"type": "enabled"}}, 403, "fixed.think"),
        (Rules(tools=False), {"functions": [{"name": "f"}]}, 403, "limits.tools"),
        (Rules(budgets={("student", "day"): Decimal("0.000001")}), {}, 402, "budget.student.day"),
        (Rules(budgets={("class", "course"): Decimal("0.000001")}), {}, 402, "budget.class.course"),
        (Rules(), {"n": 2}, 400, None),
        (Rules(), {"models": ["dear/one"]}, 400, None),
        (Rules(), {"temperature": 9}, 400, None),
        (Rules(), {"messages": "Hello"}, 400, None),
        (Rules(), {"messages": [{"role": "king", "content": "x"}]}, 400, None),
        (Rules(), {"stream": "yes"}, 400, None),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, dict) else "",
)
def test_what_is_not_allowed_is_an_error_that_names_its_rule(
    start: Start, rules: Rules, body: dict[str, Any], status: int, code: str | None
) -> None:
    relay = start(rules)
    answer = httpx.post(f"{relay.base_url}/v1/chat/completions", json=BODY | body, headers=relay.headers())
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert answer.headers["x-should-retry"] == "false"
    if code is not None:
        assert f"(rule {code} of " in error["message"]
    assert relay.posts() == []


async def test_a_refused_budget_is_said_in_its_own_words_and_holds_up_no_call_that_it_allows(start: Start) -> None:
    relay = start(Rules(contact="ann", budgets={("student", "day"): Decimal("0.001")}))
    async with relay.client() as client:
        with pytest.raises(DeepSeekError, match=r"\(rule budget\.student\.day of .*Ask ann if") as refused:
            await client.complete(QUESTION, max_tokens=100_000)
        assert "Ask again" not in str(refused.value)
        assert (await client.complete(QUESTION, max_tokens=20, think="off")).outcome == "truncated"


def test_tokens_are_needed_and_errors_speak_the_readers_language(relay: RunningRelay) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic abc"}):
        answer = httpx.post(f"{relay.base_url}/v1/chat/completions", json=BODY, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    answer = httpx.get(f"{relay.base_url}/v1/models", headers={"accept-language": "zh-CN,zh;q=0.9"})
    assert "老师" in answer.json()["error"]["message"]
    assert httpx.get(f"{relay.base_url}/nothing").json()["error"]["type"] == "invalid_request_error"
    assert httpx.post(f"{relay.base_url}/v1/chat/completions", content=b"{", headers=relay.headers()).status_code == 400


async def test_a_student_has_so_many_calls_at_once_and_their_own_cut_is_none(start: Start) -> None:
    relay = start(Rules(at_once=1))
    relay.demo.pace = 5.0
    async with relay.client() as client:
        stream = client.stream(QUESTION)
        async for event in stream:
            if getattr(event, "text", ""):
                break
        url = f"{relay.base_url}/v1/chat/completions"
        async with httpx.AsyncClient(timeout=HANG_S) as http:
            busy = await http.post(url, json=BODY, headers=relay.headers())
            assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
            assert "x-should-retry" not in busy.headers
            relay.demo.pace = 0.0
            assert (await http.post(url, json=BODY, headers=relay.headers(1))).status_code == 200
        await stream.aclose()


# providers' errors


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("429", 429),
        ("503", 503),
        ("cut after=0", 502),
        ("cut after=40", 502),
        ("401", 502),
        ("402", 402),
    ],
)
async def test_a_providers_error_reaches_all_with_the_same_status(start: Start, fault: str, status: int) -> None:
    relay = start(students=6, recovery=RecoveryPolicy(attempts=1, resumes=0))
    relay.demo.fault = fault
    answers = await ask_all(relay, 6, think="off")
    assert len(relay.posts()) == 1
    errors = [answer.error for answer in answers]
    assert all(isinstance(error, APIStatusError) for error in errors)
    assert {error.status for error in errors if isinstance(error, APIStatusError)} == {status}
    assert len({answer.text for answer in answers}) == 1
    if "after=40" in fault:
        assert answers[0].text


# clients


def test_curl_and_the_openai_package_work_through_it(relay: RunningRelay) -> None:
    plain = openai.OpenAI(base_url=f"{relay.base_url}/v1", api_key=relay.token())
    messages: Any = BODY["messages"]
    whole = plain.chat.completions.create(model="deepseek-flash", messages=messages)
    stream = plain.chat.completions.create(
        model="deepseek-flash", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert [model.id for model in plain.models.list()] == ["deepseek-flash", "deepseek-v4-pro"]
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{relay.base_url}/v1", api_key="wrong").models.list()
    command = ["curl", "-sN", f"{relay.base_url}/v1/chat/completions", "-d", json.dumps(BODY | {"stream": True})]
    done = subprocess.run(
        [*command, "-H", f"Authorization: Bearer {relay.token(1)}"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    assert done.stdout.count("data: [DONE]") == 1
    assert len(relay.posts()) == 1
    plain.close()


async def test_tool_calls_logprobs_and_json_come_through(relay: RunningRelay) -> None:
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    async with relay.client() as client:
        answer = await client.complete("What is the weather?", tools=tools)
        assert answer.tool_calls
        direct = await client.complete("Hello", logprobs=True, top_logprobs=2, think="off")
        assert direct.logprobs
        assert (await client.complete("A planet as json", json=True)).json


# what is told


def test_a_student_sees_what_is_left_and_the_teacher_sees_all(start: Start) -> None:
    relay = start(Rules(name="Physics", budgets={("student", "day"): Decimal(1)}))
    url, teacher = relay.base_url, {"authorization": f"Bearer {TEACHER}"}
    for number in (0, 1):
        assert httpx.post(f"{url}/v1/chat/completions", json=BODY, headers=relay.headers(number)).status_code == 200
    left = httpx.get(f"{url}/v1/budget", headers=relay.headers()).json()
    assert left["student"] == "student 00"
    assert left["demo USD"]["day"]["used"] > 0
    assert left["demo USD"]["day"]["of"] == 1
    assert httpx.get(f"{url}/healthz").json() == {"ok": True, "stopped": False}
    for path in ("/metrics", "/teacher", "/teacher/events"):
        assert httpx.get(f"{url}{path}").status_code == 401
        assert httpx.get(f"{url}{path}", headers=relay.headers()).status_code == 403
    told = httpx.get(f"{url}/metrics", headers=teacher).text
    assert "deepseek_relay_upstream_calls_total 1\n" in told
    assert "deepseek_relay_calls_shared_total 1\n" in told
    assert "Physics" in httpx.get(f"{url}/teacher", headers=teacher).text
    with httpx.stream("GET", f"{url}/teacher/events", headers=teacher) as events:
        line = next(line for line in events.iter_lines() if line)
    students = {each["name"]: each for each in json.loads(line.removeprefix("data: "))["students"]}
    assert students["student 00"]["asked"] == 1
    assert students["student 01"]["shared"] == 1
    assert students["student 00"]["spent"] == students["student 01"]["spent"] != ""


def test_the_teachers_address_becomes_a_cookie(relay: RunningRelay) -> None:
    with httpx.Client(base_url=relay.base_url) as browser:
        assert browser.get("/teacher?token=wrong").status_code == 401
        moved = browser.get(f"/teacher?token={TEACHER}")
        assert (moved.status_code, moved.headers["location"]) == (303, "/teacher")
        assert "httponly" in moved.headers["set-cookie"].lower()
        assert TEACHER not in browser.get("/teacher").text
        assert browser.post("/teacher/stop", content=b'{"stopped": true}').status_code == 415


async def test_a_stop_for_everybody_ends_what_is_under_way_until_it_is_taken_back(relay: RunningRelay) -> None:
    relay.demo.pace = 10.0
    asking = asyncio.create_task(ask_all(relay, 2))
    async with httpx.AsyncClient(base_url=relay.base_url, headers={"authorization": f"Bearer {TEACHER}"}) as teacher:
        await until(relay.posts)
        assert (await teacher.post("/teacher/stop", json={"stopped": True})).json() == {"stopped": True}
        answers = await asking
        assert all("teacher has stopped" in str(answer.error) for answer in answers)
        await until(lambda: relay.posts()[0].ended)
        count = len(relay.posts())
        refused = (await ask_all(relay, 1, "Hello"))[0]
        assert "teacher has stopped" in str(refused.error)
        assert len(relay.posts()) == count
        relay.demo.pace = 0.0
        await teacher.post("/teacher/stop", json={"stopped": False})
        assert (await ask_all(relay, 1, "Hello"))[0].outcome == "complete"
