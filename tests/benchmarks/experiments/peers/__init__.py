"""Programs that ask a table of questions and score the answers: one module each, all given the same work.

A module has ``run(work)``, which gives the text of each answer, None where there is none. It does what that program's
documentation shows, with its answers scored and kept where it can do that. ``STARTS_A_PROCESS``: its work is done in
another process, whose start is no part of a trial. ``DECODES`` is False where texts stay bytes.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final

RUNNERS: Final = {
    "ours": "ours",
    "httpx": "bare_httpx",
    "inspect": "inspect_eval",
    "chatlas": "chatlas_parallel",
    "promptfoo": "promptfoo_eval",
}
"""What a peer is called on the command line, and its module."""

TITLES: Final = {
    "ours": "deepseek-magic",
    "httpx": "bare httpx (nothing decoded)",
    "inspect": "inspect-ai",
    "chatlas": "chatlas",
    "promptfoo": "promptfoo",
}
"""What it is called in the report: known without its library."""

APART: Final = {"inspect": "inspect-ai", "chatlas": "chatlas", "promptfoo": "promptfoo"}
"""Those with an environment of their own, and the package in it whose version the report names."""


def module_of(runner: str) -> ModuleType:
    """The peer's module. Raises ImportError where its library is not installed."""
    return import_module(f"{__name__}.{RUNNERS[runner]}")
