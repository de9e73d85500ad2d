"""A magic's line → the options that were typed, and the prompt that follows them.

Every flag comes from ``protocol.options.OPTIONS``. IPython's own splitter is not used, because it keeps the quotes of
quoted values, and argparse is used for the help text only, because a prompt on the line ("what's 2 < 3?") is not a
list of arguments: reading stops at the first word that is not a flag, and the rest is the prompt as it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from IPython.core.magic_arguments import argument, magic_arguments

from ..protocol.errors import ConfigurationError
from ..protocol.options import OPTIONS, Option, closest

__all__ = ["FLAGS", "Line", "documented", "read_line"]

FLAGS: Final[dict[str, Option]] = {flag: option for option in OPTIONS for flag in option.flags}
HELP_FLAGS: Final = ("-h", "--help")

_WORD: Final = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'])+|["']""")
_QUOTED: Final = re.compile(r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'""")
_ESCAPED: Final = re.compile(r"""\\(["'\\])""")
_SEE_HELP: Final = "%%deepseek --help lists all flags."


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was typed on the line: options by name, the text after them, and whether help was asked for."""

    options: dict[str, Any] = field(default_factory=dict)
    rest: str = ""
    help: bool = False


def read_line(line: str) -> Line:
    """Read the flags at the start of ``line``. Raises ConfigurationError, with a guess at what was meant."""
    options: dict[str, Any] = {}
    position = 0
    while word := _WORD.search(line, position):
        text = word[0]
        if text in HELP_FLAGS:
            return Line(help=True)
        if not text.startswith("-") or text == "-":
            break
        position = word.end()
        if text == "--":  # all that follows is prompt
            break
        name, equals, value = text.partition("=")
        option = _find(name)
        if option.kind == "switch":
            if equals:
                raise ConfigurationError(f"{name} is a switch and takes no value.", hint=f"Write {name} alone.")
            options[option.name] = True
            continue
        if not equals:
            following = _WORD.search(line, position)
            if following is None:
                raise ConfigurationError(
                    f"{name} needs a value ({', '.join(option.choices) or option.metavar}).", hint=_SEE_HELP
                )
            value, position = following[0], following.end()
        _keep(options, option, option.parse(_unquote(value)))
    return Line(options=options, rest=line[position:].strip())


def _find(name: str) -> Option:
    option = FLAGS.get(name)
    if option is None:
        raise ConfigurationError(f"There is no flag {name}{closest(name, tuple(FLAGS))}.", hint=_SEE_HELP)
    return option


def _keep(options: dict[str, Any], option: Option, value: Any) -> None:
    if option.many > 1:
        value = option.check((*options.get(option.name, ()), *value))
    options[option.name] = value


def _unquote(word: str) -> str:
    return _QUOTED.sub(lambda m: _ESCAPED.sub(r"\1", m[1] if m[1] is not None else m[2]), word)


def _help(option: Option) -> str:
    said = option.help
    if option.unit:
        said += f" [{option.unit}]"
    if option.minimum is not None and option.maximum is not None:
        low = f"above {option.minimum:g}" if option.above_minimum else f"{option.minimum:g}"
        said += f" ({low} to {option.maximum:,.10g})"
    if option.default is not None:
        said += f"; default: {option.default}"
    return said.replace("%", "%%")


def _arguments() -> Iterator[Callable[[Any], Any]]:
    for option in OPTIONS:
        if option.kind == "switch" and option.flags:
            yield argument(*option.flags, action="store_true", help=_help(option))
        elif option.flags:
            yield argument(*option.flags, metavar=option.metavar, choices=option.choices or None, help=_help(option))


def documented(magic: Any) -> Any:
    """``magic`` with the help of all flags as its docstring, so that ``%%deepseek?`` shows it."""
    for decorate in reversed(list(_arguments())):
        magic = decorate(magic)
    return magic_arguments()(magic)
