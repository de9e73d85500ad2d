"""The magics' names without the magics: what an IPython session holds until the first one is used.

``deepseek-magic install`` has every session call ``register``, so this must cost next to nothing: it imports nothing, and
the first cell that asks loads the extension. That cell must work like every later one, so the extension's own input
transformers, which come too late for it, are applied to it here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

Find = Callable[[str], tuple[list[str], bool] | None]

EXTENSION: Final = "deepseek_magic"
_WORDS: Final = (
    "chat",
    "cost",
    "demo",
    "doctor",
    "fix",
    "judge",
    "key",
    "log",
    "map",
    "models",
    "panel",
    "record",
    "replay",
    "resume",
    "sweep",
    "sweeps",
    "trust",
)
NAMES: Final = ("deepseek", *(f"deepseek_{word}" for word in _WORDS))
"""Every magic of the extension; a test compares them with what it registers."""

_ASKS: Final = re.compile(rf"\s*%%?({'|'.join(NAMES)})\b")
_TYPED: Final = re.compile(rf"{_ASKS.pattern}\s")
_NAMED: Final = re.compile(r"\s*(%%?)(\w*)")


def register(shell: Any) -> None:
    """Make the magics known to ``shell``; the first use of one loads the extension."""
    for name in NAMES:
        # For help on a magic, and for calls that no input transformer sees (run_line_magic).
        shell.magics_manager.register_lazy(name, EXTENSION)
    shell.input_transformer_manager.cleanup_transforms.append(_Loader(shell))
    _complete(shell)


def _complete(shell: Any) -> None:
    """Tab on the line of one of the magics loads the extension and offers its flags; on a part of a name, the names,
    where IPython does not offer by itself what is registered lazily (8.18 does not)."""

    def find(line: str) -> tuple[list[str], bool] | None:
        if not _TYPED.match(line):
            known = "deepseek" in shell.magics_manager.lsmagic()["line"]
            return None if known else (_names(_NAMED.fullmatch(line)), False)
        remove_matcher(shell)
        shell.extension_manager.load_extension(EXTENSION)
        found: tuple[list[str], bool] | None = shell.Completer.custom_matchers[-1].find(line)  # the extension's own
        return found

    add_matcher(shell, find)


def _names(typed: re.Match[str] | None) -> list[str]:
    """What a part of a name may become, as IPython orders it: after one percent sign also the cell's magic."""
    if typed is None:
        return []
    signs = ("%", "%%") if typed[1] == "%" else ("%%",)
    return [sign + name for sign in signs for name in NAMES if name.startswith(typed[2])]


class _Loader:
    has_side_effects = True  # IPython leaves such a transform out while it only asks whether a cell is complete

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        if not any(_ASKS.match(line) for line in lines):
            return lines
        transforms = self._shell.input_transformer_manager.cleanup_transforms
        transforms.remove(self)
        remove_matcher(self._shell)
        known = list(transforms)
        self._shell.extension_manager.load_extension(EXTENSION)
        for transform in [t for t in transforms if t not in known]:
            lines = transform(lines)
        return lines


def add_matcher(shell: Any, find: Find) -> None:
    """Have ``shell`` ask ``find`` on Tab, in place of what was added before.

    ``find`` takes the line up to the cursor; below a cell's magic of ours, that magic's line and this one. It returns the words that its last word can become and whether these are
    all, so that file names and variables are left out; or None where it has nothing to say.
    """
    remove_matcher(shell)
    matcher = _of_version_1(shell, find) if _is_old() else _of_version_2(find)
    matcher.find = find
    shell.Completer.custom_matchers.append(matcher)


def remove_matcher(shell: Any) -> None:
    """Take it away again."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "__module__", "") != __name__]


def _is_old() -> bool:
    import IPython

    return IPython.version_info[:2] < (8, 6)


def _of_version_1(shell: Any, find: Find) -> Any:
    """For IPython 7, which is Colab's: it is called with the last word, and others add theirs."""

    def matcher(_word: str) -> list[str]:
        words, _ = find(shell.Completer.text_until_cursor) or ([], False)
        return words

    return matcher


def _of_version_2(find: Find) -> Any:
    from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

    @context_matcher()
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        first, line = context.full_text.partition("\n")[0], context.text_until_cursor
        below = context.cursor_line > 0 and _ASKS.match(first)
        words, alone = find(f"{first}\n{line}" if below else line) or ([], False)
        completions = [SimpleCompletion(text=word, type="param" if alone else None) for word in words]
        return SimpleMatcherResult(completions=completions, suppress=alone, ordered=alone)

    return matcher
