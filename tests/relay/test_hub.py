"""The relay as a service of a real JupyterHub: kernels need no setting, and nobody but the relay has the key."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
from pathlib import Path

import httpx
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.transport import HTTPXTransport
from deepseek_magic.relay.hub import HubDoor, HubService
from deepseek_magic.relay.refusals import Refusal
from tests.relay.hub import HANG_S, Hub

pytest.importorskip("jupyterhub", reason="JupyterHub is not installed")
pytestmark = [pytest.mark.programs, pytest.mark.slow]

KEY = "sk-test-of-a-hub-1234"
BODY = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}]}


RULES = '[class]\nname = "Physics"\nteacher_groups = ["teachers"]\n'


async def test_a_class_in_a_jupyterhub(tmp_path: Path) -> None:
    """One hub for all of it: to start one costs more than what is asked of it."""
    with (
        DemoServer(pace=0.02, key=KEY) as provider,
        Hub(tmp_path / "hub", provider.base_url, KEY, RULES) as hub,
    ):
        tokens = {name: hub.token(name)[0] for name in ("ann", "bob", "eve")}
        hub.spawn("ann", "bob")
        members_may_ask_and_nobody_else(hub, tokens)
        chunks_come_one_by_one_through_the_hubs_proxy(hub, provider, tokens["ann"])
        who_teaches_sees_the_class_in_a_browser_and_nobody_else(hub)
        await a_token_that_was_taken_back_is_refused_once_it_is_asked_for_again(hub)
        await a_kernel_asks_without_any_setting_and_never_has_the_key(hub, provider)
        await doctor_names_a_missing_scope(hub)


def asked(url: str, token: str | None) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{url}/v1/chat/completions", json=BODY, headers=headers, timeout=HANG_S)


def members_may_ask_and_nobody_else(hub: Hub, tokens: dict[str, str]) -> None:
    for url in (hub.relay_url, f"{hub.url}/services/deepseek"):
        assert asked(url, None).status_code == 401
        assert asked(url, "wrong").status_code == 401
        refused = asked(url, tokens["bob"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "hub.scope")
        assert "access:services!service=deepseek" in refused.json()["error"]["message"]
        assert asked(url, tokens["ann"]).status_code == 200


def chunks_come_one_by_one_through_the_hubs_proxy(hub: Hub, provider: DemoServer, token: str) -> None:
    """The provider falls silent after so many tokens: all of them have come through, though nothing follows that could push
    them. Times are ``python -m tests.relay.proxied``'s."""
    for count in (1, 2, 3, 7):
        provider.fault = f"stall at=content after={count} times=1"
        body = BODY | {"stream": True, "thinking": {"type": "disabled"}}
        body["messages"] = [{"role": "user", "content": f"Tell me the story number {count}."}]
        url = f"{hub.url}/services/deepseek/v1/chat/completions"
        headers = {"authorization": f"Bearer {token}"}
        with httpx.stream("POST", url, json=body, headers=headers, timeout=HANG_S) as answer:
            pieces: list[str] = []
            for line in answer.iter_lines():
                if line.startswith("data: {") and '"content":""' not in line:
                    pieces.append(line)
                if len(pieces) == count:
                    break
        assert len(pieces) == count
    provider.fault = None


def who_teaches_sees_the_class_in_a_browser_and_nobody_else(hub: Hub) -> None:
    page = "/services/deepseek/teacher"
    with contextlib.closing(hub.browser("eve")) as browser:
        shown = browser.get(page)
        assert shown.status_code == 200, shown.text
        assert (shown.url.path, "Physics" in shown.text) == (page, True)
        with browser.stream("GET", f"{page}/events") as events:
            assert '"ann"' in next(line for line in events.iter_lines() if line)
        assert browser.post(f"{page}/stop", json={"stopped": False}).json() == {"stopped": False}
        forged = browser.get("/services/deepseek/oauth_callback?code=abc&state=another")
        assert (forged.status_code, "begun somewhere else" in forged.text) == (401, True)
    with contextlib.closing(hub.browser("ann")) as browser:  # asks, and does not teach
        refused = browser.get(page)
        assert (refused.status_code, "ann does not teach this class" in refused.text) == (403, True)
    assert httpx.get(f"{hub.url}{page}").status_code == 401  # no browser: a program is not sent around


async def a_token_that_was_taken_back_is_refused_once_it_is_asked_for_again(hub: Hub) -> None:
    token, name = hub.token("ann")
    service = HubService(name="deepseek", api_url=hub.api_url, prefix="/", host="127.0.0.1", port=1)
    transport = HTTPXTransport()
    door = HubDoor(service, transport, cache_s=0.5)
    assert (await door.who(token)).name == "ann"
    with pytest.raises(Refusal, match="does not know"):
        await door.who("töken")
    hub.api("DELETE", f"/users/ann/tokens/{name}")

    async def ask_on() -> None:
        while True:
            await door.who(token)
            await asyncio.sleep(0.1)

    with pytest.raises(Refusal, match="taken it back"):
        await asyncio.wait_for(ask_on(), HANG_S)
    await transport.aclose()


async def a_kernel_asks_without_any_setting_and_never_has_the_key(hub: Hub, provider: DemoServer) -> None:
    hub.spawned("ann")
    before = len(provider.requests)
    printed = await hub.run(
        "ann",
        [
            "%load_ext deepseek_magic",
            "%%deepseek -o answer --no-history\nTell me a story.",
            "print(answer.outcome, len(answer.text), answer.record.endpoint)",
            "%deepseek_doctor",
            "import os; print(os.getpid(), 'DEEPSEEK_API_KEY' in os.environ)",
        ],
    )
    assert printed[2].startswith("complete "), printed
    assert "Everything works." in printed[3], printed
    assert "JUPYTERHUB_API_TOKEN" in printed[3]
    pid, has_key = printed[4].split()
    assert (int(pid) != os.getpid(), has_key) == (True, "False")
    chats = [seen for seen in provider.requests[before:] if seen.method == "POST"]
    assert len(chats) == 1
    secrets = (KEY.encode(), base64.b64encode(KEY.encode()))
    for path in hub.folder.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert not any(secret in path.read_bytes() for secret in secrets), path
    assert not any(secret.decode() in text for secret in secrets for text in printed)
    if sys.platform == "linux":  # environments are read from /proc
        students = _environments_of("ann")
        assert students
        assert not any(KEY.encode() in environment for environment in students)


async def doctor_names_a_missing_scope(hub: Hub) -> None:
    hub.spawned("bob")
    printed = await hub.run("bob", ["%load_ext deepseek_magic", "%deepseek_doctor"])
    assert "lacks the scope access:services!service=deepseek" in printed[1], printed


def _environments_of(name: str) -> list[bytes]:
    """Of all processes that the hub started for a user, and of theirs."""
    found = [_read(path) for path in Path("/proc").glob("[0-9]*/environ")]
    return [environment for environment in found if f"JUPYTERHUB_USER={name}".encode() in environment]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
