"""A page of the web as text for a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from ...engine.home import IN_PAGE, engine
from ...protocol.context.pieces import Attached
from ...protocol.errors import ConfigurationError
from ...text.characters import in_one_line
from ...text.fences import fenced
from ...text.messages import Message
from .documents import Unreadable, decoded, of_html
from .gathering import Gathering


def attached(urls: Sequence[str], gathering: Gathering, *, private: bool = False) -> list[Attached]:
    """The pages as parts of a message, fetched now. Raises ConfigurationError for one that cannot be sent, and the
    network's failures."""
    found: list[Attached] = []
    for url in dict.fromkeys(urls):
        text, whole, cut = read(url, private=private)
        shown = gathering.clean(in_one_line(url), in_one_line(url))
        if cut:
            gathering.say(Message("Only the beginning of the page {url} was read, because it is very long.", url=shown))
        text = gathering.clean(shown, text)
        said = f"Page {shown}:\n{fenced(text)}".rstrip("\n")
        if (part := gathering.part(shown, text, said, whole=whole)) is not None:
            found.append(part)
    return found


def read(url: str, *, private: bool = False) -> tuple[str, int, bool]:
    """The text of a page, how many bytes the page has, and whether it was too long to be read to its end."""
    if IN_PAGE:
        raise ConfigurationError(
            Message(
                "The page {url} was not fetched: a notebook in a web page may not read other sites.",
                url=in_one_line(url),
            ),
            hint=Message("Copy its text into the cell."),
        )
    from ...engine.network.webpages import fetch

    page = engine.run(fetch(url, private=private))
    try:
        if page.media in ("text/html", "application/xhtml+xml"):
            text, cut = of_html(page.body, url, page.charset)
            return text, len(page.body), cut
        return _decoded(page.body, page.charset), len(page.body), False
    except Unreadable as error:
        said = Message("The page {url} was not sent: {why}.", url=in_one_line(url), why=error.args[0])
        raise ConfigurationError(said) from None


def _decoded(body: bytes, charset: str | None) -> str:
    if (text := decoded(body, charset or "utf-8-sig")) is not None:
        return text
    if b"\0" in body:
        raise Unreadable(Message("it is no text"))
    return body.decode("utf-8", "replace")
