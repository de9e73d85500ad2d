"""A magic's line → the options that were typed, and the prompt that follows them.

Every flag comes from ``protocol.options.OPTIONS``. IPython's own splitter is not used, because it keeps the quotes of
quoted values, nor argparse, because a prompt on the line ("what's 2 < 3?") is not a list of arguments: reading stops at
the first word that is not a flag, and the rest is the prompt as it was typed.
"""

from __future__ import annotations

import argparse
import keyword
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from ...engine.hosts.keys import looks_like_key
from ...protocol.chat import Prompt
from ...protocol.errors import ConfigurationError
from ...protocol.options import OPTIONS, OPTIONS_BY_NAME, THEMES, Option, closest
from ...text.messages import Message, localized, say

Function = TypeVar("Function", bound=Callable[..., Any])

FLAGS: Final[dict[str, Option]] = {flag: option for option in OPTIONS for flag in option.flags}
HELP_FLAGS: Final = ("-h", "--help")
HELP_COLUMNS: Final = 79
_UNPARTED: Final = re.compile(
    r"\s*(?:[（“《]*(?:[\u3400-\u9fff]|[^\s\u3000-\u9fff\uff00-\uffef“”…]+)?[，。：；？！）”》、…]*(?<=\S)|\S)"
)
"""What a terminal shows without wrapping, and the help pane of a notebook on a small screen."""
HELP_GAP: Final = 24
"""Where the explanation of a flag begins."""

