"""The Chinese catalogue says all that the code says, and nothing else; read from the sources, so that a gap is found at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from deepseek_magic.text import catalogue as module
from deepseek_magic.text.catalogue import catalogue, read_po

PACKAGE = Path(module.__file__).parents[1]
FIELD = re.compile(r"\{([a-z_]+)\}")
CHINESE: Final = catalogue("zh")

NO_WORDS = re.compile(
    r"\{[a-z_]+\}|pip install \S+|(?:%%?|--?)[\w-]+(?: [A-Z]{2,})*|[\w.]+\(.*?\)|https?://\S+|``.*?``|“.*?”|\"[^\"]*\"|deepseek-magic \w+|[A-Z]+_\w+(?:=\S+)?|\[.*?\]"
)
"""Fields, commands, flags, code, addresses and what is quoted: the same in every language."""


class Said(NamedTuple):
    where: str
    template: str
    fields: frozenset[str]
    open: bool
    """More fields may be filled in than are named here."""


def literals(node: ast.expr) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return literals(body) + literals(other)
    return []


def said() -> Iterator[Said]:
    """Every template of a ``Message`` or ``say`` in the sources, with the fields that are filled there."""
    for path in sorted(PACKAGE.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        ours = {
            a.name
            for n in nodes
            if isinstance(n, ast.ImportFrom) and str(n.module).endswith("messages")
            for a in n.names
        }
        for node in nodes:
            match node:
                case ast.Call(func=ast.Name(id=name), args=[first], keywords=keywords) if name in ours & {
                    "Message",
                    "say",
                }:
                    fields = frozenset(keyword.arg for keyword in keywords if keyword.arg is not None)
                    where = f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}"
                    for template in literals(first):
                        yield Said(where, template, fields, len(fields) < len(keywords) or not fields)


SAID: Final = tuple(said())


def test_something_is_said() -> None:
    assert len(SAID) > 400


def test_every_template_has_its_chinese() -> None:
    assert [(one.where, one.template) for one in SAID if one.template not in CHINESE] == []


def test_every_field_of_a_template_is_filled() -> None:
    wrong = [one for one in SAID if not one.open and not set(FIELD.findall(one.template)) <= one.fields]
    assert wrong == []


@pytest.mark.parametrize("template", CHINESE, ids=lambda template: template[:40])
def test_a_translation_has_the_fields_of_its_template_and_no_english_sentence(template: str) -> None:
    translation = CHINESE[template]
    assert set(FIELD.findall(translation)) == set(FIELD.findall(template))
    assert translation.strip()
    left = re.findall(r"(?:\b[A-Za-z]{2,} ){2}[A-Za-z]{2,}\b", NO_WORDS.sub("·", translation))
    assert left == []


@pytest.mark.parametrize(
    ("source", "entries"),
    [
        ("", {}),
        ('msgid ""\nmsgstr "Language: zh\\n"\n', {}),
        ('# a section\n\n#: place\nmsgid "a"\nmsgstr "b"\n', {"a": "b"}),
        ('msgid ""\n"a "\n"\\"b\\"\\n"\nmsgstr ""\n"c\\\\"\n', {'a "b"\n': "c\\"}),
        ('msgid "not yet"\nmsgstr ""\n\n#~ msgid "old"\n#~ msgstr "旧"\n', {}),
    ],
)
def test_a_catalogue_is_read(source: str, entries: dict[str, str]) -> None:
    assert read_po(source) == entries


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "c"', 5),
        ('msgid "a', 1),
        ("\nmsgid a\n", 2),
        ('msgctxt "menu"\n', 1),
        ("some words", 1),
    ],
)
def test_what_is_no_catalogue_is_refused_with_its_line(source: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"line {line}: "):
        read_po(source)
