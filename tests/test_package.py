"""What a user installs: the wheel, alone, in an environment that has nothing else."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL_S = 300


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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a new environment with the wheel and the demo's extra."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", venv)
    binaries = venv / ("Scripts" if os.name == "nt" else "bin")
    run(binaries / "python", "-m", "pip", "install", "--quiet", f"{wheel}[demo]")
    return binaries


@pytest.mark.slow
def test_the_wheel_has_types_notebooks_and_licence_and_nothing_that_is_not_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "deepseek_magic/py.typed" in names
    assert "deepseek_magic/demo/notebooks/01_first_steps.ipynb" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"deepseek_magic"}


@pytest.mark.slow
def test_every_source_file_is_in_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "deepseek_magic").rglob("*.py")}
    assert sources <= set(names)


@pytest.mark.slow
def test_the_installed_package_imports_with_warnings_as_errors(installed: Path, tmp_path: Path) -> None:
    code = "import deepseek_magic as ds; [getattr(ds, name) for name in dir(ds)]; print(ds.__version__)"
    version = run(installed / "python", "-W", "error", "-c", code, cwd=tmp_path).strip()
    assert version in run(installed / "deepseek-magic", "--version", cwd=tmp_path)


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

    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
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
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
