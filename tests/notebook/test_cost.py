"""What a notebook would cost, held against what it then costs; and what cannot be known is named, never counted as nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

import deepseek_magic as ds
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import PACE_VARIABLE
from deepseek_magic.engine import client as client_module
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE, ENDPOINTS
from deepseek_magic.engine.several import nearby
from deepseek_magic.engine.several.seen import SeenCalls
from deepseek_magic.notebook.cost import single
from deepseek_magic.notebook.cost.names import Names
from deepseek_magic.notebook.cost.reckoning import Reckoning
from deepseek_magic.notebook.cost.situation import Situation
from deepseek_magic.notebook.cost.source import Reader
from deepseek_magic.notebook.cost.steps import NotebookCell
from deepseek_magic.notebook.cost.table import BudgetLeft, CellCost, NotebookCost
from deepseek_magic.notebook.magic.completion import candidates
from deepseek_magic.policy.several.nearest import SeenCall
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments.outlook import CostRange
from deepseek_magic.protocol.measured import Cost
from deepseek_magic.session.calls import Session
from tests.notebook.conftest import KEY, ipc, notebook_of

NOTEBOOKS: Final = Path(__file__).parents[2] / "notebooks"
PACE: Final = 0.02
BOUNDS: Final = ("least", "most")
IMPORT: Final = "import deepseek_magic as ds"
SPENT: Final = """
import json as _json, deepseek_magic as _ds
print(_json.dumps([[call["cost"], call["currency"]] for call in _ds.log]))
"""
SWEEPS: Final = (
    'rows = [{"n": 1}, {"n": 2}, {"n": 2}]',
    "%%deepseek_sweep -o tried --over rows --vary temperature=0,1 --repeat 2 --think off --go --max-tokens 60\necho {n}",
    "%%deepseek_map rows -o rows --into said --think off --max-tokens 60 --go\necho {n}",
    "%%deepseek_sweep -o spoken --over inputs.csv --think off --budget 0.5\necho {word}",
    "%%deepseek_judge spoken --go\nIs it polite?",
    "import deepseek_magic as ds\nds.sweep('echo {input}', over=['a', 'b'], think='off', max_tokens=60, scores=[ds.score.exact('a')])",
    "ds.map(['a', 'c'], 'echo {input}', think='off', max_tokens=60)",
    "%deepseek --think off --cache Show a table.",
    "%deepseek --think off --cache Show a table.",
)


# what is read in a text


@pytest.fixture
def session() -> Session:
    return Session()


def reckoned(
    session: Session, *cells: str, kernel: dict[str, Any] | None = None, pocket: float = 0.02
) -> list[CellCost]:
    """The rows of a notebook of these cells."""
    made = [NotebookCell(number, f"cell{number}", source) for number, source in enumerate(cells, 1)]
    situation = Situation(session, [cell.id for cell in made], pocket=pocket)
    found = Reckoning(situation, Names(kernel), Reader())
    for cell in made:
        found.cell(cell)
    return found.rows


def only(session: Session, *cells: str, **given: Any) -> CellCost:
    (row,) = reckoned(session, *cells, **given)
    return row


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("for word in 'ab':\n    ds.ask(word)", "it stands in a loop"),
        ("while True:\n    %deepseek Why?", "it stands in a loop"),
        ("[ds.ask('Why?') for _ in range(3)]", "it stands in a loop"),
        ("def f():\n    return ds.ask('Why?')", "it stands in a function, and how often that is called cannot be seen"),
        ("f = lambda: ds.ask('Why?')", "it stands in a function, and how often that is called cannot be seen"),
        ("if input():\n    ds.ask('Why?')", "whether it is asked depends on a condition"),
        ("input() or ds.ask('Why?')", "whether it is asked depends on a condition"),
        (
            "await asyncio.gather(*map(ds.aask, questions))",
            "the function is handed on, and how often it is called cannot be seen",
        ),
        ("ask = ds.ask\n", "the function is handed on, and how often it is called cannot be seen"),
        ("ds.ask(prompt())", "what it asks is computed"),
        ("ds.ask(f'Why {x}?')", "what it asks is computed"),
        ("ds.ask('Why?', **options)", "options has no value yet"),
        ("text = input()\nds.ask(text)", "text has no value yet"),
        ("ds.resume()", "it continues an earlier answer"),
        ("client = ds.Client()", "what a client is asked is not looked at"),
        ("%deepseek_resume", "it continues an earlier answer"),
        ("%deepseek_fix", "it asks about the error before it"),
        ("%run other.ipynb", "what the other file asks is not looked at"),
        ("%%timeit\nds.ask('Why?')", "%%timeit decides what is run"),
        ("%deepseek What is wrong with {Err}?", "Err has no value yet"),
        (
            "said = ask()\nget_ipython().run_cell_magic('deepseek_judge', 'said', 'Is it polite?')",
            "said has no value yet",
        ),
        ("tries.confirm(over=others)", "which settings it asks depends on their scores"),
        ("%deepseek_sweeps retry tries", "it asks what an earlier sweep has open"),
        ("get_ipython().run_cell_magic('deepseek', '', text)", "what it asks is computed"),
        ("ds.ask('Why?'", "the cell cannot be read as Python"),
        (f"ds.ask({'not ' * 5_000}x)", "the cell cannot be read as Python"),
    ],
)
def test_what_cannot_be_known_has_its_reason_and_no_number(cell: str, why: str, session: Session) -> None:
    row = only(session, IMPORT, cell)
    assert (row.cell, row.calls, row.cost.most, str(row.unknown)) == (2, None, None, why)


@pytest.mark.parametrize(
    "cell",
    [
        "%%deepseek\nWhy?",
        "%deepseek Why is it?",
        "x = %deepseek Why?",
        "ds.ask('Why?', think='off')",
        "answer = await ds.aask('Why?')",
        "with open(path) as file:\n    ds.ask('Why?')",
        "try:\n    ds.ask('Why?')\nfinally:\n    pass",
        "text = 'Why' + '?'\nds.ask(text)",
        "options = {'think': 'off'}\nds.ask('Why?', api_key=key, **options)",
        "from deepseek_magic import ask as question\nquestion('Why?')",
        "%%time\nds.ask('Why?')",
        "%time ds.ask('Why?')",
        "if 'PATH' in os.environ:\n    ds.ask('Why?')",
    ],
)
def test_a_prompt_that_is_written_out_is_one_call(cell: str, session: Session) -> None:
    row = only(session, IMPORT, cell)
    assert (row.calls, row.unknown, row.error, row.cost.expected) == (1, None, None, None)
    assert row.cost.least is not None
    assert row.cost.most is not None
    assert 0 < row.cost.least.amount < row.cost.most.amount


@pytest.mark.parametrize(
    "cell",
    [
        "%load_ext deepseek_magic",
        "%%deepseek --dry-run\nWhy?",
        "%%deepseek_sweep --dry-run --over rows\nWhy?",
        "%%deepseek --help",
        "%%deepseek?",
        "%deepseek_log",
        "%deepseek_resume --list",
        "%deepseek_sweeps",
        "ds.log",
        "ds.plan('Why {x}?', over=[1, 2])",
        "%%writefile a.py\nprint('%d' % 1)",
        "print('''\n%deepseek Why?\n''')",
        "!ls",
        "if 'NO_SUCH_VARIABLE' in os.environ:\n    ds.ask('Why?')",
    ],
)
def test_what_asks_nothing_has_no_row(cell: str, session: Session) -> None:
    assert reckoned(session, IMPORT, cell) == []


def test_a_wrong_flag_is_said_in_its_row_and_the_others_are_counted(session: Session) -> None:
    wrong, other, sweep, right = reckoned(
        session,
        "%%deepseek --temprature 0\nWhy?",
        "%%deepseek -s $nothing\nWhy?",
        "%%deepseek_sweep --over nowhere\nWhy?",
        "%%deepseek\nWhy?",
    )
    assert "There is no flag --temprature (did you mean --temperature?)." in str(wrong.error)
    assert "$nothing" in str(other.error)
    assert "There is no table nowhere." in str(sweep.error)
    assert [row.calls for row in (wrong, other, sweep, right)] == [0, 0, 0, 1]


def test_a_variable_counts_with_the_value_that_the_text_gives_it_at_that_place(session: Session) -> None:
    rows = reckoned(
        session,
        "city = 'Oslo'\nlong = 'x' * n",
        "%deepseek What of {city}?",
        "%deepseek What of {long}?",
        "%deepseek What of {unheard}?",
        "for city in cities: pass",
        "%deepseek What of {city}?",
        "%%deepseek -o said\nHello!",
        "%deepseek What of {said}?",
    )
    assert [str(row.unknown) for row in rows if row.unknown] == [
        "long has no value yet",
        "city has no value yet",
        "said has no value yet",
    ]


def test_a_list_that_is_changed_in_place_is_not_known_any_more(session: Session) -> None:
    sweep = "%%deepseek_sweep --over rows --go\nWhy {n}?"
    table = "rows = [{'n': 1}]\nothers = rows\nprint(rows)"
    assert only(session, table, sweep).calls == 1
    for change in ("rows.append({'n': 2})", "others += [1]", "rows[0] = 1", "fill(rows)", "from x import *"):
        assert str(only(session, table, change, sweep).unknown) == "rows has no value yet", change


def test_a_kernel_s_variables_count_where_the_text_gives_no_value(session: Session) -> None:
    cells = ("rows = load()\ntext = 'short'", "%%deepseek_sweep --over rows --go\n{text} {n}")
    row = only(session, *cells, kernel={"rows": [{"n": 1}, {"n": 2}], "text": "of another run"})
    assert (row.calls, row.unknown) == (2, None)


def test_a_sweep_beyond_the_pocket_is_refused_as_its_cell_will_be(session: Session) -> None:
    sweep = "%%deepseek_sweep --over rows FLAG\nWhy {input}?"
    cells = "rows = [1, 2]", "%config DeepSeekMagics.pocket = 100.0"
    assert "may be spent unasked" in str(only(session, cells[0], sweep.replace("FLAG", "")).error)
    assert only(session, *cells, sweep.replace("FLAG", "")).calls == 2
    capped = only(session, cells[0], sweep.replace("FLAG", "--budget 0.001"))
    assert capped.cost.most is not None
    assert capped.cost.most.amount == Decimal("0.001")


def test_settings_and_the_demo_hold_for_the_cells_below(session: Session) -> None:
    rows = reckoned(
        session,
        "%deepseek Why?",
        "%config DeepSeekMagics.max_tokens = 10\n%deepseek_demo",
        "%deepseek Why?",
        "%deepseek_demo stop\n%config DeepSeekMagics.model = 'pro'",
        "%deepseek Why?",
    )
    assert [row.currency for row in rows] == ["USD", "demo USD", "USD"]
    most = [row.cost.most.amount for row in rows if row.cost.most is not None]
    assert most[2] > most[0] > most[1]


def test_a_conversation_sends_what_was_said_and_a_branch_has_its_own(session: Session) -> None:
    rows = reckoned(
        session,
        "%deepseek --think off Hello!",
        "%deepseek --think off Hello!",
        "%deepseek_chat branch main other\n%deepseek_chat switch other",
        "%deepseek --think off Hello!",
        "%deepseek --think off --no-history Hello!",
        "%deepseek --think off --new Hello!",
        "%deepseek {Err}",
        "%deepseek --think off And now?",
    )
    assert [row.unknown is not None for row in rows] == [False] * 5 + [True, False]
    most = [row.cost.most.amount for row in rows if row.cost.most is not None]
    assert most[0] == most[3] == most[4] < most[1] < most[2] < most[5]  # the last one: as much as any history


# tapes, second requests, look-ahead


@pytest.fixture
def tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where a notebook would look for its tape."""
    (tmp_path / "one.tape").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("tape")
