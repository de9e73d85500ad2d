"""Tab completion on a magic's line: flags, choices, models, endpoints, chats, and the names of variables.

An IPython matcher, so it works wherever IPython completes: terminal, JupyterLab, VS Code.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ...engine.hosts.endpoints import ENDPOINTS
from ...engine.tape.deck import ELSE
from ...protocol.errors import ConfigurationError
from ...protocol.models import ALIASES, MODELS
from ...protocol.options import Option
from ...session import session
from .chats import ACTIONS
from .demo import kinds_of_fault
from .flags import FLAGS
from .resume import TAKEN, is_open

_LINE: Final = re.compile(r"\s*%(?P<magic>%?deepseek(?:_[a-z]+)?)\s(?P<typed>.*)\Z")
_HELP: Final = "--help"
_OFF: Final = ("off",)
_OF_THE_SHELL: Final = ("get_ipython", "open", "exit", "quit", "display")


def candidates(line: str, variables: Mapping[str, Any]) -> list[str] | None:
    """What can be at the end of ``line`` (all that is typed before the cursor); None when it is no line of ours.

    The last word may be begun; only what continues it is returned, whole words each.
    """
    found = _LINE.match(line)
    if found is None:
        return None
    typed = found["typed"]
    match found["magic"]:
        case "deepseek" | "%deepseek" | "deepseek_fix" | "deepseek_panel":
            return flag_words(typed, variables, FLAGS)
        case "deepseek_doctor" | "deepseek_key" | "deepseek_models":
            return flag_words(typed, variables, {f: o for f, o in FLAGS.items() if o.name in ("endpoint", "base_url")})
        case "deepseek_chat":
            return _chat_words(typed)
        case "deepseek_cost":
            return _words(typed, _files(typed, ".ipynb"), (), {})
        case "deepseek_record":
            return _words(typed, [*_files(typed, ".tape"), *_OFF], ("--overwrite",), {})
        case "deepseek_replay":
            values = {"--else": ELSE, "--pace": ("0", "1")}
            return _words(typed, [*_files(typed, ".tape"), *_OFF], tuple(values), values)
        case "deepseek_resume":
            return _resume_words(typed, variables)
        case "deepseek_trust":
            return _words(typed, (), ("--forget",), {})
        case "deepseek_log":
            from ...metrics.canvas import KINDS
            from ...metrics.columns import MEANINGS

            flags = ("--window", "--plot", "--columns", "--csv", "--overwrite")
            return _words(typed, (), flags, {"--plot": KINDS, "--columns": MEANINGS})
        case "deepseek_demo":
            return _words(typed, ("start", "stop"), ("--fault", "--pace"), {"--fault": kinds_of_fault()})
    return None


def flag_words(typed: str, variables: Mapping[str, Any], flags: Mapping[str, Option]) -> list[str]:
    """Flags, and the values of the last one."""
    *words, begun = re.split(r"[\s=]+", typed)
    option = flags.get(words[-1]) if words else None
    if option is not None and option.kind != "switch":
        if option.name == "file":
            begun = begun.lstrip("\"'")
            return [path for path in _starting(begun, _files(begun)) if " " not in path]
        if option.name == "system" and begun.startswith("@"):
            return [f"@{name}" for name in _starting(begun[1:], _saved())]
        if begun.startswith("$"):
            texts = [name for name, value in own_variables(variables).items() if isinstance(value, str)]
            return [f"${name}" for name in _starting(begun[1:], texts)]
        return _starting(begun, values_of(option, variables))
    if not begun.startswith("-"):
        return []
    used = {flags[word].name for word in words if word in flags and flags[word].many == 1}
    free = [flag for flag, option in flags.items() if option.name not in used]
    return _starting(begun, [*free, _HELP])


def _words(typed: str, first: Iterable[str], flags: Iterable[str], values: Mapping[str, Iterable[str]]) -> list[str]:
    """The words of a magic that takes no prompt: its ``first`` ones, its flags, and the values of these."""
    *words, begun = re.split(r"[\s=]+", typed)
    if words and words[-1] in values:
        return _starting(begun.lstrip("\"'"), values[words[-1]])
    if begun.startswith("-"):
        return _starting(begun, [flag for flag in (*flags, _HELP) if flag not in words])
    return [] if words else _starting(begun, first)


def _resume_words(typed: str, variables: Mapping[str, Any]) -> list[str]:
    """Its flags, and the variables that hold an answer which can be continued."""
    *words, begun = re.split(r"[\s=]+", typed)
    flags = {flag: option for flag, option in FLAGS.items() if option.name in TAKEN}
    found = flag_words(typed, variables, flags)
    if begun.startswith("-"):
        return [*found, *([] if words else _starting(begun, ("--list",)))]
    if words and words[-1] in flags and flags[words[-1]].kind != "switch":
        return found
    return _starting(begun, [name for name, value in own_variables(variables).items() if is_open(value)])


def _starting(begun: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(begun)]


def _chat_words(typed: str) -> list[str]:
    *words, begun = re.split(r"\s+", typed)
    if begun.startswith("-"):
        return _starting(begun, ("--export", "--overwrite", _HELP))
    if words == ["reload"]:
        with contextlib.suppress(ConfigurationError):  # said when it is used; a key stroke is no place for it
            return _starting(begun, dict.fromkeys(saved.name for saved in session().chats.saved()))
        return []
    return _starting(begun, [*(() if words else ACTIONS), *session().chats])


def _files(begun: str, suffix: str = "") -> list[str]:
    """The files with this suffix and the folders that a path may go on to."""
    folder = begun.rpartition("/")[0]
    try:
        found = sorted((Path(folder).expanduser() if folder else Path()).iterdir())
    except OSError:
        return []
    before = f"{folder}/" if folder else "/" if begun.startswith("/") else ""
    shown = [each for each in found if not each.name.startswith(".")]
    return [
        f"{before}{each.name}{'/' if each.is_dir() else ''}"
        for each in shown
        if each.is_dir() or not suffix or each.suffix == suffix
    ]


def _saved() -> list[str]:
    from ...session.prompts import saved_prompts

    try:
        return sorted(saved_prompts())
    except ConfigurationError:
        return []


def _servers() -> list[str]:
    """The MCP servers of the configuration; none where it cannot be read, which is said when it is used."""
    from ...engine.mcp.configuration import entries

    with contextlib.suppress(ConfigurationError, OSError):
        return list(entries(session().servers.own_file))
    return []


def own_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The user's variables: not the shell's, and neither modules nor functions."""
    return {
        name: value
        for name, value in variables.items()
        if not name.startswith("_")
        and name not in ("In", "Out")
        and not callable(value)
        and type(value).__name__ != "module"
    }


