"""What the demo sees of an image: its format, its size in pixels where the first bytes tell it, and its bytes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from .texts import Language, say


def described(content: Any, language: Language = "en") -> list[str]:
    """A description of each image of a message."""
    parts = content if isinstance(content, list) else []
    return [_described(part["image_url"], language) for part in parts if part.get("type") == "image_url"]


def _described(image: Mapping[str, Any], language: Language) -> str:
    head, comma, encoded = str(image.get("url", "")).partition(";base64,")
    if not comma:
        return say(language, "image_address", address=head[:60])
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return say(language, "image_broken")
    kind = head.removeprefix("data:image/").upper()
    facts = {"kind": kind, "count": len(data)}
    if kind == "PNG":
        width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    elif kind == "GIF":
        width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    else:
        return say(language, "image", **facts)
    return say(language, "image_sized", width=width, height=height, **facts)
