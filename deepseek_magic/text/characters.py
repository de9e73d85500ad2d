"""Characters that are not seen but act: they steer a terminal, or turn around the order in which a line is read.

What a server says of itself (models, error messages, the money left) is cleaned where it is read, so no place that shows
it has to think of them. The text of an answer is the user's and stays as it is; a terminal leaves them out.
"""

from __future__ import annotations

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
_NAMED: Final = {code: f"[{name}]" for code, name in _NAMES.items() if chr(code) not in "\t\n"}
_LEFT_OUT: Final = dict.fromkeys(code for code in _NAMED if code < 0x100)


def named(text: str) -> str:
    """``text`` with the names of its control characters and its changes of direction; tab and newline stay."""
    return text if text.isprintable() else text.replace("\r\n", "\n").translate(_NAMED)


def printable(text: str) -> str:
    """``text`` without control characters but for tab and newline."""
    return text.translate(_LEFT_OUT)
