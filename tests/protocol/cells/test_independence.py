"""Which waiting prompts may be asked now: what stands before them is played, and must leave what they take as it was."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.protocol.cells.independence import ANY, SETTINGS, Effect, PromptCell, effect_of, independent


def asks(*takes: str, binds: str = "", may_lead: bool = True) -> PromptCell:
    return PromptCell(takes=frozenset(takes), effect=Effect(names=frozenset(binds.split())), may_lead=may_lead)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("", ""),
        ("pass\n# nothing", ""),
        ("x = 7", "x"),
        ("x = y = len(z) + 1", "x y"),
        ("x: int = 3", "x"),
        ("x: int", "x"),
        ("del x", "x"),
        ("import numpy as np, os.path", "np os"),
        ("from math import pi, e as euler", "pi euler"),
        ("def f(a, /, b: int = 1, *rest, c=2, d, **more) -> str:\n    anything()", "f"),
        ("print(a.text, f'{b!r:>{width}}', sep='')", ""),
        ("if x > 1:\n    y = 2\nelse:\n    z = [1, (2, 3), {4}, {5: -6}]", "y z"),
        ("a if b and not c else d", ""),
    ],
)
def test_plain_bindings_change_their_names_alone(source: str, names: str) -> None:
    assert effect_of(source) == Effect(names=frozenset(names.split()))


@pytest.mark.parametrize(
    "source",
    [
        "f()",
        "x.append(1)",
        "x = [y for y in z]",
        "for x in y: pass",
        "while x: pass",
        "x += 1",
        "x[0] = 1",
        "x.a = 1",
        "a, b = c",
        "x = y[0]",
        "print(f(x))",
        "exec('x = 1')",
        "await x",
        "from os import *",
        "class A: pass",
        "@f\ndef g(): pass",
        "def g(a=f()): pass",
        "def g(a, *, b=f()): pass",
        "def g(a: f()): pass",
        "def g() -> f(): pass",
        "x: f() = 1",
        "(x := 1)",
        "global x",
        "with x: pass",
        "try:\n    pass\nfinally:\n    pass",
        "%matplotlib inline",
        "%%time\nx = 1",
        "!ls",
        "y = 1\n%pip install x",
        "async def f(): pass",
        "lambda: 1",
    ],
)
def test_whatever_else_may_change_anything(source: str) -> None:
    effect = effect_of(source)
    assert effect.any
    assert not effect.settings


@pytest.mark.parametrize(
    "source",
    [
        "%config DeepSeekMagics.think = 'off'",
        "x = 1\n%deepseek_demo",
        "%load_ext deepseek_magic",
        "%run other.py",
        "%%bash\necho deepseek",
        "%%deepseek_sweep\nx",
        "get_ipython().run_line_magic('config', 'x')",
        "import os\nos.environ['DEEPSEEK_API_KEY'] = 'x'",
        "import deepseek_magic",
        "x = %config",
        "help?",
        "this is no Python",
        "ds.anything()",
        "x = ds",
        "for x in y: ds.log",
        "x = " + "(" * 1_000,
    ],
)
def test_what_may_change_how_prompts_are_asked_ends_the_look(source: str) -> None:
    assert effect_of(source, ours=["ds"]).settings


def test_a_function_of_the_users_own_name_is_no_builtin() -> None:
    assert effect_of("print(x)") == Effect()
    assert effect_of("print(x)", own=["print"]) == ANY
    assert effect_of("len = f") == Effect(names=frozenset(["len"]), any=True)


def test_prompts_whose_names_nothing_before_them_changes_may_be_asked() -> None:
    def places(*cells: Any, before: Effect | None = None) -> list[int]:
        return list(independent(before or Effect(), cells))

    assert places(asks(), asks("x"), asks("y")) == [0, 1, 2]
    assert places(effect_of("x = 7"), asks("x"), asks("y"), asks()) == [2, 3]
    assert places(effect_of("f()"), asks("x"), asks()) == [2]
    assert places(asks(binds="a"), asks("a"), asks("b")) == [0, 2], "what an answer is bound to"
    assert places(asks("a"), asks("b"), before=asks(binds="a").effect) == [1], "what the running cell binds"
    assert places(effect_of("%config x"), asks()) == []
    assert places(asks(), before=SETTINGS) == []
    assert places(asks(), asks(may_lead=False), asks()) == [0, 2]
    assert places(asks("_"), asks("_3"), asks("In"), asks("Out"), asks("Err")) == []


STATEMENTS = (
    *("x = 1", "y = x", "z = [x]", "x = 'b'", "y.append(1)", "x += 1", "z[0] = 5", "del y", "print(x)", "y = str(z)"),
    *("f()", "def f():\n    global x\n    x = 99", "for x in [4, 5]: pass", "y = z", "z.append(y)", "import math as x"),
    *("y, z = 1, [2]", "exec('x = 3')", "if x == 1:\n    y = 2", "g = lambda: z.clear()", "g()", "y = len('abc')"),
    *("z = z + [1]", "pass", "print = f", "from math import *", "x: int = 8", "(y := 12)", "sum = len"),
)
NAMES = "xyz"


@given(
    st.lists(
        st.one_of(
            st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=2).map("\n".join),
            st.tuples(st.sets(st.sampled_from(NAMES)), st.sampled_from(["", *NAMES])),
        ),
        max_size=8,
    )
)
def test_what_a_prompt_takes_is_the_same_now_and_at_its_turn(cells: list[Any]) -> None:
    scope: dict[str, Any] = {"x": 0, "y": [1], "z": [2], "g": len}
    exec("def f():\n    global y\n    y = 'f was here'", scope)
    known = [
        effect_of(cell, own=scope)
        if isinstance(cell, str)
        else PromptCell(
            takes=frozenset(cell[0]), effect=Effect(names=frozenset(filter(None, [cell[1]]))), may_lead=True
        )
        for cell in cells
    ]
    now = {place: _shown(cells[place][0], scope) for place in independent(Effect(), known)}
    for place, cell in enumerate(cells):
        if isinstance(cell, str):
            with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                exec(cell, scope)
        else:
            if place in now:
                assert _shown(cell[0], scope) == now[place]
            if cell[1]:
                scope[cell[1]] = f"the answer to cell {place}"


def _shown(names: set[str], scope: dict[str, Any]) -> str:
    return "; ".join(f"{name}={scope.get(name, 'as typed')!r}" for name in sorted(names))
