"""The account of a session: what was spent, what may still be, and what a budget allows."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from deepseek_magic.metrics.log import MetricsLog
from deepseek_magic.metrics.record import StreamRecord
from deepseek_magic.metrics.spending import Spending
from deepseek_magic.policy.pricing import Cost
from deepseek_magic.protocol.errors import BudgetExceeded


def record(cost: str | None, currency: str | None = "USD") -> StreamRecord:
    amount = None if cost is None else Decimal(cost)
    values: dict[str, Any] = {"call_id": "c", "started_at": datetime.now(UTC), "model": "m", "outcome": "complete"}
    return StreamRecord(**values, total_s=1.0, cost=amount, currency=currency)


def usd(amount: str) -> Cost:
    return Cost(amount=Decimal(amount), currency="USD")


def test_what_was_spent_outlives_the_rows_that_a_full_log_forgets() -> None:
    log = MetricsLog(max_rows=10)
    for _ in range(25):
        log.add(record("0.01"))
    log.add(record(None))
    log.add(record("1", "CNY"))
    assert log.forgotten > 0
    assert log.spending.spent == {"USD": Decimal("0.25"), "CNY": Decimal(1)}
    assert (log.spending.calls, log.spending.unknown_calls) == (27, 1)


def test_a_call_under_way_holds_its_share_until_it_ends() -> None:
    account = Spending()
    with account.hold(usd("0.6"), cap=1.0):
        assert account.left(1.0) == Decimal("0.4")
        with pytest.raises(BudgetExceeded):
            account.hold(usd("0.5"), cap=1.0)
    account.add(record("0.1"))
    assert account.left(1.0) == Decimal("0.9")
    account.hold(usd("0.5"), cap=1.0)


def test_a_call_that_fails_gives_back_what_it_held() -> None:
    account = Spending()
    with pytest.raises(ZeroDivisionError), account.hold(usd("0.6")):
        _ = 1 / 0
    assert account.left(1.0) == 1


def test_without_a_cap_nothing_is_refused_and_all_is_counted() -> None:
    account = Spending()
    account.hold(usd("1000000"))
    assert account.left(0.0) == -1_000_000
    with pytest.raises(BudgetExceeded):
        account.hold(usd("0"), cap=1.0)


def test_an_unknown_price_is_let_through_until_the_budget_is_gone() -> None:
    account = Spending()
    account.hold(None, cap=0.5)
    account.add(record("0.6"))
    with pytest.raises(BudgetExceeded):
        account.hold(None, cap=0.5)


def test_of_many_threads_no_more_get_through_than_the_budget_allows() -> None:
    account = Spending()
    through: list[contextlib.ExitStack] = []
    start = threading.Barrier(16)

    def ask() -> None:
        start.wait()
        with contextlib.suppress(BudgetExceeded):
            through.append(account.hold(usd("0.1"), cap=0.5))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 5


def test_a_cost_is_one_value_and_unknown_without_a_currency() -> None:
    paid = record("0.25").paid
    assert paid is not None
    assert (paid.amount, paid.currency, paid.estimated) == (Decimal("0.25"), "USD", False)
    assert record("0.25", None).paid is None
