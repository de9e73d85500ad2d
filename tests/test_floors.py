"""The house of docs/architecture: imports go down, never up, and never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deepseek_magic"
FLOORS = ("cli", "notebook", "session", "engine", "metrics", "policy", "protocol", "text")
EVERYWHERE_ELSE_FORBIDDEN = {
    "httpx": {"engine/transport.py"},
    "httpcore": {"engine/transport.py", "engine/network/"},
    "IPython": {"notebook/"},
    "ipywidgets": {"notebook/"},
    "ipykernel": {"notebook/"},
}
IMPURE = {"asyncio", "time", "random", "threading", "os", "socket"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__").replace("__init__", "")] = path
    return found


MODULES = modules()
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}
"""Their faces hand names on, and would close a circle with every room that they name."""


def imported(name: str, *, when_run: bool = False) -> set[str]:
    """Every module that ``name`` imports anywhere in its text; our own ones without the package's name. ``when_run``
    leaves out what only type checkers read."""
    path = MODULES[name]
    here = list(path.relative_to(PACKAGE).parts[:-1])
    seen: set[str] = set()
    tree = ast.parse(path.read_text("utf-8"))
    for branch in ast.walk(tree) if when_run else ():
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING":
            branch.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            seen.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(["deepseek_magic", *here[: len(here) - node.level + 1], *base.split(".")]).rstrip(".")
            seen.add(base)
            seen.update(f"{base}.{alias.name}" for alias in node.names)
    ours = {n.removeprefix("deepseek_magic").lstrip(".") for n in seen if n.split(".")[0] == "deepseek_magic"}
    return {n for n in ours if n in MODULES and n} | {n for n in seen if n.split(".")[0] != "deepseek_magic"}


def own(name: str, *, when_run: bool = False) -> set[str]:
    return {n for n in imported(name, when_run=when_run) if n in MODULES}


def floor(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("name", [m for m in MODULES if floor(m) in FLOORS])
def test_a_floor_imports_only_floors_below_it(name: str) -> None:
    for target in own(name) - {"__init__"}:
        if floor(target) == "demo":
            assert name in ("cli", "notebook.magic.magics", "notebook.magic.demo"), f"{name} imports the demo"
        else:
            assert FLOORS.index(floor(target)) >= FLOORS.index(floor(name)), (
                f"{name} imports {target}, a floor above it"
            )


@pytest.mark.parametrize("name", [m for m in MODULES if floor(m) == "demo"])
def test_the_demo_stands_on_the_protocol_alone(name: str) -> None:
    assert {floor(t) for t in own(name)} <= {"demo", "protocol", "text"}


@pytest.mark.parametrize("name", [m for m in MODULES if m.startswith("demo.") and m not in PACKAGES])
def test_the_demo_s_drawers_have_floors_of_their_own(name: str) -> None:
    height = {"wire": 0, "api": 1, "faults": 2}  # what orchestrates them lies above, in no drawer
    below = [height.get(part.split(".")[1], 3) for part in (name, *own(name)) if part.startswith("demo.")]
    assert max(below) == below[0], sorted(own(name))


def test_there_are_no_circles() -> None:
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail, name])
        if name in done:
            return
        for target in own(name, when_run=True):
            if target not in PACKAGES:
                visit(target, (*trail, name))
        done.add(name)

    for name in MODULES.keys() - PACKAGES:
        visit(name, ())


@pytest.mark.parametrize(("library", "rooms"), EVERYWHERE_ELSE_FORBIDDEN.items())
def test_a_library_is_imported_only_in_its_room(library: str, rooms: set[str]) -> None:
    for name, path in MODULES.items():
        place = path.relative_to(PACKAGE).as_posix()
        if library in {n.split(".")[0] for n in imported(name)}:
            assert any(place == room or (room.endswith("/") and place.startswith(room)) for room in rooms), place


@pytest.mark.parametrize("name", [m for m in MODULES if floor(m) in ("protocol", "policy", "text")])
def test_the_pure_floors_have_no_clock_no_chance_and_no_io(name: str) -> None:
    assert not {n.split(".")[0] for n in imported(name)} & IMPURE


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'httpcore', 'httpx', 'IPython', 'ipywidgets', 'pandas', 'nest_asyncio2', 'sqlite3'}"
    code = f"import sys, deepseek_magic; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
