"""What a notebook says has its Chinese: read from the sources, so that a new sentence without one is found at once."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_magic.notebook.magic.chats import ChatMagics
from deepseek_magic.notebook.magic.demo import DemoMagics
from deepseek_magic.notebook.magic.fix import FixMagics
from deepseek_magic.notebook.magic.logs import LogMagics
from deepseek_magic.notebook.magic.magics import DeepSeekMagics
from deepseek_magic.notebook.magic.manuals import speak, texts_of
from deepseek_magic.notebook.magic.resume import ResumeMagics
from deepseek_magic.notebook.magic.service import ServiceMagics
from deepseek_magic.notebook.panel.magic import PanelMagics
from deepseek_magic.protocol import errors
from deepseek_magic.text import language
from deepseek_magic.text.catalogue import catalogue
from deepseek_magic.text.language import translated, use

PACKAGE = Path(language.__file__).parents[1]
SAYING = ("notebook", "session.py", "engine", "policy", "protocol", "metrics")
"""Where the sentences of a notebook are made."""

ERRORS = {name for name in errors.__all__ if name != "status_error"}
OTHERS = {
    "await get_ipython().magics_manager.registry[{owner!r}].awaited({line!r}, {body!r})\n",
    "deepseek-magic view",  # names of threads
    "deepseek-magic gauges",
    "The cell:",  # for the model
    "The error:",
    "the cell",
    "<0> has no attribute <0>",  # for programs
    "ACTION NAME",  # as flags are
    "unrecognized arguments: ",  # taken off a sentence
}
"""Texts of several words that nobody reads, or the model alone."""
MARKUP = re.compile(r"\s*<[a-z!/.]|[.\w-]+ \{|[\w-]+ (?:\w+=\S+ ?)+$|white-space:")
"""HTML, style sheets, and what the demo server is told to do wrong."""

MAGICS = (
    *(ChatMagics, DemoMagics, FixMagics, LogMagics, PanelMagics, ResumeMagics, ServiceMagics),
    DeepSeekMagics,
)


@pytest.fixture(autouse=True)
def chinese() -> Iterator[None]:
    use("zh")
    yield
    use("en")
    for magics in MAGICS:
        speak(magics)


def files() -> Iterator[Path]:
    for name in SAYING:
        place = PACKAGE / name
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def samples(node: ast.expr | None) -> list[str]:
    """What a text in the source may become: each way of its conditions, and a value wherever one is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return samples(body) + samples(other)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in samples(left) for b in samples(right)]
        case ast.JoinedStr(values=values):
            return ["".join(parts) for parts in itertools.product(*map(samples, values))]
        case ast.FormattedValue(value=ast.Call(func=ast.Name(id="closest"))):
            return ["", " (did you mean <0>?)"]
        case ast.FormattedValue(value=ast.IfExp() as value):
            return samples(value)
    return ["<0>"]


def is_told(sample: str) -> bool:
    """Whether it has its Chinese, as it stands or as the beginning of a sentence."""
    return (
        translated(sample) != sample
        or sample.startswith("pip install ")
        or not re.search(r"[A-Za-z]{2}", sample.replace("<0>", ""))
    )


def refusals() -> Iterator[tuple[str, str]]:
    for path in files():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                hints = [keyword.value for keyword in node.keywords if keyword.arg == "hint"]
                where = f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"
                yield from ((where, sample) for said in (*node.args[:1], *hints) for sample in samples(said))


def notebook_texts() -> Iterator[tuple[str, str]]:
    for path in sorted((PACKAGE / "notebook").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        silent = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr | ast.JoinedStr) or is_say(node)
            for part in (ast.walk(node) if isinstance(node, ast.JoinedStr) else ast.iter_child_nodes(node))
            if part is not node
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in silent:
                where = f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"
                yield from ((where, sample) for sample in samples(node) if re.search("[A-Za-z]+ [A-Za-z]", sample))


def is_say(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"


def test_every_refusal_and_its_way_out_has_its_chinese() -> None:
    found = list(refusals())
    assert len(found) > 150
    assert [told for told in found if not is_told(told[1])] == []


def test_every_text_of_the_notebook_floor_has_its_chinese() -> None:
    found = list(notebook_texts())
    assert len(found) > 50
    left = [said for said in found if not (is_told(said[1]) or said[1] in OTHERS or MARKUP.match(said[1]))]
    assert left == [], "\n".join(map(str, left))


@pytest.mark.parametrize("magics", MAGICS, ids=lambda magics: magics.__name__)
def test_every_magic_explains_itself_in_either_language(magics: type) -> None:
    names = {name for kind in magics.magics.values() for name in kind.values()} - {"deepseek"}  # type: ignore[attr-defined]
    functions = [vars(magics)[name] for name in names]
    english = [function.__doc__ for function in functions]
    missing = [text for function in functions for text in texts_of(function) if text and text not in catalogue("zh")]
    assert missing == []
    speak(magics)
    for function in functions:
        assert re.search("[\u4e00-\u9fff]", function.__doc__)
        assert not re.search(r"(?:\b[a-z]{3,} ){4}", function.__doc__), function.__doc__
    use("en")
    speak(magics)
    assert [" ".join(f.__doc__.split()) for f in functions] == [" ".join(doc.split()) for doc in english]


def test_every_setting_of_config_is_explained_in_chinese() -> None:
    assert [
        trait.help for trait in DeepSeekMagics.class_traits(config=True).values() if trait.help not in catalogue("zh")
    ] == []
    speak(DeepSeekMagics)
    assert "%config DeepSeekMagics" not in DeepSeekMagics.class_get_help()
    assert "模型" in DeepSeekMagics.class_get_help()
