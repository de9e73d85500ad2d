"""The panel's sweep tab: the cell that it writes is read as what was set, and a kernel shows its plan without a call."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.notebook.magic.cells import CellTransformer
from deepseek_magic.notebook.panel.tabs.sweep_draft import AXES, LABELS, MAGIC, SweepDraft, fields, planned
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments import score
from deepseek_magic.protocol.experiments.axes import Axis
from deepseek_magic.protocol.experiments.plan import Plan
from deepseek_magic.protocol.experiments.templates import templates, written
from deepseek_magic.session import session
from deepseek_magic.session.experiments.planning import plan_of

from .conftest import LOAD, Kernel
from .test_panel import Front

ROWS = [{"question": f"item {number}", "answer": number} for number in range(4)]
SIGNS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp"))
LINE = st.text(SIGNS, min_size=1, max_size=20).map(str.strip).filter(bool)
"""What a text field can hold; the tab takes the spaces around it away."""
PROMPT = (
    st.lists(st.text(SIGNS, max_size=20), max_size=4)
    .map("\n".join)
    .filter(lambda text: bool(text.strip()) and re.search(r"^--- ", text, re.MULTILINE) is None)
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(0, 2).map(str),
    "think": st.sampled_from(("off", "low", "high", "max")),
    "max_tokens": st.integers(1, 1000).map(str),
    "system": LINE.filter(lambda text: text[0] not in "@$"),
    "stop": LINE,
    "json": st.sampled_from(("on", "off")),
}
AXIS = st.sampled_from(tuple(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(VALUES[name], min_size=1, max_size=3, unique=True))
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(("flash", "deepseek-v4-pro")),
        "think": st.sampled_from(("off", "low")),
        "system": LINE.filter(lambda text: text[0] not in "@$"),
        "stop": st.lists(LINE, min_size=1, max_size=3).map(tuple),
        "raw": st.just(True),
        "seed": st.integers(0, 9),
    },
)
HOW = st.fixed_dictionaries(
    {},
    optional={
        "output": st.just("results"),
        "repeats": st.integers(1, 5),
        "limit": st.integers(1, 3),
        "sample": st.integers(1, 3),
        "sample_seed": st.integers(0, 9),
        "budget": st.floats(0, 5),
        "name": LINE,
        "each": st.just(True),
        "cluster": st.just("question"),
        "go": st.just(True),
        "concurrency": st.integers(1, 9),
    },
)


@pytest.fixture(scope="module")
def shell() -> Any:
    """A shell that has the table among its variables."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_cell(LOAD)
    shell.user_ns["rows"] = ROWS
    yield shell
    InteractiveShell.clear_instance()


def read_back(shell: Any, source: str) -> Plan:
    """The plan of a cell, taken through what IPython does with it."""
    (run,) = CellTransformer(shell)(source.splitlines(keepends=True))
    called: list[str] = []
    exec(
        run, {"get_ipython": lambda: type("Shell", (), {"run_cell_magic": lambda _self, *args: called.extend(args)})()}
    )
    name, line, body = called
    assert f"%%{name}" == MAGIC
    return planned(line, body, shell.user_ns)[0]


@given(
    prompts=st.lists(st.tuples(LINE.map(lambda name: " ".join(name.split())), PROMPT), min_size=1, max_size=3),
    axes=st.lists(AXIS, max_size=3, unique_by=lambda axis: axis[0]),
    scored=st.lists(LINE, max_size=1),
    calls=CALLS,
    how=HOW,
)
@settings(max_examples=300, deadline=None)
def test_the_cell_is_read_as_the_plan_that_was_set(
    shell: Any,
    prompts: list[tuple[str, str]],
    axes: list[tuple[str, list[str]]],
    scored: list[str],
    calls: dict[str, Any],
    how: dict[str, Any],
) -> None:
    prompts = list(dict(prompts).items())
    draft = SweepDraft(
        over="rows",
        prompts=prompts,
        vary=[f"{name}={Axis.typed(words)}" for name, words in axes],
        scores=[*(f"regex={re.escape(text)}" for text in scored), "contains={answer}"],
        options=how,
        calls=calls,
    )
    varied = [Axis.read(f"{name}={Axis.typed(words)}") for name, words in axes]
    for axis, (_, words) in zip(varied, axes, strict=True):
        assert [str(name) for name in axis.names] == words
    asked = {name: value for name, value in calls.items() if name not in dict(axes)}
    source = draft.cell().source
    try:
        wanted = plan_of(
            {name: text.strip("\n") for name, text in prompts} if len(prompts) > 1 else prompts[0][1].strip("\n"),
            over=ROWS,
            grid=varied,
            defaults=session().in_force({}),
            scores=[*(score.regex(re.escape(text)) for text in scored), score.contains("{answer}")],
            **asked,
            **{
                name: how[name]
                for name in ("repeats", "limit", "sample", "sample_seed", "each", "cluster")
                if name in how
            },
        )
    except ConfigurationError as refused:  # a prompt with braces that nothing fills
        with pytest.raises(ConfigurationError, match=re.escape(str(refused))):
            read_back(shell, source)
    else:
        assert read_back(shell, source) == wanted


