"""A scorer as a value: what it is called, what it reads of an input, and the score that it gives an answer.

Its ``version`` is a digest of its arguments, or of a function's source: a score that was given by another version, or
for another expected value, is given anew. No answer is asked for again because of it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import CodeType
from typing import Any, Final, Literal

from ...text.messages import Message
from .. import template
from ..errors import ConfigurationError
from ..options import closest
from ..schema import Schema
from . import rules
from .rows import Row, canonical, plain
from .rules import Score

Kind = Literal[
    "exact", "contains", "regex", "number", "one_of", "schema", "field", "length", "function", "judge", "prefer"
]
Function = Callable[[str, Row], Any]

RULES: Final = 1
"""Raised when a rule gives another score to the same answer: what was scored before is then scored anew."""

PATTERN_S: Final = 5.0
"""A pattern that has found nothing after so many seconds is ended, and the answer could not be judged."""

MISSING: Final = Message("the expected value is missing")
MAX_WHY_CHARS: Final = 300
DIGEST_CHARS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """One scorer. ``ds.score`` makes them.

    ``name``: of its column. ``expected``: what the answer is compared with, where ``{column}`` is filled from the input;
    None for a rule that compares with nothing. ``arguments``: the rule's others, as JSON can hold them. ``runs``: the
    function or the schema, which JSON cannot hold.
    """

    name: str
    kind: Kind
    expected: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    runs: Any = field(default=None, compare=False, repr=False)

    version: str = ""
    """Digest of all that decides the score but the answer and the input, in hexadecimal."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigurationError.of_setting("name", repr(self.name), Message("it takes text that is not empty"))
        if not self.version:
            made = canonical([RULES, self.kind, self.expected, dict(self.arguments), _source(self.runs)])
            object.__setattr__(self, "version", _digest(made))

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def to_json(self) -> dict[str, Any]:
        """As a plan keeps it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "expected": self.expected,
            "arguments": dict(self.arguments),
            "version": self.version,
        }

    def check(self, columns: Sequence[str], settings: int) -> None:
        """Raises ConfigurationError where the expected value names a column that the inputs do not have, and where a single
        setting has no other one to be preferred to."""
        if self.kind == "prefer" and settings < 2:
            said = Message("The score {name} sets settings against each other, and there is one alone.", name=self.name)
            raise ConfigurationError(said, hint=Message("A judge says of each answer how good it is."))
        if self.kind == "regex":  # where {n} may be one of its own signs
            return
        for path in template.paths(self.expected or ""):
            if path.isidentifier() and path not in columns:
                said = Message("The score {name} reads the column {column}, which the inputs do not have{near}.")
                raise ConfigurationError(
                    said.filled(name=self.name, column=path, near=closest(path, columns)),
                    hint=Message("The columns are: {names}.", names=", ".join(columns) or "–"),
                )

    def row_digest(self, row: Row) -> str:
        """Digest of what the scorer reads of an input, in hexadecimal: another expected value makes another score."""
        return _digest(canonical(dict(row) if self.kind == "function" else self.wanted(row)))

    def wanted(self, row: Row) -> str | None:
        """The expected value for an input, filled once; None where a column that it needs is missing there."""
        return None if self.expected is None else filled(self.expected, row)

    def pattern(self, row: Row) -> str | None:
        """The pattern that ``regex`` looks for. It may run for ever, and ``re`` holds the interpreter meanwhile, so it runs
        in a process of its own, at most ``PATTERN_S``."""
        return filled(self.expected or "", row, shown=re.escape)

    def scores(self, answer: str, row: Row) -> dict[str, Score]:
        """The score of an answer, by column: a function that returns a dict gives several, ``name.key`` each.

        Never raises what a user's function raises: that is a score that could not be given, and why.
        """
        if self.kind in ("function", "schema") and self.runs is None:
            return {self.name: Score(None, why=Message("what it runs is not kept with a sweep: give it again"))}
        if self.kind == "function":
            return self._of_function(answer, row)
        return {self.name: self._of_rule(answer, row)}

    def _of_rule(self, answer: str, row: Row) -> Score:
        wanted = self.wanted(row)
        if self.expected is not None and wanted is None:
            return Score(None, why=MISSING)
        expected, given = wanted or "", dict(self.arguments)
        match self.kind:
            case "exact":
                return rules.exact(answer, expected, **given)
            case "contains":
                return rules.contains(answer, expected, **given) if expected.strip() else Score(None, why=MISSING)
            case "regex":
                return rules.matches(answer, self.pattern(row) or "")
            case "number":
                return rules.number(answer, expected, **given)
            case "one_of":
                return rules.one_of(answer, given["choices"], wanted)
            case "schema":
                return rules.fits(answer, self.runs)
            case "field":
                return rules.field(answer, given["path"], expected)
            case "length":
                return rules.length(answer, **given)
        raise ValueError(self.kind)  # a judge's verdict comes from a call, see ``judging``

    def _of_function(self, answer: str, row: Row) -> dict[str, Score]:
        try:
            said = self.runs(answer, dict(row))
            if isinstance(said, Mapping):
                return {f"{self.name}.{key}": score_of(value) for key, value in said.items()}
            return {self.name: score_of(said)}
        except BaseException as error:  # its sys.exit() as well, which in a thread would be silence
            return {self.name: Score(None, why=shortened_error(error))}


def score_of(said: Any) -> Score:
    """What a function returned, as a score: True and False are 1 and 0, a text is a category without a number."""
    if isinstance(said, str):
        return Score(None, label=str(said))
    value, label, why = said, None, None
    if isinstance(said, Score):
        value, why = said.value, said.why
        label = None if said.label is None else str(said.label)
    number = _finite(value)
    if number is not None or (isinstance(said, Score) and value is None):
        return Score(number, label, why)
    missing = value is None or type(value).__name__ == "NAType"
    shown = str(value) if missing or isinstance(value, float | Decimal) else type(value).__name__
    return Score(None, label, Message("the function returned no score ({value})", value=shown))


def _finite(value: Any) -> float | None:
    """A finite number as a float; None for all else, also for what a user's type makes of the question."""
    try:
        number = float(value) if isinstance(value, Decimal | Fraction) else plain(value)
        number = float(number) if isinstance(number, bool | int | float) else math.nan
    except Exception:
        return None
    return number if math.isfinite(number) else None


