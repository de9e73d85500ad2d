"""Which mermaid drawings a front end may run: those that hold nothing but what is listed here.

A front end draws the moment it sees the fence, with settings, styles, addresses and scripts of the answer's own, so a
drawing that is not certainly harmless is shown as its source. What is let through begins with a known kind (so it has no
front matter), is written in letters, digits and the signs of arrows and shapes (so it has no entity, escape or formula),
and has none of the words that set styles, load or lead elsewhere.
"""

from __future__ import annotations

import re
from typing import Final

_KIND: Final = re.compile(
    r"\s*(?:(?:graph|flowchart)[ \t]+(?:TB|TD|BT|RL|LR)|sequenceDiagram|classDiagram(?:-v2)?|stateDiagram(?:-v2)?"
    r"|erDiagram|gantt|pie|mindmap|timeline|gitGraph|journey)(?=[\s;:]|\Z)"
)
"""Kinds that draw text and lines. Others load a library (zenuml, elk, architecture icons) or take styles as they are."""

_SIGNS: Final = re.compile(r"[\w \t\n.,:;!?'\"()\[\]{}|/<>=+*~^#%\u00b7-\ud7ff\ue000-\U0010ffff-]*\Z")
_UNSURE: Final = re.compile(
    r"//|\bdata:|:::|::icon|!\[|\]\(|#\w+;|<(?!br[ ]?/?>|[-|.=])"
    r"|%%(?![ \t])|%%[^\n]*[{}]"  # settings are written as comments with braces
    r"|^[ \t]*-{3,}[ \t]*$"
    r"|\b(?:url|click|href|links?|javascript|vbscript|import|callback|call|img|icon|image-set|expression)\b"
    r"|\b(?:style|classDef|linkStyle|cssClass|todayMarker|properties|details|theme\w+|font\w+|UpdateElementStyle)\b"
    r"|^[ \t]*(?:rect|box)\b(?![ \t]+rgba?\([\d., ]+\)[ \t]*$)"
    r"|;[ \t]*(?:rect|box)\b",
    re.IGNORECASE | re.MULTILINE,
)


def harmless(drawing: str) -> bool:
    """Whether a front end may draw the mermaid source ``drawing``: it loads nothing, links nowhere, styles nothing."""
    return bool(_KIND.match(drawing) and _SIGNS.match(drawing)) and not _UNSURE.search(drawing)