@given(st.dictionaries(LINE.map(lambda name: " ".join(name.split())), PROMPT, min_size=2, max_size=3))
def test_prompts_are_read_as_they_were_written(named: dict[str, str]) -> None:
    read = templates(written(list(named.items())))
    assert [(each.name, each.text) for each in read] == [(name, text.strip("\n")) for name, text in named.items()]


def test_a_prompt_that_would_be_read_as_two_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="The line --- b in the prompt would begin another one"):
        written([("a", "first\n--- b\nsecond")])
    with pytest.raises(ConfigurationError, match="A prompt has no name"):
        written([("a", "first"), ("", "second")])


def test_an_axis_takes_the_place_of_the_panel_s_setting_and_lines_of_a_system_prompt_become_a_variable() -> None:
    draft = SweepDraft(
        over="rows",
        prompts=[("a", "{question}")],
        vary=["think=off,low"],
        options={"output": "results", "repeats": 3},
        calls={"think": "high", "system": "one\ntwo", "budget": 3, "show_reasoning": True},
    )
    cell = draft.cell()
    assert cell.source.split("\n") == [
        "%%deepseek_sweep --output results --over rows --system $system_prompt --vary think=off,low --repeat 3",
        "{question}",
    ]
    assert cell.variables == {"system_prompt": "one\ntwo"}


def test_every_setting_of_a_sweep_has_a_control_but_for_those_that_the_tab_has_other_means_for() -> None:
    assert {option.name for group in fields() for option in group} == set(LABELS)
    assert {"model", "think", "temperature", "system"} <= {option.name for option in AXES}


def test_a_sweep_is_put_together_by_clicks_and_its_plan_is_shown_without_a_call(
    kernel: Kernel, demo: DemoServer
) -> None:
    kernel.run(f"questions = {ROWS}\nnumber = 3\nword = 'x'\nempty = []")
    front = Front(kernel, "p = ds.panel(max_tokens=50)\np")
    front.put(front.find(_view_name="TabView"), selected_index=5)
    front.until(lambda: front.shows("Write a prompt, and the plan is shown here."))
    tables = front.state[front.find(description="inputs")]
    assert tables["_options_labels"] == ["none: the prompt as it is", "questions · 4 inputs", "a CSV or JSONL file"]
    front.put(front.find(description="inputs"), index=1)
    front.until(lambda: front.shows("{answer}"))
    front.put(front.find(description="prompt", _view_name="TextareaView"), value="echo ")
    front.click("{question}")
    front.until(lambda: front.shows("echo {question}"))
    front.until(lambda: front.shows("4 trials: 4 inputs"))
    front.put(
        front.find(description="vary"),
        index=front.state[front.find(description="vary")]["_options_labels"].index("think"),
    )
    front.click("+ Vary")
    front.until(lambda: front.shows("think says nothing yet"))
    front.put(front.find(description="low"), value=True)
    front.put(front.find(description="off"), value=True)
    front.click("+ Score")
    front.until(lambda: front.shows("8 trials: 2 settings × 4 inputs"))
    front.put(front.find(description="repeats"), value="0")
    front.until(lambda: front.shows("it takes a whole number from 1 to 1000"))
    front.until(lambda: front.shows("Something above is not right"))
    front.put(front.find(description="repeats"), value="2")
    front.until(lambda: front.shows("16 trials"))
    front.until(lambda: not front.shows("Something above is not right"))
    front.click("Write cell")
    front.until(lambda: bool(front.sent))
    assert front.sent[-1]["do"] == "insert"
    assert front.sent[-1]["text"].split("\n") == [
        "%%deepseek_sweep --output results --over questions --max-tokens 50 --vary think=off,low --repeat 2"
        " --score exact={answer}",
        "echo {question}",
    ]
    front.click("Write and run")
    front.until(lambda: front.sent[-1]["do"] == "run")
    assert demo.requests == []
    # two prompts are compared; the first one goes, and the next has a name of its own
    front.click("+ Prompt")
    front.until(lambda: front.shows("prompt 2 says nothing yet"))
    front.put(front.find(description="prompt 2"), value="Again: {question}")
    front.until(lambda: front.shows("32 trials: 4 settings"))
    front.click("×")
    front.until(lambda: front.shows("16 trials: 2 settings"))
    front.click("+ Prompt")
    front.until(lambda: front.shows("prompt 2 says nothing yet"))
    front.put(front.find(description="prompt 2"), value="Third: {question}")
    front.until(lambda: front.shows("--- b\\nAgain: {question}\\n--- a\\nThird: {question}"))
    # a cell changes the table: the plan follows
    front.value("questions.pop()")
    front.until(lambda: front.shows("24 trials"))
    # what cannot be is said where it was typed
    front.put(front.find(description="inputs"), index=2)
    front.put(front.find(description="file", placeholder="e.g. questions.csv"), value="missing.csv")
    front.until(lambda: front.shows("The inputs in missing.csv cannot be read"))
