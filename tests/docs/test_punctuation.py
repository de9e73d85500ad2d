"""Chinese texts are set as Chinese is: full-width punctuation, one space beside Latin letters, digits and code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deepseek_magic.text.catalogue import catalogue, read_po

ROOT: Final = Path(__file__).parents[2]
LOCALE: Final = ROOT / "docs" / "locale" / "zh_CN"
CODE, FIELD, EMPHASIS = "\x01", "\x02", "\x03"
"""In the place of code, which is spaced like a Latin word, of a field, which may be filled with either, and of the marks of
emphasis, beside which Markdown may need a space."""
SET_ASIDE: Final = (
    (re.compile(r"```.*?```|^ {4}.*$|^%.*$", re.DOTALL | re.MULTILINE), "\n"),
    (re.compile(r"\]\([^)\s]*\)"), "]"),
    (re.compile(r"<(?!https?:)[^>\n]*>"), ""),
    (re.compile(r"\*+"), EMPHASIS),
    (re.compile(r"`+[^`]*`+|https?://[\w./:?=&%#~-]*[\w/]"), CODE),
    (re.compile(r"\{[a-z_]+\}"), FIELD),
)
HAN: Final = "\u3400-\u9fff"
RULES: Final = {
    "half-width punctuation after Chinese": rf"[{HAN}][,;!?](?!\w)|[{HAN}][,;:!?][{HAN}]|[{HAN}]\.(?=\s|$)",
    "half-width brackets around Chinese": rf"[{HAN}] ?\([^()]*[{HAN}]",
    "no space between Chinese and Latin": rf"[{HAN}][A-Za-z0-9{CODE}]|[A-Za-z0-9%{CODE}][{HAN}]",
    "a space beside full-width punctuation": r"[^|\s] [，。：；？！）、”]|[，。：；！（、“] (?=[^|\s])",
    "two spaces, or punctuation twice": rf"[{HAN}]  +[{HAN}]|[，。：；、]{{2,}}|[？！]{{3,}}",
    "straight quotation marks around Chinese": rf"\"[{HAN}]|[{HAN}]\"",
    "other quotation marks": r"[「」『』]",
    "three dots for an ellipsis": rf"[{HAN}]\.\.\.",
}
ON_PURPOSE: Final = (
    "行末的 ; 表示不显示",  # the character itself is meant
    "其中含有 ? 或 #",
    '{名称: 文本}，例如 {"short"',  # Python
)


def texts() -> Iterator[tuple[str, str]]:
    """All that is written in Chinese: messages, pages, notebooks, answers of the demo."""
    yield from (("zh.po", text) for text in catalogue("zh").values())
    for path in sorted(LOCALE.rglob("*.po")):
        yield from ((path.relative_to(LOCALE).as_posix(), text) for text in read_po(path.read_text("utf-8")).values())
    for path in sorted((ROOT / "docs" / "zh").glob("*.md")):
        yield path.name, path.read_text("utf-8")
    for folder in ("notebooks/zh", "docs/lite/zh"):
        for path in sorted((ROOT / folder).glob("*.ipynb")):
            for cell in json.loads(path.read_text("utf-8"))["cells"]:
                if cell["cell_type"] == "markdown":
                    yield path.name, "".join(cell["source"])


def prose(text: str) -> str:
    for found, instead in SET_ASIDE:
        text = found.sub(instead, text)
    return text


TEXTS: Final = tuple(texts())


@pytest.mark.parametrize("rule", RULES)
def test_chinese_is_set_as_chinese(rule: str) -> None:
    broken = re.compile(RULES[rule], re.MULTILINE)
    found = [
        (where, line)
        for where, text in TEXTS
        for line in prose(text).splitlines()
        if broken.search(line) and not any(said in text for said in ON_PURPOSE)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("half-width punctuation after Chinese", "回答,完整"),
        ("half-width brackets around Chinese", "回答(完整)"),
        ("no space between Chinese and Latin", "用pandas读取"),
        ("no space between Chinese and Latin", "选项`-o`保留"),
        ("a space beside full-width punctuation", "用 pandas ，读取"),
        ("straight quotation marks around Chinese", '点"布置"'),
        ("three dots for an ellipsis", "等待..."),
    ],
)
def test_each_rule_finds_what_it_is_about(rule: str, text: str) -> None:
    assert re.search(RULES[rule], prose(text), re.MULTILINE)
