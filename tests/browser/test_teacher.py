"""The teacher's page on a projector: thirty students, two languages, both themes, at 1280 × 800 and at 150 %."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, Final

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.rules import Rules

from .conftest import SCREENSHOTS, STEP_MS

pytest.importorskip("uvicorn", reason="the extra relay is not installed")

from tests.relay.running import HANG_S, TEACHER, RunningRelay
from tests.relay.test_relay import ask_all

RULES: Final = Rules(
    name="Physics 101",
    max_tokens=2_000,
    budgets={("student", "day"): Decimal("0.01"), ("class", "course"): Decimal(20)},
)
NAMES: Final = [
    *("Ada", "Amélie Dubois-Lefèvre", "Anna-Lena Großkreutz", "Bo", "Chiara", "陈小明", "Daniel Óskarsson", "Emeka Nwankwo", "Fatima"),
    *("Giulia", "黄丽华", "Henrik", "Ifeoma", "Iván", "Jamal", "João Pedro", "Kateryna", "李伟", "Lakshmi Venkataraman", "Liam"),
    *("Mateusz Wiśniewski", "Mei", "Nguyễn Thị Minh", "Noor", "Olu", "Priya", "Quentin", "Sofía", "Tomoko", "Zoë"),
]  # fmt: skip
SIZES: Final = {"1280": (1280, 800), "150": (853, 533)}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRelay]:
    """A lesson in its middle: some have read, some were refused, one failed, some read and two wait."""
    folder = tmp_path_factory.mktemp("relay") / "relay"
    patience = RecoveryPolicy(attempts=1, resumes=0)
    with (
        DemoServer(pace=0.0) as demo,
        RunningRelay(folder, demo, RULES, names=NAMES, recovery=patience) as running,
        ThreadPoolExecutor(1) as apart,  # the browser's loop runs in this thread
        ExitStack() as reading,
    ):
        apart.submit(asyncio.run, earlier(running)).result()
        demo.pace = 60.0  # from here on an answer lasts for as long as the test
        for number in range(4, 13):
            reading.enter_context(begun(running, number, "Explain waves to me: long 30", until=b'"content":"'))
        demo.fault = "latency at=before-headers s=600"
        for number in (14, 15):
            reading.enter_context(begun(running, number, "What does the night hold?"))
        yield running


async def earlier(relay: RunningRelay) -> None:
    await ask_all(relay, 30, "What is inertia?")
    await ask_all(relay, 12, "And momentum?")
    await ask_all(relay, 3, "A book, please", max_tokens=9_000)
    relay.demo.fault = "503 times=1"
    await ask_all(relay, 1, "Hello?")
    relay.demo.fault = None


def begun(relay: RunningRelay, number: int, question: str, *, until: bytes = b"") -> socket.socket:
    """A student who reads an answer for as long as the socket is open."""
    asked = {"model": "deepseek-flash", "stream": True, "thinking": {"type": "disabled"}}
    body = json.dumps(asked | {"messages": [{"role": "user", "content": question}]}).encode()
    made = socket.create_connection(("127.0.0.1", relay.port), timeout=HANG_S)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {relay.token(number)}\r\n"
    made.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    seen = b""
    while until not in seen:
        some = made.recv(4096)
        assert some, seen
        seen += some
    return made


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    size, theme, language = request.param
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=1280 / width,
        color_scheme=theme,
        locale=language,
    )
    context.set_default_timeout(STEP_MS)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    "page",
    [("1280", "light", "en"), ("150", "light", "en"), ("150", "dark", "en"), ("150", "dark", "zh-CN"), ("1280", "dark", "zh-CN")],
    indirect=True,
    ids=lambda value: "-".join(value),
)  # fmt: skip
def test_a_teacher_would_show_it(relay: RunningRelay, page: Any, request: pytest.FixtureRequest) -> None:
    page.goto(f"{relay.base_url}/teacher?token={TEACHER}")
    page.get_by_text("Amélie").wait_for()
    page.get_by_text("limits.max_tokens").first.wait_for()
    SCREENSHOTS.mkdir(exist_ok=True)
    name = request.node.callspec.id
    page.screenshot(path=SCREENSHOTS / f"teacher_{name}.png")
    page.screenshot(path=SCREENSHOTS / f"teacher_{name}_whole.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator("#students li").count() == 30
    cut_off = "[...document.querySelectorAll('dd, button, .state, .count, li .money')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert page.evaluate(cut_off) == []
    page.get_by_role("button").first.click()
    assert not page.locator("#students").is_visible()
    page.screenshot(path=SCREENSHOTS / f"teacher_{name}_figures.png")
    assert page.evaluate(cut_off) == []