@pytest.mark.parametrize("flag", ["", " --else refuse --pace 0"])
def test_what_a_tape_answers_costs_nothing_until_it_is_taken_out(session: Session, flag: str) -> None:
    rows = reckoned(
        session,
        f"%deepseek_replay ./one.tape{flag}",
        "%deepseek Why?",
        "rows = [{'n': 1}, {'n': 2}]\n",
        "%%deepseek_sweep --over rows --vary temperature=0,1 --think off\necho {n}",
        "%deepseek_replay",
        "%deepseek Why?",
        "%deepseek_replay off",
        "%deepseek Why?",
    )
    assert [(row.calls, row.tape, row.tape_name) for row in rows] == [
        (0, 1, "one.tape"),
        (0, 4, "one.tape"),
        (0, 1, "one.tape"),
        (1, 0, ""),
    ]
    assert [row.cost.most is not None and row.cost.most.amount > 0 for row in rows] == [False] * 3 + [True]
    shown = repr(NotebookCost(path=Path("a.ipynb"), cells=tuple(rows)))
    assert "by the tape one.tape, which costs nothing: 6." in shown


@pytest.mark.usefixtures("tape")
@pytest.mark.parametrize(
    "cell", ["%%deepseek --no-history\nWhy?", "%%deepseek_sweep --vary temperature=0,1 --think off --go\nWhy?"]
)
def test_where_the_network_answers_what_a_tape_does_not_hold_nobody_knows_how_much_of_it(
    session: Session, cell: str
) -> None:
    plain, asked = reckoned(session, cell, "%deepseek_replay one.tape --else ask\n", cell)
    assert (plain.calls, plain.cost.most) == (asked.calls, asked.cost.most)
    assert asked.cost.least is not None
    assert (asked.cost.least.amount, asked.cost.expected) == (0, None)


