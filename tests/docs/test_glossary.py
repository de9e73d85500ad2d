"""One vocabulary: what happens to an answer that breaks off has three words, and what people read has no others for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deepseek_magic.text.catalogue import catalogue

ROOT: Final = Path(__file__).parents[2]
GLOSSARY: Final = (ROOT / "docs" / "glossary.md").read_text("utf-8")
NOT_LOOKED_AT: Final = frozenset(
    (
        "glossary",
        "field-reports",
        "article-and-api",
        "architecture",
        "benchmarks",
        "changelog",
        "comparison",
        "contributing",
        "decisions",
        "SECURITY",
    )
)
"""The glossary itself, and pages about the code, about others, or about how it was before."""
NO_PROSE: Final = re.compile(
    r"```.*?```|`[^`\n]*`|^(?: {4}|%).*$|--[a-z-]+|https?://\S+|Retry-After|retry after|\(\S+?\.(?:md|py|ipynb)\S*?\)",
    re.DOTALL | re.MULTILINE,
)
"""Code, flags, addresses and the header of that name."""


def words_not() -> Iterator[str]:
    """The words in the last column of the glossary's table with four columns."""
    for row in re.findall(r"^\| [^|\n]+ \| [^|\n]+ \| [^|\n]+ \| ([^|\n]+) \|$", GLOSSARY, re.MULTILINE):
        if row != "not":
            yield from row.split(", ")


NOT: Final = tuple(words_not())
FOUND: Final = re.compile(
    "|".join(rf"\b{re.escape(word)}\b" if word.isascii() else word for word in NOT), re.IGNORECASE
)


def pages() -> list[Path]:
    named = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "zh").glob("*.md")]
    notebooks = [*(ROOT / "notebooks").rglob("*.ipynb"), *(ROOT / "docs" / "lite").rglob("*.ipynb")]
    return sorted(
        page for page in (*named, *notebooks) if page.stem not in NOT_LOOKED_AT and "_output" not in page.parts
    )


def prose(page: Path) -> str:
    """What a page says in words; of a notebook the cells of text, and the remarks in the code."""
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        said = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        said += re.findall(r"# .*", "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
        text = "\n\n".join(said)
    return NO_PROSE.sub("·", text)


def test_the_glossary_says_which_words_are_not_used() -> None:
    assert {"seam", "retrying", "接缝"} <= set(NOT)
    assert [FOUND.findall("Retrying at the seam, seamless; 接缝")] == [["Retrying", "seam", "接缝"]]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_and_no_notebook_has_another_word(page: Path) -> None:
    assert FOUND.findall(prose(page)) == []


def test_no_message_has_another_word_in_either_language() -> None:
    said = {text for pair in catalogue("zh").items() for text in pair}
    assert {text for text in said if FOUND.search(NO_PROSE.sub("·", text))} == set()


@pytest.mark.parametrize("word", ["broke off", "asked again", "joined"])
def test_the_words_are_said_and_their_chinese_is_the_glossarys(word: str) -> None:
    row = re.search(rf"^\| {word} \| [^|]+ \| ([^|]+) \|", GLOSSARY, re.MULTILINE)
    assert row is not None
    assert catalogue("zh")[word] == row[1]
