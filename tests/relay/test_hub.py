"""The relay as a service of a real JupyterHub: kernels need no setting, and nobody but the relay has the key."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def provider() -> Iterator[DemoServer]:
    with DemoServer(pace=0.02, key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def hub(provider: DemoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub") / "hub", provider.base_url, KEY, '[class]\nname = "Physics"\n') as running:
        yield running


def asked(url: str, token: str | None) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{url}/v1/chat/completions", json=BODY, headers=headers, timeout=HANG_S)


def test_members_of_the_class_may_ask_and_nobody_else(hub: Hub) -> None:
    ann, _ = hub.token("ann")
    bob, _ = hub.token("bob")
    for url in (hub.relay_url, f"{hub.url}/services/deepseek"):
        assert asked(url, None).status_code == 401
        assert asked(url, "wrong").status_code == 401
        refused = asked(url, bob)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "hub.scope")
        assert "access:services!service=deepseek" in refused.json()["error"]["message"]
        assert asked(url, ann).status_code == 200


async def test_a_token_that_was_taken_back_is_refused_once_it_is_asked_for_again(hub: Hub) -> None:
    token, name = hub.token("ann")
    service = HubService(name="deepseek", api_url=hub.api_url, prefix="/", host="127.0.0.1", port=1)
    transport = HTTPXTransport()
    door = HubDoor(service, transport, cache_s=0.5)
    assert (await door.who(token)).name == "ann"
    hub.api("DELETE", f"/users/ann/tokens/{name}")

    async def ask_on() -> None:
        while True:
            await door.who(token)
            await asyncio.sleep(0.1)

    with pytest.raises(Refusal, match="taken it back"):
        await asyncio.wait_for(ask_on(), HANG_S)
    await transport.aclose()


async def test_a_kernel_asks_without_any_setting_and_never_has_the_key(hub: Hub, provider: DemoServer) -> None:
    hub.spawn("ann")
    before = len(provider.requests)
    printed = await hub.run(
        "ann",
        [
            "%load_ext deepseek_magic",
            "%%deepseek -o answer --no-history\nTell me a story.",
            "print(answer.outcome, len(answer.text), answer.record.endpoint)",
            "%deepseek_doctor",
            "import subprocess\nprint(subprocess.run(['sleep', '0'], check=False).returncode)",
        ],
    )
    assert printed[2].startswith("complete "), printed
    assert "Everything works." in printed[3], printed
    assert "JUPYTERHUB_API_TOKEN" in printed[3]
    chats = [seen for seen in provider.requests[before:] if seen.method == "POST"]
    assert len(chats) == 1
    secrets = (KEY.encode(), base64.b64encode(KEY.encode()))
    for path in hub.folder.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert not any(secret in path.read_bytes() for secret in secrets), path
    assert not any(secret.decode() in text for secret in secrets for text in printed)


@pytest.mark.skipif(sys.platform != "linux", reason="environments are read from /proc")
async def test_no_process_of_a_student_has_the_key_in_its_environment(hub: Hub) -> None:
    if not hub.api("GET", "/users/ann")["servers"]:
        hub.spawn("ann")
    own = "import os; print(os.getpid(), 'DEEPSEEK_API_KEY' in os.environ)"
    pid, has_key = (await hub.run("ann", [own]))[0].split()
    assert has_key == "False"
    students = _environments_of("ann")
    assert students
    assert not any(KEY.encode() in environment for environment in students)
    assert int(pid) != os.getpid()


async def test_doctor_names_a_missing_scope(hub: Hub) -> None:
    hub.token("bob")
    hub.spawn("bob")
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
