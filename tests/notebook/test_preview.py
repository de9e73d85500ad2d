"""--dry-run: the request, about how many tokens it has and what it may cost; nothing is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from deepseek_magic.demo.server import DemoServer

from .conftest import KEY

Run = Callable[..., list[list[Any]]]


def test_a_dry_run_shows_request_tokens_and_price_and_needs_no_key(
    run_headless: Run, environment: dict[str, str], demo: DemoServer
) -> None:
    del environment["DEEPSEEK_API_KEY"]
    (shown,) = run_headless('%%deepseek --dry-run --max-tokens 1000\nHello {"a": 1} <b>')
    plain, markdown = shown[0].data["text/plain"], shown[0].data["text/markdown"]
    assert plain.startswith(f"POST {demo.base_url}/chat/completions\n{{")
    body = json.loads(plain[plain.index("{") : plain.rindex("}") + 1])
    assert body["messages"] == [{"role": "user", "content": 'Hello {"a": 1} <b>'}]
    assert body["max_tokens"] == 1000
    assert "at most 1,000 out" in plain
    assert "Price: unknown." in plain  # DeepSeek's prices are not those of another address
    assert "Price: unknown." in markdown
    assert not demo.requests


def test_at_deepseek_itself_the_price_lies_in_a_range(run_headless: Run, environment: dict[str, str]) -> None:
    del environment["DEEPSEEK_BASE_URL"]
    (shown,) = run_headless("%%deepseek --dry-run --max-tokens 1000\nHello")
    assert "POST https://api.deepseek.com/chat/completions" in shown[0].data["text/plain"]
    assert re.search(r"Price: from 0\.\d+ USD .* to 0\.\d+ USD ", shown[0].data["text/plain"])


def test_a_dry_run_never_shows_the_key(run_headless: Run) -> None:
    shown = run_headless("%%deepseek --dry-run\nHello")
    assert KEY not in str(shown)
