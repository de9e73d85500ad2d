"""Tab completion on the lines of the magics of experiments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any, Final

from ...protocol.experiments.axes import VARIED
from ...protocol.experiments.score import TYPED
from ...protocol.options import OPTIONS_BY_NAME, Option
from ...session.experiments.listing import sweeps
from ...session.experiments.sweep import Sweep
from ..magic.completion import flag_words, own_variables, values_of
from .flags import FLAGS, MAP_FLAGS
from .judge_flags import JUDGE_FLAGS
from .live import BackgroundSweep
from .managing import ACTIONS, AGAIN_FLAGS

_LINE: Final = re.compile(r"\s*%(?P<magic>%?deepseek_(?:sweeps?|map|judge))\s(?P<typed>.*)\Z")
_AXIS: Final = re.compile(r"--vary[ =]+(?P<name>[\w-]*)(?:=(?:[^\s,]*,)*(?P<value>[^\s,]*))?\Z")
_OVER: Final = re.compile(r"--over[ =]+(?P<begun>\w*)\Z")
_BRACE: Final = re.compile(r"\{(?P<begun>\w*)\Z")
_FIRST: Final = re.compile(r"\s*(?P<table>\w+)")
_TABLE: Final = re.compile(r"--over[ =]+(?P<table>\w+)")
_WHERE: Final = re.compile(r"--where[ =]+(?P<begun>\w*)\Z")
_COLUMN: Final = re.compile(r"--(?:cluster|into)[ =]+(?P<begun>\w*)\Z")
_CLIENT: Final = re.compile(r"--dask[ =]+(?P<begun>\w*)\Z")
_SCORE: Final = re.compile(r"--score[ =]+(?P<begun>\w*)\Z")
_SCORED: Final = re.compile(r"--score[ =]+\S*\{(?P<begun>\w*)\Z")
_NAMED: Final = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"']+) +""")
_QUOTED: Final = re.compile(r""""[^"]*|'[^']*|[^\s"'-]*""")
"""A name that is being typed, with a quotation mark before it or without one."""


def experiment_words(line: str, variables: Mapping[str, Any]) -> tuple[list[str], bool] | None:
    """What the last word of a line can become, and that these are all; None where it is no line of these magics.

    Of two lines the first is the magic's: in a brace below it stands a column of its table, or a variable.
    """
    line, below, typed = line.partition("\n")
    found = _LINE.match(line)
    if below:
        return None if found is None else _prompt_words(found, typed, variables)
    if found is None:
        return None
    if found["magic"] == "%deepseek_sweep":
        return _sweep_words(found["typed"], variables), True
    if found["magic"] == "%deepseek_map":
        return _map_words(found["typed"], variables), True
    if found["magic"] == "%deepseek_judge":
        return _judge_words(found["typed"], variables), True
    if found["magic"] == "deepseek_sweeps":
        return _manage_words(found["typed"])
    return None


def _sweep_words(typed: str, variables: Mapping[str, Any]) -> list[str]:
    if axis := _AXIS.search(typed):
        option = OPTIONS_BY_NAME.get(axis["name"].replace("-", "_"))
        if axis["value"] is None:
            return [f"{name}=" for name in _beginning(axis["name"], VARIED)]
        return [] if option is None else _beginning(axis["value"], _axis_values(option, variables))
    if over := _OVER.search(typed):
        return _beginning(over["begun"], own_variables(variables))
    if client := _CLIENT.search(typed):
        return _beginning(client["begun"], _clients(variables))
    table = _TABLE.search(typed)
    columns = _columns(variables.get(table["table"])) if table else []
    if (scored := _SCORED.search(typed)) or (scored := _COLUMN.search(typed)):
        return _beginning(scored["begun"], columns)
    if score := _SCORE.search(typed):
        functions = [name for name, value in variables.items() if _scores(name, value)]
        return _beginning(score["begun"], (*(f"{kind}=" for kind in TYPED), *functions))
    return flag_words(typed, variables, FLAGS)


