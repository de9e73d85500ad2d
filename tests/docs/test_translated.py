"""The Chinese paragraphs of the site: what a translation must keep, whatever it says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deepseek_magic.text.catalogue import read_po

DOCS: Final = Path(__file__).parents[2] / "docs"
LOCALE: Final = DOCS / "locale" / "zh_CN" / "LC_MESSAGES"
CATALOGUES: Final = sorted(LOCALE.rglob("*.po"))
CODE: Final = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)|\{doc\}`[^<`]*<([^>]+)>`|href=\"([^\"]+)\"")


def name(path: Path) -> str:
    return path.relative_to(LOCALE).as_posix()


def kept(text: str) -> tuple[Counter[str], Counter[str]]:
    """The names in code and the targets of links of a paragraph."""
    without_roles = re.sub(r"\{doc\}`[^`]*`", "", text)
    # Words that stand in code may be translated: a prompt or an answer, a placeholder, what is between quotation marks.
    names = (re.sub(r"\"[^\"]*\"", '""', found[1]) for found in CODE.findall(without_roles))
    code = Counter(name for name in names if " " not in name and name.isascii() and not re.fullmatch(r"\{\w+\}", name))
    # The JupyterLite is outside of the Chinese site, and has a notebook of each language.
    found = (next(filter(None, found)) for found in LINK.findall(text))
    links = Counter(re.sub(r"^\.\./(?=lite/)|(?<==)zh/|(?<=/notebooks/)zh/", "", link) for link in found)
    return code, links


def entries(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text("utf-8")
    fuzzy = set(re.findall(r"^#, fuzzy\n(?:#.*\n)*(msgid (?:.*\n)(?:\".*\n)*)", text, re.MULTILINE))
    unsure = {english for found in fuzzy for english in read_po(found + 'msgstr "x"\n')}
    yield from ((english, chinese) for english, chinese in read_po(text).items() if english not in unsure)


@pytest.mark.parametrize("path", CATALOGUES, ids=name)
def test_a_translated_paragraph_has_the_names_and_the_links_of_the_english_one(path: Path) -> None:
    wrong = []
    for english, chinese in entries(path):
        ours, theirs = kept(english), kept(chinese)
        # A name may be said once more or once less; none is lost or new.
        if set(ours[0]) != set(theirs[0]) or ours[1] != theirs[1]:
            wrong.append((english, chinese))
    assert wrong == []


def test_every_page_that_is_said_to_be_whole_has_a_catalogue() -> None:
    lines = (DOCS / "locale" / "whole.txt").read_text("utf-8").splitlines()
    pages = [line for line in lines if line and not line.startswith("#")]
    assert pages == sorted(set(pages))
    assert [page for page in pages if not (LOCALE / f"{page}.po").exists()] == []


@pytest.mark.parametrize("path", CATALOGUES, ids=name)
def test_a_catalogue_has_no_line_numbers_no_dates_and_one_line_a_paragraph(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"^#: |^#~|^\"(POT-Creation|PO-Revision)-Date", text, re.MULTILINE)
