"""Mutants by the dozen: every small change of a file's meaning that its own tests should notice."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .running import ROOT, Verdict, verdict_on

__all__ = ["TARGETS", "Mutant", "mutants"]

_POLICY: Final = {
    "attempts": ("recovery",),
    "budget": ("budget",),
    "deadlines": ("deadlines",),
    "estimates": ("estimates",),
    "failover": ("failover",),
    "limits/buckets": ("limits",),
    "limits/concurrency": ("limits",),
    "limits/limiter": ("limits",),
    "limits/ratelimit_headers": ("ratelimit_headers",),
    "pricing": ("pricing",),
    "recovery": ("recovery",),
    "seams": ("seams", "recovered_text"),
}
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "deepseek_magic/engine/hosts/keys.py": ("tests/engine/test_keys.py",),
    "deepseek_magic/engine/journal/writer.py": ("tests/engine/test_journal.py",),
    "deepseek_magic/engine/gate.py": ("tests/engine/test_gate.py",),
    **{
        f"deepseek_magic/policy/{file}.py": tuple(f"tests/policy/test_{test}.py" for test in tests)
        for file, tests in _POLICY.items()
    },
}
"""What is mutated, and the focused tests that ought to notice."""

_SWAPPED: Final[Mapping[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: ``before`` has become ``after`` in a line of ``file``, whose whole text is ``source`` then."""

    file: str
    line: int
    before: str
    after: str
    source: str

    def verdict(self, *, within_s: float) -> Verdict:
        """What the file's tests say; "killed" when they take longer than ``within_s``."""
        return verdict_on(self.file, self.source, TARGETS[self.file], within_s=within_s)


def mutants(file: str) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    text = (ROOT / file).read_text("utf-8")
    found = []
    for number, node in enumerate(ast.walk(ast.parse(text))):
        if _change(node) is None:
            continue
        tree = ast.parse(text)  # each mutant has a tree of its own
        node = next(each for n, each in enumerate(ast.walk(tree)) if n == number)
        before, change = ast.unparse(node), _change(node)
        assert change is not None
        change()
        found.append(Mutant(file, node.lineno, before, ast.unparse(node), ast.unparse(tree)))  # type: ignore[attr-defined]
    return sorted(found, key=lambda mutant: mutant.line)


def sample(seed: int, files: list[str]) -> Iterator[Mutant]:
    """Mutants of all files in turns, in an order that the seed alone decides."""
    chance = random.Random(seed)
    piles = []
    for file in files:
        pile = mutants(file)
        chance.shuffle(pile)
        piles.append(pile)
    while any(piles):
        for pile in piles:
            if pile:
                yield pile.pop()


def _change(node: ast.AST) -> Callable[[], None] | None:
    """What changes a node in place; None for one that is left as it is."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _SWAPPED:
            return lambda: setattr(node, "ops", [_SWAPPED[type(op)]()])
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPPED:
            return lambda: setattr(node, "op", _SWAPPED[type(op)]())
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return lambda: setattr(node, "value", value + 1)
        case ast.Constant(value=bool() as value):
            return lambda: setattr(node, "value", not value)
        case ast.Call(func=ast.Name(id=name) as called) if name in _NAMES:
            return lambda: setattr(called, "id", _NAMES[name])
        case ast.If() | ast.IfExp() | ast.While():
            test = node.test
            return lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.UnaryOp(op=ast.Not()):
            return lambda: setattr(node, "op", ast.UAdd())  # +x: a truth value as it is
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            return lambda: setattr(node, "value", ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            return lambda: setattr(node, "value", ast.Constant(None))
    return None
