"""Which of the cells that wait may be asked now: those that nothing before them can change.

A prompt takes the names in its braces. A cell before it may bind them, change what they are bound to, or do what nobody
can see in its text; then the prompt waits for its turn. A cell that may change how or where prompts are asked ends the
look ahead. Whatever is in doubt counts as a change.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a cell may change: names; ``any``: whatever a name is bound to; ``settings``: how prompts are asked."""

    names: frozenset[str] = frozenset()
    any: bool = False
    settings: bool = False

    def __or__(self, other: Effect) -> Effect:
        return Effect(
            names=self.names | other.names, any=self.any or other.any, settings=self.settings or other.settings
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCell:
    """A cell that asks: the names that it takes, what it changes, and whether it is one that may be asked ahead at all."""

    takes: frozenset[str]
    effect: Effect
    may_lead: bool


ANY: Final = Effect(any=True)
SETTINGS: Final = Effect(any=True, settings=True)

_NO_NAMES: Final = re.compile(r"_\w*|In|Out|Err|Notebook|Cells|exit|quit")
"""What IPython binds by itself after every cell."""

_SETTING_MAGICS: Final = re.compile(
    r"deepseek\w*|config|(re|un)?load_ext|load\w*|run|cd|pushd|popd|set_env|env|dotenv|rerun|recall|macro|reset\w*|autoreload|aimport"
)
_SETTING_WORDS: Final = re.compile(r"get_ipython|deepseek_magic|environ|putenv|chdir|__main__|__builtins__|importlib")
_MAGIC_LINE: Final = re.compile(r"\s*(?:%%?|!!?)(\w*)")

_READERS: Final = frozenset(
    (
        *("print", "len", "repr", "str", "int", "float", "bool", "abs", "round", "ord", "chr", "hex", "bin"),
        *("isinstance", "type", "id", "range", "complex"),
    )
)
"""Functions that change nothing and call nobody that does."""

_QUIET: Final = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.JoinedStr, ast.FormattedValue, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.keyword),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
"""Expressions that change nothing."""


def effect_of(source: str, own: Container[str] = (), ours: Container[str] = ()) -> Effect:
    """What a cell of Python may change. ``own``: names that the user has bound, ``ours``: those that are this package or a
    part of it."""
    lines = source.splitlines()
    effect = Effect()
    for line in lines:
        if (magic := _MAGIC_LINE.match(line)) is not None:
            if _SETTING_MAGICS.fullmatch(magic[1]):
                return SETTINGS
            effect |= ANY
            if line.startswith("%%"):
                return SETTINGS if _SETTING_WORDS.search(source) or "deepseek" in source else ANY
    if _SETTING_WORDS.search(source):
        return SETTINGS
    try:
        tree = ast.parse("\n".join("" if _MAGIC_LINE.match(line) else line for line in lines))
        return effect | _Reader(own, ours).of(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return SETTINGS


def _binding(*names: str) -> Effect:
    """Names are bound; what is called by one of the readers' may do anything from then on."""
    return Effect(names=frozenset(names), any=bool(_READERS & set(names)))


class _Reader:
    """Through the statements of one cell."""

    def __init__(self, own: Container[str], ours: Container[str]) -> None:
        self._own = own
        self._ours = ours

    def of(self, statements: Iterable[ast.stmt]) -> Effect:
        """What these do."""
        effect = Effect()
        for statement in statements:
            effect |= self._one(statement)
        return effect

    def _one(self, node: ast.stmt) -> Effect:
        match node:
            case ast.Pass():
                return Effect()
            case ast.Expr(value=value):
                return self._read(value)
            case ast.Assign(targets=targets, value=value):
                return self._bind(targets) | self._read(value)
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                return self._bind([target]) | self._read(annotation) | (self._read(value) if value else Effect())
            case ast.Delete(targets=targets):
                return self._bind(targets)
            case ast.Import(names=names):
                return _binding(*(alias.asname or alias.name.partition(".")[0] for alias in names))
            case ast.ImportFrom(names=names) if names[0].name != "*":
                return _binding(*(alias.asname or alias.name for alias in names))
            case ast.FunctionDef(decorator_list=[], args=args, name=name, returns=returns):
                read = [*args.defaults, *(each for each in args.kw_defaults if each is not None)]
                arguments = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
                read += [each.annotation for each in arguments if each is not None and each.annotation is not None]
                read += [returns] if returns is not None else []
                return _binding(name) | self._read(*read)
            case ast.If(test=test, body=body, orelse=orelse):
                return self._read(test) | self.of(body) | self.of(orelse)
        return self._doubt(node)

    def _bind(self, targets: Iterable[ast.expr]) -> Effect:
        """What is bound to names; a part of a value may be a part of another name's value, too."""
        effect = Effect()
        for target in targets:
            if isinstance(target, ast.Name):
                effect |= _binding(target.id)
            else:
                effect |= self._doubt(target)
        return effect

    def _read(self, *nodes: ast.expr) -> Effect:
        return Effect() if all(map(self._is_quiet, nodes)) else self._doubt(*nodes)

    def _is_quiet(self, node: ast.AST) -> bool:
        match node:
            case ast.Name(id=name):
                return name not in self._ours
            case ast.Call(func=ast.Name(id=name)):
                if name not in _READERS or name in self._own:
                    return False
                return all(map(self._is_quiet, [*node.args, *node.keywords]))
        return isinstance(node, _QUIET) and all(map(self._is_quiet, ast.iter_child_nodes(node)))

    def _doubt(self, *nodes: ast.AST) -> Effect:
        """Anything may be changed, and where our own package is named, how prompts are asked."""
        for node in nodes:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and inner.id in self._ours:
                    return SETTINGS
        return ANY


def independent(before: Effect, cells: Iterable[Effect | PromptCell]) -> Iterator[int]:
    """The places of the cells that may be asked now. ``before`` is what the running cell may still change, ``cells`` those
    that wait, in order."""
    changed = before
    for place, cell in enumerate(cells):
        if changed.settings:
            return
        if isinstance(cell, PromptCell):
            named = any(_NO_NAMES.fullmatch(name) for name in cell.takes)
            if cell.may_lead and not named and not (cell.takes and changed.any) and not cell.takes & changed.names:
                yield place
        changed |= cell.effect if isinstance(cell, PromptCell) else cell
