"""Some settings of a plan on other inputs: these and no others, also where they are no product of axes."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments import score
from deepseek_magic.protocol.experiments.narrowing import narrowed
from deepseek_magic.protocol.experiments.plan import Plan

ROWS = [{"word": "x", "topic": 1}]
OTHERS = [{"word": "y", "topic": 1}, {"word": "z", "topic": 2}]


def plan(**options: Any) -> Plan:
    grid = {"temperature": [0, 1], "seed": [1, 2, 3]}
    return Plan.of({"a": "{word}", "b": "echo {word}"}, rows=ROWS, grid=grid, repeats=2, **options)


def test_settings_across_a_grid_stay_what_they_were() -> None:
    whole = plan()
    chosen = [whole.settings[index].names for index in (1, 8)]
    made = narrowed(whole, [8, 1], OTHERS)
    assert [setting.names for setting in made.settings] == chosen
    assert [setting.options for setting in made.settings] == [whole.settings[index].options for index in (1, 8)]
    assert [setting.index for setting in made.settings] == [0, 1]
    assert [axis.names for axis in made.axes] == [("0", "1"), ("1", "2"), ("a", "b")]
    assert len(made) == len(list(made.trials)) == 2 * 2 * 2
    again = Plan.from_json(made.to_json(), made.rows_json())
    assert (again, again.digest, again.settings) == (made, made.digest, made.settings)
    assert narrowed(whole, range(12), ROWS).digest == whole.digest


def test_a_single_setting_keeps_its_names_and_its_prompt() -> None:
    made = narrowed(plan(), [1], OTHERS)
    assert made.settings[0].names == {"temperature": "0", "seed": "1", "prompt": "b"}
    assert [template.text for template in made.templates] == ["echo {word}"]
    assert made.chosen is None


@pytest.mark.parametrize(
    ("options", "rows", "said"),
    [
        ({}, [], "is empty"),
        ({}, [{"phrase": "y"}], "no column word, which the prompt names"),
        ({"cluster": "topic"}, [{"word": "y"}], "no column topic"),
        ({"scorers": [score.exact("{topic}")]}, [{"word": "y"}], "reads the column topic"),
    ],
)
def test_inputs_that_lack_what_is_read_are_refused(options: Any, rows: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        narrowed(plan(**options), [0], rows)
