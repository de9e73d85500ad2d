"""Tab completion on a magic's line: flags, choices, models, endpoints, chats, and the names of variables.

An IPython matcher (its API of version 2), so it works wherever IPython completes: terminal, JupyterLab, VS Code.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..protocol.errors import ConfigurationError
from ..protocol.models import ALIASES, MODELS
from ..protocol.options import Option
from .flags import FLAGS

__all__ = ["add_matcher", "candidates", "remove_matcher"]

_MAGIC: Final = re.compile(r"\s*%(?:%?deepseek|deepseek_fix)\s(.*)\Z")
_CHAT: Final = re.compile(r"\s*%deepseek_chat\s(.*)\Z")
_MATCHER: Final = "deepseek_magic"


def candidates(line: str, variables: Mapping[str, Any]) -> list[str] | None:
    """What can stand at the end of ``line`` (all that is typed before the cursor); None when it is no line of ours.

    The last word may be begun; only what goes on from it is returned, whole words each.
    """
    chat = _CHAT.match(line)
    if chat is not None:
        return _chat_words(chat[1])
    found = _MAGIC.match(line)
    if found is None:
        return None
    typed = found[1]
    *words, begun = re.split(r"[\s=]+", typed)
    option = FLAGS.get(words[-1]) if words else None
    if option is not None and option.kind != "switch":
        if option.name == "system" and begun.startswith("@"):
            return [f"@{name}" for name in _starting(begun[1:], _saved())]
        if begun.startswith("$"):
            return [f"${name}" for name in _starting(begun[1:], _texts(variables))]
        return _starting(begun, _values(option, variables))
    if not begun.startswith("-"):
        return []
    used = {FLAGS[word].name for word in words if word in FLAGS and FLAGS[word].many == 1}
    free = [flag for flag, option in FLAGS.items() if option.name not in used]
    return _starting(begun, [*free, "--help"])


def _starting(begun: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(begun)]


def _chat_words(typed: str) -> list[str]:
    from ..session import session
    from .chats import ACTIONS

    *words, begun = re.split(r"\s+", typed)
    if begun.startswith("-"):
        return _starting(begun, ("--export", "--overwrite"))
    if words == ["reload"]:
        with contextlib.suppress(ConfigurationError):  # said when it is used; a key stroke is no place for it
            return _starting(begun, dict.fromkeys(saved.name for saved in session().chats.saved()))
        return []
    return _starting(begun, [*(() if words else ACTIONS), *session().chats])


def _texts(variables: Mapping[str, Any]) -> list[str]:
    return [name for name, value in _own(variables).items() if isinstance(value, str)]


def _saved() -> list[str]:
    from ..engine.prompts import saved_prompts

    try:
        return sorted(saved_prompts())
    except ConfigurationError:
        return []


def _own(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The user's variables: not the shell's, and neither modules nor functions."""
    return {
        name: value
        for name, value in variables.items()
        if not name.startswith("_") and not callable(value) and type(value).__name__ != "module"
    }


def _values(option: Option, variables: Mapping[str, Any]) -> list[str]:
    if option.choices:
        return list(option.choices)
    match option.name:
        case "model":
            return [*ALIASES, *(model.id for model in MODELS)]
        case "image":
            return list(_own(variables))
        case "output":
            return [name for name in _own(variables) if name not in ("In", "Out")]
        case "template":
            return _saved()
        case "schema":
            return [name for name, value in variables.items() if isinstance(value, type) and not name.startswith("_")]
        case "endpoint":
            from ..engine.endpoints import ENDPOINTS

            return list(ENDPOINTS)
        case "chat":
            from ..session import session

            return list(session().chats)
    return []


def add_matcher(shell: Any) -> None:
    """Register the matcher with a shell's completer."""

    @context_matcher(identifier=_MATCHER)
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        found = candidates(context.text_until_cursor, shell.user_ns)
        if found is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        # IPython replaces the word it found, which begins after a "$" or "@".
        texts = [text.removeprefix("$").removeprefix("@") for text in found]
        return SimpleMatcherResult(
            completions=[SimpleCompletion(text=text, type="param") for text in texts], suppress=True, ordered=True
        )

    remove_matcher(shell)
    shell.Completer.custom_matchers.append(matcher)


def remove_matcher(shell: Any) -> None:
    """Take it away again."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != _MATCHER]
