"""One run of Markdown text → the same text with nothing in it that a front end would run, load or misread.

The rule that carries the safety: whatever this module does not recognise for certain is written as character
references, which no Markdown parser, no HTML parser and no math scanner takes for syntax. Only four things leave here
as syntax: emphasis, code spans on one line, formulas, and links to http, https, mailto or an anchor.

Four readers have to agree on what they see, and they cut differently: JupyterLab takes formulas out of the *source*
before Markdown and puts them back into the *HTML* (rendermime/latex.ts), so a formula inside a link address would end
up inside an attribute; nbconvert looks for ``$$`` and ``\\begin`` across blocks before anything else; MathJax then reads
the finished page again, so that even a written-out ``$`` is a delimiter unless an element's border parts it from the next.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

DOLLAR: Final = "<span>&#36;</span>"
"""A dollar sign that is only a dollar sign: MathJax pairs delimiters within one element's text only."""

_BACKSLASH: Final = "<span>&#92;</span>"
_AT: Final = "<span>&#64;</span>"
_PARTED: Final = {"$": DOLLAR, "\\": _BACKSLASH, "@": _AT}
_BREAK: Final = "<br>"

_SPECIAL: Final = re.compile(r"[<`$\\&\[\]!~@*]")
_BACKTICKS: Final = re.compile(r"`+")
_OWN: Final = re.compile(r"<span>&#(?:36|64|92);</span>|<code>(?:&#[0-9]{2,3};|[^\x00-\x1f!-/:-@\[-`{-~])+</code>")
"""What this module itself writes passes, so that making safe twice shows the same."""
_OWN_TAG: Final = re.compile(r"<(/?)(em|strong)>")
_LINE_BREAK: Final = re.compile(r"<br[ ]?/?>", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z;\x80-\U0010ffff]")
_AUTOLINK: Final = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,2000})>", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LINK: Final = re.compile(
    r"\[((?:[^\[\]\\`$]|\\.|`[^`\[\]\\]*`){0,2000})\]"
    r"\([ \t]*(<[^<>\n]{0,4000}>|(?:[^\s()<>\\]|\\.|\([^\s()<>\\]{0,1000}\)){0,4000})"
    r"(?:[ \t]+(?:\"[^\"]{0,1000}\"|'[^']{0,1000}'))?[ \t]*\)"
)
_ALLOWED_ADDRESS: Final = re.compile(r"https?://[^/?#\s]|mailto:[^\s]|#[^\s]*\Z", re.IGNORECASE)
_ADDRESS_SAFE: Final = "/?#:;,=+%.~_-!&"
_UNSEEN: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")

_WIDE: Final = "\u2010"
"""From here on there are the punctuation and the letters of languages that put no spaces between words."""
_QUOTES: Final = frozenset("\"'`")
_TAGS: Final = {"*": "em", "**": "strong"}

_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
_ASCII_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_MISREAD_IN_CODE: Final = re.compile(r"\\(?:begin|end)\{|\\\\[()\[\]]|@@|\$\$")
"""In a code span these still start a formula for JupyterLab (not hidden by its code-span rule) or for nbconvert."""

_CELL_BORDER: Final = re.compile(r"(?<!\\)[ \t]\|[ \t]")
_TYPESET_AFTER_BACKSLASH: Final = re.compile(r"(?:begin|end|ref|eqref)\b")
_ENVIRONMENT: Final = re.compile(r"begin\{([a-zA-Z]{1,20}\*?)\}")
_TAG_LIKE: Final = re.compile(r"<(?=[A-Za-z/!?])")
_COMMAND: Final = re.compile(r"\\([A-Za-z]+)")
_FORBIDDEN: Final = frozenset(
    re.findall(
        r"\w+",
        "href url style class cssId id data unicode require bbox mmlToken toggle mathtip texttip tooltip action def "
        "gdef edef xdef let futurelet global long csname catcode char input openin openout read write immediate "
        "special label ref eqref tag Newextarrow enclose loop",
    )
)
_FORBIDDEN_BEGINNINGS: Final = ("Declare", "new", "renew", "provide", "define", "include", "html", "set", "use")
_HARMLESS: Final = frozenset(
    re.findall(
        r"\w+",
        "newline set Set setminus subset supset Subset Supset nsubset nsupset sqsubset sqsupset emptyset underset overset",
    )
)
"""Commands that make links, styles, classes, ids, loads or lasting definitions in MathJax, KaTeX or their extensions.
Extensions add new ones, so every name that declares, redefines or sets something is taken for one of them."""