def test_a_tape_that_is_not_there_plays_nothing(session: Session) -> None:
    assert only(session, "%deepseek_replay none.tape", "%deepseek Why?").calls == 1


def test_a_tape_that_plays_in_a_block_of_python_plays_there_alone(session: Session) -> None:
    rows = reckoned(
        session,
        IMPORT,
        "with ds.replay('lessons/one.tape', pace=0) as tape:\n    ds.ask('Why?')\nds.ask('Why?')",
        "with ds.replay(path, otherwise='ask'):\n    ds.ask('Why?')",
    )
    assert [(row.calls, row.tape_name) for row in rows] == [(0, "one.tape"), (1, ""), (1, "")]
    assert rows[2].cost.least is not None
    assert rows[2].cost.least.amount == 0


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> SeenCalls:
    fresh = SeenCalls()
    for module in (single, nearby, client_module):
        monkeypatch.setattr(module, "SEEN", fresh)
    return fresh


def known(seen: SeenCalls, cost: str, calls: int = 40) -> None:
    """Calls of the last minutes at DeepSeek that cost so much each."""
    place, now_s = (ENDPOINTS["deepseek"].base_url, "deepseek-flash", "off"), time.time()
    given: dict[str, Any] = {"place": place, "first_s": 0.5, "cost": Decimal(cost), "currency": "USD", "output": 50}
    seen.add(SeenCall(call_id=f"{n}", at_s=now_s - 60 - n, **given) for n in range(calls))


