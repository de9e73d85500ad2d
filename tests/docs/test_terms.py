"""One Chinese for each term: messages, pages and notebooks take it from one glossary."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_magic.text.catalogue import catalogue, read_po

ROOT: Final = Path(__file__).parents[2]
TERMS: Final = tomllib.loads((ROOT / "docs" / "locale" / "glossary.toml").read_text("utf-8"))["term"]
LOCALE: Final = ROOT / "docs" / "locale" / "zh_CN"
PAGE: Final = (ROOT / "docs" / "glossary.md").read_text("utf-8")
NOT_PROSE: Final = re.compile(r"`[^`]*`|\{[a-z_]+\}|https?://\S+|\]\([^)]*\)")
"""Code, fields and addresses."""


def pairs() -> Iterator[tuple[str, str, str]]:
    """Where, English and Chinese of all that is translated sentence by sentence."""
    for english, chinese in catalogue("zh").items():
        yield "zh.po", english, chinese
    for path in sorted(LOCALE.rglob("*.po")):
        for english, chinese in read_po(path.read_text("utf-8")).items():
            yield path.relative_to(LOCALE).as_posix(), english, chinese


def whole_texts() -> Iterator[tuple[str, str]]:
    """Where and what: notebooks and pages that are written in Chinese."""
    notebooks = [*(ROOT / "notebooks" / "zh").glob("*.ipynb"), *(ROOT / "docs" / "lite" / "zh").glob("*.ipynb")]
    for path in notebooks:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        yield path.relative_to(ROOT).as_posix(), "\n\n".join("".join(cell["source"]) for cell in cells)
    for path in (ROOT / "docs" / "zh").glob("*.md"):
        yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


PAIRS: Final = tuple(pairs())
TEXTS: Final = (*((where, chinese) for where, _, chinese in PAIRS), *whole_texts())


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term["english"])
def test_nothing_is_said_by_another_translation_of_its_term(term: dict[str, Any]) -> None:
    others = re.compile("|".join(map(re.escape, term["not"])))
    # The row of the glossary that names the words which are not used may name them.
    assert [(where, text) for where, text in TEXTS if where != "LC_MESSAGES/glossary.po" and others.search(text)] == []


@pytest.mark.parametrize("term", [t for t in TERMS if t.get("always")], ids=lambda term: term["english"])
def test_what_says_a_term_in_english_says_it_in_chinese(term: dict[str, Any]) -> None:
    said = re.compile(rf"(?<![\w.%-]){re.escape(term['english'])}s?(?![\w=-])", re.IGNORECASE)
    found = [(where, english, chinese) for where, english, chinese in PAIRS if said.search(NOT_PROSE.sub("·", english))]
    # The page of the glossary has the English word beside the Chinese one.
    assert [entry for entry in found if term["chinese"] not in entry[2] and entry[1:] != (term["english"],) * 2] == []


def test_the_page_of_the_glossary_has_the_same_chinese() -> None:
    rows = re.findall(r"^\| `?([^|`\n]+)`? \| [^|\n]+ \| ([^|\n]+) \|", PAGE, re.MULTILINE)
    for term in TERMS:
        said = [chinese.split("；") for english, chinese in rows if english == term["english"]]
        assert not said or any(term["chinese"] in chinese for chinese in said), term["english"]


def test_no_term_stands_in_the_glossary_twice() -> None:
    english = [term["english"] for term in TERMS]
    assert len(english) == len(set(english))
