"""``ds.score``: how answers are scored, one function a rule; any function ``(answer, row)`` of your own is one as well.

``{column}`` in what is expected is filled from the input's row. A score is a number, usually 1 for right and 0 for wrong;
where the expected value is missing the answer is not judged and no mean counts it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ...text.messages import Message
from ..errors import ConfigurationError
from ..options import closest
from ..schema import Schema
from . import rules
from .scoring import Function, Scorer

__all__ = ["contains", "exact", "field", "function", "judge", "length", "number", "one_of", "prefer", "regex", "schema"]

Scores = Scorer | Function | str | Sequence[Scorer | Function | str] | Mapping[str, Scorer | Function | str] | None


def exact(expected: object, *, fold: bool = True, name: str = "exact") -> Scorer:
    """Whether the answer is the expected text. Case and white space do not count unless ``fold`` is False."""
    return Scorer(name=name, kind="exact", expected=_text(expected), arguments={"fold": fold})


def contains(expected: object, *, fold: bool = True, name: str = "contains") -> Scorer:
    """Whether the expected text is somewhere in the answer."""
    return Scorer(name=name, kind="contains", expected=_text(expected), arguments={"fold": fold})


def regex(pattern: str, *, name: str = "regex") -> Scorer:
    """Whether the regular expression is found in the answer. What ``{column}`` brings into it is taken literally.

    It runs in a process of its own and is ended after 5 seconds. Raises ConfigurationError for what is no pattern.
    """
    try:
        re.compile(_text(pattern))
    except re.error as error:
        said = Message("{pattern} is no regular expression: {error}.", pattern=pattern, error=str(error))
        raise ConfigurationError(
            said, hint=Message('Write it as for Python\'s re, in a raw string: r"\\d+".')
        ) from None
    return Scorer(name=name, kind="regex", expected=_text(pattern))


def number(expected: object, *, within: float = 0.0, name: str = "number") -> Scorer:
    """Whether the last number of the answer is the expected one, or at most ``within`` away from it."""
    if not _is_finite(within) or within < 0:
        raise ConfigurationError.of_setting("within", repr(within), Message("it takes a number from 0"))
    return Scorer(name=name, kind="number", expected=_text(expected), arguments={"within": within})


def one_of(*choices: str, expected: object = None, name: str = "one_of") -> Scorer:
    """Which of the choices the answer names, kept as its label; with ``expected``, whether it is the right one."""
    if len(choices) < 2:
        said = Message("one_of takes at least two choices.")
        raise ConfigurationError(said, hint=Message('Write it like one_of("yes", "no").'))
    wanted = None if expected is None else _text(expected)
    return Scorer(name=name, kind="one_of", expected=wanted, arguments={"choices": [str(choice) for choice in choices]})


def schema(kind: Any, *, name: str = "schema") -> Scorer:
    """Whether the answer is JSON that fits a dataclass, TypedDict or pydantic model."""
    return Scorer(name=name, kind="schema", runs=kind if isinstance(kind, Schema) else Schema.of(kind))


def field(path: str, expected: object, *, name: str = "field") -> Scorer:
    """Whether a field of the answer's JSON, by a path like ``$.city`` or ``$.rows[0].name``, is the expected value."""
    if not rules.steps(path):
        said = Message("{path} is no path to a field.", path=path or '""')
        raise ConfigurationError(said, hint=Message('Write it like "$.city" or "$.rows[0].name".'))
    return Scorer(name=name, kind="field", expected=_text(expected), arguments={"path": path})


def length(
    *,
    max_words: int | None = None,
    min_words: int | None = None,
    max_chars: int | None = None,
    min_chars: int | None = None,
    name: str = "length",
) -> Scorer:
    """Whether the answer is as long as asked. Of Chinese and Japanese each character counts as a word."""
    limits = {"max_words": max_words, "min_words": min_words, "max_chars": max_chars, "min_chars": min_chars}
    for limit, value in limits.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise ConfigurationError.of_setting(
                limit, repr(value), Message("it takes a whole number from {low}", low=0)
            )
    if all(limit is None for limit in limits.values()):
        said = Message("length takes at least one limit.")
        raise ConfigurationError(said, hint=Message("Write it like length(max_words=20)."))
    return Scorer(name=name, kind="length", arguments=limits)


def function(check: Function, *, name: str | None = None) -> Scorer:
    """A function of your own: ``(answer, row)`` → bool, number, text, ``Score``, or a dict of these.

    What it raises makes a missing score that says why. It runs in the kernel: one that takes seconds holds nothing up but
    itself, one that never returns holds up the kernel.
    """
    said = name or str(getattr(check, "__name__", type(check).__name__))
    return Scorer(name="function" if said == "<lambda>" else said, kind="function", runs=check)


def judge(
    question: str,
    *,
    choices: Mapping[str, float] | None = None,
    model: str | None = None,
    votes: int = 1,
    name: str = "judge",
) -> Scorer:
    """What a model says to a question about the answer, as the value of the choice that it makes.

    ``question`` may name columns: "Is this a polite answer to {question}?". ``choices`` go from words to values, yes to 1 and
    no to 0 by default. ``votes`` asks so often and takes the mean. Each verdict is a call, in the journal, with its price.
    """
    values = {str(word): value for word, value in ({"yes": 1, "no": 0} if choices is None else choices).items()}
    for value in values.values():
        if not _is_finite(value):
            raise ConfigurationError.of_setting("choices", repr(value), Message("it takes a number"))
    values = {word: float(value) for word, value in values.items()}
    if len(values) < 2 or not _text(question).strip():
        said = Message("A judge takes a question and at least two choices.")
        raise ConfigurationError(
            said, hint=Message('Write it like judge("Is it polite?", choices={"yes": 1, "no": 0}).')
        )
    arguments = {"choices": values, "model": model, "votes": _votes(votes)}
    return Scorer(name=name, kind="judge", expected=_text(question), arguments=arguments)


