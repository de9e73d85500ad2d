"""What the demo sees of an image: its format, its size in pixels where the first bytes tell it, and its bytes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any


def described(content: Any) -> list[str]:
    """A description of each image of a message."""
    parts = content if isinstance(content, list) else []
    return [_described(part["image_url"]) for part in parts if part.get("type") == "image_url"]


def _described(image: Mapping[str, Any]) -> str:
    head, comma, encoded = str(image.get("url", "")).partition(";base64,")
    if not comma:
        return f"the address {head[:60]}"
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return "one that cannot be decoded"
    kind = head.removeprefix("data:image/").upper()
    size = ""
    if kind == "PNG":
        size = f"{int.from_bytes(data[16:20])} × {int.from_bytes(data[20:24])} pixels, "
    elif kind == "GIF":
        size = f"{int.from_bytes(data[6:8], 'little')} × {int.from_bytes(data[8:10], 'little')} pixels, "
    return f"{kind}, {size}{len(data):,} bytes"
