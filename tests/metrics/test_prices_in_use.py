"""The price table in use: which prices a call is counted by, the demo's play money, and what a notebook has cost in all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE, resolve
from deepseek_magic.engine.journal.reader import JOURNAL_COLUMNS, Journal
from deepseek_magic.policy.pricing import PLAY_MONEY, PRICES, Price
from deepseek_magic.protocol.errors import BudgetExceeded
from deepseek_magic.session.calls import Session


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as server:
        yield server


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session()
    made.journal = Journal(tmp_path / "journal.sqlite3")
    yield made
    made.close()


def test_the_demo_has_its_models_price_in_money_of_its_own(demo: DemoServer, session: Session) -> None:
    answer = session.ask("Say hello.", endpoint="demo", base_url=demo.base_url, think="off")
    (row,) = session.log
    as_if = PRICES.cost_of("deepseek-flash", answer.usage, row["started_at"])
    assert as_if is not None
    assert (row["endpoint"], row["currency"], row["cost"]) == ("demo", PLAY_MONEY, float(as_if.amount))
    assert str(answer.cost).endswith("demo USD")


def test_beside_the_demo_its_address_is_the_demo_and_no_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEMO_VARIABLE, "http://127.0.0.1:8651")
    monkeypatch.setenv("DEEPSEEK_BASE_URL", "http://127.0.0.1:8651")
    assert (resolve().name, resolve().price_list) == ("demo", "demo")
    assert resolve(base_url="http://127.0.0.1:8652").name == "custom"


def test_who_tried_out_on_the_demo_has_spent_nothing_of_a_budget(demo: DemoServer, session: Session) -> None:
    session.ask("Say hello.", endpoint="demo", base_url=demo.base_url, max_tokens=50, budget=0.01)
    play = session.log.spending.spent[PLAY_MONEY]
    assert session.log.spending.left(0.01) == Decimal("0.01")
    assert session.log.spending.left(0.01, PLAY_MONEY) == Decimal("0.01") - play
    with pytest.raises(BudgetExceeded):  # in the demo a budget works as it does elsewhere
        session.ask("Say hello.", endpoint="demo", base_url=demo.base_url, max_tokens=50, budget=float(play))


def test_a_price_that_the_user_adds_holds_for_the_calls_from_then_on(demo: DemoServer, session: Session) -> None:
    def cost() -> object:
        session.ask("Say hello.", base_url=demo.base_url, think="off", api_key="sk-test-1234")
        return session.log[-1]["cost"], session.log[-1]["currency"]

    assert cost() == (None, None)
    mine = Price(
        endpoint="custom",
        model="deepseek-flash",
        currency="EUR",
        cache_hit=Decimal(0),
        cache_miss=Decimal(0),
        output=Decimal(1_000_000),
        first=date(2026, 1, 1),
    )
    session.log.prices = session.log.prices.with_prices(mine)
    assert cost() == (session.log[-1]["completion_tokens"], "EUR")


def test_a_table_tells_yuan_where_it_is_asked_to() -> None:
    yuan = PRICES.in_currency("CNY")
    day = datetime(2026, 11, 28, tzinfo=UTC)
    assert yuan.price_of("deepseek-flash", day).currency == "CNY"  # type: ignore[union-attr]
    assert yuan.price_of("deepseek-flash", day, endpoint="demo").currency == PLAY_MONEY  # type: ignore[union-attr]
    assert PRICES.price_of("deepseek-flash", day).currency == "USD"  # type: ignore[union-attr]


def test_a_notebook_has_its_total_over_all_its_kernels(demo: DemoServer, session: Session) -> None:
    def ask(notebook: str) -> None:
        session.chats.notebook = notebook
        session.ask("Say hello.", endpoint="demo", base_url=demo.base_url, think="off")

    ask("a.ipynb")
    ask("b.ipynb")
    first_kernel = session.chats.run_id
    session.chats.run_id = "another kernel"
    ask("a.ipynb")
    assert list(pd.DataFrame(session.log)["notebook"]) == ["a.ipynb", "b.ipynb", "a.ipynb"]
    assert list(pd.DataFrame(session.log)["run_id"]) == [first_kernel, first_kernel, "another kernel"]
    spent = session.journal.spent(notebook="a.ipynb")
    assert spent.calls == 2
    assert spent.costs[PLAY_MONEY] == sum(r.cost or 0 for r in session.log.records if r.notebook == "a.ipynb")
    assert session.journal.spent().calls == 3


def test_the_journal_writes_the_files_that_the_log_writes(demo: DemoServer, session: Session, tmp_path: Path) -> None:
    session.ask("Say hello.", endpoint="demo", base_url=demo.base_url, think="off")
    session.journal.to_csv(tmp_path / "all.csv")
    session.journal.to_jsonl(tmp_path / "all.jsonl")
    session.journal.to_parquet(tmp_path / "all.parquet")
    read = [
        pd.read_csv(tmp_path / "all.csv"),
        pd.read_json(tmp_path / "all.jsonl", lines=True),
        pd.read_parquet(tmp_path / "all.parquet"),
    ]
    for frame in read:
        assert list(frame.columns) == list(JOURNAL_COLUMNS)
        assert list(frame["prompt"]) == ["Say hello."]
