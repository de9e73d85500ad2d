"""The Chinese catalogue says all that the code says, and nothing else; read from the sources, so that a gap is found at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from deepseek_magic.demo.faults.kinds import KINDS
from deepseek_magic.engine.network.failures import ROWS
from deepseek_magic.metrics.columns import MEANINGS
from deepseek_magic.notebook import labextension
from deepseek_magic.notebook.cost.magic import CostMagics
from deepseek_magic.notebook.experiments.magics import ExperimentMagics
from deepseek_magic.notebook.lessons.magics import LessonMagics
from deepseek_magic.notebook.magic.chats import ChatMagics
from deepseek_magic.notebook.magic.demo import DemoMagics
from deepseek_magic.notebook.magic.fix import FixMagics
from deepseek_magic.notebook.magic.logs import LogMagics
from deepseek_magic.notebook.magic.magics import DeepSeekMagics
from deepseek_magic.notebook.magic.manuals import texts_of
from deepseek_magic.notebook.magic.resume import ResumeMagics
from deepseek_magic.notebook.magic.service import ServiceMagics
from deepseek_magic.notebook.panel.magic import PanelMagics
from deepseek_magic.notebook.panel.tabs.controls import panel_options
from deepseek_magic.notebook.panel.tabs.lab import EXPERIMENTS
from deepseek_magic.protocol.errors import BY_STATUS
from deepseek_magic.protocol.options import OPTIONS
from deepseek_magic.text import catalogue as module
from deepseek_magic.text.catalogue import catalogue, read_po

PACKAGE = Path(module.__file__).parents[1]
FIELD = re.compile(r"\{([a-z_]+)\}")
CHINESE: Final = catalogue("zh")
ALL_MAGICS: Final = (
    *(
        ChatMagics,
        CostMagics,
        DeepSeekMagics,
        DemoMagics,
        ExperimentMagics,
        FixMagics,
        LessonMagics,
        LogMagics,
        PanelMagics,
        ResumeMagics,
    ),
    ServiceMagics,
)

IN_THE_PAGE: Final = dict(
    re.findall(
        r'^  "(.+)": "(.+)",$',
        (labextension.folder() / "deepseek-magic" / "static" / "texts.js").read_text("utf-8"),
        re.MULTILINE,
    )
)
"""What the extension of JupyterLab says, in a table of its own: it speaks without a kernel, too."""

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


SPEAKERS: Final = ("Message", "say", "words")
LOOK_UPS: Final = {
    "demo/faults/kinds.py": ("legend",),
    "engine/network/failures.py": ("row.said", "row.hint"),
    "metrics/columns.py": ("meaning.unit", "meaning.says", "said"),
    "notebook/magic/manuals.py": (
        *("_english(trait, 'help')", "_english(action, 'help')", "_english(group, 'title')"),
        *("' '.join(paragraph.split())", "found['why']"),
    ),
    "notebook/panel/tabs/controls.py": ("option.name.replace('_', ' ')",),
    "notebook/panel/tabs/lab.py": ("e.name", "one.name", "one.breaks", "one.watch"),
    "protocol/errors.py": ("advice",),
    "protocol/options.py": ("help",),
    "protocol/tape/takes.py": ("said['template']",),
    "text/messages.py": ("template", "self.template", "code"),
}
"""Where a text that is declared elsewhere is looked up; ``declared`` lists these texts."""


def literals(node: ast.expr) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return literals(body) + literals(other)
        case ast.Starred(value=ast.Tuple(elts=elements)):
            return [text for element in elements for text in literals(element)]
    raise ValueError(ast.unparse(node))


def sources() -> Iterator[tuple[str, list[ast.AST]]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), list(ast.walk(ast.parse(path.read_text("utf-8"))))


def said() -> Iterator[Said]:
    """Every template of a ``Message``, ``say`` or ``words`` in the sources, with the fields that are filled there."""
    for place, nodes in sources():
        ours = {
            name.asname or name.name
            for node in nodes
            if isinstance(node, ast.ImportFrom) and str(node.module).endswith("messages")
            for name in node.names
            if name.name in SPEAKERS
        } | (set(SPEAKERS) if place == "text/messages.py" else set())
        for node in nodes:
            match node:
                case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords) if name in ours and arguments:
                    fields = frozenset(keyword.arg for keyword in keywords if keyword.arg is not None)
                    for argument in arguments:
                        if ast.unparse(argument) in LOOK_UPS.get(place, ()):
                            continue
                        for template in literals(argument):
                            where = f"{place}:{node.lineno}"
                            yield Said(where, template, fields, len(fields) < len(keywords) or not fields)


def declared() -> Iterator[str]:
    """The texts that are declared as plain strings in one place each: tables, manuals and settings."""
    yield from IN_THE_PAGE
    for meaning in MEANINGS.values():
        yield from filter(None, (meaning.unit, meaning.says))
    yield from (option.help.template for option in OPTIONS)
    yield from (kind.legend.template for kind in KINDS.values())
    for row in ROWS.values():
        yield from filter(None, (row.said, row.hint))
    yield from (advice for _, advice in BY_STATUS.values())
    for experiment in EXPERIMENTS:
        yield from (experiment.name, experiment.breaks, experiment.watch)
    yield from (option.name.replace("_", " ") for options in panel_options().values() for option in options)
    for magics in ALL_MAGICS:
        for name in {name for kind in magics.magics.values() for name in kind.values()} - {"deepseek"}:  # type: ignore[attr-defined]
            yield from texts_of(vars(magics)[name])
    yield from (str(trait.help) for trait in DeepSeekMagics.class_traits(config=True).values())


SAID: Final = tuple(said())
USED: Final = {one.template for one in SAID} | set(declared())


def test_something_is_said() -> None:
    assert len(SAID) > 400


def test_every_template_has_its_chinese() -> None:
    assert [(one.where, one.template) for one in SAID if one.template not in CHINESE] == []


def test_every_text_that_is_declared_elsewhere_has_its_chinese() -> None:
    assert [text for text in declared() if text and text not in CHINESE] == []


def test_the_chinese_of_the_page_is_that_of_the_catalogue() -> None:
    assert IN_THE_PAGE
    assert {text: CHINESE.get(text) for text in IN_THE_PAGE} == IN_THE_PAGE


def test_every_entry_is_used() -> None:
    assert [template for template in CHINESE if template not in USED] == []


def test_every_field_of_a_template_is_filled() -> None:
    wrong = [one for one in SAID if not one.open and not set(FIELD.findall(one.template)) <= one.fields]
    assert wrong == []


PROSE: Final = re.compile(r"\b[A-Za-z][a-z']*[,;:]?(?: (?:[a-z']+|\{\})[,;:]?){2,}")
"""Three words in a row, fields of an f-string included."""
FOR_PROGRAMMERS: Final = re.compile(
    r"raise (?:httpcore\.)?(?:Value|Type|Runtime|Attribute|Timeout|ConnectionReset|ModuleNotFound|Read|Write)Error\b"
)
"""Errors of Python, which stay English: misuse of a function, and what our own network layer says to the one above it."""
NOT_OURS: Final = {
    "__init__.py": ("aask ask ", "asweep plan "),
    "cli.py": ("# Written by",),
    "demo/": ("",),
    "engine/attempt.py": ("Location: ",),
    "engine/hosts/endpoints.py": ("",),
    "engine/hosts/keys.py": ("<Key from",),
    "engine/journal/": ("\n ", "INSERT OR REPLACE INTO", "SELECT ", "no such table"),
    "engine/loop.py": ("the call ended without a completion",),
    "engine/trials/marking.py": ("\nimport json",),
    "engine/trials/": ("\n ", "UPDATE sweeps", "SELECT ", "no such table"),
    "engine/network/": ("the last try either", "nothing came in time"),
    "metrics/log.py": ("A call could not be exported.",),
    "metrics/telemetry.py": ("Time to receive", "Number of input"),
    "moved.py": ("",),
    "notebook/context/printed.py": ("\n… (cut:",),
    "notebook/magic/fix.py": ("A cell of a Jupyter notebook has failed.",),
    "notebook/view/typeset.py": ("times ×", "alpha beta", "quad qquad"),
    "notebook/view/widgets.py": ("<style>", "white-space"),
    "notebook/gate/buttons.py": ("<style>",),
    "policy/tools/approval.py": ("Error: ",),
    "policy/": ("exceeded your current quota", "concurrency limit of"),
    "protocol/completion.py": ("<Completion ",),
    "protocol/experiments/judging.py": ("You are a judge.", "{question}"),
    "protocol/experiments/score.py": ('"judge=', '"prefer='),
    "protocol/grpcweb/frames.py": ("message larger than max",),
    "protocol/grpcweb/wire.py": ("",),
    "protocol/schema.py": ("Answer with one JSON object",),
    "protocol/template.py": ("{}\n… (cut:",),
    "protocol/tools/returned.py": ("Error: ", "[", "\n["),
    "relay/figures.py": ("Students who", "Answers of the", "Calls ", "Readers who", "# HELP"),
    "relay/web/": ("deepseek-magic relay: ", "default-src", "the package's own"),
    "relay/": ("\n ", "SELECT ", "INSERT OR REPLACE INTO"),
    "session/context/": ("{}\n… (cut:", "(the first {} of", "the first {} of", "(no rows, no"),
    "session/experiments/": ("<Sweep ", "\n "),
    "session/tools/rounds.py": ("The user did", "Not run: ", "It was "),
    "text/": ("the package's own", "href url", "newline set", "al approx", "the first {} of"),
}
"""What no reader is shown, by the place and how it begins: SQL, CSS, names, logs, prompts for a model, a server's words (all
of ``demo/`` answers as a server; what it says to a person is found by hand), what a reader of bytes says to the module above
it, and the sources of the endpoints' table."""


