"""Markdown as a model writes it: made safe to show, and cut where a block is settled."""

from __future__ import annotations

__all__ = ["safe"]


def safe(text: str) -> str:
    """``text`` with everything shown inert that a notebook would run or load."""
    return text.replace("<", "&lt;")
