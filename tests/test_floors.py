"""The house of docs/architecture: imports go down, never up, and never in a circle."""

from __future__ import annotations

import ast
import functools
import importlib
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from deepseek_magic.moved import MOVED

PACKAGE = Path(__file__).parents[1] / "deepseek_magic"
FLOORS = ("cli", "notebook", "session", "engine", "metrics", "policy", "protocol", "text")
EVERYWHERE_ELSE_FORBIDDEN = {
    "httpx": {"engine/transport.py"},
    "httpcore": {"engine/transport.py", "engine/network/"},
    "IPython": {"notebook/"},
    "ipywidgets": {"notebook/"},
    "ipykernel": {"notebook/"},
    "distributed": {"engine/cluster/"},
    "mcp": {"engine/mcp/"},
    "starlette": {"relay/web/app.py"},
    "uvicorn": {"relay/web/serving.py"},
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


@functools.cache
def source(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text("utf-8"))


@functools.cache
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
        elif floor(target) == "relay":
            assert (name, target) in {("cli", "relay"), ("cli", "relay.command")}, f"{name} imports the relay"
        else:
            assert FLOORS.index(floor(target)) >= FLOORS.index(floor(name)), (
                f"{name} imports {target}, a floor above it"
            )


@pytest.mark.parametrize("name", [m for m in MODULES if floor(m) == "relay"])
def test_the_relay_stands_on_the_engine_and_what_is_below_it(name: str) -> None:
    allowed = {"relay", "engine", "metrics", "policy", "protocol", "text"}
    for target in own(name) - {"__init__"}:
        demo = name == "relay.command" and target in ("demo", "demo.server")  # which it serves in its own process
        assert floor(target) in allowed or demo, f"{name} imports {target}"


@pytest.mark.parametrize("name", [m for m in MODULES if floor(m) == "demo"])
def test_the_demo_stands_on_the_protocol_alone(name: str) -> None:
    assert {floor(t) for t in own(name)} <= {"demo", "protocol", "text"}


@pytest.mark.parametrize("name", [m for m in MODULES if m.startswith("demo.") and m not in PACKAGES])
def test_the_demo_s_drawers_have_floors_of_their_own(name: str) -> None:
    height = {"wire": 0, "api": 1, "faults": 2}  # what orchestrates them lies above, in no drawer
    below = [height.get(part.split(".")[1], 3) for part in (name, *own(name)) if part.startswith("demo.")]
    assert max(below) == below[0], sorted(own(name))


LAYERS = (
    *(
        "notebook",
        "notebook.panel",
        "notebook.cost",
        "notebook.lessons",
        "notebook.experiments",
        "notebook.magic",
        "notebook.tools",
        "notebook.ahead",
        "notebook.proposed",
        "notebook.gate",
        "notebook.context",
        "notebook.view",
        "notebook.labextension",
    ),
    "notebook.frontend",
)
"""Of the notebook floor. ``notebook.lazy`` stands apart: it must cost nothing before the first magic is used."""


def layer(name: str) -> str:
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("name", [m for m in MODULES if floor(m) == "notebook" and m != "notebook.lazy"])
def test_the_layers_of_the_notebook_import_only_those_below(name: str) -> None:
    for target in own(name) - {"notebook.lazy"}:
        if floor(target) == "notebook":
            assert LAYERS.index(layer(target)) >= LAYERS.index(layer(name)), f"{name} imports {target}"


def test_the_lazy_magics_import_nothing_of_the_house() -> None:
    assert not own("notebook.lazy")


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


def test_the_package_root_holds_the_floors_two_ways_in_and_the_old_paths() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert files == {"__init__.py", "__main__.py", "cli.py", "moved.py", "py.typed"}
    assert folders == {*FLOORS, "demo", "relay"} - {"cli"}


def test_no_folder_has_more_than_fifteen_modules() -> None:
    rooms: dict[Path, int] = defaultdict(int)
    for path in MODULES.values():
        rooms[path.parent] += path.name != "__init__.py"
    assert {str(room) for room, count in rooms.items() if count > 15} == set()


def classes() -> dict[str, dict[str, ast.ClassDef]]:
    """Name → module → definition, of every class at the top of a module."""
    found: dict[str, dict[str, ast.ClassDef]] = defaultdict(dict)
    for name in MODULES:
        for node in source(name).body:
            if isinstance(node, ast.ClassDef):
                found[node.name][name] = node
    return found


def test_a_public_class_name_is_there_once() -> None:
    twice = {name for name, rooms in classes().items() if len(rooms) > 1 and not name.startswith("_")}
    assert twice == set()


STATE = {
    "demo.api.texts._tables",  # the texts of the demo in a language, and its figures, read once
    "engine.cluster.crew._crews",  # what drivers know of the workers of each client
    "engine.cluster.crew._crews_lock",
    "engine.cluster.marking._unpacked",  # functions that a driver has sent, on a worker
    "engine.failover._DOWN",  # endpoints that did not answer, for as long as they are avoided
    "engine.gate._GATES",  # one queue for an endpoint and key, whoever asks
    "engine.gate._GATES_LOCK",
    "engine.hosts.keys._asked",  # keys that were typed in this process
    "engine.hosts.keys._secrets",  # what is masked wherever it appears
    "engine.hosts.keys._sought",  # the pieces of those that are looked for
    "engine.hosts.endpoints.is_loopback",  # addresses that were read; both are asked for with every call
    "engine.transport._parsed",
    "protocol.template._contexts_of",  # what of a template is code or LaTeX, looked for once for all rows of a table
    "engine.mcp.offered._RUNNING",  # servers that were started, by what starts them
    "engine.loop._hearts",  # what wakes a loop on which calls wait, one for all of them
    "engine.loop._nested",  # whether a nested run of a foreign loop is on
    "engine.home.engine",  # the engine of this process
    "engine.network.connections._trusting",  # trusted certificates, read once
    "engine.hosts.endpoints.taping",  # what a tape makes of the places that are asked
    "engine.stream._REFUSED",  # ways to go on that a host has refused
    "engine.several.seen.SEEN",  # how soon the last calls began, and what they cost
    "engine.tape.deck.deck",  # the tape that this process records or plays
    "notebook.frontend._vscode",  # whether VS Code was seen here
    "notebook.frontend._widgets_refused",  # what this kernel's front end is known not to draw
    "notebook.view.broom._broom",  # one widget that takes others out of the page
    "session.calls._SESSION",  # the session of this process
    "text.catalogue.catalogue",  # the texts of a language, read once
    "text.language._current",  # the language of this process
}
"""All that lives as long as the process. A new line here is a decision."""
_MUTABLE = {"Lock", "RLock", "ContextVar", "WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "dict", "list", "set"}


def changing(module: ast.Module, ours: set[str]) -> set[str]:
    """Names at the top of a module that hold what changes: rebound, empty containers, instances of ``ours``, caches."""
    found = {name for node in ast.walk(module) if isinstance(node, ast.Global) for name in node.names}
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and any("cache" in ast.unparse(each) for each in node.decorator_list):
            found.add(node.name)
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        match node.value:
            case ast.Dict(keys=[]) | ast.List(elts=[]):
                found.add(ast.unparse(target))
            case ast.Call(func=func) if ast.unparse(func).split("[")[0].split(".")[-1] in _MUTABLE | ours:
                found.add(ast.unparse(target))
    return found


def test_what_lives_as_long_as_the_process_is_listed_here() -> None:
    frozen = ("frozen=True", "NamedTuple")
    immutable = {"Message"}  # by hand, because msgspec would write a dataclass as an object, not as its text
    ours = {
        name
        for name, rooms in classes().items()
        for node in rooms.values()
        if not any(
            word in ast.unparse(part) for part in (*node.decorator_list, *node.bases, *node.keywords) for word in frozen
        )
    }
    found = {f"{name}.{variable}" for name in MODULES for variable in changing(source(name), ours - immutable)}
    assert found - STATE == set()


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
    heavy = "{'distributed', 'httpcore', 'httpx', 'IPython', 'ipywidgets', 'pandas', 'nest_asyncio2', 'sqlite3'}"
    code = f"import sys, deepseek_magic; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_importing_a_module_by_its_old_path_names_the_new_one() -> None:
    ours = {f"deepseek_magic.{name}" for name in MODULES}
    assert set(MOVED.values()) <= ours
    assert not set(MOVED) & ours
    for old, new in MOVED.items():
        with pytest.raises(ModuleNotFoundError, match=f"^{old} is now {new}: import it from there\\.$"):
            importlib.import_module(old)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("demo.server", "DemoServer"),
        ("engine.journal", "Journal"),
        ("engine.network.connections", "proxy_for"),
        ("engine.transport", "HTTPXTransport"),
        ("metrics.log", "MetricsLog"),
        ("metrics.record", "StreamRecord"),
        ("metrics.summary", "Summary"),
        ("policy.buffering", "ChunkBuffer"),
        ("policy.limits", "LimitPolicy"),
        ("policy.pricing", "Cost"),
        ("policy.pricing", "Price"),
        ("protocol.markdown", "safe"),
        ("protocol.options", "OPTIONS_BY_NAME"),
        ("protocol.sse", "SSEDecoder"),
        ("protocol.template", "fill"),
    ],
)
def test_what_others_import_stays_where_it_was(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(f"deepseek_magic.{module}"), name)