_WORD: Final = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'])+|["']""")
_QUOTED: Final = re.compile(r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'""")
_LONG_FLAG: Final = re.compile(r"--[a-z][\w-]*")
_ESCAPED: Final = re.compile(r"""\\(["'\\])""")
_SEE_HELP: Final = Message("%%deepseek --help lists all flags.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was typed on the line: options by name, the text after them, and whether help was asked for."""

    options: dict[str, Any] = field(default_factory=dict)
    rest: str = ""
    help: bool = False


def read_line(
    line: str, flags: Mapping[str, Option] = FLAGS, *, see: Message = _SEE_HELP, lists: Container[str] = ()
) -> Line:
    """Read the flags at the start of ``line``. Raises ConfigurationError, with a guess at what was meant; ``see`` says where
    all ``flags`` are listed. The options ``lists`` keep quotation marks inside of a value: their own reader knows them."""
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
        if (option := flags.get(name)) is None:
            raise _no_flag(name, flags, see)
        if option.kind == "switch":
            if equals:
                said = Message("{name} is a switch and takes no value.", name=name)
                raise ConfigurationError(said, hint=Message("Write {name} alone.", name=name))
            options[option.name] = True
            continue
        if not equals and option.alone is not None and not _is_value(option, _WORD.search(line, position)):
            options[option.name] = option.alone
            continue
        if not equals:
            following = _WORD.search(line, position)
            if following is None:
                choices = ", ".join(option.choices) or option.metavar
                said = Message("{name} needs a value ({choices}).", name=name, choices=choices)
                raise ConfigurationError(said, hint=see)
            value, position = following[0], following.end()
        own = option.name in lists and not _QUOTED.fullmatch(value)
        read = option.parse(value if own else _unquote(value))
        options[option.name] = option.check((*options.get(option.name, ()), *read)) if option.many > 1 else read
    return Line(options=options, rest=line[position:].strip())


def _is_value(option: Option, word: re.Match[str] | None) -> bool:
    """Whether the next word is the value of a flag that may stand alone, and not the prompt."""
    try:
        return word is not None and option.parse(word[0]) is not None
    except ConfigurationError:
        return False


def _unquote(word: str) -> str:
    return _QUOTED.sub(lambda m: _ESCAPED.sub(r"\1", m[1] if m[1] is not None else m[2]), word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one magic asks for."""

    prompt: Prompt
    options: dict[str, Any]
    output: str | None = None
    quiet: bool = False
    alone: bool = False
    """Whether nothing else can be in the cell."""
    scope: Mapping[str, Any] = field(default_factory=dict)
    """The local variables of the function that asks."""
    replaces: str | None = None
    """The cell whose place the answer's code is meant to take."""


def refuse_key(*typed: str) -> None:
    """Raise ConfigurationError where one of these texts holds an API key."""
    if any(map(looks_like_key, typed)):
        raise ConfigurationError(
            Message("The cell holds what looks like an API key, so nothing was sent: a saved notebook would keep it."),
            hint=Message(
                "Take it out of the cell, and type it into the masked box of %deepseek_key, or set DEEPSEEK_API_KEY."
            ),
        )


def check_output(name: str | None) -> None:
    """Raise ConfigurationError where ``-o`` does not name a variable; a keyword could never be read again."""
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
        raise ConfigurationError(Message('-o takes the name of a variable, and "{name}" is not one.', name=name))


def with_format(typed: Mapping[str, Any]) -> dict[str, Any]:
    """The typed options, of which ``--run ask`` means ``--format code``, too. Raises ConfigurationError where another is typed."""
    options = dict(typed)
    if options.get("run") == "ask" and options.setdefault("format", "code") != "code":
        said = Message("--run ask is for code, and --format {format} is none.", format=options["format"])
        raise ConfigurationError(said, hint=Message("Leave out one of the two."))
    return options


def read_order(line: str, body: str | None) -> Order | None:
    """The order that was typed; None when it asks for help. Raises ConfigurationError."""
    below = body or ""
    refuse_key(line, below)
    typed = read_line(line.rstrip().removesuffix(";"))
    if typed.help:
        return None
    if not (line.strip() or below.strip()):
        hint = Message("Write the prompt below %%deepseek; %%deepseek --help lists the flags.")
        raise ConfigurationError(Message("There is nothing to ask."), hint=hint)
    if below.strip() and typed.rest:
        for flag, option in FLAGS.items():
            if option.alone is not None and line.rstrip().endswith(f"{flag} {typed.rest}"):
                option.parse(typed.rest.split()[0])  # which raises: it was meant as a value, and is none
        raise ConfigurationError(
            Message('"{text}" on the first line was not understood.', text=typed.rest[:40]),
            hint=Message("Write the prompt below the first line, and put a value with spaces in quotation marks."),
        )
    options = with_format(typed.options)
    output = options.pop("output", None)
    check_output(output)
    prompt = (below if below.strip() else typed.rest).rstrip("\n")
    quiet = options.get("quiet", False) or line.rstrip().endswith(";")
    return Order(prompt=prompt, options=options, output=output, quiet=quiet, alone=body is not None)


def arguments(magic: Any, line: str) -> Any:
    """What a line holds for a magic declared by ``magic_arguments``. Raises ConfigurationError, as every magic does."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        sentence, hint = Message("The line cannot be read: {error}.", error=error), Message("Close the quotation mark.")
        raise ConfigurationError(sentence, hint=hint) from None
    return parsed(magic.parser, words, Message("{magic}? explains it.", magic=f"%{magic.__name__}"))


def parsed(parser: argparse.ArgumentParser, typed: Sequence[str] | None, hint: Message) -> argparse.Namespace:
    """What argparse reads in these words (of this process, if None); its refusals are ConfigurationErrors of ours."""
    parser.exit_on_error = False
    flags = [flag for action in _actions(parser) for flag in action.option_strings]
    try:
        found, strange = parser.parse_known_args(typed)
    except argparse.ArgumentError as error:
        # The value of a flag that does not exist is read as an argument without one, and is no value of that.
        if not (error.argument_name or "").startswith("-") and (slip := _slip(typed, flags)):
            raise _no_flag(slip, flags, hint) from None
        raise ConfigurationError(_why(parser, error), hint=hint) from None
    if strange:
        raise _no_flag(strange[0], flags, hint)
    return found


def _slip(typed: Sequence[str] | None, flags: Iterable[str]) -> str | None:
    """The first word that looks like a flag and neither is one nor begins one."""
    for word in sys.argv[1:] if typed is None else typed:
        if word == "--":
            return None
        name = word.partition("=")[0]
        if _LONG_FLAG.fullmatch(name) and not any(flag.startswith(name) for flag in flags):
            return name
    return None


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser, those of its commands included."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _no_flag(name: str, known: Iterable[str], hint: Message) -> ConfigurationError:
    near = closest(name, tuple(known))
    return ConfigurationError(Message("There is no flag {name}{near}.", name=name, near=near), hint=hint)


def _why(parser: argparse.ArgumentParser, error: argparse.ArgumentError) -> Message:
    """What is wrong with a flag's value: argparse says it in English only."""
    named = {argparse._get_action_name(action): action for action in _actions(parser)}
    action, name = named.get(error.argument_name), error.argument_name
    if action is not None and action.choices:
        return Message("{name} needs one of {choices}.", name=name, choices=", ".join(map(str, action.choices)))
    if action is not None and action.type in (int, float):
        return Message("{name} needs a number.", name=name)
    return Message("{name} needs a value.", name=name)


def _described(option: Option) -> str:
    """What the flag does, with its unit, bounds and default."""
    said = [option.help.localized()]
    if option.minimum is not None and option.maximum is not None:
        low = f"{option.minimum:g}"
        low = say("above {low}", low=low) if option.above_minimum else low
        high = f"{int(option.maximum):,}" if option.kind == "integer" else f"{option.maximum:g}"
        high += f" {option.unit}" if option.unit else ""
        said.append(say("{low} to {high}", low=low, high=high))
    if option.default is not None:
        said.append(say("default: {value}", value=localized(option.default)))
    return say("; ").join(said)


def help_text() -> str:
    """All flags by theme, with unit, bounds and default, for ``%%deepseek?``: what a pager shows from its top."""
    ending = say(
        "The answer is in _, and in the variable named by -o. A ; at the end of the line hides the answer. Stop it with the button or by interrupting the kernel."
    )
    defaults = say(
        "%config DeepSeekMagics sets the defaults of this session, [tool.deepseek-magic] in pyproject.toml those of a project."
    )
    lines = (*_head(), *wrapped(ending), *wrapped(defaults), *(line for title in THEMES for line in _explained(title)))
    return "\n".join(lines)


def help_head() -> str:
    """What ``--help`` prints, so little that a terminal of 40 rows shows its top: the common flags, the others' names."""
    common, *others = THEMES
    lines = [*_head(), *_explained(common), "", *wrapped(say("All others; %%deepseek? explains each:"))]
    for title in others:
        each = (OPTIONS_BY_NAME[name].flags for name in THEMES[title])
        flags = " ".join(next(flag for flag in flags if flag.startswith("--")) for flags in each)
        lines += wrapped(say("{title}: {flags}", title=title, flags=flags), indent=2)
    return "\n".join(lines)


def _head() -> Iterator[str]:
    yield say("Ask DeepSeek, and read the answer as it is written.")
    yield ""
    yield f"  %%deepseek [flags]            {say('the prompt is the body of the cell')}"
    yield f"  %deepseek [flags] prompt      {say('the prompt is on the line')}"
    yield ""
    yield from wrapped(
        say(
            "{name} in a prompt takes the variable of that name, {{name}} is sent as {name}; all other braces are sent as typed."
        )
    )


def _explained(title: Message) -> Iterator[str]:
    """A theme with its flags, each with what it does beside it."""
    yield from ("", title.localized())
    yield from explained(OPTIONS_BY_NAME[name] for name in THEMES[title])


def explained(options: Iterable[Option]) -> Iterator[str]:
    """Flags, each with what it does beside it."""
    for option in options:
        value = "{" + ",".join(option.choices) + "}" if option.choices else option.metavar or ""
        flags = f"  {', '.join(option.flags)} {value}".rstrip()
        first, *more = wrapped(_described(option), indent=HELP_GAP)
        if len(flags) + 2 <= HELP_GAP:
            yield flags.ljust(HELP_GAP) + first.lstrip()
        else:
            yield from (flags, first)
        yield from more


def wrapped(text: str, indent: int = 0) -> list[str]:
    """``text`` in lines that fit; a Chinese character takes two columns, begins no line if it is punctuation that closes, and
    may be parted from the next one, which the letters of a name may not."""
    lines, room = [""], HELP_COLUMNS - indent
    for piece in _UNPARTED.findall(text):
        if lines[-1] and _columns(lines[-1] + piece) > room:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [" " * indent + line for line in lines]


def _columns(text: str) -> int:
    return len(text) + sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)


def documented(magic: Function) -> Function:
    """``magic`` with the help as its docstring."""
    magic.__doc__ = help_text()
    return magic