def at_most(rows: list[CellCost]) -> list[Decimal]:
    return [row.cost.most.amount for row in rows if row.cost.most is not None]


def test_a_second_request_may_cost_as_much_again_as_far_as_its_share_goes(session: Session, seen: SeenCalls) -> None:
    plain = "%deepseek --think off --no-history Why?"
    hedged = plain.replace("Why", "--hedge Why")
    one = at_most(reckoned(session, plain))[0]
    assert at_most(reckoned(session, hedged)) == [one], "nothing is known, so none is sent"
    known(seen, "1")
    rows = reckoned(session, plain, hedged)
    assert at_most(reckoned(session, plain, hedged)) == [one, 2 * one]
    assert [row.hedged for row in rows] == [False, True]
    shown = repr(NotebookCost(path=Path("a.ipynb"), cells=tuple(rows)))
    assert "At most: with second requests (--hedge), as far as their share of the money goes." in shown


def test_all_second_requests_of_a_notebook_together_cost_no_more_than_their_share(
    session: Session, seen: SeenCalls
) -> None:
    hedged = "%deepseek --think off --no-history --hedge 0.1 Why?"
    one = at_most(reckoned(session, "%deepseek --think off --no-history Why?"))[0]
    known(seen, "0", calls=20)
    assert at_most(reckoned(session, *[hedged] * 3)) == [one, one + one / 10, one + one / 10]
    known(seen, str(one / 40 * 10), calls=40)  # a tenth of which is the cost of one call
    rows = at_most(reckoned(session, *[hedged] * 30))
    assert sum(rows) == 30 * one + one + 29 * one / 10


def test_nothing_is_asked_twice_of_a_host_of_which_too_little_is_known_until_there_is_enough(
    session: Session, seen: SeenCalls
) -> None:
    known(seen, "1", calls=10)
    rows = reckoned(session, *["%deepseek --think off --no-history --hedge Why?"] * 12)
    assert [row.hedged for row in rows] == [False] * 10 + [True] * 2


