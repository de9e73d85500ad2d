"""What looks like a key, a token or a password in a text that is sent along, and the text without it.

By shape alone: which keys are in use on this machine, ``engine.hosts.secrets`` knows. The shapes are those that GitHub's,
GitLab's and the vendors' own pages about their tokens give; a value of another shape is found by the name that it is given.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MASK: Final = "****"
"""What stands in the place of a secret."""

_SHAPES: Final = (
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"(?<![\w-])sk-(?=[\w-]*\d)[\w-]{8,}",  # DeepSeek, OpenAI, Anthropic and most others
    r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    r"\bgithub_pat_\w{20,}",
    r"\bglpat-[\w-]{16,}",
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    r"\bxox[abeoprs]-[\w-]{10,}",
    r"\bAIza[\w-]{35}",
    r"\bhf_[A-Za-z0-9]{20,}",
    r"\bnpm_[A-Za-z0-9]{36}",
    r"\bpypi-AgE[\w-]{20,}",
    r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",  # a JSON web token
)
_SHAPED: Final = re.compile("|".join(_SHAPES), re.DOTALL)
_BEARER: Final = re.compile(r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/-]{16,}=*)")
_IN_ADDRESS: Final = re.compile(r"(?<=://)[^\s/:@]*:([^\s/@{}<$]+)(?=@)")
_PASSWORD_NAMED: Final = re.compile(
    r"(?i)(?:passw(?:or)?d|passphrase|secret)[\w-]*[\"']?\]?\s*[:=]\s*([\"'])((?!\{|<|\$)[^\"'\n]{4,})\1"
)
_TOKEN_NAMED: Final = re.compile(
    r"(?i)(?:api[_-]?key|access[_-]?key|auth|token|credential)[\w-]*[\"']?\]?\s*[:=]\s*([\"'])((?=[^\"'\n]*\d)[^\"'\s{}<$]{8,})\1"
)
_SETTING: Final = re.compile(
    r"(?im)^[ \t]*(?:export[ \t]+|set[ \t]+)?[\w.-]*(?:key|token|secret|passw(?:or)?d)[ \t]*=[ \t]*((?![\"'{<$])\S{6,})[ \t]*$"
)
"""A line of a ``.env`` file or of a shell."""
_CODE: Final = re.compile(r"[()\[\]{},]")


class Masked(NamedTuple):
    """A text without its secrets, and how many were left out."""

    text: str
    left_out: int = 0


def without_secrets(text: str) -> Masked:
    """``text`` with what looks like a key, a token or a password masked."""
    found: list[tuple[int, int]] = [match.span() for match in _SHAPED.finditer(text)]
    found += [match.span(1) for match in _BEARER.finditer(text)]
    found += [match.span(1) for match in _IN_ADDRESS.finditer(text)]
    found += [match.span(2) for named in (_PASSWORD_NAMED, _TOKEN_NAMED) for match in named.finditer(text)]
    found += [match.span(1) for match in _SETTING.finditer(text) if _is_value(match[1])]
    return masked(text, [(start, end) for start, end in found if text[start:end] != MASK])


def _is_value(word: str) -> bool:
    """Whether the right side of a line ``NAME=word`` is a value rather than code."""
    return any(sign.isdigit() for sign in word) and not _CODE.search(word)


def masked(text: str, spans: list[tuple[int, int]]) -> Masked:
    """``text`` with these places masked; those that touch or overlap are one."""
    kept: list[str] = []
    end = count = 0
    for start, until in sorted(spans):
        if start >= end and (start > end or not count):
            kept += [text[end:start], MASK]
            count += 1
        end = max(end, until)
    return Masked("".join((*kept, text[end:])), count) if count else Masked(text)