_CELL_SPLITTER: Final = re.compile(r"\\.|\|")
_BARS: Final = {"|": r"\vert{}", r"\|": r"\Vert{}"}

_FORMULA_TOKEN: Final = re.compile(r"(`+)[^`]*\1|\\(?:begin|end)\{[a-zA-Z]{1,20}\*?\}|\\.|\$\$")
_CLOSED_BY: Final = {r"\[": r"\]", r"\(": r"\)", "$$": "$$"}
_MAX_WORD_CHARS: Final = 2_000
_MAX_FORMULA_CHARS: Final = 8_000
_NUMBER_THEN_WORDS: Final = re.compile(r"[0-9][0-9.,]*[kKmMbB%+]?[ ,;:/-]+(?=[^\\^_={}]*[^\W\d_]{2})[^\\^_={}]*\Z")
_SPACED_FORMULA: Final = re.compile(r"[\\^_=<>+*]|\A *[A-Za-z] *\Z")


def inline(text: str, *, table: bool = False, links: bool = True) -> str:
    """``text`` (one line, no container markers) made inert. ``table``: a ``|`` may part it into cells."""
    return _Run(text, table, links).rewrite()


def code_span(content: str, *, table: bool = False, element: bool = False) -> str:
    """``content`` shown as code within a line.

    As backticks where every parser reads those alike, else (or if ``element``) as a ``code`` element around character
    references. One space at both ends is padding, as between backticks.
    """
    if not content:
        return ""
    if element or "`" in content or _MISREAD_IN_CODE.search(content) or (table and "|" in content):
        if content[0] == content[-1] == " " and content.strip(" "):
            content = content[1:-1]
        return f"<code>{_references(content.replace(chr(92) + '|', '|') if table else content)}</code>"
    return f"`{content}`"


def code_element(lines: list[str]) -> str:
    """A code block on one line that reads alike in every container, at the price of its colours."""
    return f"<pre><code>{'&#10;'.join(_references(line) for line in lines)}</code></pre>"


def plain_html(text: str) -> str:
    """``text`` as content of an HTML element: neither the page nor MathJax, which reads it afterwards, finds syntax in it."""
    return html.escape(text).replace("\\", _BACKSLASH).replace("$", DOLLAR)


def _references(text: str) -> str:
    return _PUNCTUATION.sub(lambda match: f"&#{ord(match[0])};", text)


def formula_left_open(line: str) -> tuple[str, int] | None:
    r"""The end that a formula left open on ``line`` waits for (``\]``, ``\)``, ``$$``, ``\end{name}``) and its column."""
    if "\\" not in line and "$$" not in line:
        return None
    closer, column = "", 0
    for match in _FORMULA_TOKEN.finditer(line):
        token = match[0]
        if closer:
            closer = "" if token == closer else closer
        elif token in _CLOSED_BY or token.startswith(r"\begin"):
            closer = _CLOSED_BY.get(token) or r"\end" + token[len(r"\begin") :]
            column = match.start()
    return (closer, column) if closer else None


