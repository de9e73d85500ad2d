"""``%deepseek_demo`` answers the cells that name nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import deepseek_magic as ds
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.session import session

from .conftest import KEY


@pytest.fixture
def here(shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the demo that a magic has started."""
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    shell.run_line_magic("deepseek_demo", "--pace 0")
    yield shell.magics_manager.registry["DemoMagics"].server.base_url
    shell.run_line_magic("deepseek_demo", "stop")


def asked(**typed: Any) -> list[str]:
    return [each.endpoint.base_url for each in session().prepare("Hello", **typed).addressed]


def test_what_a_cell_names_is_asked_and_not_the_demo(here: str, demo: DemoServer) -> None:
    there = demo.base_url
    assert asked() == asked(endpoint="demo") == [here]
    assert asked(endpoint="deepseek") == ["https://api.deepseek.com"]
    assert asked(endpoint=there) == asked(base_url=there) == [there]
    assert session().prepare("Hello", base_url=there).endpoint.name == "custom"
    assert asked(endpoint=f"{there},demo,deepseek") == [there, here, "https://api.deepseek.com"]


def test_a_slip_in_a_flag_is_named_and_not_its_value(shell: Any) -> None:
    for line, said in (
        ("--pce 3", r"There is no flag --pce \(did you mean --pace\?\)"),
        ("--pace 3 begin", "action needs one of start, stop"),
        ("--pac 3 begin", "action needs one of start, stop"),
    ):
        with pytest.raises(ds.ConfigurationError, match=f"^{said}"):
            shell.magics_manager.registry["DemoMagics"].deepseek_demo(line)


def test_of_several_endpoints_the_fastest_is_asked_beside_the_demo(here: str, demo: DemoServer) -> None:
    with DemoServer(pace=0) as other:
        answer = ds.ask("echo a", endpoint=f"{demo.base_url},{other.base_url}", prefer="fastest")
        assert answer.text
        assert len(demo.requests) + len(other.requests) == 1


def test_a_demo_takes_over_from_one_that_is_down(here: str) -> None:
    with DemoServer(pace=0, fault="500") as down:
        answer = ds.ask("echo a", endpoint=f"{down.base_url},demo")
    assert answer.record is not None
    assert answer.record.endpoint == "demo"


def test_when_it_stops_what_was_set_before_holds_again(shell: Any) -> None:
    shell.run_line_magic("config", "DeepSeekMagics.base_url = 'http://127.0.0.1:9'")
    shell.run_line_magic("deepseek_demo", "--pace 0")
    assert asked() != ["http://127.0.0.1:9"]
    shell.run_line_magic("deepseek_demo", "stop")
    assert asked() == ["http://127.0.0.1:9"]
    shell.run_line_magic("config", "DeepSeekMagics.base_url = None")
