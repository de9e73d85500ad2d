"""Text out of what is no plain text: PDFs, notebooks, pages of the web. Each by a library of its own, from the extra ``context``."""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, AnyStr, Final, NoReturn

from ...protocol.errors import ConfigurationError
from ...text.fences import fenced
from ...text.messages import Message

MAX_OUTPUT_CHARS: Final = 2_000
"""Of each output of a notebook's cell."""
MAX_PDF_S: Final = 30.0
MAX_DRAWN_BYTES: Final = 10_000_000
"""Of what one page of a PDF draws, unpacked."""
MAX_HTML_CHARS: Final = 2_000_000
MAX_TAGS: Final = 60_000
"""Opened and closed. What the extractor takes grows with them: some 0.1 ms each."""
_TEXT_ENCODING: Final = re.compile(
    r"utf-(8|16|32)(-(sig|le|be))?|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|gb2312|gbk|gb18030|hz|big5(hkscs)?"
    r"|shift_jis(x0213|_2004)?|euc_\w+|iso2022_\w+|mac-\w+|tis-620|johab"
)
"""Python has codecs for other things, too: some raise errors of their own, and some take minutes."""
_EXTRA: Final = Message("pip install 'deepseek-magic[context]'")


class Unreadable(Exception):
    """A document whose text cannot be had; the argument is the reason, as half a sentence."""


def of_pdf(path: Path) -> str:
    """The text of a PDF, page after page. Raises ConfigurationError without pypdf, and Unreadable."""
    try:
        import pypdf
    except ImportError:
        _missing(path, "pypdf")
    with _quiet("pypdf"):
        try:
            reader = pypdf.PdfReader(path)
            if reader.is_encrypted and not reader.decrypt(""):
                raise Unreadable(Message("it is locked by a password"))
            texts = _texts(reader)
        except Unreadable:
            raise
        except Exception as error:  # a damaged file raises of any kind
            raise Unreadable(Message("it is no PDF that can be read ({error})", error=f"{error}"[:80])) from None
    if not any(texts):
        raise Unreadable(Message("there is no text in it, as in scanned pages; --image shows pictures"))
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"[page {number}]\n{text}" for number, text in enumerate(texts, 1))


def _texts(reader: Any) -> list[str]:
    """Of each page. Raises Unreadable where a page draws too much, or the time is up."""
    end = time.monotonic() + MAX_PDF_S

    def check(*_operation: Any) -> None:
        if time.monotonic() > end:
            raise Unreadable(Message("reading it took longer than {limit} s", limit=f"{MAX_PDF_S:g}"))

    texts: list[str] = []
    for number, page in enumerate(reader.pages, 1):
        contents = page.get_contents()
        if contents is not None and len(contents.get_data()) > MAX_DRAWN_BYTES:
            limit = f"{MAX_DRAWN_BYTES // 1_000_000}"
            raise Unreadable(Message("what page {number} draws is larger than {limit} MB", number=number, limit=limit))
        texts.append(page.extract_text(visitor_operand_before=check).strip())
        check()  # what is raised within a form that a page draws, the library only logs
    return texts


def of_notebook(path: Path) -> str:
    """The cells of a notebook with the texts of their outputs. Raises ConfigurationError without nbformat, and Unreadable."""
    try:
        import nbformat
    except ImportError:
        _missing(path, "nbformat")
    with warnings.catch_warnings():  # about ids that older notebooks lack
        warnings.simplefilter("ignore")
        try:
            notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
            language = str(notebook.get("metadata", {}).get("language_info", {}).get("name", "python"))
            return "\n\n".join(text for cell in notebook.cells if (text := _cell(cell, language)))
        except Exception as error:  # what is of another form than its schema says is only warned of
            raise Unreadable(Message("it is no notebook that can be read ({error})", error=f"{error}"[:80])) from None


def _cell(cell: Any, language: str) -> str:
    source = str(cell.source).strip()
    if not source:
        return ""
    if cell.cell_type != "code":
        return source
    parts = [fenced(source, language)]
    for output in cell.get("outputs", ()):
        text = _output(output).strip()
        if len(text) > MAX_OUTPUT_CHARS:
            text = f"{text[:MAX_OUTPUT_CHARS]}\n… (cut: {len(text) - MAX_OUTPUT_CHARS:,} more characters)"
        if text:
            parts.append(f"Output:\n{fenced(text)}")
    return "\n".join(parts).strip()


def _output(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    data = output.get("data", {})
    text = data.get("text/markdown") or data.get("text/plain") or ""
    return text if isinstance(text, str) else json.dumps(text)


def of_html(body: bytes, url: str, charset: str | None) -> tuple[str, bool]:
    """The readable text of a page, as Markdown, and whether the page was too long to be read to its end. Raises
    ConfigurationError without trafilatura, and Unreadable."""
    try:
        import trafilatura
    except ImportError:
        said = Message("The page {url} was not read: the package {name} is not installed.", url=url, name="trafilatura")
        raise ConfigurationError(said, hint=_EXTRA) from None
    text = decoded(body, charset)
    page: str | bytes = body if text is None else text
    length = min(MAX_HTML_CHARS, _length(body, b"<") if text is None else _length(text, "<"))
    with _quiet("trafilatura"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = trafilatura.extract(
            page[:length], output_format="markdown", include_tables=True, include_comments=False
        )
    if not found:
        raise Unreadable(Message("no text was found in it; pages that scripts write are empty without them"))
    return str(found), length < len(page)


def _length(page: AnyStr, sign: AnyStr) -> int:
    """How much of a page has at most ``MAX_TAGS`` tags."""
    at = -1
    for _ in range(MAX_TAGS + 1):
        at = page.find(sign, at + 1)
        if at < 0:
            return len(page)
    return at


def decoded(body: bytes, charset: str | None) -> str | None:
    """``body`` in the encoding that its server names; None where that is none, none of texts, or another than it has."""
    with contextlib.suppress(LookupError, ValueError):
        if charset and _TEXT_ENCODING.fullmatch(codecs.lookup(charset).name):
            return body.decode(charset)
    return None


def _missing(path: Path, name: str) -> NoReturn:
    said = Message("{path} was not sent: the package {name} is not installed.", path=path, name=name)
    raise ConfigurationError(said, hint=_EXTRA) from None


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """What a library warns of a damaged file it logs; nobody who asks a question should read that."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
