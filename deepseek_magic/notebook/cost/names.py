"""The names of a notebook, as far as they are known before it runs: what its text binds to plain values, and what a kernel has.

A value that the text gives counts before one of the kernel: that is what it will be when the cell before has run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

OF_THE_RUN: Final = ("In", "Out", "Err", "Notebook", "Cells", "_", "__", "___")
"""What these hold is known only when the cell runs."""


class NotYet(Exception):
    """A name that will have a value only when the notebook runs."""


class Computed(Exception):
    """An expression whose value is known only when the notebook runs."""


class Names(Mapping[str, Any]):
    """The names that exist at a place of the notebook. Looking up one whose value is not known raises NotYet.

    ``kernel``: the variables of a kernel. ``uses_kernel`` tells whether one of them was looked up.
    """

    def __init__(self, kernel: Mapping[str, Any] | None = None) -> None:
        self._kernel = kernel or {}
        self._values: dict[str, Any] = {}
        self._bound: set[str] = set()
        self._answers: set[str] = set()
        self.anything = False
        """Whether any name may be bound."""
        self.functions: set[str] = set()
        self.uses_kernel = False

    def bind(self, name: str, node: ast.expr | None = None, *, function: bool = False) -> None:
        """A name gets the value of an expression."""
        try:
            value = Computed if node is None else self.value(node)
        except (NotYet, Computed):
            value = Computed
        self._forget(name)
        if value is not Computed:
            self._values[name] = value
        else:
            self._bound.add(name)
        if function:
            self.functions.add(name)

    def answer(self, name: str, value: Any = None) -> None:
        """A name gets an answer: one that is known already, or another at each run."""
        self._forget(name)
        if value is not None:
            self._values[name] = value
        else:
            self._answers.add(name)

    def _forget(self, name: str) -> None:
        self._values.pop(name, None)
        for names in (self._bound, self._answers, self.functions):
            names.discard(name)

    def change(self, name: str) -> None:
        """What a name stands for may have been changed in place, under all its names."""
        changed = self._values.get(name)
        if isinstance(changed, list | dict | set):
            for other in [other for other, value in self._values.items() if _holds(value, changed)]:
                self._forget(other)
                self._bound.add(other)

    def any_bound(self) -> None:
        """Any name may have been bound to anything."""
        self.anything = True
        self._bound |= set(self._values)
        self._values.clear()

    def __contains__(self, name: object) -> bool:
        known = (self._values, self._bound, self._answers, self._kernel, OF_THE_RUN)
        return self.anything or any(name in names for names in known)

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name not in self:
            raise KeyError(name)
        if name in OF_THE_RUN or name in self._answers or name not in self._kernel:
            raise NotYet(name)
        self.uses_kernel = True
        return self._kernel[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys((*self._values, *self._bound, *self._answers)), **self._kernel})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def value(self, node: ast.expr, call: Callable[[ast.Call], Any] | None = None) -> Any:
        """The value of an expression of constants and names; ``call`` knows some calls. Raises NotYet and Computed."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                if node.id not in self:
                    raise NotYet(node.id)
                return self[node.id]
            case ast.List() | ast.Tuple() | ast.Set():
                made = [self.value(each, call) for each in node.elts]
                return made if isinstance(node, ast.List) else tuple(made) if isinstance(node, ast.Tuple) else set(made)
            case ast.Dict():
                if None in node.keys:
                    raise Computed
                keys = [self.value(key, call) for key in node.keys if key is not None]
                return dict(zip(keys, (self.value(value, call) for value in node.values), strict=True))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.BinOp(op=ast.Add()):
                left, right = self.value(node.left, call), self.value(node.right, call)
                if type(left) is type(right) and isinstance(left, str | list | tuple):
                    return left + right
            case ast.Call() if call is not None:
                return call(node)
        raise Computed


def _holds(value: Any, part: Any) -> bool:
    """Whether a value is this very object, or has it somewhere inside."""
    if value is part:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
    return any(_holds(each, part) for each in inner)
