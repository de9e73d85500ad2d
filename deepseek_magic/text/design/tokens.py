"""The design language as a table: spaces, type sizes and colours of panel, live view, tables and plots.

A style sheet defines the variables once (``rule``) and uses ``var(--deepseek-NAME)``. What is saved in a notebook has no
style sheet, so it writes the value itself (``value``). Colours are those of the front end's theme, light or dark; behind
each is one for pages without a theme (an export, VS Code), which reads on white and on black. docs/design-language.md
shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PREFIX: Final = "--deepseek-"

SPACES: Final[Mapping[str, str]] = {
    "space-1": "4px",
    "space-2": "8px",
    "space-3": "12px",
    "space-4": "16px",
}
"""Between the parts of a control, between controls, inside a box, between groups."""

SIZES: Final[Mapping[str, str]] = {
    "small": "var(--jp-ui-font-size1, 13px)",
    "body": "var(--jp-content-font-size1, 14px)",
    "large": "var(--jp-content-font-size2, 17px)",
    "line-height": "1.5",
    "corner": "4px",
    "rule": "3px",
}
"""Type: labels, figures and footers; answers, states and errors; a heading. Nothing is smaller than "small"."""

COLOURS: Final[Mapping[str, str]] = {
    "text": "var(--jp-ui-font-color1, currentColor)",
    "quiet": "var(--jp-ui-font-color2, #767676)",
    "ground": "var(--jp-layout-color1, transparent)",
    "raised": "var(--jp-layout-color2, rgba(128, 128, 128, 0.12))",
    "line": "var(--jp-border-color2, rgba(128, 128, 128, 0.35))",
    "edge": "var(--jp-border-color1, rgba(128, 128, 128, 0.6))",
    "accent": "var(--jp-brand-color1, #2e7ebf)",
    "good": "var(--jp-success-color1, #2e8540)",
    "warn": "var(--jp-warn-color1, #b3690f)",
    "error": "var(--jp-error-color1, #d13438)",
}
"""Text that has to be read is "text"; "quiet" is for what may be passed over. The last three are for rules and marks
beside text and never its only sign: not everybody sees red, and no theme promises that it can be read as text."""

VARIABLES: Final[Mapping[str, str]] = {**SPACES, **SIZES, **COLOURS}

INK: Final = "#787878"
"""Text and axes of a picture: as far from white as from JupyterLab's black, 4.3 : 1 from either, the most there is."""
BLUE: Final = "#2e7ebf"
ORANGE: Final = "#cf6a1f"
GREEN: Final = "#159a74"
PINK: Final = "#c0587e"
VIOLET: Final = "#8f7ae0"
OLIVE: Final = "#9a8a2a"
SERIES: Final = (BLUE, ORANGE, GREEN, PINK, VIOLET, OLIVE)
"""The colours of a plot, which is one picture for both themes; from the seventh series on they come again."""


def rule(selector: str) -> str:
    """The rule of a style sheet that defines the variables for ``selector`` and what is in it."""
    return f"{selector} {{ {' '.join(f'{PREFIX}{name}: {value};' for name, value in VARIABLES.items())} }}"


def value(name: str) -> str:
    """The value of a variable, for a style attribute where no style sheet is. Raises KeyError for an unknown name."""
    return VARIABLES[name]
