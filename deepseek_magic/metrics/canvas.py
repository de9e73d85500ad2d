"""The paper that plots are drawn on: transparent, in colours that read on white and on black, with the reader's letters.

One picture so serves both themes, a saved notebook and an exported page. matplotlib is an extra and imported when a plot is
asked for; pyplot is not used, since it would touch the user's own figures and settings.
"""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..text.design.tokens import INK
from ..text.language import language
from ..text.messages import Message, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PlotKind = Literal["latency", "speed", "waterfall"]
KINDS: Final[tuple[PlotKind, ...]] = PlotKind.__args__  # type: ignore[attr-defined]

NOTE: Final[Mapping[str, Any]] = {"color": INK, "fontsize": 9, "textcoords": "offset points"}
"""How a note beside a point is written."""

DPI: Final = 96
SCALE: Final = 2
"""Twice the pixels that are shown: sharp on screens that have them."""
WIDTH_IN: Final = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture that shows itself. ``figure`` is matplotlib's, to change or to save; ``text`` says the same in words."""

    figure: Figure
    text: str
    kind: PlotKind
    n: int
    """The calls it shows."""

    def __post_init__(self) -> None:
        from matplotlib.text import Text

        fonts = _fonts()
        for text in self.figure.findobj(Text):
            text.set_fontfamily(fonts)
        if language() != "en" and len(fonts) == 1:  # Python shows a warning once for its place
            sentence = say(
                "The words in plots are in English, because no font with Chinese characters is installed: install {font}.",
                font=CHINESE_FONTS[0],
            )
            warnings.warn(sentence, stacklevel=3)

    def save(self, path: str | Path) -> None:
        """Write it to a file; its ending says the format: png, svg, pdf. An existing file is replaced."""
        self.figure.savefig(path, dpi=DPI * SCALE, transparent=True)

    def svg(self) -> str:
        """It as an element of a page, as wide as there is room for, in the colour that the page writes in."""
        drawn = io.StringIO()
        self.figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
        element = drawn.getvalue().partition("<svg ")[2].replace(INK, "currentColor")
        return f'<svg role="img" aria-label="{html.escape(self.text)}" style="max-width:100%;height:auto" {element}'

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, Any]]:
        pixels = io.BytesIO()
        self.figure.savefig(pixels, format="png", dpi=DPI * SCALE, transparent=True)
        width, height = (round(inches * DPI) for inches in self.figure.get_size_inches())
        data = {"image/png": base64.b64encode(pixels.getvalue()).decode("ascii"), "text/plain": self.text}
        return data, {"image/png": {"width": width, "height": height, "alt": self.text}}


def paper(height_in: float, width_in: float = WIDTH_IN) -> tuple[Figure, Axes]:
    """A sheet with axes. Raises ImportError without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            Message("matplotlib is not installed, and plots need it: pip install 'deepseek-magic[plots]'.")
        ) from error
    style: dict[Any, Any] = {  # matplotlib's own type is a literal of 300 names, newer than the oldest release we take
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
        **dict.fromkeys(("axes.facecolor", "figure.facecolor"), "none"),
        **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
        "font.family": "sans-serif",
        "font.size": 9,
        "grid.color": INK,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
    }
    with rc_context(style):
        figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
        return figure, figure.add_subplot()


CHINESE_FONTS: Final = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "Noto Sans CJK JP",  # the name under which one file holds the characters of all of them
)


def _fonts() -> list[str]:
    """The fonts to write with: the usual one, and one that has the reader's characters."""
    if language() == "en":
        return ["sans-serif"]
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return ["sans-serif", *[name for name in CHINESE_FONTS if name in installed][:1]]


def word(text: Message) -> str:
    """A word in a picture: in the reader's language where a font can write it, else in English, never as boxes."""
    return text.localized() if len(_fonts()) > 1 else str(text)


def legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:  # above the picture: inside, it would stand on a curve sooner or later
        axes.legend(frameon=False, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9)
