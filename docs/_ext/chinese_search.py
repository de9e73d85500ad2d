"""Chinese words are found by the site's own search, without a dictionary of words.

Sphinx knows Chinese words only beside jieba, 19 MB that this needs no more than any other page does. A reader's query is looked up
whole, and as a part of terms where it has three characters or more; so the terms are what stands between two marks of punctuation, and
each pair of characters, for words of two.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sphinx.search.zh import SearchChinese

RUN: Final = re.compile(r"[\u3400-\u9fff]{2,}")


class SearchByCharacters(SearchChinese):
    """Takes the place of Sphinx's own for ``zh``."""

    language_name = "English"  # names the stemmer of Latin words; Sphinx's own names one that its script does not bring

    def split(self, input: str) -> list[str]:
        """The terms of a text: Latin words, runs of Chinese and their pairs."""
        latin = self.latin1_letters.findall(input)
        self.latin_terms.update(latin)
        runs = RUN.findall(input)
        return [*latin, *runs, *(run[at : at + 2] for run in runs for at in range(len(run) - 1) if len(run) > 2)]


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry point."""
    app.add_search_language(SearchByCharacters)
    return {"parallel_read_safe": True}
