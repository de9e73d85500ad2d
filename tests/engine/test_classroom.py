"""``classroom.toml`` → rules; every slip in it is an error with its line and field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from deepseek_magic.engine.hosts import classroom
from deepseek_magic.engine.hosts.classroom import of_environment, read
from deepseek_magic.policy.pricing import PRICES
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.events import Usage
from deepseek_magic.protocol.options import Options

WHOLE = """
[class]
name = "Physics 101"
contact = "ann@example.org"
notice = "Say in your homework what a model wrote."
timezone = "Asia/Shanghai"
hours = ["Mon-Fri 08:00-18:00", "2026-12-05 10:00-12:00"]
keep = "texts"
share = false
teachers = ["ann"]
teacher_groups = ["staff"]

[models]
allow = ["deepseek-flash"]

[limits]
max_tokens = 2000
tools = false
sweep_calls = 100
at_once = 2

[budget.student]
day = 0.05
course = 2

[budget.class]
week = 5.5

[fixed]
temperature = 0.5
think = "off"

[prices.openrouter."maker/model"]
input = 0.1
output = 0.4
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "classroom.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_class_is_read_whole(tmp_path: Path) -> None:
    found = read(written(tmp_path, WHOLE))
    rules = found.rules
    assert (rules.name, rules.contact, rules.keep, rules.share) == ("Physics 101", "ann@example.org", "texts", False)
    assert rules.notice.startswith("Say in")
    assert [line.day for line in rules.hours] == [None, date(2026, 12, 5)]
    assert (rules.models, rules.max_tokens, rules.tools, rules.sweep_calls, rules.at_once) == (
        ("deepseek-flash",),
        2000,
        False,
        100,
        2,
    )
    assert rules.budgets == {
        ("student", "day"): Decimal("0.05"),
        ("student", "course"): Decimal(2),
        ("class", "week"): Decimal("5.5"),
    }
    assert rules.fixed == Options(temperature=0.5, think="off")
    assert (found.teachers, found.teacher_groups) == (("ann",), ("staff",))
    assert found.local(datetime(2026, 11, 30, 20, tzinfo=UTC)).day == 1
    usage = Usage(prompt_tokens=10**6, completion_tokens=10**6)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    cost = PRICES.with_prices(*found.prices).cost_of("maker/model", usage, at, endpoint="openrouter")
    assert cost is not None
    assert (cost.amount, cost.currency) == (Decimal("0.5"), "USD")


def test_nothing_is_a_class_without_rules(tmp_path: Path) -> None:
    assert read(written(tmp_path, "")) == classroom.Classroom()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[class]\nnam = "x"\n', 2, "class.nam is not known (did you mean name?)"),
        ("[clas]\n", 1, "clas is not known (did you mean class?)"),
        ("class = 3\n", 1, "class is a table: write [class]"),
        ("\n[class]\nname = 3\n", 3, "class.name is text in quotation marks"),
        ('[class]\nhours = ["Mon 9-10"]\n', 2, "class.hours has 'Mon 9-10', but hours are written Mon-Fri 08:00-18:00"),
        ('[class]\nhours = "Mon"\n', 2, "class.hours is a list of texts"),
        ('[class]\ntimezone = "Nowhere/City"\n', 2, "class.timezone names no time zone"),
        ('[class]\nkeep = "all"\n', 2, "class.keep is one of figures, texts"),
        ("[class]\nshare = 1\n", 2, "class.share is true or false"),
        ("[limits]\n# a remark\nmax_tokens = 0\n", 3, "limits.max_tokens is a whole number from 1"),
        ("[limits]\nmax_token = 10\n", 2, "limits.max_token is not known (did you mean max_tokens?)"),
        ("[models]\nallow = [1]\n", 2, "models.allow is a list of texts"),
        ("[models]\ndeny = []\n", 2, "models.deny is not known"),
        ("[budget]\nday = 1\n", 2, "budget.day is not known"),
        ("[budget.student]\nmonth = 1\n", 2, "budget.student.month is not known"),
        ("[budget.student]\nday = -1\n", 2, "budget.student.day is an amount of US dollars"),
        ("[budget]\nstudent = 3\n", 2, "budget.student is a table"),
        ("[budget]\nstudent.day = true\n", 2, "budget.student.day is an amount of US dollars"),
        ("[fixed]\ntemprature = 1\n", 2, "fixed.temprature is no setting of a request (did you mean temperature?)"),
        (
            "[fixed]\ntemperature = 9\n",
            2,
            "fixed.temperature: --temperature cannot be 9: it takes a number from 0 to 2",
        ),
        ('[fixed]\nmodel = "flash"\n', 2, "fixed.model is no setting of a request"),
        ("[prices]\nopenrouter = 1\n", 2, "prices.openrouter is a table"),
        ("[prices.openrouter]\nm = 1\n", 2, "prices.openrouter.m is a table"),
        ("[prices.openrouter.m]\ninput = 1\n", 1, "prices.openrouter.m needs input and output"),
        ("[prices.openrouter.m]\ninput = 1\noutput = 1\nin = 1\n", 4, "prices.openrouter.m.in is not known"),
    ],
)
def test_a_slip_is_told_with_its_line_and_field(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(written(tmp_path, text))
    told = str(error.value).replace(f"line {line}, ", f"line {line}: ")
    assert f"classroom.toml, line {line}: {said}" in told


def test_what_is_no_toml_or_no_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is no TOML: .*line 2"):
        read(written(tmp_path, "[class]\nname = \n"))
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read(tmp_path / "other.toml")


def test_the_variable_goes_before_the_machines_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(classroom.CLASSROOM_VARIABLE, raising=False)
    monkeypatch.setattr(classroom, "SYSTEM_FILE", tmp_path / "system.toml")
    assert of_environment() is None
    (tmp_path / "system.toml").write_text('[class]\nname = "system"\n')
    assert of_environment().rules.name == "system"  # type: ignore[union-attr]
    monkeypatch.setenv(classroom.CLASSROOM_VARIABLE, str(written(tmp_path, '[class]\nname = "own"\n')))
    assert of_environment().rules.name == "own"  # type: ignore[union-attr]
