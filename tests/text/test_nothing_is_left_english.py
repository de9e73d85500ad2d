"""What a notebook says has its Chinese: read from the sources, so that a new sentence without one is found at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from deepseek_magic.notebook.magic.chats import ChatMagics
from deepseek_magic.notebook.magic.demo import DemoMagics
from deepseek_magic.notebook.magic.fix import FixMagics
from deepseek_magic.notebook.magic.logs import LogMagics
from deepseek_magic.notebook.magic.magics import DeepSeekMagics
from deepseek_magic.notebook.magic.manuals import speak, texts_of
from deepseek_magic.notebook.magic.resume import ResumeMagics
from deepseek_magic.notebook.magic.service import ServiceMagics
from deepseek_magic.notebook.panel.magic import PanelMagics
from deepseek_magic.text.catalogue import catalogue
from deepseek_magic.text.language import use

MAGICS = (
    *(ChatMagics, DemoMagics, FixMagics, LogMagics, PanelMagics, ResumeMagics, ServiceMagics),
    DeepSeekMagics,
)


@pytest.fixture(autouse=True)
def chinese() -> Iterator[None]:
    use("zh")
    yield
    use("en")
    for magics in MAGICS:
        speak(magics)


@pytest.mark.parametrize("magics", MAGICS, ids=lambda magics: magics.__name__)
def test_every_magic_explains_itself_in_either_language(magics: type) -> None:
    names = {name for kind in magics.magics.values() for name in kind.values()} - {"deepseek"}  # type: ignore[attr-defined]
    functions = [vars(magics)[name] for name in names]
    english = [function.__doc__ for function in functions]
    missing = [text for function in functions for text in texts_of(function) if text and text not in catalogue("zh")]
    assert missing == []
    speak(magics)
    for function in functions:
        assert re.search("[\u4e00-\u9fff]", function.__doc__)
        assert not re.search(r"(?:\b[a-z]{3,} ){4}", function.__doc__), function.__doc__
    use("en")
    speak(magics)
    assert [" ".join(f.__doc__.split()) for f in functions] == [" ".join(doc.split()) for doc in english]


def test_every_setting_of_config_is_explained_in_chinese() -> None:
    assert [
        trait.help for trait in DeepSeekMagics.class_traits(config=True).values() if trait.help not in catalogue("zh")
    ] == []
    speak(DeepSeekMagics)
    assert "%config DeepSeekMagics" not in DeepSeekMagics.class_get_help()
    assert "模型" in DeepSeekMagics.class_get_help()
