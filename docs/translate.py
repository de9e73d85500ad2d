"""The Chinese paragraphs of the site: keep them in step with the English pages, and see what is missing.

    python docs/translate.py update [PAGE ...]   # bring locale/zh_CN/LC_MESSAGES in step with the pages
    python docs/translate.py status              # how many paragraphs have no Chinese, page by page
    python docs/translate.py check               # the same, and fail where update would change a file or a whole page lacks one

A file a page (``metrics.po``). A paragraph whose English changed becomes fuzzy: it keeps its Chinese for whoever mends it, with
the English that this was made of, and the site shows English until the mark is gone. The files have no dates, no line numbers
and no wrapped lines, and the order of the page, so that what changes in them is what changed on the page. A paragraph that is a
sentence of the product (the columns of the log) takes its Chinese from the product's own catalogue, a name alone stays as it is, and
a picture has its words from their own entry.
"""

from __future__ import annotations

import argparse
import calendar
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from deepseek_magic.text.catalogue import catalogue

DOCS: Final = Path(__file__).parent
LOCALE: Final = DOCS / "locale" / "zh_CN" / "LC_MESSAGES"
WHOLE: Final = DOCS / "locale" / "whole.txt"
NOT_READ: Final = ("_build", "_generated", "_ext", "lite", "locale", "zh", "notebooks")
HEADER: Final = """msgid ""
msgstr ""
"Language: zh_CN\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
NAME: Final = re.compile(r"`[^`]+`(?: `[^`]+`)*|[\d.,:–% ×()−≤≥-]+|[PEL]\d+|[mµ]s|[kM]B")
"""A paragraph that is the same in every language: names in code, figures, units, rows of the benchmark."""
MEASURED: Final = re.compile(
    r"Measured (\d+) (\w+) (\d+), ([\d:]+) UTC, load ([\d.]+) before and ([\d.]+) after, rounds: (\d+)\."
)
VERSIONS: Final = "Versions: "
MONTHS: Final = tuple(calendar.month_name)
PICTURE: Final = re.compile(r"!\[(?P<words>[^\]]+)\]\((?P<file>[^)]+)\)")
A_SENTENCE: Final = 2
"""The spaces in a text that means the same wherever it stands; a word or two may not."""
BEFORE: Final = "|"
"""Marks the lines of a fuzzy entry that say what its English was."""


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=("update", "status", "check"))
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as metrics or benchmarks/report; else all")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        updated = {page: text for page, text in in_step(extract(Path(made))) if page in asked.pages or not asked.pages}
    if unknown := [page for page in asked.pages if page not in updated]:
        parser.error(f"no such page: {', '.join(unknown)}")
    stale = [page for page, text in updated.items() if current(page) != text]
    if asked.command == "update":
        for page in stale:
            target = LOCALE / f"{page}.po"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(updated[page], "utf-8")
        left = [] if asked.pages else sorted(path for path in LOCALE.rglob("*.po") if name(path) not in updated)
        for path in left:
            path.unlink()
        print(f"{len(stale)} files changed, {len(left)} removed")
    missing = {page: lacking(text) for page, text in updated.items()}
    for page, (number, of) in missing.items():
        if number or asked.pages:
            print(f"{number:5} of {of:4} without Chinese  {page}")
    print(f"{sum(number for number, _ in missing.values()):5} of {sum(of for _, of in missing.values()):4} in all")
    if asked.command != "check":
        return 0
    broken = [page for page in whole() if missing.get(page, (0, 0))[0]]
    for page in stale:
        print(f"not in step with its page, python docs/translate.py update mends it: {page}")
    for page in broken:
        print(f"named by {WHOLE.name}, yet not whole: {page}")
    return bool(stale or broken)


def name(path: Path) -> str:
    """The page of a catalogue."""
    return path.relative_to(LOCALE).with_suffix("").as_posix()


def whole() -> list[str]:
    """The pages that must have every paragraph."""
    return [line for line in WHOLE.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def current(page: str) -> str | None:
    """The catalogue of a page as it is on disk."""
    path = LOCALE / f"{page}.po"
    return path.read_text("utf-8") if path.exists() else None


def extract(folder: Path) -> Iterator[tuple[str, Catalog]]:
    """The English paragraphs of each page, by Sphinx's own builder. The notebooks are translated as notebooks."""
    build = [sys.executable, "-m", "sphinx", "--quiet", "--builder", "gettext", "-D", "nb_execution_mode=off"]
    build += [
        "-D",
        "suppress_warnings=toc.excluded,toc.not_readable,ref.doc",
        "-D",
        f"exclude_patterns={','.join(NOT_READ)}",
    ]
    subprocess.run([*build, "--doctree-dir", str(folder / "doctrees"), str(DOCS), str(folder / "pot")], check=True)
    for path in sorted((folder / "pot").rglob("*.pot")):
        page = path.relative_to(folder / "pot").with_suffix("").as_posix()
        with path.open("rb") as file:
            yield page, read_po(file)


