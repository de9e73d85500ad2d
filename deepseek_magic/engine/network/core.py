"""Which httpcore: the one below httpx, or httpcore2 below httpx2, the successor of both. One switch for the process.

The environment decides (``DEEPSEEK_MAGIC_BACKEND=httpx2``) and not an argument: classes here are derived from the
library's, so it has to be known when this is imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ...protocol.errors import ConfigurationError

__all__ = ["BACKEND", "httpcore"]

VARIABLE: Final = "DEEPSEEK_MAGIC_BACKEND"
BACKEND: Final = os.environ.get(VARIABLE, "").strip() or "httpx"
"""``httpx`` or ``httpx2``."""

if BACKEND not in ("httpx", "httpx2"):
    raise ConfigurationError(f"{VARIABLE} cannot be {BACKEND[:40]!r}: it takes httpx or httpx2.")
if TYPE_CHECKING or BACKEND == "httpx":
    import httpcore
else:
    try:
        import httpcore2 as httpcore
    except ImportError as error:
        raise ConfigurationError(
            f"{VARIABLE} asks for httpx2, and it cannot be imported: {error}.",
            hint="pip install 'deepseek-magic[httpx2]'",
        ) from error
