"""Text out of what is no plain text: PDFs, notebooks, pages of the web. Each by a library of its own, from the extra ``context``."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from ...protocol.errors import ConfigurationError
from ...text.fences import fenced
from ...text.messages import Message

MAX_OUTPUT_CHARS: Final = 2_000
"""Of each output of a notebook's cell."""
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
            texts = [page.extract_text().strip() for page in reader.pages]
        except Unreadable:
            raise
        except Exception as error:  # a damaged file raises of any kind
            raise Unreadable(Message("it is no PDF that can be read ({error})", error=f"{error}"[:80])) from None
    if not any(texts):
        raise Unreadable(Message("there is no text in it, as in scanned pages; --image shows pictures"))
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"[page {number}]\n{text}" for number, text in enumerate(texts, 1))


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
        except Exception as error:
            raise Unreadable(Message("it is no notebook that can be read ({error})", error=f"{error}"[:80])) from None
    language = str(notebook.get("metadata", {}).get("language_info", {}).get("name", "python"))
    return "\n\n".join(text for cell in notebook.cells if (text := _cell(cell, language)))


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


def of_html(body: bytes, url: str, charset: str | None) -> str:
    """The readable text of a page, as Markdown. Raises ConfigurationError without trafilatura, and Unreadable."""
    try:
        import trafilatura
    except ImportError:
        said = Message("The page {url} was not read: the package {name} is not installed.", url=url, name="trafilatura")
        raise ConfigurationError(said, hint=_EXTRA) from None
    text: str | bytes = body
    with contextlib.suppress(LookupError, UnicodeDecodeError):
        text = body.decode(charset) if charset else body
    with _quiet("trafilatura"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = trafilatura.extract(text, output_format="markdown", include_tables=True, include_comments=False)
    if not found:
        raise Unreadable(Message("no text was found in it; pages that scripts write are empty without them"))
    return str(found)


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
