"""``%load_ext deepseek_magic`` is quick, silent and lazy, and can be undone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets import TraitError
from traitlets.config import Config

from deepseek_magic.demo.server import DemoServer

PROGRAM = """
import json, socket, sys, time
import ipywidgets
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def refuse(*_args): raise AssertionError("network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
before = time.perf_counter()
shell.run_line_magic("load_ext", "deepseek_magic")
print(json.dumps(time.perf_counter() - before))
"""


def run(program: str, home: Path) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "IPYTHONDIR": str(home / "ipython")}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert ran.stderr == ""
    return ran.stdout


def test_loading_prints_nothing_and_touches_neither_network_nor_disk(tmp_path: Path) -> None:
    (tmp_path / "ipython").mkdir()
    printed = run(PROGRAM, tmp_path)
    assert isinstance(json.loads(printed), float)
    assert [path.name for path in tmp_path.rglob("*") if "deepseek" in path.name.lower()] == []


def test_loading_imports_neither_widgets_nor_a_transport_nor_the_demo(tmp_path: Path) -> None:
    program = """
import sys
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "deepseek_magic")
heavy = {"ipywidgets", "httpcore", "pandas", "rich.live", "deepseek_magic.demo.server", "deepseek_magic.engine.transport"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run(program, tmp_path) == "[]\n"


def test_a_cell_that_asks_nothing_does_not_load_the_engine(tmp_path: Path) -> None:
    program = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "deepseek_magic")
shell.run_cell("x = 1")
print(sorted({"httpx", "deepseek_magic.engine.client", "deepseek_magic.session.calls"} & set(sys.modules)))
"""
    assert run(program, tmp_path) == "[]\n"


@pytest.mark.parametrize("when", ["in the profile", "afterwards"])
def test_with_the_setting_loading_connects_to_the_endpoint_of_the_profile(when: str, tmp_path: Path) -> None:
    (tmp_path / "ipython").mkdir()
    with DemoServer(pace=0) as demo:
        settings = {"endpoint": "vllm", "base_url": demo.base_url.replace("127.0.0.1", "0.0.0.0")}
        program = f"""
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
settings = {settings | ({"warm_up": True} if when == "in the profile" else {})}
shell = InteractiveShell.instance(config=Config(DeepSeekMagics=settings))
shell.run_line_magic("load_ext", "deepseek_magic")
from deepseek_magic.session import session
if {when == "afterwards"}:
    assert session()._warming is None
    shell.run_line_magic("config", "DeepSeekMagics.warm_up = True")
session()._warming.result(60)
"""
        assert run(program, tmp_path) == ""
        assert [seen.method for seen in demo.requests] == ["HEAD"]


def test_a_profile_may_switch_the_look_ahead_on() -> None:
    shell = InteractiveShell(config=Config(DeepSeekMagics={"look_ahead": 3}))
    shell.run_line_magic("load_ext", "deepseek_magic")
    assert shell.magics_manager.registry["DeepSeekMagics"].look_ahead == 3


@pytest.mark.parametrize("name", ["look_ahead", "pocket", "keep_warm_s"])
def test_a_number_is_no_switch(name: str) -> None:
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "deepseek_magic")
    magics = shell.magics_manager.registry["DeepSeekMagics"]
    before = getattr(magics, name)
    with pytest.raises(TraitError, match=f"^{name} cannot be True: it takes a (whole )?number[^.]*\\.$"):
        setattr(magics, name, True)
    assert getattr(magics, name) == before


def test_unloading_and_loading_again_leave_one_of_everything() -> None:
    shell = InteractiveShell()
    manager = shell.input_transformer_manager
    plain = len(manager.cleanup_transforms), len(manager.token_transformers), len(shell.Completer.custom_matchers)
    shell.run_line_magic("load_ext", "deepseek_magic")
    shell.run_line_magic("reload_ext", "deepseek_magic")
    shell.run_line_magic("unload_ext", "deepseek_magic")
    after = len(manager.cleanup_transforms), len(manager.token_transformers), len(shell.Completer.custom_matchers)
    assert after == plain
