"""The magics' names without the magics: what an IPython session holds until the first one is used.

``deepseek-magic install`` has every session call ``register``, so this must cost next to nothing: it imports nothing, and
the first cell that asks loads the extension. That cell must work like every later one, so the extension's own input
transformers, which come too late for it, are applied to it here.
"""

from __future__ import annotations

import re
from typing import Any, Final

EXTENSION: Final = "deepseek_magic"
NAMES: Final = (
    "deepseek",
    "deepseek_chat",
    "deepseek_demo",
    "deepseek_doctor",
    "deepseek_fix",
    "deepseek_key",
    "deepseek_log",
    "deepseek_models",
    "deepseek_panel",
    "deepseek_resume",
    "deepseek_trust",
)
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
    from .matchers import add_matcher, remove_matcher

    def find(line: str) -> tuple[list[str], bool] | None:
        if not _TYPED.match(line):
            known = "deepseek" in shell.magics_manager.lsmagic()["line"]
            return None if known else (_names(_NAMED.fullmatch(line)), False)
        remove_matcher(shell)
        shell.extension_manager.load_extension(EXTENSION)
        from .magic.completion import words

        return words(line, shell.user_ns)

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
        from .matchers import remove_matcher

        remove_matcher(self._shell)
        known = list(transforms)
        self._shell.extension_manager.load_extension(EXTENSION)
        for transform in [t for t in transforms if t not in known]:
            lines = transform(lines)
        return lines
