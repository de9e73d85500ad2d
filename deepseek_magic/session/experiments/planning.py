"""What a person has at hand (a prompt, a table, a grid, variables) → a plan, which can be asked without any of it.

The plan takes along what it needs: the inputs as plain values, the variables that its prompts name as the texts they are
now, and the defaults in force, so that ``%config`` cannot change a sweep between its two halves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...protocol import template
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.axes import ASKED, Axis
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rows import Row, rows_of, rows_of_csv, rows_of_jsonl
from ...protocol.experiments.score import Scores, scorers
from ...protocol.options import Options
from ...protocol.schema import Schema
from ...text.messages import Message, numbered
from .. import prompts

Grid = Mapping[str, Sequence[Any] | Mapping[str, Any]] | Sequence[Axis]

_TAKEN: Final = (
    "chat",
    "new",
    "background",
    "output",
    "dry_run",
    "max_history",
    "cache",
    "fresh",
    "budget",
    "hedge",
    "prefer",
    "no_history",
    "no_ahead",
    "context",
    "file",
    "url",
    "private_urls",
)
"""Options of a single cell. A sweep has its own, or none, of what they say."""


def plan_of(
    prompt: str | Mapping[str, str] | None = None,
    *,
    over: Any = None,
    grid: Grid = (),
    repeats: int = 1,
    defaults: Mapping[str, Any],
    variables: Mapping[str, Any] | None = None,
    limit: int | None = None,
    sample: int | None = None,
    sample_seed: int = 0,
    schema: type | str | Schema | None = None,
    each: bool = False,
    cluster: str | None = None,
    scores: Scores = None,
    framed: bool = True,
    **options: Any,
) -> Plan:
    """The plan. ``over`` is a table, or the path of a CSV or JSONL file; of it the first ``limit`` rows are taken, or
    ``sample`` of them by chance (the same ones with the same ``sample_seed``), in the table's order. ``variables`` fill what no column
    does. Raises ConfigurationError for what is missing or does not go together.
    """
    for name in set(_TAKEN) & {name for name, value in options.items() if value is not None}:
        raise ConfigurationError(
            Message("A sweep does not take {name}: its trials are calls of their own.", name=name),
            hint=Message("Leave it out."),
        )
    given: object = grid
    if isinstance(given, str) or not isinstance(given, Mapping | Sequence):
        said = Message("it takes a dict of options and their values")
        raise ConfigurationError.of_setting("grid", repr(grid), said)
    axes = {axis.name for axis in grid} if not isinstance(grid, Mapping) else set(grid)
    shared = {name: value for name, value in defaults.items() if name in ASKED and name not in axes}
    shared |= {name: value for name, value in options.items() if value is not None and name != "schema"}
    schema = schema if schema is not None else shared.pop("schema", None)
    if isinstance(schema, str):
        schema = Schema.named(schema, variables)
    rows = None if over is None else _part(table_rows(over), limit=limit, sample=sample, seed=sample_seed)
    plan = Plan.of(
        prompt,
        rows=rows,
        grid=grid,
        repeats=repeats,
        options=Options(**shared),
        schema=schema if schema is None or isinstance(schema, Schema) else Schema.of(schema),
        each=each,
        cluster=cluster,
        scorers=scorers(scores),
        framed=framed,
        saved=_saved(shared, grid),
    )
    if rows is not None:
        _check_names(plan, variables or {})
    texts = _texts(plan, variables or {})
    return plan if not texts else Plan(**{**_fields(plan), "texts": texts})


def _fields(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


def table_rows(over: Any) -> tuple[Row, ...]:
    """The rows of a table, or of the file at a path. Raises ConfigurationError where it cannot be read."""
    if not isinstance(over, str | Path):
        return rows_of(over)
    path = Path(over).expanduser()
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why: Any = getattr(error, "strerror", None) or Message("it is not UTF-8 text")
        raise ConfigurationError(
            Message("The inputs in {path} cannot be read: {why}.", path=path, why=why),
            hint=Message("Give the name of a variable, or the path of a CSV or JSONL file."),
        ) from None
    return rows_of_jsonl(text) if path.suffix.lower() in (".jsonl", ".ndjson") else rows_of_csv(text)


def _part(rows: tuple[Row, ...], *, limit: int | None, sample: int | None, seed: int) -> tuple[Row, ...]:
    for name, value in (("limit", limit), ("sample", sample)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigurationError.of_setting(name, repr(value), Message("it takes a whole number from 1"))
    if sample is not None and sample < len(rows):
        chosen = sorted(random.Random(seed).sample(range(len(rows)), sample))
        rows = tuple(rows[place] for place in chosen)
    return rows if limit is None else rows[:limit]


def _saved(options: Mapping[str, Any], grid: Grid) -> dict[str, str]:
    """The text of each saved prompt that is asked by name: one that was edited makes another plan."""
    found = {}
    values: dict[str, list[Any]] = {name: [options[name]] for name in ("system", "template") if name in options}
    for name, given in ((axis.name, axis.values) for axis in grid) if not isinstance(grid, Mapping) else grid.items():
        if isinstance(given, Mapping | Sequence):
            values.setdefault(name, []).extend(given.values() if isinstance(given, Mapping) else given)
    for value in values.get("template", ()):
        if value is not None:
            found[str(value)] = str(prompts.saved_prompt(str(value)))
    for value in values.get("system", ()):
        if isinstance(value, str) and value.startswith("@") and " " not in value:
            found[value[1:]] = str(prompts.saved_prompt(value[1:]))
    return found


def _texts(plan: Plan, variables: Mapping[str, Any]) -> dict[str, str]:
    """What the prompts take from variables, as text."""
    found: dict[str, str] = {}
    for text in _prompts(plan):
        for path in template.paths(text):
            name = path.replace("[", ".").partition(".")[0]
            if name in variables and name not in plan.columns and path not in plan.columns:
                found[path] = template.show(template.lookup(variables, name, path[len(name) :]))
    for system in _systems(plan):
        if system.startswith("$") and system[1:] in variables:
            found[system[1:]] = template.show(variables[system[1:]])
    return found


def _check_names(plan: Plan, variables: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for ``{name}`` in a prompt that nothing fills: a slip would be paid for row by row."""
    known = [*plan.columns, *(name for name in variables if not name.startswith("_"))]
    found: dict[str, Message | str] = {}
    saved = set(plan.saved.values())
    for text in _prompts(plan):  # what a saved prompt calls {prompt} is the cell's text
        found |= template.strangers(text, [*known, "prompt"] if text in saved else known)
    if found:
        typed, near = next((each for each in found.items() if each[1]), next(iter(found.items())))
        raise ConfigurationError(
            Message(
                "{name} in the prompt is neither a column of the table nor a variable{near}.", name=typed, near=near
            ),
            hint=Message(
                "The columns are {names}. In backticks it is sent as typed.", names=", ".join(map(str, plan.columns))
            ),
        )


def missing_values(plan: Plan) -> Iterator[Message]:
    """That rows lack a value which a prompt is filled with, a sentence a column."""
    named = {path for text in _prompts(plan) for path in template.paths(text)}
    for column in plan.columns:
        count = sum(row.get(column) is None for row in plan.rows) if column in named else 0
        if count:
            said = numbered(
                count,
                Message("{name} is missing in 1 row; nothing stands in its place there."),
                Message("{name} is missing in {count} rows; nothing stands in its place there."),
            )
            yield said.filled(name=f"{{{column}}}")


def _prompts(plan: Plan) -> Iterator[str]:
    if plan.options.get("raw"):
        return
    yield from (each.text for each in plan.templates)
    yield from plan.saved.values()
    yield from _systems(plan)


def _systems(plan: Plan) -> Iterator[str]:
    for setting in plan.settings:
        if isinstance(system := setting.options.get("system"), str):
            yield system
