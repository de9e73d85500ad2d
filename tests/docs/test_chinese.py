"""The Chinese README and tour keep step with the English ones: the same headings, code, tables and links in the same order.

The pages of the site do so by their catalogues (``test_translated``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import nbformat

ROOT: Final = Path(__file__).parents[2]
README: Final = ("README.md", "docs/zh/README.md")
TOUR: Final = ("notebooks/01_first_steps.ipynb", "notebooks/zh/01_first_steps.ipynb")
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


def test_the_chinese_tour_has_the_cells_of_the_english_one() -> None:
    english, chinese = (nbformat.read(ROOT / path, as_version=4).cells for path in TOUR)
    assert [cell.cell_type for cell in chinese] == [cell.cell_type for cell in english]
    for ours, theirs in zip(english, chinese, strict=True):
        assert theirs.metadata == ours.metadata, ours.source
        assert len(theirs.source.splitlines()) == len(ours.source.splitlines()) or ours.cell_type == "markdown"
        if ours.source.startswith("%"):
            # The flags are the same; what stands in quotes is translated.
            first, translated = (re.sub(r'".*?"', '""', c.source.splitlines()[0]) for c in (ours, theirs))
            assert (first if first.startswith("%%") else first.split()[0]) in translated
        if ours.cell_type == "markdown":
            assert re.findall(r"^#+", theirs.source, re.M) == re.findall(r"^#+", ours.source, re.M)
            assert CHINESE.search(theirs.source)