@dataclass(eq=False, slots=True)
class _Run:
    """Rewrites one line from left to right; every handler takes a position and returns the next."""

    text: str
    table: bool
    links: bool
    out: list[str] = field(default_factory=list)
    closing_ticks: dict[int, list[int]] | None = None
    stars: list[tuple[str, int, int, bool]] = field(default_factory=list)
    """Run, column, place in ``out``, whether it opens to everyone."""
    own_tags: list[str] = field(default_factory=list)

    def rewrite(self) -> str:
        text, out, position = self.text, self.out, 0
        handlers = {
            "<": self._angle,
            "`": self._backtick,
            "$": self._dollar,
            "\\": self._backslash,
            "&": self._ampersand,
            "[": self._bracket,
            "]": self._plain_reference,
            "!": self._bang,
            "~": self._tilde,
            "@": self._at,
            "*": self._star,
        }
        while match := _SPECIAL.search(text, position):
            if match.start() > position:
                out.append(text[position : match.start()])
            position = handlers[match[0]](match.start())
        out.append(text[position:])
        return "".join(out)

    def _plain_reference(self, at: int) -> int:
        self.out.append(f"&#{ord(self.text[at])};")
        return at + 1

    def _angle(self, at: int) -> int:
        if own := _OWN.match(self.text, at) or self._own_tag(at):
            self.out.append(own[0])
            return own.end()
        if line_break := _LINE_BREAK.match(self.text, at):
            # Alone on a line, whatever containers it is in, it would open an HTML block, in which backticks are not code.
            self.out.append(_BREAK if any(map(_WORD.search, self.out)) else f"&#32;{_BREAK}")
            return line_break.end()
        if self.links and (link := _AUTOLINK.match(self.text, at)) and (address := _address(link[1])):
            self.out.append(f"[{_references(link[1])}]({address})")
            return link.end()
        self.out.append("&lt;")
        return at + 1

    def _own_tag(self, at: int) -> re.Match[str] | None:
        """One of the tags that ``_star`` writes, if it has its other half on this line."""
        tag = _OWN_TAG.match(self.text, at)
        if tag is None or (tag[1] and self.own_tags[-1:] != [tag[2]]):
            return None
        if tag[1]:
            self.own_tags.pop()
        elif self.text.find(f"</{tag[2]}>", tag.end(), tag.end() + _MAX_WORD_CHARS) > 0:
            self.own_tags.append(tag[2])
        else:
            return None
        return tag

    def _backtick(self, at: int) -> int:
        run = _BACKTICKS.match(self.text, at)
        assert run is not None
        if self.closing_ticks is None:
            self.closing_ticks = {}
            for other in reversed(list(_BACKTICKS.finditer(self.text))):
                self.closing_ticks.setdefault(len(other[0]), []).append(other.start())
        ends = self.closing_ticks.get(len(run[0]), [])
        while ends and ends[-1] < run.end():
            ends.pop()
        content = self.text[run.end() : ends[-1]] if ends else ""
        if not ends or (self.table and _CELL_BORDER.search(content)):
            self.out.append("&#96;" * len(run[0]))
            return run.end()
        self._code(content, at)
        return ends[-1] + len(run[0])

    def _code(self, content: str, at: int) -> None:
        """Write ``content`` as code; as an element where backticks next to its neighbours would be misread."""
        element = (not self.links and re.search(r"[\[\]\\<]", content) is not None) or self._in_address(at)
        self._push(code_span(content, table=self.table, element=element), "`")

    def _in_address(self, at: int) -> bool:
        """Whether the word before may be a bare address: GFM takes backticks into it, and what follows is not code."""
        near = self.text[max(0, at - _MAX_WORD_CHARS) : at]
        word = near[max(near.rfind(" "), near.rfind("\t")) + 1 :]
        return len(word) == _MAX_WORD_CHARS or any(sign in word for sign in ("://", "www.", "@", "mailto:", "xmpp:"))

    def _push(self, piece: str, delimiter: str) -> None:
        """Add ``piece``, kept apart from a neighbour that ends in the same delimiter."""
        if self.out and self.out[-1].endswith(delimiter) and piece.startswith(delimiter):
            self.out.append(" ")
        self.out.append(piece)

    def _ampersand(self, at: int) -> int:
        entity = _ENTITY.match(self.text, at)
        if entity is None:
            self.out.append("&amp;" if self.text.startswith("&#", at) else "&")
            return at + 1
        self.out.append(_PARTED.get(html.unescape(entity[0]), entity[0]))
        return entity.end()

    def _end_of_run(self, at: int) -> int:
        """Where the run of the character at this position ends."""
        end = at
        while self.text.startswith(self.text[at], end):
            end += 1
        return end

    def _tilde(self, at: int) -> int:
        end = self._end_of_run(at)
        # Three may be a fence; marked reads "~`" as one piece of text and so misses the code span.
        apart = "`" not in self.text[max(0, at - 1) : at] + self.text[end : end + 1]
        self.out.append(self.text[at:end] if end - at < 3 and apart else "&#126;" * (end - at))
        return end

    def _at(self, at: int) -> int:
        # "@@3@@" is JupyterLab's own mark for the fourth formula.
        end = self._end_of_run(at)
        self.out.append("@" + _AT * (end - at - 1))
        return end

    def _star(self, at: int) -> int:
        """A run of stars, which CommonMark does not take for a border of emphasis between a letter and punctuation.

        Languages without spaces write just that (``说**“好”**了``). There a pair of runs is written as a pair of tags; in
        ``2**(n+1)`` it is not.
        """
        end = self._end_of_run(at)
        run, before, after = self.text[at:end], self.text[at - 1 : at] or " ", self.text[end : end + 1] or " "
        closes = not before.isspace() and (not _marks(before) or after.isspace() or _marks(after))
        opens = not after.isspace() and (not _marks(after) or before.isspace() or _marks(before))
        wide = max(before, after) >= _WIDE
        if self.stars and self.stars[-1][0] == run and (closes or (wide and not before.isspace())):
            _, opened, place, known = self.stars.pop()
            apart = self.table and self.text.find("|", opened, at) > 0
            if run in _TAGS and not (known and closes) and not apart:
                self.out[place], run = f"<{_TAGS[run]}>", f"</{_TAGS[run]}>"
        elif opens or (wide and (after in _QUOTES or unicodedata.category(after) in ("Ps", "Pi"))):
            self.stars.append((run, at, len(self.out), opens))
        self.out.append(run)
        return end

    def _bang(self, at: int) -> int:
        if self.links and (image := _LINK.match(self.text, at + 1)):
            self._image(image)
            return image.end()
        # Before anything that may come out as a link, a bare "!" would make it an image.
        following = self.text[at + 1 : at + 2]
        self.out.append("!" if not following or following.isspace() or following.isalnum() else "&#33;")
        return at + 1

    def _image(self, image: re.Match[str]) -> None:
        """An image is not loaded, for loading it would tell its host that the answer was read: text and a link."""
        label = inline(image[1], table=self.table, links=False).strip() or "image"
        address = _address(image[2])
        self.out.append(f"[🖼 {label}]({address})" if address else f"🖼 {label}")

    def _bracket(self, at: int) -> int:
        if self.links and (link := _LINK.match(self.text, at)) and (address := _address(link[2])):
            label = inline(link[1], table=self.table, links=False)
            if label.strip():
                self.out.append(f"[{label}]({address})")
                return link.end()
        return self._plain_reference(at)

    def _backslash(self, at: int) -> int:
        text = self.text
        following = text[at + 1 : at + 2]
        if following == "\\" and text[at + 2 : at + 3] in ("(", "["):
            if end := self._formula(at, "\\\\" + text[at + 2], "\\\\" + _CLOSING[text[at + 2]]):
                return end
        elif following in _CLOSING and (end := self._formula(at, "\\" + following, "\\" + _CLOSING[following])):
            return end
        if environment := _ENVIRONMENT.match(text, at + 1):
            opening, closing = "\\" + environment[0], "\\end{" + environment[1] + "}"
            if end := self._formula(at, opening, closing):
                return end
        if following in _PARTED:
            self.out.append(_PARTED[following])
            return at + 2
        if following in _ASCII_PUNCTUATION and following:
            self.out.append(f"&#{ord(following)};")
            return at + 2
        self.out.append(_BACKSLASH if _TYPESET_AFTER_BACKSLASH.match(text, at + 1) else "\\")
        return at + 1

    def _dollar(self, at: int) -> int:
        width = 2 if self.text.startswith("$$", at) else 1
        if end := self._formula(at, "$$", "$$") if width == 2 else self._inline_formula(at):
            return end
        self.out.append(DOLLAR * width)
        return at + width

    def _inline_formula(self, at: int) -> int | None:
        """``$…$`` unless it is money: pandoc's rule for the borders, and a number that goes on in words is a price."""
        end = _unescaped_dollar(self.text, at + 1)
        if end is None:
            return None
        content = self.text[at + 1 : end]
        before, after = self.text[at - 1 : at], self.text[end + 1 : end + 2]
        spaced = content[:1] in (" ", "\t") or content[-1:] in (" ", "\t")
        if spaced and not (content[0] == content[-1] == " " and _SPACED_FORMULA.search(content)):
            return None
        if after.isdigit() or (before.isalnum() and before.isascii()) or _NUMBER_THEN_WORDS.match(content):
            return None
        formula = _formula(content, table=self.table)
        if formula is None:
            return None
        self._push(f"${formula}$", "$")
        return end + 1

    def _formula(self, at: int, opening: str, closing: str) -> int | None:
        """The formula that opens here, written with dollars; one that may not be typeset is shown as its source."""
        start = at + len(opening)
        end = self.text.find(closing, start, start + _MAX_FORMULA_CHARS)
        while end > 0 and closing[0] == "\\" and (end - len(self.text[:end].rstrip("\\"))) % 2:  # it is escaped
            end = self.text.find(closing, end + 1, start + _MAX_FORMULA_CHARS)
        if end <= 0:
            return None
        content = self.text[start:end]
        if closing != "$$" and opening in content and not opening.startswith(r"\begin"):
            return None
        whole = self.text[at : end + len(closing)]
        environment = opening.startswith(r"\begin")
        formula = _formula(whole if environment else content, table=self.table)
        if formula is None:
            self._code(whole, at)
        elif opening[-1] == "(":
            self._push(f"${formula}$", "$")
        else:
            self._push(f"$${formula}$$", "$")
        return end + len(closing)


