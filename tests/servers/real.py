"""What servers that others wrote do with our requests: LiteLLM's proxy, ``transformers serve``, llama.cpp's server.

Run by ``bash .ci/servers``, which installs them, each into an environment of its own: ``python -m tests.servers.real
ENVIRONMENTS [NAME ...]``. Prints a table and writes the streams as they came into build/servers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import importlib.metadata
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import resolve
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import DeepSeekError
from deepseek_magic.protocol.events import Event, Seam, TextDelta
from tests.servers.proxies import Program

FOLDER: Final = Path("build/servers")
LIMIT_S: Final = 300.0
"""More than any answer here takes on a slow machine."""
BEGUN: Final = 10
SETTLE_S: Final = 2.0
BUSY: Final = 0.3
"""A server that uses more of a core than this some seconds after a Stop goes on writing."""
PATIENT: Final = Timeouts(
    connect_s=LIMIT_S, read_s=LIMIT_S, queue_s=LIMIT_S, first_delta_s=LIMIT_S, idle_s=LIMIT_S, idle_reasoning_s=LIMIT_S
)
AGAIN: Final = RecoveryPolicy(attempts=60, resumes=10, base_s=0.5, cap_s=5.0)
PROMPT: Final = "Explain tables, then show code"
CITY: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Final = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": CITY}}
CHOICE: Final = {"type": "function", "function": {"name": "weather"}}
KEY: Final = "sk-local-0123456789"


class Real(Program, ABC):
    """One of them. ``key`` is what it takes, ``many`` a limit that keeps it busy for a while."""

    ready_s: ClassVar[float] = LIMIT_S
    package: ClassVar[str]
    key: ClassVar[str | None] = None
    many: ClassVar[int] = 1500
    thinks_not: ClassVar[dict[str, str]] = {}
    """What a model that thinks needs before it may be made to call a tool."""
    model = ""

    def __init__(self, environment: Path) -> None:
        super().__init__()
        self.bin = environment.absolute() / "bin"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def version(self) -> str:
        site = next((self.bin.parent / "lib").glob("python*/site-packages"))
        return next(d.version for d in importlib.metadata.distributions(path=[str(site)]) if d.name == self.package)

    @abstractmethod
    async def start(self) -> None:
        """Start it, also a second time."""

    async def stopped_upstream(self) -> str:
        """Whether it still works after a Stop, told by what it uses of a core."""
        await asyncio.sleep(SETTLE_S)
        before_s = self._cpu_s()
        await asyncio.sleep(SETTLE_S)
        share = (self._cpu_s() - before_s) / SETTLE_S
        return "ends" if share < BUSY else f"goes on ({share:.0%} of a core)"

    def _cpu_s(self) -> float:
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def broken_behind(self) -> str:
        """What comes of a break behind it."""
        return "–"


class LiteLLM(Real):
    """Its proxy in front of the demo."""

    package = "litellm"
    key = KEY
    model = "tiny"
    thinks_not: ClassVar[dict[str, str]] = {"think": "off"}

    async def start(self) -> None:
        if not hasattr(self, "demo"):
            self.demo = DemoServer(pace=0.5).start()
        behind: dict[str, Any] = {
            "model": "openai/deepseek-flash",
            "api_base": f"{self.demo.base_url}/v1",
            "api_key": "any",
        }
        behind["allowed_openai_params"] = ["thinking"]  # else every request that names a mode is refused
        config = {
            "model_list": [{"model_name": self.model, "litellm_params": behind}],
            "general_settings": {"master_key": KEY},
            "litellm_settings": {"num_retries": 0, "telemetry": False},
        }
        file = FOLDER.absolute() / "litellm.json"  # JSON is YAML, too
        file.with_suffix(".yaml").write_text(json.dumps(config))
        await self.run(
            *(str(self.bin / "litellm"), "--config", str(file.with_suffix(".yaml")), "--port", str(self.port)),
            *("--host", "127.0.0.1"),
            LITELLM_LOCAL_MODEL_COST_MAP="True",
        )

    async def stopped_upstream(self) -> str:
        await asyncio.sleep(SETTLE_S)
        return {"client left": "ends", "": "goes on"}.get(self.demo.requests[-1].ended, self.demo.requests[-1].ended)

    async def broken_behind(self) -> str:
        said = []
        for fault in ("cut at=content after=30 times=1", "503 times=1"):
            self.demo.fault = fault
            completion, events = await ask(self)
            said.append(f"{fault.split()[0]}: {told(completion, events)}")
            self.demo.fault = fault
            record(self, f"behind-{fault.split()[0]}", {})
        self.demo.fault = None
        return "; ".join(said)


class Transformers(Real):
    """``transformers serve`` with a model of random weights."""

    package = "transformers"

    async def start(self) -> None:
        folder = FOLDER.absolute() / "tiny"
        if not folder.exists():
            await _tiny(self.bin, "transformers", folder)
        self.model = str(folder)
        await self.run(
            *(str(self.bin / "transformers"), "serve", self.model, "--host", "127.0.0.1", "--port", str(self.port)),
            *("--device", "cpu"),
            HF_HUB_OFFLINE="1",
            OMP_NUM_THREADS="1",
        )


class LlamaCpp(Real):
    """llama.cpp in llama-cpp-python's server, with a model of random weights."""

    package = "llama_cpp_python"
    key = KEY
    model = "tiny"

    async def start(self) -> None:
        file = FOLDER.absolute() / "tiny.gguf"
        if not file.exists():
            await _tiny(self.bin, "gguf", file)
        await self.run(
            *(str(self.bin / "python"), "-m", "llama_cpp.server", "--model", str(file), "--model_alias", self.model),
            *("--host", "127.0.0.1", "--port", str(self.port), "--n_ctx", "4096", "--n_threads", "1"),
            *("--api_key", KEY),
        )


