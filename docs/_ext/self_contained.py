"""The built site asks nothing of other servers: a page that would load something from one fails the build.

Links that a reader may follow are no concern of this; what a page loads by itself is. ``tests/browser/test_site.py`` opens
the pages and sees the same from the other side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from sphinx.errors import SphinxError

LOADS: Final = {"src", "srcset", "poster", "data"}
"""Attributes whose address is loaded with the page. ``href`` is, too, but of ``link`` alone."""
ELSEWHERE: Final = re.compile(r"^\s*(https?:)?//")
IN_CSS: Final = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)")


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry point."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}


def check(app: Any, failure: Exception | None) -> None:
    """Raise SphinxError when a page or a style sheet loads something from elsewhere."""
    if failure is None and app.builder.format == "html":
        found = sorted(f"{path.relative_to(app.outdir)} loads {url}" for path, url in loaded(Path(app.outdir)))
        if found:
            raise SphinxError("The site is not whole by itself:\n" + "\n".join(found))


def loaded(site: Path) -> Iterator[tuple[Path, str]]:
    """What the pages and style sheets below ``site`` load from elsewhere."""
    for page in site.rglob("*.html"):
        reader = Reader()
        reader.feed(page.read_text("utf-8"))
        yield from ((page, url) for url in reader.found)
    for sheet in site.rglob("*.css"):
        yield from ((sheet, url) for url in IN_CSS.findall(sheet.read_text("utf-8")))


class Reader(HTMLParser):
    """Notes what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes of one tag."""
        relation = dict(attrs).get("rel") or ""
        for name, value in attrs:
            loads = name in LOADS or (name == "href" and tag == "link" and relation not in ("canonical", "alternate"))
            if value and loads and ELSEWHERE.match(value):
                self.found.append(value)
            if value and name == "style":
                self.found += IN_CSS.findall(value)
