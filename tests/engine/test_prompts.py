"""Saved prompts and a project's settings: where they are looked for, and which one wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.session.project import project
from deepseek_magic.session.prompts import applied, saved_prompt


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder two levels below a pyproject.toml, with prompts everywhere."""
    monkeypatch.setenv("DEEPSEEK_MAGIC_HOME", str(tmp_path / "home"))
    here = tmp_path / "project" / "lessons" / "one"
    for folder, names in (
        (tmp_path / "home", ("mine", "table", "root", "beside")),
        (tmp_path / "project", ("table", "root", "beside")),
        (here, ("beside",)),
    ):
        (folder / "prompts").mkdir(parents=True)
        for name in names:
            (folder / "prompts" / f"{name}.md").write_text(f"{name} of {folder.name}\n", encoding="utf-8")
    (tmp_path / "project" / "long.txt").write_text("from a file", encoding="utf-8")
    (tmp_path / "project" / "pyproject.toml").write_text(
        "[tool.deepseek-magic]\nmax-tokens = 7\n"
        '[tool.deepseek-magic.prompts]\ntable = "of the table"\nlong = { file = "long.txt" }\n',
        encoding="utf-8",
    )
    return here


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beside", "beside of one"),
        ("table", "of the table"),
        ("long", "from a file"),
        ("root", "root of project"),
        ("mine", "mine of home"),
    ],
)
def test_the_nearest_prompt_of_a_name_wins(notebooks: Path, name: str, text: str) -> None:
    assert saved_prompt(name, notebooks) == text


def test_a_name_that_is_not_saved_is_refused_with_a_guess_and_the_names(notebooks: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        saved_prompt("tabel", notebooks)
    assert str(caught.value) == (
        "There is no saved prompt tabel (did you mean table?). Saved prompts: beside, long, mine, root, table."
    )


def test_a_name_is_no_way_to_another_folder(notebooks: Path) -> None:
    (notebooks / "secret.md").write_text("secret", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"There is no saved prompt \.\./secret"):
        saved_prompt("../secret", notebooks)


def test_the_text_of_a_cell_takes_its_place_in_a_saved_prompt() -> None:
    assert applied("Review {prompt} now.", "this {x}") == "Review this {x} now."
    assert applied("Review.\n", "this") == "Review.\n\nthis"
    assert applied("Review.", " ") == "Review."


def test_a_project_ends_at_its_repository(notebooks: Path, tmp_path: Path) -> None:
    found = project(notebooks)
    assert found is not None
    assert (found.folder, dict(found.settings)) == (tmp_path / "project", {"max_tokens": 7})
    (notebooks / ".git").mkdir()
    assert project(notebooks) is None


def test_a_pyproject_that_says_nothing_of_us_is_no_project_and_a_broken_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text("[tool.other]\nx = 1\n", encoding="utf-8")
    assert project(tmp_path) is None
    file.write_text("[tool", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml cannot be read"):
        project(tmp_path)
