"""The check that ends a build of the site in which a link leads out of its language, and the ways between the languages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_ext"


def load(name: str) -> Any:
    pytest.importorskip("sphinx", reason="only the extra docs has Sphinx")
    spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a named tuple looks for its module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def check() -> Any:
    return load("two_languages")


@pytest.mark.parametrize(
    ("page", "chinese", "english"),
    [
        ("start", "zh/start.html", "../start.html"),
        ("notebooks/01_first_steps", "../zh/notebooks/01_first_steps.html", "../../notebooks/01_first_steps.html"),
    ],
)
def test_the_switch_leads_to_the_same_page(check: Any, page: str, chinese: str, english: str) -> None:
    assert check.counterpart(page, "en") == chinese
    assert check.counterpart(page, "zh_CN") == english


def test_a_link_that_leaves_the_chinese_site_is_found(check: Any, tmp_path: Path) -> None:
    (tmp_path / "zh").mkdir()
    links = '<a href="../start.html">x</a><a class="x" href="start.html#a">x</a><a href="https://docs.vllm.ai">x</a>'
    shared = '<a href="../lite/lab/index.html?path=zh/a.ipynb">x</a><a href="#b">x</a><a href="../start.html" hreflang="en">English</a>'
    (tmp_path / "zh" / "a.html").write_text(links + shared, "utf-8")
    assert [link for _, link in check.leaving(tmp_path / "zh", "zh_CN")] == ["../start.html"]


def test_a_link_from_an_english_page_into_the_chinese_site_is_found(check: Any, tmp_path: Path) -> None:
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "a.html").write_text('<a href="../start.html">x</a>', "utf-8")  # its own build looks at it
    (tmp_path / "a.html").write_text('<a href="zh/start.html">x</a><a href="start.html">x</a>', "utf-8")
    assert [link for _, link in check.leaving(tmp_path, "en")] == ["zh/start.html"]


def test_where_a_page_was_there_is_a_sign(check: Any, tmp_path: Path) -> None:
    check.lay_signs(tmp_path, "en", ["start", "notebooks/01_first_steps"])
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")] == [
        "notebooks/zh/01_first_steps.html"
    ]
    assert '"../../zh/notebooks/01_first_steps.html"' in (tmp_path / "notebooks/zh/01_first_steps.html").read_text(
        "utf-8"
    )
    check.lay_signs(tmp_path / "zh", "zh_CN", ["start"])
    assert '"index.html"' in (tmp_path / "zh" / "README.html").read_text("utf-8")


def test_a_paragraph_whose_chinese_is_unsure_counts_as_missing(check: Any, tmp_path: Path) -> None:
    entries = 'msgid "a"\nmsgstr "甲"\n\n#, fuzzy\nmsgid "b"\nmsgstr "乙"\n\nmsgid "c"\nmsgstr ""\n'
    header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (tmp_path / "page.po").write_text(header + entries, "utf-8")
    assert check.translated(tmp_path / "page.po") == {"a"}


def test_a_chinese_word_is_found_by_its_pairs_of_characters_and_as_a_part_of_its_run() -> None:
    terms = load("chinese_search").SearchByCharacters({}).split("断点续传：%deepseek_resume 可以重试。")
    assert {"断点续传", "断点", "点续", "deepseek_resume", "重试"} <= set(terms)