def values_of(option: Option, variables: Mapping[str, Any]) -> list[str]:
    """What may stand for an option's value, as far as that is known."""
    if option.choices:
        return list(option.choices)
    match option.name:
        case "model":
            return [*ALIASES, *(model.id for model in MODELS)]
        case "image":
            return list(own_variables(variables))
        case "output":
            return list(own_variables(variables))
        case "template":
            return _saved()
        case "schema":
            return [name for name, value in variables.items() if isinstance(value, type) and not name.startswith("_")]
        case "tool":
            functions = [name for name, value in variables.items() if _is_function(name, value)]
            return [*functions, *(f"mcp:{name}" for name in _servers())]
        case "endpoint":
            return list(ENDPOINTS)
        case "chat":
            return list(session().chats)
    return []


def _is_function(name: str, value: Any) -> bool:
    """Whether it may be a function of the user's: not the shell's own ones, nor a class."""
    return inspect.isroutine(value) and not name.startswith("_") and name not in _OF_THE_SHELL


def words(line: str, variables: Mapping[str, Any]) -> tuple[list[str], bool] | None:
    """``candidates`` as a matcher gives them: IPython replaces the word it found, which begins after a "$" or "@"."""
    found = candidates(line, variables)
    return None if found is None else ([text.removeprefix("$").removeprefix("@") for text in found], True)
