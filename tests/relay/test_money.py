"""Short forms of ``python -m tests.relay.money``: the budget holds, killed or not, and a clock that goes back buys nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.engine.hosts.classroom import Classroom
from deepseek_magic.policy.rules import Rules
from deepseek_magic.protocol.errors import ConfigurationError, RuleBroken
from deepseek_magic.protocol.measured import Cost
from deepseek_magic.relay import clock as clocks
from deepseek_magic.relay.accounts import CLASS, Accounts
from deepseek_magic.relay.clock import RulesClock
from deepseek_magic.relay.file import RelayFile
from tests.relay.money import AFFORDABLE, live

AT = datetime(2026, 12, 1, 12, tzinfo=UTC)


def dollars(amount: str) -> Cost:
    return Cost(amount=Decimal(amount), currency="USD")


@pytest.mark.slow
@pytest.mark.programs
def test_money_for_three_lets_three_through() -> None:
    found = live(1, 20, kill=False)
    assert found.holds, found
    assert 1 <= found.calls <= AFFORDABLE


@pytest.mark.slow
@pytest.mark.programs
@pytest.mark.parametrize("seed", [2, 3])
def test_a_kill_loses_no_money_and_buys_none(seed: int) -> None:
    found = live(seed, 20)
    assert found.holds, found


async def test_what_a_dead_relay_had_set_aside_counts_as_spent(tmp_path: Path) -> None:
    classroom = Classroom(rules=Rules(budgets={("class", "day"): Decimal(1), ("student", "day"): Decimal("0.8")}))
    file = RelayFile(tmp_path)
    accounts = Accounts(file, classroom)
    await accounts.begin("one", "ann", dollars("0.5"), AT)
    with pytest.raises(RuleBroken, match=r"rule budget\.student\.day"):
        await accounts.begin("two", "ann", dollars("0.4"), AT)
    with pytest.raises(RuleBroken, match=r"rule budget\.class\.day"):
        await accounts.begin("two", "bob", dollars("0.6"), AT)
    await accounts.join("one", "bob", dollars("0.5"), AT, held=True)
    await accounts.join("one", "bob", dollars("0.5"), AT, held=True)  # cut off, and back
    file.close()
    file = RelayFile(tmp_path)
    accounts = Accounts(file, classroom)
    assert (await accounts.account(CLASS, "USD", AT)).used["day"] == Decimal("0.5")
    assert (await accounts.account("bob", "USD", AT)).used["day"] == Decimal("0.5")
    await accounts.settle("one", dollars("0.1"))  # of a flight that nobody has any more
    assert (await accounts.account("ann", "USD", AT)).used["day"] == Decimal("0.5")
    file.close()


async def test_a_student_pays_no_more_than_was_set_aside_and_the_class_pays_once(tmp_path: Path) -> None:
    file = RelayFile(tmp_path)
    accounts = Accounts(file, Classroom(rules=Rules(budgets={("class", "course"): Decimal(1)})))
    await accounts.begin("one", "ann", dollars("0.1"), AT)
    await accounts.join("one", "bob", dollars("0.1"), AT, held=True)
    await accounts.more("one", dollars("0.3"), AT)  # it broke, and is continued
    with pytest.raises(RuleBroken):
        await accounts.more("one", dollars("1.1"), AT)
    await accounts.settle("one", dollars("0.25"))
    await accounts.join("one", "eve", dollars("0.25"), AT, held=False)
    assert {payer: account.used["course"] for payer, account in (await accounts.everybody(AT)).items()} == {
        ("", "USD"): Decimal("0.25"),
        ("ann", "USD"): Decimal("0.1"),
        ("bob", "USD"): Decimal("0.1"),
        ("eve", "USD"): Decimal("0.25"),
    }
    later = AT + timedelta(days=1)
    everybody = await accounts.everybody(later)
    assert everybody[CLASS, "USD"].used == {"day": 0, "week": Decimal("0.25"), "course": Decimal("0.25")}
    for payer, currency in everybody:  # one query says what each one's own says
        assert everybody[payer, currency] == await accounts.account(payer, currency, later)
    file.close()


async def test_a_clock_set_back_counts_on_also_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = AT

    class Wall(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return wall

    monkeypatch.setattr(clocks, "datetime", Wall)
    file = RelayFile(tmp_path)
    clock = RulesClock(file)
    assert clock.now() == AT
    wall = AT - timedelta(days=1)
    assert AT <= clock.now() < AT + timedelta(minutes=5)
    await clock.keep()
    file.close()
    file = RelayFile(tmp_path)
    assert RulesClock(file).now() >= AT
    file.close()


def test_a_second_relay_is_refused_the_same_file(tmp_path: Path) -> None:
    file = RelayFile(tmp_path, alone=True)
    with pytest.raises(ConfigurationError, match="Another relay is running"):
        RelayFile(tmp_path, alone=True)
    RelayFile(tmp_path).close()  # tokens are made while it runs
    file.close()
    RelayFile(tmp_path, alone=True).close()