def prefer(question: str, *, model: str | None = None, votes: int = 1, name: str = "prefer") -> Scorer:
    """Which of two settings' answers to an input a model prefers, asked for each pair in both orders.

    A trial's score is the share of the other settings that it wins against; a tie, and a verdict that hangs on the order,
    count one half.
    """
    if not isinstance(question, str) or not question.strip():
        said = Message("A judge takes a question.")
        raise ConfigurationError(said, hint=Message('Write it like prefer("Which answer is clearer?").'))
    return Scorer(name=name, kind="prefer", expected=question, arguments={"model": model, "votes": _votes(votes)})


def _votes(votes: int) -> int:
    if isinstance(votes, bool) or not isinstance(votes, int) or votes < 1:
        raise ConfigurationError.of_setting("votes", repr(votes), Message("it takes a whole number from 1"))
    return votes


def scorers(given: Scores) -> tuple[Scorer, ...]:
    """The scorers of ``scores=``: one or several, with the names of a dict. Raises ConfigurationError for two of one name."""
    if given is None:
        return ()
    if isinstance(given, Mapping):
        made = [_renamed(_one(each), str(name)) for name, each in given.items()]
    else:
        made = [_one(each) for each in (given if isinstance(given, list | tuple) else (given,))]
    for place, each in enumerate(made):
        if each.name in [other.name for other in made[:place]]:
            raise ConfigurationError(
                Message("Two scores are called {name}.", name=each.name),
                hint=Message("Give them names: scores={first: …, second: …}."),
            )
    return tuple(made)


def read(typed: str, variables: Mapping[str, Any] | None = None) -> Scorer:
    """The scorer typed as ``KIND=ARGUMENT``, or as the name of a function among ``variables``.

    ``exact={answer}``, ``regex=^\\d+$``, ``number={x},within=0.01``, ``one_of=yes,no,expected={label}``,
    ``field=$.city,{city}``, ``length=max_words=20``, ``schema=Recipe``. Raises ConfigurationError.
    """
    kind, equals, rest = typed.partition("=")
    kind, variables = kind.strip(), variables or {}
    if not equals and callable(variables.get(kind)):
        return function(variables[kind], name=kind)
    make = TYPED.get(kind)
    if make is None:
        known = (*TYPED, *(name for name in variables if not name.startswith("_")))
        raise ConfigurationError(
            Message("There is no score {name}{near}.", name=kind, near=closest(kind, known)),
            hint=Message("It is a function of the notebook, or one of {names}.", names=", ".join(TYPED)),
        )
    if not rest.strip():
        said = Message("The score {name} says nothing to compare with.", name=kind)
        raise ConfigurationError(said, hint=Message("Write it like --score {example}.", example=EXAMPLES[kind]))
    if kind == "schema":
        return schema(Schema.named(rest.strip(), variables).kind)
    if kind in ("exact", "contains", "regex", "judge", "prefer"):
        return make(rest)
    words = [word.strip() for word in rest.split(",")]
    named = dict(word.split("=", 1) for word in words if _KEYWORD.match(word))
    try:
        numbers = {key: value if key == "expected" else _number(value) for key, value in named.items()}
        return make(*(word for word in words if not _KEYWORD.match(word)), **numbers)
    except (TypeError, ValueError):
        said = Message("The score {text} cannot be read.", text=typed)
        raise ConfigurationError(
            said, hint=Message("Write it like --score {example}.", example=EXAMPLES[kind])
        ) from None


_KEYWORD: Final = re.compile(r"[a-z_]+=")
TYPED: Final[Mapping[str, Callable[..., Scorer]]] = {
    "exact": exact,
    "contains": contains,
    "regex": regex,
    "number": number,
    "one_of": one_of,
    "schema": schema,
    "field": field,
    "length": length,
    "judge": judge,
    "prefer": prefer,
}
"""What ``--score`` takes besides functions, by the word before its ``=``."""
EXAMPLES: Final[Mapping[str, str]] = {
    "exact": "exact={answer}",
    "contains": "contains={answer}",
    "regex": "regex=^[0-9]+$",
    "number": "number={answer},within=0.01",
    "one_of": "one_of=yes,no",
    "schema": "schema=Recipe",
    "field": "field=$.city,{city}",
    "length": "length=max_words=20",
    "judge": '"judge=Is it polite?"',
    "prefer": '"prefer=Which is clearer?"',
}
"""Every kind, as it may be typed behind ``--score``."""


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(text: str) -> int | float:
    return int(text) if text.strip().isdecimal() else float(text)


def _text(expected: object) -> str:
    return expected if isinstance(expected, str) else str(expected)


def _one(given: Any) -> Scorer:
    if isinstance(given, Scorer):
        return given
    if isinstance(given, str):
        return read(given)
    if callable(given):
        return function(given)
    said = Message("A score is one of ds.score, or a function, not {kind}.", kind=type(given).__name__)
    raise ConfigurationError(said, hint=Message('Write it like scores=ds.score.exact("{answer}").'))


def _renamed(scorer: Scorer, name: str) -> Scorer:
    return Scorer(name=name, kind=scorer.kind, expected=scorer.expected, arguments=scorer.arguments, runs=scorer.runs)
