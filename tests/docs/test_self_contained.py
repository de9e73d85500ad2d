"""The check that ends a build of the site whose pages would load something from elsewhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

EXTENSION = Path(__file__).parents[2] / "docs" / "_ext" / "self_contained.py"


@pytest.fixture(scope="module")
def check() -> Any:
    pytest.importorskip("sphinx", reason="only the extra docs has Sphinx")
    spec = importlib.util.spec_from_file_location("self_contained", EXTENSION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page",
    [
        '<script defer src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        '<img src="http://pictures.example/a.png">',
        '<p style="background: url(https://pictures.example/a.png)">',
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(check: Any, tmp_path: Path, page: str) -> None:
    (tmp_path / "a.html").write_text(page, "utf-8")
    assert len(list(check.loaded(tmp_path))) == 1


def test_a_style_sheet_that_imports_from_elsewhere_is_found(check: Any, tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text('@import "https://fonts.example/a.css"; a { background: url(here.png) }', "utf-8")
    assert [url for _, url in check.loaded(tmp_path)] == ["https://fonts.example/a.css"]


def test_links_and_files_of_the_site_are_no_concern(check: Any, tmp_path: Path) -> None:
    links = '<a href="https://docs.vllm.ai">vLLM</a><link rel="canonical" href="https://here.example/a">'
    (tmp_path / "a.html").write_text(links + '<script src="_static/x.js"></script><img src="data:image/png,">', "utf-8")
    assert list(check.loaded(tmp_path)) == []
