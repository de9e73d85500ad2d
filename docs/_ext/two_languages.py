"""The site in English and in Chinese: the way from each page to the same one in the other language, and what is missing.

Both sites are built from the same sources, the Chinese one below ``/zh`` with the paragraphs of ``locale/zh_CN``. A page that
``locale/whole.txt`` names must have every paragraph; of the others the build says how many have none. No link but the switch
and the JupyterLite leads out of the Chinese site.
"""

from __future__ import annotations

import os.path
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from babel.messages.pofile import read_po
from sphinx.errors import SphinxError
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.nodes import extract_messages

ENGLISH: Final = "en"
FOLDER: Final = "zh"
"""Where the Chinese site lies in the English one."""
SHARED: Final = "lite"
"""What both have together: a JupyterLite speaks the language of its reader's browser."""
MOVED: Final = {"zh/README": "zh/index"}
"""Pages that were elsewhere, by the whole site's names; notebooks besides."""
TARGET: Final = re.compile(r"<a\b[^>]*?\bhref=\"([^\"]*)\"[^>]*>")
AWAY: Final = (
    '<!DOCTYPE html>\n<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}"><a href="{0}">{0}</a>\n'
)

MISSING: Final = "paragraphs without Chinese"

log = logging.getLogger(__name__)


class Language(NamedTuple):
    """A language of the site as a page names it."""

    code: str
    name: str
    title: str
    """Said to the reader of the other language."""


OTHER: Final = {
    ENGLISH: Language("zh-CN", "中文", "这一页的中文版"),
    "zh_CN": Language("en", "English", "This page in English"),
}
"""The other language by the language of the site."""


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry point."""
    app.add_transform(CountMissing)
    app.connect("html-page-context", add_switch)
    app.connect("env-check-consistency", count)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True}


def counterpart(page: str, language: str) -> str:
    """The address of the same page in the other language, as seen from this page."""
    whole, other = (page, f"{FOLDER}/{page}") if language == ENGLISH else (f"{FOLDER}/{page}", page)
    return way(whole, other)


def way(page: str, other: str) -> str:
    """The address of another page as seen from this page."""
    return posixpath.relpath(f"{other}.html", Path(page).parent.as_posix())


def add_switch(app: Any, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Give the page's template its counterpart; let "suggest edit" of a Chinese page lead to its paragraphs."""
    language = app.config.language
    context["other_language"] = {**OTHER[language]._asdict(), "url": counterpart(page, language)}
    if language != ENGLISH and not page.startswith("notebooks/") and context.get("page_source_suffix"):
        context["doc_path"] = f"docs/locale/{language}/LC_MESSAGES"
        context["page_source_suffix"] = ".po"


def whole_pages(folder: Path) -> set[str]:
    """The pages that ``whole.txt`` names, one a line."""
    lines = (folder / "whole.txt").read_text("utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


class CountMissing(SphinxTransform):
    """Notes how many paragraphs of a page have no Chinese. Sphinx's own count misses pictures and captions of contents."""

    default_priority = 19  # just before they are replaced

    def apply(self, **_: Any) -> None:
        """Compare what the page says with what its catalogue has; one that is fuzzy counts as missing."""
        if self.config.language == ENGLISH:
            return
        page = self.env.current_document.docname
        catalogue = Path(self.env.srcdir, "locale", self.config.language, "LC_MESSAGES", f"{page}.po")
        has = translated(catalogue) if catalogue.exists() else set()
        if not page.startswith("notebooks/"):
            self.env.metadata[page][MISSING] = len({said for _, said in extract_messages(self.document)} - has)


def translated(catalogue: Path) -> set[str]:
    """The paragraphs that a catalogue has the Chinese of."""
    with catalogue.open("rb") as file:
        return {str(entry.id) for entry in read_po(file) if entry.id and entry.string and not entry.fuzzy}


def count(app: Any, env: Any) -> None:
    """Say how many paragraphs of each page have no Chinese. Warn where one must have all."""
    if app.config.language == ENGLISH or app.builder.format != "html":
        return
    whole = whole_pages(Path(app.srcdir) / "locale")
    for unknown in sorted(whole - env.found_docs):
        log.warning("locale/whole.txt names a page that is not there: %s", unknown)
    missing = {page: env.metadata[page].get(MISSING, 0) for page in sorted(env.found_docs)}
    for page in [page for page, number in missing.items() if number and page in whole]:
        log.warning("%d paragraphs have no Chinese: python docs/translate.py update", missing[page], location=page)
    told = "".join(f"\n{number:5}  {page}" for page, number in missing.items() if number)
    print(f"paragraphs without Chinese: {sum(missing.values())}{told}")


def finish(app: Any, failure: Exception | None) -> None:
    """Leave word where a page was before. Raises SphinxError when a link leaves the language."""
    if failure is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    lay_signs(site, app.config.language, sorted(app.env.found_docs))
    found = sorted(f"{page.relative_to(site)} leads to {link}" for page, link in leaving(site, app.config.language))
    if found:
        raise SphinxError("Links that leave the language of their page:\n" + "\n".join(found))


def lay_signs(site: Path, language: str, pages: list[str]) -> None:
    """Pages in the places of those that were moved when the Chinese site became whole."""
    prefix = "" if language == ENGLISH else f"{FOLDER}/"
    moved = MOVED | {f"notebooks/zh/{Path(page).name}": f"zh/{page}" for page in pages if page.startswith("notebooks/")}
    for old, new in moved.items():
        if old.startswith(f"{FOLDER}/") == bool(prefix):
            sign = site / f"{old.removeprefix(prefix)}.html"
            sign.parent.mkdir(parents=True, exist_ok=True)
            sign.write_text(AWAY.format(way(old, new)), "utf-8")


def leaving(site: Path, language: str) -> Iterator[tuple[Path, str]]:
    """Each link of a page to a page of the other language, but for the switch."""
    for page in site.rglob("*.html"):
        parts = page.relative_to(site).parts
        if parts[0] in (FOLDER, SHARED, "_static") or parts[:2] == ("notebooks", FOLDER):
            continue
        for found in TARGET.finditer(page.read_text("utf-8")):
            target = urlsplit(found[1])
            if "hreflang=" in found[0] or target.scheme or target.netloc or not target.path:
                continue
            seen = Path(os.path.normpath(page.parent / unquote(target.path)))
            if language == ENGLISH:
                left = seen.is_relative_to(site / FOLDER)
            else:
                left = not seen.is_relative_to(site) and not seen.is_relative_to(site.parent / SHARED)
            if left:
                yield page, found[1]
