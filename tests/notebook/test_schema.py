"""--schema: the answer as a value of a class in the notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepseek_magic.demo.server import DemoServer

from .conftest import Kernel

Run = Callable[..., list[list[Any]]]

CLASSES = """\
from dataclasses import dataclass
from typing import TypedDict
from pydantic import BaseModel

@dataclass
class Moon:
    name: str

@dataclass
class Planet:
    name: str
    mass: float
    moons: list[Moon]

class Pair(TypedDict):
    left: str
    right: int

class Model(BaseModel):
    name: str
    n: int
"""


def test_a_class_by_its_name_gives_a_value_of_it(run_headless: Run, demo: DemoServer) -> None:
    _, shown, used, *_ = run_headless(
        CLASSES,
        "%%deepseek -o a --schema Planet\nTell me of 'Mars' with 6.4",
        "print(a.value, a.json['name'])",
        "%deepseek -o b --schema Pair hello",
        "%deepseek -o c --schema Model hello",
    )
    assert used[0].text == "Planet(name='Mars', mass=6.4, moons=[Moon(name='Mars')]) Mars\n"
    assert "```json\n{\n" in shown[0].data["text/markdown"]
    body = demo.requests[0].body
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["role"] == "system"
    assert '"required": ["name", "mass", "moons"]' in body["messages"][0]["content"]


def test_python_takes_the_class_itself(run_headless: Run) -> None:
    _, used = run_headless(CLASSES, "import deepseek_magic as ds; print(repr(ds.ask('hi', schema=Model).value))")
    assert used[0].text.startswith("Model(name=")


def test_an_answer_that_does_not_fit_is_shown_and_said_below(run_headless: Run) -> None:
    loose = "import deepseek_magic as ds\nfrom deepseek_magic.protocol.schema import Schema"
    ask = "%%deepseek -o a --schema Planet --fresh\nhi"
    # The demo always fits, so the class grows a field between the question and the reading.
    change = "a = __import__('dataclasses').replace(a, schema=Schema.of(Pair))\na.value"
    _, _, shown, raised, used = run_headless(CLASSES, loose, ask, change, "print(len(a.text) > 0, a.json['name'])")
    assert "does not fit" not in shown[0].data["text/markdown"]
    assert raised[0].traceback == [
        "ProtocolError: The answer does not fit Pair: Object missing required field `left`. "
        "Its text is kept, and .json has what could be read."
    ]
    assert used[0].text.startswith("True ")


def test_a_name_that_is_no_class_is_one_sentence_with_a_guess(run_headless: Run, demo: DemoServer) -> None:
    _, outputs = run_headless(CLASSES, "%deepseek --schema Plant hi")
    assert outputs[0].traceback == [
        "ConfigurationError: The schema Plant names a class that does not exist (did you mean Planet?). Define it first."
    ]
    assert not demo.requests


def test_tab_completes_classes(kernel: Kernel) -> None:
    kernel.run(CLASSES)
    assert kernel.offers("%%deepseek --schema P", "Pair", "Planet")
