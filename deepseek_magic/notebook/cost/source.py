"""A notebook as text: what its cells ask and which names they bind, in order. Nothing of it is run.

Python is read as a tree, with IPython's own reading of magics. A call that stands where nobody can tell how often it is
made comes with the reason.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from types import SimpleNamespace
from typing import Final

from IPython.core.inputtransformer2 import TransformerManager

from ...text.messages import Message
from ..magic.cells import line_transformer
from .steps import AnyBound, Bound, Changed, FoundCall, FoundMagic, NotebookCell, Played, PlayedTape, Step

PACKAGE: Final = "deepseek_magic"
ASKING: Final = ("ask", "aask", "map", "sweep", "asweep", "resume", "Client")
"""Public names whose calls may send something; a client's own calls cannot be seen."""
ASKING_MAGICS: Final = tuple(f"deepseek{end}" for end in ("", "_sweep", "_map", "_judge", "_resume", "_fix"))

LOOP: Final = Message("it stands in a loop")
FUNCTION: Final = Message("it stands in a function, and how often that is called cannot be seen")
CONDITION: Final = Message("whether it is asked depends on a condition")
HANDED: Final = Message("the function is handed on, and how often it is called cannot be seen")
COMPUTED: Final = Message("what it asks is computed")
NO_PYTHON: Final = Message("the cell cannot be read as Python")

_RUN: Final = ("run_line_magic", "run_cell_magic")
_PYTHON_BODIES: Final = ("time", "capture", "prun")
"""Magics that run their text as Python, once."""
_ASKS: Final = re.compile(rf"%%?({'|'.join(ASKING_MAGICS)})\b|\.({'|'.join(ASKING)})\(")
_CHANGES: Final = frozenset(
    (
        *("append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"),
        *("update", "setdefault", "popitem", "add", "discard"),
    )
)
"""Methods that change a list, dict or set."""
_ONLY_READS: Final = frozenset(
    (
        *("print", "display", "repr", "str", "len", "sum", "min", "max", "any", "all", "isinstance", "type"),
        *("sorted", "list", "tuple", "set", "dict", "enumerate", "zip", "range"),
    )
)
"""Functions that leave what they are given as it is."""
_ONLY_READ_IN: Final = frozenset(("dumps", "DataFrame", "Series", "join"))


