"""``docs/translate.py``: what it does to a catalogue whose page has changed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "translate.py"
HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'


@pytest.fixture
def translate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("babel", reason="only the extra docs has Babel")
    spec = importlib.util.spec_from_file_location("translate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LOCALE", tmp_path)
    return module


def updated(translate: Any, before: str, *english: str) -> str:
    template = translate.Catalog()
    for text in english:
        template.add(text)
    (translate.LOCALE / "page.po").write_text(HEADER + before, "utf-8")
    return str(dict(translate.in_step(iter([("page", template)])))["page"]).removeprefix(translate.HEADER)


def test_a_changed_paragraph_keeps_its_chinese_marked_with_the_english_that_it_was_made_of(translate: Any) -> None:
    before = 'msgid "The answer is kept in the old place."\nmsgstr "旧。"\n'
    after = updated(translate, before, "The answer is kept in the new place.")
    assert after == (
        '#, fuzzy\n#| msgid "The answer is kept in the old place."\n'
        'msgid "The answer is kept in the new place."\nmsgstr "旧。"\n'
    )
    assert updated(translate, after, "The answer is kept in the new place.") == after
    assert translate.lacking(translate.HEADER + after) == (1, 1)


def test_the_order_is_that_of_the_page_and_what_it_no_longer_says_is_gone(translate: Any) -> None:
    before = 'msgid "one two"\nmsgstr "一二"\n\nmsgid "gone for good"\nmsgstr "没有了"\n\nmsgid "three four"\nmsgstr "三四"\n'
    after = updated(translate, before, "three four", 'five "six" seven\\', "one two")
    assert (
        after
        == 'msgid "three four"\nmsgstr "三四"\n\nmsgid "five \\"six\\" seven\\\\"\nmsgstr ""\n\nmsgid "one two"\nmsgstr "一二"\n'
    )


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("`--model`", "`--model`"),
        ("6.15 (×3.86)", "6.15 (×3.86)"),
        ("functions the model may call, as the API's list", "模型可以调用的函数，格式与 API 的列表相同"),
        (
            "Measured 28 November 2026, 01:44 UTC, load 0.2 before and 0.6 after, rounds: 3.",
            "测于 2026 年 11 月 28 日 01:44（UTC），负载：之前 0.2，之后 0.6；共 3 轮。",
        ),
        ("Versions: httpx 0.28.1, openai 3.57.0.", "版本：httpx 0.28.1、openai 3.57.0。"),
        ("model", ""),  # one word means something else elsewhere
    ],
)
def test_what_nobody_has_to_write_is_filled_in(translate: Any, english: str, chinese: str) -> None:
    assert updated(translate, "", english) == f'msgid "{english}"\nmsgstr "{chinese}"\n'


def test_a_picture_has_its_words_from_their_own_entry(translate: Any) -> None:
    before = 'msgid "Memory of all"\nmsgstr "内存"\n'
    assert 'msgstr "![内存](p6.png)"' in updated(translate, before, "![Memory of all](p6.png)", "Memory of all")
