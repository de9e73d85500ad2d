"""Judges of rendered Markdown: real parsers, and a strict reading of the HTML that they make.

JupyterLab's own parser is JavaScript; what JupyterLab adds to it (formulas taken out of the source and put back into the
HTML, a fence's language written into an attribute as it is) is repeated here around a Python parser.
"""

from __future__ import annotations

import html
import re

from markdown_it import MarkdownIt
from nbconvert.filters.markdown_mistune import markdown2html_mistune

_ALLOWED = re.compile(
    r"</?(?:p|h[1-6]|ul|ol|li|blockquote|pre|code|em|strong|del|s|hr|br|table|thead|tbody|tr|th|td|span|div|dl|dt|dd)\s*/?>"
    r"|<h[1-6] id=\"[^\"<>]*\">"
    r"|<ol start=\"[0-9]+\">"
    r"|<t[hd] (?:style|align)=\"(?:text-align: ?)?[a-z]+;?\">"
    r"|<code class=\"language-[A-Za-z0-9_+#.-]+\">"
    r"|<(?:span|div|pre|li) class=\"[A-Za-z0-9_ -]+\">"
    r"|<input class=\"task-list-item-checkbox\" type=\"checkbox\" disabled(?: checked)?\s*/?>"
    r"|<a (?:class=\"anchor-link\" )?href=\"(?P<address>[^\"<>]*)\">|</a>"
)
_ADDRESS = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)


def fault(page: str) -> str | None:
    """The first thing in ``page`` that Markdown itself would not make, or None."""
    for start in re.finditer("<", page):
        tag = _ALLOWED.match(page, start.start())
        if tag is None:
            return page[start.start() : start.start() + 60]
        address = tag["address"]
        if address is not None and not _ADDRESS.match(html.unescape(address)):
            return tag[0]
    return None


_MATH_TOKEN = re.compile(
    r"(\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n\s*)+|@@\d+@@|\\\\[()\[\]])", re.IGNORECASE
)


def _hide_dollars(text: str) -> str:
    def hidden(match: re.Match[str]) -> str:
        return match[0].replace("$", "~D")

    text = text.replace("~", "~T")
    text = re.sub(r"^(?P<fence>`{3,}|(?:~T){3,})[^`\n]*\n([\s\S]*?)^(?P=fence)`*$", hidden, text, flags=re.M)
    return re.sub(r"(?:^|[^\\])(`+)([^\n]*?[^`\n])\1(?!`)", hidden, text, flags=re.M)


def _show_dollars(text: str) -> str:
    return re.sub("~([TD])", lambda match: {"T": "~", "D": "$"}[match[1]], text)


def take_formulas(text: str) -> tuple[str, list[str]]:
    """What JupyterLab's ``removeMath`` does before it parses: formulas leave marks behind."""
    formulas: list[str] = []
    hide = "`" in text or "~~~" in text
    pieces = _MATH_TOKEN.split(_hide_dollars(text) if hide else text)
    start: int | None = None
    last: int | None = None
    end, braces, at = "", 0, 1

    def take(first: int, final: int) -> None:
        formula = "".join(pieces[first : final + 1])
        pieces[first : final + 1] = [f"@@{len(formulas)}@@", *[""] * (final - first)]
        formula = html.escape(formula, quote=False)
        formulas.append(_show_dollars(formula) if hide else formula)

    while at < len(pieces):
        token = pieces[at]
        if token.startswith("@"):
            pieces[at] = f"@@{len(formulas)}@@"
            formulas.append(token)
        elif start is not None:
            if token == end:
                if braces:
                    last = at
                else:
                    take(start, at)
                    start = last = None
            elif token.startswith("\n") and token.count("\n") > 1:
                if last is not None:
                    at = last
                    take(start, last)
                start, last, braces = None, None, 0
            elif token == "{":
                braces += 1
            elif token == "}" and braces:
                braces -= 1
        elif token in ("$", "$$", "\\\\(", "\\\\["):
            start, braces = at, 0
            end = {"\\\\(": "\\\\)", "\\\\[": "\\\\]"}.get(token, token)
        elif token[1:6] == "begin":
            start, end, braces = at, "\\end" + token[6:], 0
        at += 2
    if start is not None and last is not None:
        take(start, last)
    text = "".join(pieces)
    return (_show_dollars(text) if hide else text), formulas


_COMMONMARK = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_NO_HTML = MarkdownIt("js-default", {"linkify": False})


def jupyterlab(text: str) -> str:
    """As JupyterLab, which leaves references as references where this parser resolves them."""
    text, formulas = take_formulas(text)

    def language_as_it_is(self: object, tokens: list[object], index: int, options: object, env: object) -> str:
        token = tokens[index]
        return f'<pre><code class="language-{token.info.strip() or "none"}">{html.escape(token.content)}</code></pre>'  # type: ignore[attr-defined]

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.add_render_rule("fence", language_as_it_is)
    return re.sub(r"@@(\d+)@@", lambda match: dict(enumerate(formulas)).get(int(match[1]), ""), parser.render(text))


RENDERERS = {
    "jupyterlab": jupyterlab,
    "nbconvert": markdown2html_mistune,
    "markdown-it": _COMMONMARK.render,
    "markdown-it without html": _NO_HTML.render,
}


def visible(page: str) -> str:
    """The text that a page shows, white space apart."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", page))).strip()


def code_blocks(page: str) -> list[str]:
    """The text of each code block."""
    return [html.unescape(re.sub(r"<[^>]*>", "", block)) for block in re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.S)]
