"""Web pages of another origin: refused, unless the demo was told to let them ask (CORS, https://fetch.spec.whatwg.org)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from deepseek_magic.demo.server import DemoServer

PAGE = "https://lessons.example"
OTHER = "https://other.example"
BODY = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "hi"}], "stream": True}
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


def asked(server: DemoServer, origin: str, method: str = "POST", **more: str) -> httpx.Response:
    headers = {"origin": origin, "authorization": "Bearer sk-test-1234", **more}
    body: Any = BODY if method == "POST" else None
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.request(method, f"{server.base_url}/chat/completions", headers=headers, json=body)


@pytest.mark.parametrize("allowed", [(PAGE,), (OTHER, PAGE), ("*",)])
def test_a_page_that_may_ask_is_answered_so_that_its_browser_lets_it_read(allowed: tuple[str, ...]) -> None:
    with DemoServer(pace=0, allow_origins=allowed) as server:
        first = asked(server, PAGE, "OPTIONS", **PREFLIGHT)
        answer = asked(server, PAGE)
        server.fault = "429 retry-after=1"
        refused = asked(server, PAGE)
    assert first.status_code == 200
    assert first.headers["access-control-allow-methods"] == "POST"
    assert first.headers["access-control-allow-headers"] == "authorization,content-type"
    assert (answer.status_code, refused.status_code) == (200, 429)
    assert "[DONE]" in answer.text
    for each in (first, answer, refused):
        assert each.headers["access-control-allow-origin"] == PAGE
        assert each.headers["access-control-expose-headers"] == "*"
        assert each.headers["vary"] == "origin"


@pytest.mark.parametrize("allowed", [(), (OTHER,), (f"{PAGE}:8443",)])
@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_any_other_page_is_refused_and_cannot_read_even_that(method: str, allowed: tuple[str, ...]) -> None:
    with DemoServer(pace=0, allow_origins=allowed) as server:
        answer = asked(server, PAGE, method, **PREFLIGHT)
    assert answer.status_code == 403
    assert f"--allow-origin {PAGE}" in answer.json()["error"]["message"]
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_programs_are_told_nothing_of_pages() -> None:
    with DemoServer(pace=0, allow_origins=("*",)) as server, httpx.Client(trust_env=False) as client:
        answer = client.get(f"{server.base_url}/models", headers={"authorization": "Bearer sk-test-1234"})
    assert answer.status_code == 200
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_page_that_may_ask_cannot_switch_faults_for_the_others() -> None:
    with DemoServer(pace=0, allow_origins=("*",)) as server, httpx.Client(trust_env=False) as client:
        answer = client.post(f"{server.base_url}/_demo/fault", headers={"origin": PAGE}, json={"fault": "500"})
        first = client.options(f"{server.base_url}/_demo/fault", headers={"origin": PAGE, **PREFLIGHT})
        fault = server.fault
    assert (answer.status_code, first.status_code, fault) == (403, 403, None)
    assert "--allow-origin" not in answer.json()["error"]["message"]