def _map_words(typed: str, variables: Mapping[str, Any]) -> list[str]:
    first, space, _ = typed.partition(" ")
    if not space and not first.startswith("-"):
        return _beginning(first, own_variables(variables))
    if where := _WHERE.search(typed):
        return _beginning(where["begun"], own_variables(variables))
    if client := _CLIENT.search(typed):
        return _beginning(client["begun"], _clients(variables))
    if into := _COLUMN.search(typed):  # one that is there is written anew
        return _beginning(into["begun"], _columns(variables.get(first)))
    return flag_words(typed, variables, MAP_FLAGS)


def _prompt_words(magic: re.Match[str], typed: str, variables: Mapping[str, Any]) -> tuple[list[str], bool] | None:
    brace = _BRACE.search(typed)
    if brace is None:
        return None
    named = _TABLE.search(magic["typed"]) if magic["magic"] == "%deepseek_sweep" else _FIRST.match(magic["typed"])
    columns = _columns(variables.get(named["table"])) if named else []
    return _beginning(brace["begun"], dict.fromkeys([*columns, *own_variables(variables)])), True


def _axis_values(option: Option, variables: Mapping[str, Any]) -> list[str]:
    return ["on", "off"] if option.kind == "switch" else values_of(option, variables)


def _scores(name: str, value: Any) -> bool:
    """Whether it may be a function of the user's."""
    if not isinstance(value, FunctionType) or name.startswith("_"):
        return False
    home = str(value.__globals__.get("__name__"))  # wrapped ones have another ``__module__``
    return not home.startswith(("IPython.", "ipykernel."))


def _clients(variables: Mapping[str, Any]) -> list[str]:
    """The names of Dask's clients."""
    found = own_variables(variables).items()
    return [name for name, value in found if type(value).__module__.startswith("distributed.client")]


def _columns(table: Any) -> list[str]:
    """The names of a table's columns, as far as they are known without a look at its rows."""
    names: Iterable[Any] = ()
    if isinstance(table, list | tuple):
        names = table[0] if table and isinstance(table[0], Mapping) else ()
    elif hasattr(type(table), "column_names"):  # Arrow's
        names = table.column_names
    elif not hasattr(table, "collect"):  # a lazy frame would have to work it out
        names = getattr(table, "columns", ())
    return [name for name in names if isinstance(name, str)]


def _judge_words(typed: str, variables: Mapping[str, Any]) -> list[str]:
    first = _QUOTED.fullmatch(typed)
    if first is None:
        return flag_words(typed, variables, JUDGE_FLAGS)
    own = [name for name, value in own_variables(variables).items() if isinstance(value, Sweep | BackgroundSweep)]
    return _beginning(typed, [*own, *_sweep_names()])


def _manage_words(typed: str) -> tuple[list[str], bool]:
    """The words, and that these are all: but for files, which IPython knows."""
    action, space, rest = typed.partition(" ")
    if not space:
        return _beginning(action, ACTIONS), True
    if _QUOTED.fullmatch(rest):
        return _beginning(rest, _sweep_names()), True
    begun = rest.rpartition(" ")[2]
    named = _NAMED.match(rest)
    if action == "compare" and named and _QUOTED.fullmatch(second := rest[named.end() :]):
        return _beginning(second, _sweep_names()), True
    if action in ("resume", "retry"):
        return flag_words(rest, {}, AGAIN_FLAGS), True
    if action == "export":
        return (_beginning(begun, ("--overwrite",)), True) if begun.startswith("-") else ([], False)
    return [], True


def _sweep_names() -> list[str]:
    """The names of all sweeps, in quotation marks where they would not be one word."""
    names = dict.fromkeys(sweep.name for sweep in sweeps)
    return [f'"{name}"' if " " in name or "'" in name else name for name in names]


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(begun)]