_CLOSING: Final = {"(": ")", "[": "]"}


def _unescaped_dollar(text: str, start: int) -> int | None:
    """The position of the next single ``$`` that no backslash escapes."""
    match = re.compile(r"(?:[^$\\`]|\\.)*\$").match(text, start)
    if match is None or text.startswith("$", match.end()):
        return None
    return match.end() - 1


def _formula(source: str, *, table: bool) -> str | None:
    """``source`` as a formula that every typesetter delimits alike and none acts on, or None."""
    source = source.strip(" \t")
    if not source or len(source) > _MAX_FORMULA_CHARS or "`" in source or "@@" in source:
        return None
    if source[-1] == "\\" or any(map(_acts, _COMMAND.findall(source))):
        return None
    if not _balanced(source):
        return None
    # A quotation mark would end the attribute into which JupyterLab may have moved the formula.
    source = _TAG_LIKE.sub("< ", source.replace('"', "”").replace("](", "] ("))
    return _CELL_SPLITTER.sub(lambda match: _BARS.get(match[0], match[0]), source) if table else source


def _marks(character: str) -> bool:
    """Whether a parser may take ``character`` for punctuation; about symbols they differ."""
    return unicodedata.category(character)[0] in "PS"


def _acts(command: str) -> bool:
    """Whether a command of TeX may do more than to typeset."""
    suspect = command in _FORBIDDEN or command.startswith(_FORBIDDEN_BEGINNINGS) or command.endswith("set")
    return suspect and command not in _HARMLESS


def _balanced(source: str) -> bool:
    r"""Whether braces balance, as TeX reads ``\\\\}`` and as JupyterLab does, and no bare ``$`` is between."""
    depths = []
    for tokens in (r"\\.|[{}$]", r"\\[{}$]|[{}$]"):
        depth = 0
        for token in re.findall(tokens, source):
            depth += {"{": 1, "}": -1}.get(token, 0)
            if depth < 0 or token == "$":
                return False
        depths.append(depth)
    return depths == [0, 0]


def _address(raw: str) -> str | None:
    """Where a link leads, written so that it can only be an address; None if it may not be a link."""
    raw = raw.removeprefix("<").removesuffix(">")
    plain = html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", raw))
    plain = _UNSEEN.sub("", plain)
    if not _ALLOWED_ADDRESS.match(plain):
        return None
    mail = plain[:7].lower() == "mailto:"
    address = quote(plain, safe=_ADDRESS_SAFE + ("@" if mail and "@@" not in plain else ""))
    return address.replace("&", "&amp;").replace("!", "%21")