class Reader:
    """Reads cell after cell; ``modules`` are the names that this package has in the notebook."""

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self.modules = set(modules)
        self.functions: dict[str, str] = {}
        """Names that stand for one of ``ASKING``."""
        self._transformer = TransformerManager()
        # As in a shell with the extension: a question mark at the end of a prompt is no question to IPython.
        self._transformer.token_transformers.append(line_transformer(SimpleNamespace(awaits=False)))  # type: ignore[arg-type]

    def steps(self, cell: NotebookCell) -> Iterator[Step]:
        """What the cell does, in order."""
        if re.match(r"%%\w+\?", cell.source):
            return
        tree = self.tree(cell.source)
        found: list[Step] | None = None
        if tree is not None:
            with contextlib.suppress(RecursionError):  # nobody writes so deep a nest, but a program may
                found = _Walk(self).all(tree.body)
        if found is None:
            found = [AnyBound()]
            if _ASKS.search(cell.source):
                found.insert(0, FoundCall("", "Python", None, NO_PYTHON, cell.source.strip()))
        yield from found

    def tree(self, source: str) -> ast.Module | None:
        """The Python of a text, magics rewritten as calls; None where there is none."""
        try:
            return ast.parse(self._transformer.transform_cell(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    def asked(self, node: ast.expr) -> str | None:
        """Which of ``ASKING`` an expression names."""
        if isinstance(node, ast.Name):
            return self.functions.get(node.id)
        if isinstance(node, ast.Attribute) and self.is_module(node.value) and node.attr in ASKING:
            return node.attr
        return None

    def is_module(self, node: ast.expr) -> bool:
        """Whether an expression is this package."""
        return isinstance(node, ast.Name) and node.id in self.modules


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _each_time(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> list[ast.AST]:
    """What a comprehension does for each element."""
    first, *others = node.generators
    made = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    return [first.target, *first.ifs, *others, *made]


def _decided(test: ast.expr) -> bool | None:
    """A condition that holds here or does not: a constant, or a variable of the environment being there."""
    match test:
        case ast.Constant():
            return bool(test.value)
        case ast.Compare(
            left=ast.Constant(value=str(name)),
            ops=[ast.In() | ast.NotIn() as asks],
            comparators=[ast.Attribute(value=ast.Name(id="os"), attr="environ")],
        ):
            return (name in os.environ) == isinstance(asks, ast.In)
    return None


def _tape_of(call: ast.Call) -> PlayedTape:
    """What ``ds.replay`` is called with."""
    named = {each.arg: each.value for each in call.keywords}
    file, otherwise = (*call.args, named.get("file"))[0], named.get("otherwise", ast.Constant("refuse"))
    name = PurePath(str(file.value)).name if isinstance(file, ast.Constant) else ast.unparse(file) if file else ""
    refuses = isinstance(otherwise, ast.Constant) and otherwise.value == "refuse"
    return PlayedTape(name, asks=not refuses)


class _Walk:
    """Through the tree of one cell, in the order in which it would run."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._found: list[Step] = []
        self._inner = 0
        """So many functions, classes and comprehensions, whose names are their own, are around."""

    def all(self, nodes: Iterable[ast.AST], why: Message | None = None) -> list[Step]:
        """What these nodes do. ``why``: nobody can tell how often."""
        for node in nodes:
            self.one(node, why)
        return self._found

    def one(self, node: ast.AST, why: Message | None) -> None:
        """What a node does."""
        match node:
            case ast.For() | ast.AsyncFor():
                self.one(node.iter, why)
                self.all((node.target, *node.body), LOOP)
                self.all(node.orelse, CONDITION)
            case ast.While():
                self.all((node.test, *node.body), LOOP)
                self.all(node.orelse, CONDITION)
            case ast.If():
                self._if(node, why)
            case ast.Try() | ast.TryStar():
                self.all(node.body, why)
                self.all((*node.handlers, *node.orelse), CONDITION)
                self.all(node.finalbody, why)
            case ast.ExceptHandler():
                if node.name:
                    self._bind(Bound(node.name))
                self.all(node.body, why)
            case ast.With(items=[ast.withitem(context_expr=ast.Call() as opened)]) if self._plays(opened):
                self.one(opened, why)
                self._found.append(Played(_tape_of(opened)))
                self.all(node.body, why)
                self._found.append(Played(None))
            case ast.Match():
                self.one(node.subject, why)
                self.all(node.cases, CONDITION)
            case ast.IfExp() | ast.BoolOp():
                first, *rest = (node.test, node.body, node.orelse) if isinstance(node, ast.IfExp) else node.values
                self.one(first, why)
                self.all(rest, CONDITION)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
                self._definition(node, why)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self.one(node.generators[0].iter, why)
                self._inside(_each_time(node), LOOP)
            case ast.Assign() | ast.AnnAssign():
                self._assign(node, why)
            case ast.AugAssign():
                if (root := _root(node.target)) is not None:
                    self._found.append(Changed(root))
                self.all((node.value, node.target), why)
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.Global():
                self._found += [Bound(name) for name in node.names]
            case ast.Call():
                self._call(node, why)
            case ast.Name():
                self._name(node)
            case ast.Attribute() | ast.Subscript():
                self._part(node, why)
            case _:
                self.all(ast.iter_child_nodes(node), why)

    def _plays(self, call: ast.Call) -> bool:
        func = call.func
        return isinstance(func, ast.Attribute) and func.attr == "replay" and self._reader.is_module(func.value)

    def _if(self, node: ast.If, why: Message | None) -> None:
        self.one(node.test, why)
        decided = _decided(node.test)
        if decided is None:
            self.all((*node.body, *node.orelse), CONDITION)
        else:
            self.all(node.body if decided else node.orelse, why)

    def _inside(self, nodes: Iterable[ast.AST], why: Message | None) -> None:
        self._inner += 1
        self.all(nodes, why)
        self._inner -= 1

    def _definition(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda, why: Message | None
    ) -> None:
        if isinstance(node, ast.Lambda):
            self.one(node.args, why)
            self._inside((node.body,), FUNCTION)
            return
        self.all(node.decorator_list, why)
        if isinstance(node, ast.ClassDef):
            self.all((*node.bases, *node.keywords), why)
            self._inside(node.body, why)
        else:
            self.one(node.args, why)
            self._inside(node.body, FUNCTION)
        self._bind(Bound(node.name, function=not isinstance(node, ast.ClassDef)))

    def _assign(self, node: ast.Assign | ast.AnnAssign, why: Message | None) -> None:
        if node.value is None:
            return
        self.one(node.value, why)
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        answer = isinstance(value, ast.Call) and (self._reader.asked(value.func) or self._magic_name(value)) is not None
        for target in node.targets if isinstance(node, ast.Assign) else (node.target,):
            if isinstance(target, ast.Name) and why is None:
                self._bind(Bound(target.id, node.value, answer=answer))
            else:
                self.one(target, why)

    def _bind(self, bound: Bound) -> None:
        if not self._inner:
            self._reader.modules.discard(bound.name)
            self._reader.functions.pop(bound.name, None)
            self._found.append(bound)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        ours = isinstance(node, ast.ImportFrom) and node.module == PACKAGE and not node.level
        for alias in node.names:
            if alias.name == "*":
                if ours:
                    self._reader.functions |= {name: name for name in ASKING}
                self._found.append(AnyBound())
                continue
            name = alias.asname or alias.name.partition(".")[0]
            self._bind(Bound(name))
            if ours and alias.name in ASKING:
                self._reader.functions[name] = alias.name
            elif isinstance(node, ast.Import) and alias.name == PACKAGE:
                self._reader.modules.add(name)

    def _name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._bind(Bound(node.id))
        elif node.id in self._reader.functions:
            self._handed(node)

    def _part(self, node: ast.Attribute | ast.Subscript, why: Message | None) -> None:
        if not isinstance(node.ctx, ast.Load) and (root := _root(node)) is not None:
            self._found.append(Changed(root))
        if self._reader.asked(node) is not None:
            self._handed(node)
        else:
            self.all(ast.iter_child_nodes(node), why)

    def _handed(self, node: ast.expr) -> None:
        self._found.append(FoundCall(self._reader.asked(node) or "", ast.unparse(node), None, HANDED))

    def _call(self, node: ast.Call, why: Message | None) -> None:
        func, given = node.func, [*node.args, *(each.value for each in node.keywords)]
        if self._magic_name(node) is not None:
            self._magic(node, why)
            return
        name = self._reader.asked(func)
        if name is None:
            self._spoil(func, given)
            self.one(func, why)
        self.all(given, why)
        if name is not None:
            self._found.append(FoundCall(name, ast.unparse(func), node, why))
        elif isinstance(func, ast.Attribute) and func.attr in ("retry", "confirm") and self._reader.modules:
            self._found.append(FoundCall(func.attr, ast.unparse(func), node, why))
        elif isinstance(func, ast.Name) and func.id == "exec":
            self._found.append(AnyBound())

    def _spoil(self, func: ast.expr, given: Iterable[ast.expr]) -> None:
        """What a call may change in place: its object, and what it is given."""
        if isinstance(func, ast.Attribute):
            if func.attr in _CHANGES and (root := _root(func.value)) is not None:
                self._found.append(Changed(root))
            if func.attr in _ONLY_READ_IN or _root(func) in self._reader.modules:
                return
        elif isinstance(func, ast.Name) and func.id in _ONLY_READS:
            return
        for each in given:
            value = each.value if isinstance(each, ast.Starred) else each
            if isinstance(value, ast.Name):
                self._found.append(Changed(value.id))

    @staticmethod
    def _magic_name(node: ast.Call) -> str | None:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=attr),
                args=[ast.Constant(value=str(name)), *_],
            ) if attr in _RUN:
                return name
        return None

    def _magic(self, node: ast.Call, why: Message | None) -> None:
        """A call of ``run_line_magic`` or ``run_cell_magic``: name, line, and the body of a cell."""
        texts = [str(each.value) if isinstance(each, ast.Constant) else None for each in node.args]
        name, line, body = (*texts, "", "")[:3]
        is_cell = len(texts) > 2
        text, shown = body if is_cell else line, f"%%{name}" if is_cell else f"%{name}"
        if name is None or line is None or text is None:
            if name in ASKING_MAGICS or _ASKS.search(ast.unparse(node)):
                self._found.append(FoundCall("", shown, None, why or COMPUTED, ast.unparse(node)))
        elif name.startswith("deepseek") or name in ("config", "run"):
            self._found.append(FoundMagic(name, line, body if is_cell else None, why))
            if name == "run":
                self._found.append(AnyBound())
        elif name in _PYTHON_BODIES and (tree := self._reader.tree(text)) is not None:
            self.all(tree.body, why)
        elif _ASKS.search(text):
            said = Message("{magic} decides what is run", magic=shown)
            self._found.append(FoundCall("", shown, None, said, text))
