"""Some settings of a plan, asked on other inputs: what the best of many looked like may have been luck.

The best of eight equal settings scores some eight points too high on average, because it was chosen for its score. On
inputs that had no part in the choice it is as good as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace

from ...text.messages import Message
from .. import template
from ..errors import ConfigurationError
from .axes import PROMPT, Axis
from .plan import Plan
from .rows import Row, check_columns


def narrowed(plan: Plan, settings: Collection[int], rows: Sequence[Row]) -> Plan:
    """The plan of these settings, by their index, on these inputs.

    Raises ConfigurationError for inputs that lack a column which the prompts, the scores or ``cluster`` read.
    """
    names = [plan.settings[index].names for index in sorted(settings)]
    used = [[name for name in axis.names if any(each[axis.name] == name for each in names)] for axis in plan.axes]
    axes = tuple(
        Axis(name=axis.name, values=tuple(axis.values[axis.names.index(name)] for name in mine), names=tuple(mine))
        for axis, mine in zip(plan.axes, used, strict=True)
    )
    places = {combined: place for place, combined in enumerate(itertools.product(*used))}
    chosen = tuple(places[tuple(each.values())] for each in names)
    prompts = {each[PROMPT] for each in names if PROMPT in each}
    made = replace(
        plan,
        axes=axes,
        rows=tuple(rows),
        templates=tuple(each for each in plan.templates if not prompts or each.name in prompts),
        chosen=chosen if len(chosen) < len(places) else None,
        outlook=None,
        how={},
    )
    made.check()
    check_columns(made.columns, [axis.name for axis in axes], cluster=plan.cluster)
    for path in [path for each in made.templates for path in template.paths(each.text) if path in plan.columns]:
        if path not in made.columns:
            raise ConfigurationError(
                Message("The inputs have no column {name}, which the prompt names.", name=path),
                hint=Message("The columns are: {names}.", names=", ".join(made.columns) or "–"),
            )
    return made