def english_left() -> Iterator[str]:
    for place, nodes in sources():
        beginnings = tuple(begin for room, begins in NOT_OURS.items() if place.startswith(room) for begin in begins)
        passed: set[ast.AST] = set()
        for node in nodes:
            match node:
                case ast.Expr(value=ast.Constant() as docstring):
                    passed.add(docstring)
                case ast.JoinedStr(values=parts):
                    passed.update(parts)
                case ast.Raise() if FOR_PROGRAMMERS.match(ast.unparse(node)):
                    passed.update(ast.walk(node))
        for node in nodes:
            match node:
                case ast.Constant(value=str(text)):
                    pass
                case ast.JoinedStr(values=parts):
                    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
                case _:
                    continue
            if node not in passed and PROSE.search(text) and text not in USED and not text.startswith(beginnings):
                yield f"{place}:{node.lineno}: {text}"


def test_no_english_sentence_is_left_over_in_the_sources() -> None:
    assert list(english_left()) == []


def test_a_translation_has_the_fields_of_its_template() -> None:
    assert [t for t in CHINESE if sorted(set(FIELD.findall(CHINESE[t]))) != sorted(set(FIELD.findall(t)))] == []


def test_a_translation_has_no_english_sentence() -> None:
    english = re.compile(r"(?:\b[A-Za-z]{2,} ){2}[A-Za-z]{2,}\b")
    assert [said for said in CHINESE.values() if not said.strip() or english.search(NO_WORDS.sub("·", said))] == []


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
