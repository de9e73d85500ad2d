"""What a function gave back, as the text that a model reads: JSON where it is such, a small table, a name for a picture."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final

import msgspec

from ..template import show

MAX_CHARS: Final = 20_000
"""More is cut, with a notice: a model reads it all again with each further question of the conversation."""

_CUT: Final = "\n[cut here: {kept:,} of {whole:,} characters]"
"""English, like all that a model is told by us."""
_IS_CUT: Final = re.compile(r"\n\[cut here: [\d,]{1,20} of ([\d,]{1,20}) characters\]\Z")


def text_of_value(value: Any) -> str:
    """A value as text, whatever it is; at most ``MAX_CHARS`` characters."""
    try:
        return cut(_text(value))
    except Exception:  # whatever a user's class does when it is asked what it is
        return cut(_printed(value))


def text_of_error(error: BaseException) -> str:
    """An exception as text."""
    said = ""
    with contextlib.suppress(Exception):
        said = str(error)
    return cut(f"Error: {type(error).__name__}: {said}" if said else f"Error: {type(error).__name__}")


def cut(text: str) -> str:
    """``text`` if it is short enough, else its beginning and a notice, ``MAX_CHARS`` characters together."""
    # What is no character cannot be sent.
    text = text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(text) <= MAX_CHARS:
        return text
    kept = MAX_CHARS - len(_CUT.format(kept=MAX_CHARS, whole=len(text)))
    return text[:kept] + _CUT.format(kept=kept, whole=len(text))


def length_before(text: str) -> int | None:
    """How many characters a text had that ``cut`` has cut; None where it is whole."""
    found = _IS_CUT.search(text)
    return int(found[1].replace(",", "")) if found else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value):,} bytes]"
    if isinstance(value, BaseException):
        return text_of_error(value)
    if picture := _picture(value):
        return picture
    if hasattr(value, "shape"):  # a table, an array
        return _printed(value)
    if hasattr(value, "model_dump_json"):
        with contextlib.suppress(Exception):
            return str(value.model_dump_json())
    try:
        return msgspec.json.encode(value).decode()
    except Exception:  # a field may be a property of the user's, which raises what it likes
        return _printed(value)


def _printed(value: Any) -> str:
    try:
        return show(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _picture(value: Any) -> str:
    """A figure or an image by its size. Known by what they can do: neither library is imported here."""
    with contextlib.suppress(Exception):
        figure: Any = value if hasattr(value, "get_size_inches") else getattr(value, "figure", None)
        if hasattr(figure, "get_size_inches") and hasattr(figure, "savefig"):
            wide, high = figure.get_size_inches() * figure.dpi
            titles = [title for axes in figure.get_axes() if (title := axes.get_title())]
            about = f" “{titles[0]}”" if titles else ""
            return f"[a figure{about}, {wide:.0f} × {high:.0f} pixels, {len(figure.get_axes())} axes]"
        if hasattr(value, "mode") and hasattr(value, "tobytes") and isinstance(getattr(value, "size", None), tuple):
            wide, high = value.size
            return f"[an image, {wide} × {high} pixels, {value.mode}]"
        if any(callable(getattr(value, f"_repr_{kind}_", None)) for kind in ("png", "jpeg", "svg")):
            return f"[a picture: {type(value).__name__}]"
    return ""
