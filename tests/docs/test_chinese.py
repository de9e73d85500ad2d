"""The Chinese README and notebooks keep step with the English ones: the same headings, code, tables and links in the same order.

The pages of the site do so by their catalogues (``test_translated``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

ROOT: Final = Path(__file__).parents[2]
README: Final = ("README.md", "docs/zh/README.md")
NOTEBOOKS: Final = sorted(path.name for path in (ROOT / "notebooks" / "zh").glob("*.ipynb"))
LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)#]+)")
LANGUAGES: Final = ("中文", "English")
CHINESE: Final = re.compile(r"[\u3400-\u9fff]")


def shape(page: Path) -> dict[str, Any]:
    """What a translation must not change."""
    text = page.read_text("utf-8")
    fenced = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.M | re.S)
    code = fenced.findall(text)
    prose = fenced.sub("", text)
    return {
        "headings": [len(marks) for marks in re.findall(r"^(#+) ", prose, re.M)],
        "code": [(language, len(body.splitlines()), body.split()[0]) for language, body in code],
        "shell": [body for language, body in code if language == "sh"],
        "table columns": [line.count("|") for line in prose.splitlines() if line.startswith("|")],
        "items": [found[:2] for found in re.findall(r"^(?:- |\d+\. )", prose, re.M)],
        "links": [
            Path(target).name.replace(".zh_CN", "") for text, target in LINK.findall(prose) if text not in LANGUAGES
        ],
        "flags": sorted(re.findall(r"(?<!\w)--?[a-z][a-z-]+", prose)),
    }


def test_the_chinese_readme_has_the_structure_of_the_english_one() -> None:
    ours, theirs = (shape(ROOT / page) for page in README)
    for part in ours:
        assert theirs[part] == ours[part], part
    assert len(CHINESE.findall((ROOT / README[1]).read_text("utf-8"))) > 300


def words(line: str) -> list[str]:
    """A magic and its flags; what stands in quotes and names of conversations are translated."""
    magic, *rest = re.sub(r'".*?"', "", line).split()
    return [magic, *(word for word in rest if word.startswith("-"))]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_chinese_notebook_has_the_cells_of_the_english_one(name: str) -> None:
    english, chinese = (
        nbformat.read(ROOT / folder / name, as_version=4).cells for folder in ("notebooks", "notebooks/zh")
    )
    assert [cell.cell_type for cell in chinese] == [cell.cell_type for cell in english]
    for ours, theirs in zip(english, chinese, strict=True):
        assert theirs.metadata == ours.metadata, ours.source
        # Pictures with Chinese in them need a line on fonts.
        code = [line for line in theirs.source.splitlines() if "font" not in line]
        assert len(code) == len(ours.source.splitlines()) or ours.cell_type == "markdown"
        if ours.source.startswith("%"):
            assert words(theirs.source.splitlines()[0]) == words(ours.source.splitlines()[0])
        if ours.cell_type == "markdown":
            assert re.findall(r"^#+", theirs.source, re.M) == re.findall(r"^#+", ours.source, re.M)
            assert CHINESE.search(theirs.source)