async def _tiny(environment: Path, kind: str, to: Path) -> None:
    made = await asyncio.create_subprocess_exec(
        str(environment / "python"), str(Path(__file__).with_name("tiny.py")), kind, str(to)
    )
    if await made.wait():
        raise RuntimeError(f"the model for {kind} could not be made")


SERVERS: Final = {"litellm": LiteLLM, "transformers": Transformers, "llamacpp": LlamaCpp}


async def ask(
    server: Real, *, key: str | None = None, begun: Any = None, **options: Any
) -> tuple[Completion, list[Event]]:
    """One call as a user makes it who types the address; ``begun`` is awaited once the answer has begun."""
    events: list[Event] = []
    acting: asyncio.Future[Any] | None = None
    endpoint = replace(
        resolve(server.base_url), continuing=options.pop("continuing", resolve(server.base_url).continuing)
    )
    async with Client(endpoint, api_key=key or server.key, recovery=AGAIN, timeouts=PATIENT) as client:
        stream = client.stream(PROMPT, **{"model": server.model, "max_tokens": 60, "temperature": 1.0, **options})
        with contextlib.suppress(DeepSeekError):
            async for event in stream:
                events.append(event)
                if begun is not None and acting is None and sum(isinstance(e, TextDelta) for e in events) >= BEGUN:
                    acting = asyncio.ensure_future(begun(stream))
        if acting is not None:
            await acting
        return stream.completion, events


def told(completion: Completion, events: list[Event]) -> str:
    """A call's end in a few words."""
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    seams = ", ".join(event.kind for event in events if isinstance(event, Seam))
    words = [completion.outcome, f"{completion.attempts} requests" if completion.attempts > 1 else "", seams]
    if not seams and text != completion.text:
        words.append("THE SCREEN DIFFERS")
    if completion.error is not None:
        words.append(f"{type(completion.error).__name__}: {str(completion.error)[:160]}")
    words.append(" ".join(completion.anomalies))
    return ", ".join(word for word in words if word)


