"""Characters that are not seen but act: they steer a terminal, or turn around the order in which a line is read.

What a server says of itself (models, error messages, the money left) is cleaned where it is read, so no place that shows
it has to think of them. The text of an answer is the user's and stays as it is; a terminal leaves them out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_C0: Final = (
    "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
)
_C1: Final = (
    "DEL PAD HOP BPH NBH IND NEL SSA ESA HTS HTJ VTS PLD PLU RI SS2 SS3 DCS PU1 PU2 STS CCH MW SPA EPA SOS SGC SCI CSI ST"
    " OSC PM APC"
)
_NAMES: Final = {
    **dict(enumerate(_C0.split())),
    **dict(enumerate(_C1.split(), 0x7F)),
    **dict(enumerate(["LS", "PS", "LRE", "RLE", "PDF", "LRO", "RLO"], 0x2028)),
    **dict(enumerate(["LRI", "RLI", "FSI", "PDI"], 0x2066)),
}
"""ISO 6429 and the Unicode standard call them so."""
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and signs without ink (Unicode 16, Default_Ignorable_Code_Point, and the empty braille pattern)."""
_VARIANTS: Final = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_OF_EMOJI: Final = re.compile(
    "(?<=[\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])\ufe0f|(?<=[#*0-9])\ufe0f(?=\u20e3)"
    "|(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])"
)
"""The two unseen characters that an emoji is made with, where they stand in one."""
_UNSEEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))
_SEEN: Final = "\t\n \u3000"
_NAMED: Final = {code: f"[{name}]" for code, name in _NAMES.items() if chr(code) not in "\t\n"}
_LEFT_OUT: Final = dict.fromkeys(code for code in _NAMED if code < 0x100)


def named(text: str) -> str:
    """``text`` with the names of its control characters and its changes of direction; tab and newline stay."""
    return text if text.isprintable() else text.replace("\r\n", "\n").translate(_NAMED)


def printable(text: str) -> str:
    """``text`` without control characters but for tab and newline."""
    return text.translate(_LEFT_OUT)


def unseen(text: str) -> Iterator[tuple[int, str]]:
    """Place and name of every character that is not seen, though it may act: a control character, a change of direction, a
    blank that is no space, a letter without ink. Tab, newline, the wide blank of Chinese, and what emoji are joined by are not
    among them."""
    if text.isascii() and text.isprintable():
        return
    of_emoji = {found.start() for found in _OF_EMOJI.finditer(text)}
    for place, sign in enumerate(text):
        if sign in _SEEN or place in of_emoji or " " < sign <= "~":
            continue
        if unicodedata.category(sign) in _UNSEEN or sign in _BLANK or _VARIANTS.match(sign):
            yield place, _NAMED.get(ord(sign), f"[U+{ord(sign):04X}]")


def visible(text: str) -> str:
    """``text`` with every character that is not seen as its name in brackets."""
    names = dict(unseen(text))
    return "".join(names.get(place, sign) for place, sign in enumerate(text)) if names else text


def in_one_line(text: str) -> str:
    """``text`` as ``visible`` shows it, line ends and tabs by their names, too: what is put into the middle of a line."""
    return visible(text).replace("\n", "[LF]").replace("\t", "[HT]")
