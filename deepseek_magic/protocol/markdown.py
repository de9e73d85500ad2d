"""Markdown as a model writes it: made safe to show, and cut where a block is settled.

The door to three rooms: ``blocks`` and ``inline`` make a text safe, ``segments`` cuts one that is still being written.
"""

from __future__ import annotations

from ..text.blocks import safe
from ..text.segmenter import Segmenter

__all__ = ["Segmenter", "safe"]
