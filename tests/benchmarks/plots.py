"""A picture for a table: one bar for each peer, ours in another colour, logarithmic where peers lie far apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .report import Table, number

OURS: Final = "#4d6bfe"
OTHERS: Final = "#b8bcc8"
FAR_APART: Final = 20
"""Beyond this ratio a linear scale shows only the largest bar."""

PLOTTED: Final = {
    **dict.fromkeys(("P1", "P2", "P3", "P6", "P8", "P9", "P11", "P13", "E1", "E7", "E9"), 0),
    **dict.fromkeys(("P4", "P5", "P14", "E8"), 1),
    "E4": 2,
}
"""The tables that have a picture, and the column that it shows."""


def draw(table: Table, folder: Path) -> str | None:
    """Draw the picture of a table; its file's name, or None for a table without one. Raises ImportError without matplotlib."""
    if table.id not in PLOTTED:
        return None
    from matplotlib.figure import Figure

    column = table.columns[PLOTTED[table.id]]
    bars = [(row, figures[column]) for row, figures in table.rows.items() if figures.get(column)]
    if not bars:
        return None  # why there are no figures stands in the table
    bars.sort(key=lambda bar: bar[1], reverse=True)
    values = [value for _, value in bars]
    figure = Figure(figsize=(8, 0.7 + 0.36 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    colours = [OURS if name.startswith("deepseek-magic") else OTHERS for name, _ in bars]
    drawn = axes.barh([name for name, _ in bars], values, color=colours)
    axes.bar_label(drawn, labels=[number(value) for value in values], padding=4)
    if max(values) > FAR_APART * min(values):
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 3)
    else:
        axes.set_xlim(0, max(values) * 1.15)
    axes.set_title(f"{table.id}: {column}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    name = f"{table.id.lower()}.png"
    figure.savefig(folder / name, dpi=110)
    return name