@pytest.mark.usefixtures("seen")
def test_of_several_endpoints_the_fastest_may_be_the_dearest(session: Session) -> None:
    flags = "--think off --no-history --endpoint deepseek,openrouter"
    rows = reckoned(session, f"%deepseek {flags} Why?", f"%deepseek {flags} --prefer fastest Why?")
    alone = reckoned(session, "%deepseek --think off --no-history --endpoint openrouter Why?")
    here, either = rows
    costs = [each.cost for each in (here, *alone)]
    assert either.cost.most == max((cost.most for cost in costs if cost.most), key=lambda cost: cost.amount)
    assert either.cost.least == min((cost.least for cost in costs if cost.least), key=lambda cost: cost.amount)


def test_look_ahead_costs_no_more_where_all_cells_run_and_says_what_is_lost_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    cells = ["%deepseek --think off --no-history Why?"] * 2
    nbformat.write(notebook_of(*cells), tmp_path / "plain.ipynb")
    nbformat.write(notebook_of("%config DeepSeekMagics.look_ahead = 3", *cells), tmp_path / "ahead.ipynb")
    plain, ahead = ds.cost(tmp_path / "plain.ipynb"), ds.cost(tmp_path / "ahead.ipynb")
    assert plain.sums == ahead.sums
    assert [found.look_ahead for found in (plain, ahead)] == [0, 3]
    said = "what was begun early (at most 3) is paid for and lost"
    assert [said in repr(found) for found in (plain, ahead)] == [False, True]
    (tmp_path / "pyproject.toml").write_text("[tool.deepseek-magic]\nlook-ahead = 2\n", "utf-8")
    assert ds.cost(tmp_path / "plain.ipynb").look_ahead == 2


# how it is shown, and where it is found


def row(amount: str, **more: Any) -> CellCost:
    """A call that costs an amount of dollars at most, a tenth of it about, a hundredth at least."""
    least, expected, most = (Cost(amount=Decimal(amount) / part, currency="USD") for part in (100, 10, 1))
    given: dict[str, Any] = {
        "cell": 1,
        "cell_id": None,
        "asks": "%%deepseek",
        "prompt": "What is $x$ | $y$?",
        "calls": 1,
    }
    return CellCost(**{**given, "cost": CostRange(least=least, expected=expected, most=most), **more})


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("0.40", "enough even at most"),
        ("0.35", "enough for what is expected, not at most"),
        ("0.02", "perhaps not enough"),
        ("0.001", "not enough even at least, so calls will be refused"),
    ],
)
def test_the_sum_is_held_against_what_is_left_of_the_budget(left: str, said: str) -> None:
    budget = BudgetLeft(cap=Decimal("0.5"), left=Decimal(left))
    shown = NotebookCost(path=Path("a.ipynb"), cells=(row("0.1"), row("0.3")), budget=budget)
    assert f"Budget 0.5 USD, {float(left)} USD left: {said}." in repr(shown)
    assert shown.sums["USD"].most == Cost(amount=Decimal("0.4"), currency="USD")
    assert shown.sums["USD"].expected == Cost(amount=Decimal("0.04"), currency="USD")


def test_a_table_has_amounts_of_one_currency_without_it_and_prompts_that_are_no_formulas() -> None:
    dollars = row("0.1"), row("0.2", cost=CostRange())
    shown = NotebookCost(path=Path("a.ipynb"), cells=dollars)._repr_markdown_()
    assert "costs in USD" in shown
    assert "$" not in shown
    assert "<span>&#36;</span>x<span>&#36;</span> &#124;" in shown
    nothing = Cost(amount=Decimal(0), currency="demo USD")
    free = row("0.1", calls=0, journal=1, cost=CostRange(least=nothing, expected=nothing, most=nothing))
    assert repr(NotebookCost(path=Path("a.ipynb"), cells=(*dollars, free))).count(" 0.1 USD") == 2


def test_a_frame_has_a_row_for_each_place(session: Session) -> None:
    cells = tuple(reckoned(session, IMPORT, "%deepseek Why?", "for x in y:\n    ds.ask(x)"))
    frame = NotebookCost(path=Path("a.ipynb"), cells=cells).to_pandas()
    assert list(frame["calls"].isna()) == [False, True]
    assert frame["unknown"][1] == "it stands in a loop"
    assert str(frame["most"].dtype) == "float64"


