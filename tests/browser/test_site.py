"""The built documentation, page by page in the browser, with the network closed. ``bash .ci/docs`` builds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

SITE: Final = Path(__file__).parents[2] / "docs" / "_build" / "html"
NO_PAGES: Final = ("_static", "_sources", "lite")
STEP_MS: Final = 30_000


@pytest.fixture(scope="module")
def opened(browser: Any) -> dict[str, dict[str, Any]]:
    """Each page of the site: what it asked for beside files, what its scripts complained of, what is drawn."""
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: bash .ci/docs")
    pages = [path.relative_to(SITE) for path in sorted(SITE.rglob("*.html"))]
    seen: dict[str, dict[str, Any]] = {}
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    signs = [path for path in pages if 'http-equiv="refresh"' in (SITE / path).read_text("utf-8")]  # lead on at once
    for name in (path for path in pages if path.parts[0] not in NO_PAGES and path not in signs):
        asked.clear()
        complaints.clear()
        page.goto((SITE / name).as_uri(), wait_until="load", timeout=STEP_MS)
        formulas = page.locator("main math").evaluate_all("found => found.map(f => f.getBoundingClientRect().width)")
        outside = [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
        seen[name.as_posix()] = {"outside": outside, "complaints": complaints.copy(), "formulas": formulas}
    context.close()
    return seen


def test_no_page_asks_another_server_for_anything(opened: dict[str, dict[str, Any]]) -> None:
    assert len(opened) > 20
    assert {name: page["outside"] for name, page in opened.items() if page["outside"]} == {}


def test_no_script_of_a_page_fails(opened: dict[str, dict[str, Any]]) -> None:
    assert {name: page["complaints"] for name, page in opened.items() if page["complaints"]} == {}


def test_formulas_of_answers_are_drawn(opened: dict[str, dict[str, Any]]) -> None:
    formulas = opened["notebooks/01_first_steps.html"]["formulas"]
    assert formulas
    assert min(formulas) > 20


def test_the_switch_leads_to_the_same_page_in_the_other_language_and_back(browser: Any) -> None:
    if not (SITE / "zh" / "index.html").exists():
        pytest.skip("the site is not built: bash .ci/docs")
    page = browser.new_page()
    page.goto((SITE / "start.html").as_uri(), wait_until="load", timeout=STEP_MS)
    page.get_by_role("link", name="中文", exact=True).click()
    page.wait_for_url("**/zh/start.html", timeout=STEP_MS)
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_role("link", name="English", exact=True).click()
    page.wait_for_url(lambda url: url.endswith("/html/start.html"), timeout=STEP_MS)
    page.close()


@pytest.mark.parametrize("word", ["重试", "断点续传", "resume"])
def test_a_chinese_word_is_found(browser: Any, word: str) -> None:
    if not (SITE / "zh" / "index.html").exists():
        pytest.skip("the site is not built: bash .ci/docs")
    page = browser.new_page()
    page.goto(f"{(SITE / 'zh' / 'search.html').as_uri()}?q={word}", wait_until="load", timeout=STEP_MS)
    page.locator("#search-results li").first.wait_for(timeout=STEP_MS)
    page.close()
