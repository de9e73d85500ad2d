"""Catalogues as data: English template → its translation, read from the ``.po`` file of a language.

The format is GNU gettext's source format (manual, "The Format of PO Files"), which translators' tools write. It is read as it
is, at the first look-up: there is no compiled form and no build step. Contexts and plural forms are not used here.
"""

from __future__ import annotations

import functools
import json
import pkgutil
from collections.abc import Mapping


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """The catalogue of a language; English is what the code says, so it has none."""
    if language == "en":
        return {}
    source = pkgutil.get_data(__package__, f"catalogues/{language}.po")
    assert source is not None, "the package's own loader reads its files"
    return read_po(source.decode("utf-8"))


def read_po(source: str) -> dict[str, str]:
    """The entries of a ``.po`` file, its header left out. Raises ValueError, with the number of the line, where it is none."""
    entries: dict[str, list[str]] = {}
    parts: list[str] = []
    template = ""
    for number, line in enumerate(source.splitlines(), 1):
        word, _, quoted = line.partition(" ") if not line.startswith('"') else ("", "", line)
        try:
            if word == "msgid":
                parts = [json.loads(quoted)]
            elif word == "msgstr":
                template, parts = "".join(parts), [json.loads(quoted)]
                if template in entries:
                    raise ValueError("the same msgid twice")
                entries[template] = parts
            elif line.startswith('"'):
                parts.append(json.loads(quoted))
            elif line.strip() and not line.startswith("#"):
                raise ValueError("neither msgid, msgstr, text nor comment")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    entries.pop("", None)
    return {template: "".join(parts) for template, parts in entries.items() if any(parts)}
