"""The notebooks that are shipped: each runs on the demo, and each answer in it is there."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import nbformat
import pytest

from deepseek_magic.demo import tour
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import PACE_VARIABLE

NOTEBOOKS: Final = Path(__file__).parents[2] / "notebooks"
PACE: Final = 0.05


def names() -> list[str]:
    """All but the tour, which the command line's own tests run."""
    found = (path.relative_to(NOTEBOOKS).as_posix() for path in NOTEBOOKS.rglob("*.ipynb"))
    return sorted(name for name in found if name != tour.TOUR and ".ipynb_checkpoints" not in name)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_notebook_runs_to_its_end_and_every_answer_is_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with DemoServer(pace=PACE) as server:
        settings = {
            "HOME": str(tmp_path),
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "DEEPSEEK_MAGIC_HOME": str(tmp_path / "journal"),
            "DEEPSEEK_BASE_URL": server.base_url,
            "DEEPSEEK_API_KEY": "sk-test-1234",
            PACE_VARIABLE: str(PACE),
        }
        for variable, value in settings.items():
            monkeypatch.setenv(variable, value)
        good = tour.execute(tmp_path, name)
    assert good, capsys.readouterr().out


def test_each_notebook_opens_in_colab_and_installs_itself_there() -> None:
    urls = tomllib.loads((NOTEBOOKS.parent / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    repository = urls["Repository"].removeprefix("https://github.com/")
    for name in (tour.TOUR, *names()):
        title, first = nbformat.read(NOTEBOOKS / name, as_version=4).cells[:2]
        assert f"(https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name})" in title.source
        assert f"\n    %pip install --quiet git+https://github.com/{repository}\n" in first.source


def test_the_demo_lays_all_notebooks_beside_the_tour(tmp_path: Path) -> None:
    tour.copy_to(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.ipynb")} >= {tour.TOUR, *names()}