async def rows(server: Real) -> AsyncIterator[tuple[str, str]]:
    """What is asked of each, and what came of it."""
    completion, events = await ask(server)
    yield "streaming", told(completion, events)
    yield "usage", str(completion.usage) if completion.usage is not None else "none"
    record(server, "text", {"max_tokens": 8})

    async def stop(stream: Any) -> None:
        await stream.aclose()

    completion, events = await ask(server, begun=stop, max_tokens=server.many)
    yield "Stop", f"{told(completion, events)}; the request {await server.stopped_upstream()}"

    completion, events = await ask(server, tools=[TOOL], tool_choice=CHOICE, **server.thinks_not)
    calls = ", ".join(f"{call.name}({call.arguments})" for call in completion.tool_calls) or "no call"
    yield "tools", f"{told(completion, events)}; {calls}"
    off = {"thinking": {"type": "disabled"}} if server.thinks_not else {}
    record(server, "tool", {"max_tokens": 30, "tools": [TOOL], "tool_choice": CHOICE, **off})

    async def kill(_: Any) -> None:
        await server.kill()
        await server.start()

    completion, events = await ask(server, begun=kill, max_tokens=server.many)
    yield "killed, started again", told(completion, events)
    yield "broken behind it", await server.broken_behind()

    for style, message, more, path in STYLES:
        body = {"messages": [{"role": "user", "content": PROMPT}, message], "max_tokens": 8, **more}
        status, answer = post(server, body, path=path)
        said = answer.decode("utf-8", "replace").strip().replace("\n", " ")
        yield f"continuing: {style}", f"{status}" + ("" if status == 200 else f" {said[:120]}")

    completion, events = await ask(server, model="no-such-model")
    yield "wrong model", told(completion, events)
    completion, events = await ask(server, key="sk-wrong-0123456789")
    yield "wrong key", told(completion, events)
    for name, body in (("stream_options refused", {"stream_options": {"nonsense": 1}}), ("no field", {"nonsense": 1})):
        status, _ = post(server, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, **body})
        yield name, str(status)


_BEGUN: Final = {"role": "assistant", "content": "A table has rows and columns, and"}
STYLES: Final = (
    ("deepseek_prefix", {**_BEGUN, "prefix": True}, {}, "/beta/chat/completions"),
    ("trailing_assistant", _BEGUN, {}, "/v1/chat/completions"),
    (
        "continue_final_message",
        _BEGUN,
        {"continue_final_message": True, "add_generation_prompt": False},
        "/v1/chat/completions",
    ),
)


def post(server: Real, body: dict[str, Any], *, path: str = "/v1/chat/completions") -> tuple[int, bytes]:
    """A request by other means than ours, and all that came back."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    headers = {"content-type": "application/json", "authorization": f"Bearer {server.key or 'none'}"}
    sent = {"model": server.model, "stream": True, "stream_options": {"include_usage": True}, **body}
    connection.request("POST", path, json.dumps(sent), headers)
    answer = connection.getresponse()
    with contextlib.closing(connection):
        return answer.status, answer.read()


def record(server: Real, name: str, more: dict[str, Any]) -> None:
    """Keep a stream as it came."""
    _, stream = post(server, {"messages": [{"role": "user", "content": PROMPT}], **more})
    (FOLDER / f"{server.package}-{name}.sse").write_bytes(stream)


async def measure(names: list[str], environments: Path) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        server = SERVERS[name](environments / name)
        print(f"\n{server.package} {server.version}, {time.strftime('%Y-%m-%d')}", flush=True)
        try:
            await server.start()
            async for row, said in rows(server):
                print(f"  {row:<36} {said}", flush=True)
        finally:
            await server.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environments", type=Path)
    parser.add_argument("names", nargs="*", choices=[*SERVERS, []])
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.names or ["litellm", "transformers"], arguments.environments))
