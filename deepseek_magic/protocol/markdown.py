"""Markdown as a model writes it: made safe to show, and cut where a block is settled."""

from __future__ import annotations

from .blocks import safe

__all__ = ["safe"]