def shortened_error(error: BaseException) -> str:
    """An exception on one line, as Python's own last line of a traceback says it."""
    try:
        said = str(error)
    except Exception:
        said = ""
    return rules.shortened(f"{type(error).__name__}: {said}" if said else type(error).__name__, MAX_WHY_CHARS)


def filled(text: str, row: Row, *, shown: Callable[[str], str] = str) -> str | None:
    """``text`` with the input's columns in it; None where one that it names is missing in this row."""
    named = [path for path in template.paths(text) if path in row and not _QUANTIFIER.fullmatch(path)]
    if any(row[path] is None for path in named):
        return None
    known = {name: value for name, value in row.items() if not _QUANTIFIER.fullmatch(name)}
    return template.inserted(text, known, lambda value: shown(template.show(value)))


_QUANTIFIER: Final = re.compile(r"\d*,?\d*")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARS]


def _source(runs: Any) -> str:
    """What a function does, as text: its source, or where nobody wrote that down its code."""
    if runs is None:
        return ""
    if isinstance(runs, Schema):
        return runs.text
    function = inspect.unwrap(runs.func if isinstance(runs, functools.partial) else runs)
    bound = repr((runs.args, sorted(runs.keywords.items()))) if isinstance(runs, functools.partial) else ""
    try:
        return inspect.getsource(function) + bound
    except (OSError, TypeError):
        code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
        return (_code(code) if isinstance(code, CodeType) else repr(type(function))) + bound


def _code(code: CodeType) -> str:
    constants = [_code(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants))