def in_step(pages: Iterator[tuple[str, Catalog]]) -> Iterator[tuple[str, str]]:
    """The catalogue of each page as it should be on disk."""
    product = {plain(english): chinese for english, chinese in catalogue("zh").items()}
    for page, template in pages:
        found = current(page)
        kept = read_po(io.BytesIO(found.encode()), locale="zh_CN") if found else Catalog(locale="zh_CN")
        kept.update(template, no_fuzzy_matching=False)
        for entry in kept:
            if entry.id and (entry.fuzzy or not entry.string) and (found := known(str(entry.id), product, kept)):
                entry.string, entry.previous_id = found, []
                entry.flags.discard("fuzzy")
        yield page, HEADER + "\n".join(source(entry) for entry in kept if entry.id)


def known(english: str, product: Mapping[str, str], page: Catalog) -> str:
    """The Chinese that nobody has to write: of a name alone, a sentence of the product, a picture whose words have it, the date and
    the versions of a measurement; else ""."""
    if NAME.fullmatch(english):
        return english
    if date := MEASURED.fullmatch(english):
        day, month, year, hour, before, after, rounds = date.groups()
        when = f"{year} 年 {MONTHS.index(month)} 月 {day} 日 {hour}（UTC）"
        return f"测于 {when}，负载：之前 {before}，之后 {after}；共 {rounds} 轮。"
    if english.startswith(VERSIONS):
        return f"版本：{english.removeprefix(VERSIONS).removesuffix('.').replace(', ', '、')}。"
    if picture := PICTURE.fullmatch(english):
        words = page.get(picture["words"])
        return f"![{words.string}]({picture['file']})" if words and words.string else ""
    chinese = product.get(plain(english), "") if english.count(" ") >= A_SENTENCE else ""
    for name in re.findall(r"`([^`]+)`", english):
        chinese = re.sub(rf"(?<![\w.`]){re.escape(name)}(?![\w`])", f"`{name}`", chinese)
    return chinese


def source(entry: Message) -> str:
    """An entry as it stands in the file. Babel's own writer loses the former English of one that is still fuzzy."""
    before = [f"#{comment}" for comment in entry.user_comments if comment.startswith(BEFORE)]
    if entry.previous_id:
        before = [f"#{BEFORE} {line}" for line in quoted("msgid", str(entry.previous_id[0]))]
    lines = [f"# {comment}" for comment in entry.user_comments if not comment.startswith(BEFORE)]
    lines += ["#, fuzzy", *before] if entry.fuzzy else []
    return "\n".join([*lines, *quoted("msgid", str(entry.id)), *quoted("msgstr", str(entry.string or "")), ""])


def quoted(word: str, text: str) -> list[str]:
    """``msgid`` or ``msgstr`` with its text: one line, or each of its lines one."""
    lines = [json.dumps(line, ensure_ascii=False) for line in text.splitlines(keepends=True)] or ['""']
    return [f"{word} {lines[0]}"] if len(lines) == 1 else [f'{word} ""', *lines]


def plain(text: str) -> str:
    """A paragraph without the marks of code, as the product says it."""
    return text.replace("`", "")


def lacking(text: str) -> tuple[int, int]:
    """How many paragraphs of a catalogue have no Chinese, or one that is fuzzy, and how many there are."""
    entries = [entry for entry in read_po(io.BytesIO(text.encode())) if entry.id]
    return sum(1 for entry in entries if not entry.string or entry.fuzzy), len(entries)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
