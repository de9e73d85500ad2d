"""What the pages and notebooks name is there: flags, magics, public names, settings, commands."""

from __future__ import annotations

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pytest
from IPython.core.interactiveshell import InteractiveShell

import deepseek_magic as ds
from deepseek_magic.cli import _parser
from deepseek_magic.notebook.experiments.flags import MAP_OPTIONS, SWEEP_OPTIONS
from deepseek_magic.notebook.experiments.judge_flags import JUDGE_OPTIONS
from deepseek_magic.protocol.options import OPTIONS
from deepseek_magic.text.catalogue import catalogue

ROOT: Final = Path(__file__).parents[2]
GENERATED: Final = (("docs", "notebooks"), ("docs", "benchmarks"))


def pages() -> list[Path]:
    """README, documentation and notebooks; not what is generated."""
    found = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb")]
    parts = {page: page.relative_to(ROOT).parts for page in sorted(found)}
    return [
        page
        for page, names in parts.items()
        if names[:2] not in GENERATED and not any(name[0] in "._" for name in names)
    ]


PAGES: Final = pages()
ON_PURPOSE: Final = frozenset(("--help", "--temprature"))
"""Help is of every command; the slip is what the tour shows a correction of."""
NO_FILES: Final = frozenset(("build/npm", "build/servers", "docs/_build/html", "text/plain"))
"""What commands make, and a type."""
OF_OTHER_COMMANDS: Final = re.compile(r"(?:bash \.ci/\w+|python -m tests\.\S+|-X|pytest) [^\n`]*")


def text_of(page: Path) -> str:
    if page.suffix == ".md":
        return page.read_text("utf-8")
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(page.read_text("utf-8"))["cells"])


@pytest.fixture(scope="module")
def magics() -> Any:
    """The names of all magics, and every flag that one of them takes."""
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "deepseek_magic")
    line = shell.magics_manager.magics["line"]
    found = {name: magic for name, magic in line.items() if name.startswith("deepseek")}
    told = " ".join(str(magic.__doc__) for magic in found.values())
    InteractiveShell.clear_instance()
    return set(found), set(re.findall(r"--[a-z][\w-]*", told))


def parsers_of(parser: Any) -> dict[str, Any]:
    return next((action.choices for action in parser._actions if isinstance(action.choices, dict)), {})


def commands() -> tuple[set[str], set[str]]:
    """The commands, and the flags of them and of their own commands."""
    parsers = parsers_of(_parser())
    below = [each for parser in parsers.values() for each in (parser, *parsers_of(parser).values())]
    return set(parsers), {flag for parser in below for flag in parser._option_string_actions}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_flag_that_a_page_names_is_one(page: Path, magics: tuple[set[str], set[str]]) -> None:
    known = (
        {flag for option in (*OPTIONS, *SWEEP_OPTIONS, *MAP_OPTIONS, *JUDGE_OPTIONS) for flag in option.flags}
        | magics[1]
        | commands()[1]
        | ON_PURPOSE
    )
    text = OF_OTHER_COMMANDS.sub("", text_of(page))
    assert sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*\b", text)) - known) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_magic_setting_and_command_that_a_page_names_is_one(
    page: Path, magics: tuple[set[str], set[str]]
) -> None:
    from deepseek_magic.notebook.magic.magics import DeepSeekMagics

    text = text_of(page)
    assert set(re.findall(r"%(deepseek\w*)", text)) <= magics[0]
    assert set(re.findall(r"DeepSeekMagics\.(\w+)", text)) <= set(DeepSeekMagics.class_trait_names(config=True))
    assert set(re.findall(r"`deepseek-magic (\w+)", text)) <= commands()[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_public_name_that_a_page_names_is_one(page: Path) -> None:
    for path in set(re.findall(r"\bds\.([A-Za-z_][\w.]*\w)", text_of(page))):
        reduce(getattr, path.split("."), ds)


REMARKS = [
    text
    for text in catalogue("zh")
    if re.search(r"top_p|^temperature|^max_tokens|^JSON mode needs|was retired on|is no model that", text)
]


def test_every_remark_below_an_answer_is_explained() -> None:
    explained = (ROOT / "docs" / "messages.md").read_text("utf-8")
    for sentence in REMARKS:
        template = re.sub(r"\{\w+\}", "…", sentence.replace("{near}", " (did you mean {near}?)"))
        alike = re.sub(r" (with thinking on|is used)\b.*", "", template)
        assert template in explained or alike in explained, sentence


@pytest.mark.parametrize("page", ["architecture.md", "contributing.md"])
def test_every_file_and_folder_of_ours_that_the_pages_for_contributors_name_is_there(page: str) -> None:
    named = re.findall(r"`([\w.]+/[\w./]*)(?:::\w+)?`", (ROOT / "docs" / page).read_text("utf-8"))
    assert named
    for path in set(named) - NO_FILES:
        module = re.sub(r"(\w)\.[a-z_]+$", r"\1", path) + ".py"  # `policy/recovery`, `policy/recovery.decide`
        assert any((ROOT / place / name).exists() for place in (".", "deepseek_magic") for name in (path, module)), path
