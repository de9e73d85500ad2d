"""A plan: templates × axes × inputs × repeats, as a value. It sends nothing, and the same plan has the same digest.

A trial is one call of it: a setting, a row of the table of inputs, and which of the repeats it is. Trials are numbered in
the plan's own order; in which order they are sent is for ``policy.schedule`` to say.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

from ...text.messages import Message
from ..errors import ConfigurationError
from ..options import OPTIONS_BY_NAME, Options
from ..schema import Schema
from . import outlook as shown
from .axes import ASKED, PROMPT, Axis
from .outlook import Outlook
from .rows import Row, canonical, check_columns, columns_of
from .scoring import Scorer
from .templates import Template, templates

Grid = Mapping[str, Sequence[Any] | Mapping[str, Any]]
"""Option (or ``prompt``) → the values that it takes, in a list or under names."""

MAX_SETTINGS: Final = 10_000
"""More is a slip: nobody reads such a table."""

MAX_REPEATS: Final = 1_000

_LEAVE_ONE_OUT: Final = Message("Leave one of them out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One combination of the axes' values.

    ``values`` and ``names`` go by the axis: what is sent, and what tables show; of the axis ``prompt`` both are the
    template's name. ``options`` are all that the setting's calls are made with, by the options' names.
    """

    index: int
    values: Mapping[str, Any]
    names: Mapping[str, str]
    template: Template
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One call: its place in the plan's own order, and the indexes of its setting, row and repeat, each from 0."""

    number: int
    setting: int
    row: int
    repeat: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be asked. ``Plan.of`` makes one of what a person gives, and checks it.

    ``options`` are those that every setting shares. ``texts`` hold what the templates take from variables of the notebook,
    by the path in their braces: as they were when the plan was made, so that it can be resumed without the notebook.
    ``saved`` has the digest of each saved prompt that is asked by name. ``schema`` is what every answer must fit. ``each``: equal rows are asked each, not once.
    ``cluster`` names the column whose equal values are inputs that belong together, for the statistics. ``chosen``: of the
    combinations of the axes' values only these are settings, by their places from 0; None: all are.
    """

    templates: tuple[Template, ...]
    axes: tuple[Axis, ...] = ()
    rows: tuple[Row, ...] = field(default=({},), repr=False)
    repeats: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    saved: Mapping[str, str] = field(default_factory=dict, repr=False)
    schema: Schema | None = None
    each: bool = False
    cluster: str | None = None
    chosen: tuple[int, ...] | None = None
    scorers: tuple[Scorer, ...] = ()
    outlook: Outlook | None = field(default=None, compare=False, repr=False)
    """What it would take, as ``ds.plan`` has found; no part of what is asked."""
    how: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What ``ds.plan`` was told of how it is asked (``budget``, ``concurrency``, …), for ``ds.sweep``; no part of it either."""

    @classmethod
    def of(
        cls,
        prompt: str | Mapping[str, str] | None = None,
        *,
        rows: Sequence[Row] | None = None,
        grid: Grid | Sequence[Axis] = (),
        repeats: int = 1,
        options: Mapping[str, Any] | None = None,
        texts: Mapping[str, str] | None = None,
        saved: Mapping[str, str] | None = None,
        schema: Schema | None = None,
        each: bool = False,
        cluster: str | None = None,
        scorers: Sequence[Scorer] = (),
        framed: bool = True,
    ) -> Self:
        """The plan of a prompt (or several, see ``templates``), rows as ``rows.rows_of`` gives them, and the axes.

        ``grid`` goes from options to their values; its ``prompt`` are the templates, if ``prompt`` is not given. Unless
        ``framed``, no table of trials is made of it, and a column may have any name. Raises ConfigurationError for what
        does not go together.
        """
        given = _once([(axis.name, axis) for axis in grid]) if not isinstance(grid, Mapping) else dict(grid)
        if PROMPT in given and prompt is not None:
            raise ConfigurationError(
                Message("The prompt is given twice, by itself and in the grid."), hint=_LEAVE_ONE_OUT
            )
        asked = templates(_named(given.pop(PROMPT)) if PROMPT in given else "" if prompt is None else prompt)
        axes = [axis if isinstance(axis, Axis) else Axis.of(name, axis) for name, axis in given.items()]
        if len(asked) > 1:
            names = tuple(template.name for template in asked)
            axes.append(Axis(name=PROMPT, values=names, names=names))
        kept: tuple[Row, ...] = ({},) if rows is None else tuple(rows)
        plan = cls(
            templates=asked,
            axes=tuple(axes),
            rows=kept,
            repeats=repeats,
            options=dict(Options(**(options or {}))),
            texts=dict(texts or {}),
            saved=dict(saved or {}),
            schema=schema,
            each=each,
            cluster=cluster,
            scorers=tuple(scorers),
        )
        plan.check()
        check_columns(plan.columns, [axis.name for axis in axes] if framed else None, cluster=cluster)
        return plan

    def check(self) -> None:
        """Raises ConfigurationError for what does not go together."""
        for axis in self.axes:
            if axis.name in self.options:
                said = Message("{name} is given twice, as an option and as an axis.", name=axis.name)
                raise ConfigurationError(said, hint=_LEAVE_ONE_OUT)
        settings = math.prod(len(axis.values) for axis in self.axes)
        if settings > MAX_SETTINGS:
            said = Message("The axes make {count} settings; a plan has at most {limit}.")
            raise ConfigurationError(
                said.filled(count=f"{settings:,}", limit=f"{MAX_SETTINGS:,}"),
                hint=Message("Vary fewer options at once."),
            )
        whole = isinstance(self.repeats, int) and not isinstance(self.repeats, bool)
        if not whole or not 1 <= self.repeats <= MAX_REPEATS:
            why = Message("it takes a whole number from {low} to {high}", low=1, high=MAX_REPEATS)
            raise ConfigurationError.of_setting("repeats", repr(self.repeats), why)
        for scorer in self.scorers:
            scorer.check(self.columns, len(self.settings))
        if not self.rows:
            raise ConfigurationError(
                Message("The table of inputs is empty, so there is nothing to ask."),
                hint=Message("Look whether a filter took all of its rows."),
            )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the inputs' columns."""
        return columns_of(self.rows)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Every combination of the axes' values; the last axis changes fastest."""
        by_name = {template.name: template for template in self.templates}
        made = []
        pairs = [list(zip(axis.values, axis.names, strict=True)) for axis in self.axes]
        combined = list(itertools.product(*pairs))
        for index, chosen in enumerate(combined if self.chosen is None else [combined[c] for c in self.chosen]):
            values = {axis.name: value for axis, (value, _) in zip(self.axes, chosen, strict=True)}
            names = {axis.name: name for axis, (_, name) in zip(self.axes, chosen, strict=True)}
            varied = {name: value for name, value in values.items() if name != PROMPT and value is not None}
            made.append(
                Setting(
                    index=index,
                    values=values,
                    names=names,
                    template=by_name[values[PROMPT]] if PROMPT in values else self.templates[0],
                    options={**self.options, **varied},
                )
            )
        return tuple(made)

    def __len__(self) -> int:
        """How many trials there are."""
        settings = math.prod(len(axis.values) for axis in self.axes) if self.chosen is None else len(self.chosen)
        return settings * len(self.rows) * self.repeats

    def trial(self, number: int) -> Trial:
        """The trial at a place of the plan's own order: repeats change fastest, then rows, then settings."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        cell, repeat = divmod(number, self.repeats)
        setting, row = divmod(cell, len(self.rows))
        return Trial(number=number, setting=setting, row=row, repeat=repeat)

    @property
    def trials(self) -> Iterator[Trial]:
        """Every trial, in the plan's own order."""
        return map(self.trial, range(len(self)))

    def variables(self, row: int) -> dict[str, Any]:
        """What fills the braces for this row: its columns first, then what was kept of the notebook's variables.

        A missing value is filled as an empty text.
        """
        values = {name: "" if value is None else value for name, value in self.rows[row].items()}
        return {**self.texts, **dict.fromkeys(self.columns, ""), **values}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what is asked, in hexadecimal: a plan with the same one is the same sweep.

        How it is scored and paid for does not: a changed scorer scores anew, it asks nothing anew.
        """
        asked = {name: value for name, value in self.options.items() if name in ASKED}
        whole = canonical({**self._fields, "options": asked, "cluster": None, "scorers": [], "rows": self.rows})
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return shown.text(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": shown.text(self), "text/markdown": shown.markdown(self)}

    @property
    def _fields(self) -> dict[str, Any]:
        return {
            "templates": [[template.name, template.text] for template in self.templates],
            "axes": [axis.to_json() for axis in self.axes],
            "repeats": self.repeats,
            "options": dict(self.options),
            "texts": dict(self.texts),
            "saved": dict(self.saved),
            "schema": None if self.schema is None else [self.schema.name, self.schema.text],
            "each": self.each,
            "cluster": self.cluster,
            "scorers": [scorer.to_json() for scorer in self.scorers],
            **({} if self.chosen is None else {"chosen": list(self.chosen)}),
        }

    def to_json(self) -> str:
        """The plan without its rows, as canonical JSON."""
        return canonical(self._fields)

    def rows_json(self) -> str:
        """The rows as JSON, with their columns in the order of the table."""
        return json.dumps(self.rows, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, plan: str, rows: str) -> Self:
        """The plan that was written as ``to_json`` and ``rows_json``. Of a schema
        and of functions only the name and the digest are kept: its values are dicts, and what scores must be given again."""
        fields = json.loads(plan)
        options = Options(**fields.pop("options"))
        schema, chosen = fields.pop("schema"), fields.pop("chosen", None)
        return cls(
            templates=tuple(Template(name=name, text=text) for name, text in fields.pop("templates")),
            axes=tuple(_axis(**axis) for axis in fields.pop("axes")),
            rows=tuple(json.loads(rows)),
            options=dict(options),
            texts=fields.pop("texts"),
            saved=fields.pop("saved"),
            schema=None if schema is None else Schema(kind=dict, name=schema[0], text=schema[1]),
            scorers=tuple(Scorer(**scorer) for scorer in fields.pop("scorers")),
            chosen=None if chosen is None else tuple(chosen),
            **fields,
        )


def _axis(name: str, values: Sequence[Any], names: Sequence[str]) -> Axis:
    check = str if name == PROMPT else OPTIONS_BY_NAME[name].check
    return Axis(name=name, values=tuple(v if v is None else check(v) for v in values), names=tuple(names))


def _once(axes: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The axes by their names."""
    found: dict[str, Any] = {}
    for name, axis in axes:
        if name in found:
            said = Message("The axis {name} is given twice.", name=name)
            raise ConfigurationError(said, hint=Message("Write all of its values in one: {name}=a,b,c.", name=name))
        found[name] = axis
    return found


def _named(prompts: Any) -> Any:
    """The templates of a grid: a dict names them, a list numbers them."""
    if isinstance(prompts, list | tuple):
        return {str(number): text for number, text in enumerate(prompts, 1)}
    return prompts
