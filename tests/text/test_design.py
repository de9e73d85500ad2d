"""The design language holds: what a style sheet uses is defined, and what replaces a theme's colour can be seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepseek_magic.notebook import labextension
from deepseek_magic.notebook.view.widgets import STYLE
from deepseek_magic.text.design import tokens
from tests.colours import contrast

PANEL = (Path(tokens.__file__).parents[2] / "notebook" / "panel" / "panel.css").read_text("utf-8")

EXTENSION = (labextension.folder() / "deepseek-magic" / "static" / "style.css").read_text("utf-8")


@pytest.mark.parametrize("sheet", [PANEL, STYLE, EXTENSION], ids=["panel", "live view", "JupyterLab's extension"])
def test_a_style_sheet_uses_only_variables_that_are_defined(sheet: str) -> None:
    assert set(re.findall(rf"var\({tokens.PREFIX}([\w-]+)\)", sheet)) <= set(tokens.VARIABLES)


def test_what_the_extension_defines_by_itself_is_from_the_table() -> None:
    defined = dict(re.findall(rf"^  {tokens.PREFIX}([\w-]+): (.+);$", EXTENSION, re.MULTILINE))
    assert defined == {name: tokens.value(name) for name in defined}
    assert set(re.findall(rf"var\({tokens.PREFIX}([\w-]+)\)", EXTENSION)) == set(defined)


def test_no_style_sheet_has_a_colour_of_its_own() -> None:
    assert (
        re.findall(r"#[0-9a-f]{3,6}\b|var\(--jp-(?:ui-font-color|border-color|brand-color|layout-color)", PANEL) == []
    )


@pytest.mark.parametrize("name", ["quiet", "accent", "good", "warn", "error"])
@pytest.mark.parametrize("paper", ["#ffffff", "#111111"])
def test_a_colour_without_a_theme_is_seen_on_white_and_on_black(name: str, paper: str) -> None:
    (colour,) = re.findall("#[0-9a-f]{6}", tokens.COLOURS[name])
    assert contrast(colour, paper) > (4.1 if name == "quiet" else 3)  # WCAG 1.4.11 asks 3 of marks


def test_a_value_is_what_the_rule_defines() -> None:
    assert f"{tokens.PREFIX}line: {tokens.value('line')};" in tokens.rule(".x")