def test_the_magic_finds_its_own_notebook_where_the_front_end_tells_it(
    shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "does not tell where its notebook is" in str(shell.run_cell("%deepseek_cost").error_in_exec)
    nbformat.write(notebook_of("%%deepseek_sweep --over rows --go\nWhy {n}?"), tmp_path / "own.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "gone.ipynb"))
    assert "This notebook is not at" in str(shell.run_cell("%deepseek_cost").error_in_exec)
    shell.user_ns["__vsc_ipynb_file__"] = str(tmp_path / "own.ipynb")
    shell.user_ns["rows"] = [{"n": 1}, {"n": 2}]
    shell.run_cell("%deepseek_cost")
    assert "own.ipynb · 2 calls · costs in USD" in (said := capsys.readouterr().out)
    assert "the values that this kernel has now" in said
    shell.run_cell("%deepseek_cost --help")
    assert "%deepseek_cost FILE.ipynb" in capsys.readouterr().out


def test_tab_completes_notebooks_and_folders(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "notes" / ".hidden").mkdir(parents=True)
    for name in ("a.ipynb", "a.txt", "notes/b.ipynb"):
        (tmp_path / name).touch()
    for typed, found in (
        ("", ["a.ipynb", "notes/"]),
        ("no", ["notes/"]),
        ("notes/", ["notes/b.ipynb"]),
        ("nowhere/", []),
    ):
        assert candidates(f"%deepseek_cost {typed}", {}) == found


# what it then costs


def test_a_notebook_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.ipynb").write_text("Hello", "utf-8")
    for name, said in (("text.ipynb", "it is no notebook"), ("none.ipynb", "There is no notebook")):
        with pytest.raises(ConfigurationError, match=said):
            ds.cost(tmp_path / name)


def environment(folder: Path, demo: DemoServer) -> dict[str, str]:
    """Of a command and of a kernel in ``folder``, whose DeepSeek is the demo with its prices."""
    ours = ("DEEPSEEK_", "JUPYTER", "IPYTHON", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "DEEPSEEK_MAGIC_HOME": str(folder / "journal"),
        "DEEPSEEK_MAGIC_LANGUAGE": "en",
        "DEEPSEEK_BASE_URL": demo.base_url,
        DEMO_VARIABLE: demo.base_url,
        "DEEPSEEK_API_KEY": KEY,
        PACE_VARIABLE: str(PACE),
    }


def told(path: Path, settings: dict[str, str]) -> dict[str, Any]:
    """What ``deepseek-magic cost`` says of a notebook, as a program in a folder of another name."""
    command = [sys.executable, "-m", "deepseek_magic", "cost", "--json", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=settings, check=True, timeout=120)
    (found,) = json.loads(ran.stdout)
    assert KEY not in ran.stdout
    return dict(found)


def spent(path: Path, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Decimal]]:
    """Run a notebook without anybody looking on: how many calls each code cell made, and what they cost."""
    notebook = nbformat.read(path, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [each for cell in codes for each in (cell, nbformat.v4.new_code_cell(SPENT))]
    with ipc() as sockets, monkeypatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=120,
            allow_errors=True,
            resources={"metadata": {"path": str(path.parent)}},
            config=Config(KernelManager=sockets),
        ).execute()
    logs = [json.loads(cell.outputs[0]["text"]) for cell in notebook.cells[1::2]]
    sums = [(len(log), sum((Decimal(str(cost)) for cost, _ in log if cost is not None), Decimal(0))) for log in logs]
    return [(calls - before, cost - paid) for (before, paid), (calls, cost) in pairwise([(0, Decimal(0)), *sums])]


def hold(found: dict[str, Any], cells: list[tuple[int, Decimal]]) -> None:
    """What was said holds: no call is missing, and what is known cost no less and no more than was said."""
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in found["cells"]:
        rows.setdefault(row["cell"], []).append(row)
    unknown = {number for number, named in rows.items() if any(row["unknown"] for row in named)}
    for number, (calls, _) in enumerate(cells, 1):
        if number in rows and number not in unknown:
            asked = sum(
                row["calls"] + row["journal"] + row["tape"]
                for row in rows[number]
                if not row["asks"].endswith(("_map", "_sweep"))
            )
            assert number in SWEEP_CELLS or calls == asked, rows[number]
        elif number not in rows:
            assert calls == 0, f"cell {number} asks what was not seen"
    known = sum((cost for number, (_, cost) in enumerate(cells, 1) if number not in unknown), Decimal(0))
    least, most = (sum(Decimal(str(row[bound] or 0)) for row in found["cells"]) for bound in BOUNDS)
    assert least <= known <= most


SWEEP_CELLS: Final = frozenset(range(3, 9))
"""Of ``SWEEPS``: answers that trials share or take from the journal are no calls of the log."""


@pytest.fixture
def served() -> Iterator[DemoServer]:
    with DemoServer(pace=0, keep=10_000) as server:
        yield server


@pytest.mark.programs
def test_a_notebook_of_sweeps_costs_what_was_said_and_then_nothing(
    tmp_path: Path, served: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, path = environment(tmp_path, served), tmp_path / "sweeps.ipynb"
    (tmp_path / "pyproject.toml").write_text("[tool.deepseek-magic]\ncache = true\nno_history = true\n", "utf-8")
    (tmp_path / "inputs.csv").write_text("word\na\nb\nc\n", "utf-8")
    nbformat.write(notebook_of(*SWEEPS), path)
    before = told(path, settings)
    assert [row["calls"] for row in before["cells"]] == [8, 2, 3, 3, 2, 1, 1, 0]
    assert served.requests == []
    hold(before, spent(path, settings, monkeypatch))
    assert len(served.requests) == before["calls"]
    after = told(path, settings)
    assert {row["calls"] for row in after["cells"]} == {0}
    assert after["sums"] == {"demo USD": {"least": 0, "expected": 0, "most": 0}}


BEFORE: Final = """
import deepseek_magic as ds
for n in range(120):
    ds.ask("Show a table.", think="off")
"""


@pytest.mark.programs
def test_a_notebook_with_second_requests_costs_no_more_than_was_said(tmp_path: Path, served: DemoServer) -> None:
    settings, path = environment(tmp_path, served), tmp_path / "late.ipynb"
    subprocess.run([sys.executable, "-c", BEFORE], env=settings, check=True, timeout=120)
    nbformat.write(notebook_of("%deepseek --think off --hedge --max-tokens 60 Show a table."), path)
    found = told(path, settings)
    served.fault, before = "stall at=before-headers times=1", len(served.requests)
    spend = "import json\nprint(json.dumps([[row['used'], row['cost']] for row in ds.log]))"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(f"{IMPORT}\n{spend}")]
    with ipc() as sockets:
        config = Config(KernelManager=sockets)
        NotebookClient(notebook, kernel_name="python3", timeout=120, config=config).execute(env=settings)
    rows = json.loads(notebook.cells[-1].outputs[0]["text"])
    assert len(served.requests) == before + 2
    assert sorted(used for used, _ in rows) == [False, True]
    paid = sum(cost for _, cost in rows)
    assert found["sums"]["demo USD"]["least"] <= paid <= found["sums"]["demo USD"]["most"]


@pytest.mark.programs
def test_with_the_cache_filled_a_conversation_costs_nothing(
    tmp_path: Path, served: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, path = environment(tmp_path, served), tmp_path / "talk.ipynb"
    (tmp_path / "pyproject.toml").write_text('[tool.deepseek-magic]\ncache = true\nthink = "off"\n', "utf-8")
    talk = (
        "%%deepseek -o said\nMy name is Ada.",
        "%deepseek What is my name?",
        "%deepseek --no-history Translate: {said}",
    )
    nbformat.write(notebook_of(*talk), path)
    first = told(path, settings)
    assert [(row["calls"], row["unknown"]) for row in first["cells"]] == [
        (1, None),
        (1, None),
        (None, "said has no value yet"),
    ]
    spent(path, settings, monkeypatch)
    again = told(path, settings)
    assert [(row["calls"], row["journal"]) for row in again["cells"]] == [(0, 1)] * 3
    assert again["sums"]["demo USD"]["most"] == 0
    fresh = notebook_of(*(cell.replace("deepseek", "deepseek --fresh", 1) for cell in talk[:1]))
    nbformat.write(fresh, path)
    (row,) = told(path, settings)["cells"]
    assert row["calls"] == row["answers"] == 1
    assert row["least"] < row["expected"] < row["most"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    sorted(path.relative_to(NOTEBOOKS).as_posix() for path in NOTEBOOKS.glob("[0-9z]*/*.ipynb"))
    + sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")),
)
def test_every_shipped_notebook_costs_what_was_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DemoServer(pace=PACE) as server:
        settings, path = environment(tmp_path, server), tmp_path / "notebook.ipynb"
        shutil.copyfile(NOTEBOOKS / name, path)
        hold(told(path, settings), spent(path, settings, monkeypatch))
