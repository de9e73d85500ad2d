"""What the generated tables say around the product's own sentences, in the language of the site.

A sentence of the product has its Chinese in the product's catalogue; what only the tables say (heads of columns, kinds of
values, where an endpoint's facts are from) has it in ``docs/locale/zh_CN/tables.po``, which is looked into first: a head may
be a word that means something else elsewhere. A text that neither has ends the build.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deepseek_magic.text.catalogue import catalogue, read_po
from deepseek_magic.text.language import language
from deepseek_magic.text.messages import Message, localized

TABLES: Final = Path(__file__).parents[1] / "locale" / "zh_CN" / "tables.po"


@functools.cache
def tables() -> Mapping[str, str]:
    """The Chinese of what only the tables say."""
    return read_po(TABLES.read_text("utf-8"))


def template(text: str) -> str:
    """A template in the site's language. Raises LookupError where its Chinese is missing."""
    if language() == "en" or not text:
        return text
    found = tables().get(text) or catalogue("zh").get(text)
    if found is None:
        raise LookupError(f"{TABLES.name} has no Chinese for {text!r}")
    return found


def said(text: Message | str, **values: object) -> str:
    """A message of the product, or a template of the tables with its values, in the site's language."""
    if isinstance(text, Message):
        template(text.template)
        return localized(text)
    return str(Message(template(text), **values))
