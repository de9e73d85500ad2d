"""The language that a reader is spoken to in: English as the code has it, Simplified Chinese where the environment says so."""

from __future__ import annotations

import os
from typing import Any, Final

from .panel_chinese import CHINESE

__all__ = ["say"]

_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first one that is set decides, as POSIX has it."""


def say(template: str, /, **values: Any) -> str:
    """``template`` in the reader's language, with its ``{fields}`` filled."""
    locale = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), "")
    found = CHINESE.get(template, template) if locale.lower().startswith("zh") else template
    return found.format(**values) if values else found
