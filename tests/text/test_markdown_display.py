"""What is shown is what was meant: code unchanged, formulas typeset, money left alone, links where they lead."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_magic.protocol.markdown import safe
from deepseek_magic.text.inline import code_span, plain_html
from tests.text.hostile import PAYLOADS
from tests.text.judges import RENDERERS, code_blocks, visible

HTML = [RENDERERS[name] for name in ("jupyterlab", "nbconvert", "markdown-it")]

CODE = '<div class="a">\n  <p>x &lt; 5 && y</p>\n\n  `tick` $HOME [a](b) *c* \\begin\n</div>'


@pytest.mark.parametrize("renderer", HTML)
@pytest.mark.parametrize(
    ("opening", "closing"),
    [("```text", "```"), ("````text", "````"), ("~~~text", "~~~"), ("```text", "```   ")],
)
def test_a_fence_shows_its_text_unchanged(renderer, opening: str, closing: str) -> None:
    assert code_blocks(renderer(safe(f"before\n{opening}\n{CODE}\n{closing}\nafter")))[0].rstrip("\n") == CODE


@pytest.mark.parametrize("renderer", HTML)
@pytest.mark.parametrize("marker", ["- ", "* ", "1. ", "10. ", "1) "])
def test_a_fence_in_a_list_shows_its_text_unchanged(renderer, marker: str) -> None:
    pad = " " * len(marker)
    block = "\n".join(pad + line if line else "" for line in ["```html", *CODE.replace("$", "").split("\n"), "```"])
    shown = renderer(safe(f"{marker}do this:\n{block}\n{marker}then that"))
    assert code_blocks(shown)[0].rstrip("\n") == CODE.replace("$", "")
    assert "<li>" in shown
    assert "then that" in visible(shown)


@pytest.mark.parametrize("renderer", HTML)
def test_a_fence_in_a_quote_shows_its_text_unchanged(renderer) -> None:
    assert code_blocks(renderer(safe("> see\n> ```html\n> <b>x</b>\n> ```\n> more")))[0].rstrip("\n") == "<b>x</b>"


@pytest.mark.parametrize("renderer", HTML)
@pytest.mark.parametrize(("first", "mark"), [("- a\n  ", "  "), ("> ", "> "), ("10. a\n    ", "    ")])
def test_code_that_looks_like_a_formula_stays_whole_in_every_container(renderer, first: str, mark: str) -> None:
    lines = ["```sh", "export A=$B", "echo $C `d`", "# \\begin{a} <e>", "```"]
    shown = renderer(safe(first + f"\n{mark}".join(lines)))
    assert code_blocks(shown)[0].rstrip("\n") == "\n".join(lines[1:-1])


@pytest.mark.parametrize("renderer", HTML)
def test_tabs_in_code_stay_tabs(renderer) -> None:
    assert code_blocks(renderer(safe("```text\nall:\n\tcc x\n```")))[0].rstrip("\n") == "all:\n\tcc x"


@pytest.mark.parametrize("renderer", HTML)
def test_indented_code_shows_its_text_unchanged(renderer) -> None:
    assert code_blocks(renderer(safe("so:\n\n    <b>\n\n      $x\n\nend")))[0].rstrip("\n") == "<b>\n\n  $x"


@pytest.mark.parametrize("renderer", HTML)
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("`<div>`", "<div>"),
        ("`` `a` <b> ``", "`a` <b>"),
        ("`\\begin{a}`", "\\begin{a}"),
        ("`a && b &lt; c`", "a && b &lt; c"),
        ("`$HOME`", "$HOME"),
        ("`$$`", "$$"),
        ("`C:\\`", "C:\\"),
        ("[`<b>`](https://a.example)", "<b>"),
        ("**`a<b>`**", "a<b>"),
    ],
)
def test_a_code_span_shows_its_text_unchanged(renderer, source: str, text: str) -> None:
    shown = renderer(safe(f"see {source} there"))
    assert visible(shown) == f"see {text} there"
    assert "<code>" in shown


@pytest.mark.parametrize("renderer", HTML)
def test_a_bar_in_code_within_a_table_stays_in_its_cell(renderer) -> None:
    shown = renderer(safe("| a | b |\n|---|---|\n| `x|y` | `x \\| <z>` |"))
    assert shown.count("<td") == 2
    assert "x|y" in visible(shown)
    assert "x | <z>" in visible(shown)


@pytest.mark.parametrize("renderer", HTML)
def test_html_outside_code_shows_as_it_was_written(renderer) -> None:
    assert (
        visible(renderer(safe("a <b>bold</b> &lt;i> 1 < 2 \\<u> AT&T &copy;"))) == "a <b>bold</b> <i> 1 < 2 <u> AT&T ©"
    )


@pytest.mark.parametrize(
    ("source", "written"),
    [
        (r"so \(a<b\) holds", "so $a< b$ holds"),
        (r"\( x_1 \)", "$x_1$"),
        ("\\[\na \\\\\n= b % why\n\\]", r"$$a \\ = b$$"),
        ("$$\na\n$$", "$$a$$"),
        ("- so\n  $$\n  a\n  $$", "- so\n  $$a$$"),
        (r"\begin{align}a&=b\end{align}", r"$$\begin{align}a&=b\end{align}$$"),
        ("$x^2$ and $ y_1 $", "$x^2$ and $y_1$"),
        (r"\(a\)\(b\)", "$a$ $b$"),
        ("$|x|$", "$|x|$"),
        ("| n |\n|---|\n| $|x|$ |", "| n |\n|---|\n| $\\vert{}x\\vert{}$ |"),
        (r"`\(a\)`", r"`\(a\)`"),
        (r"\(\text{\$5}\)", r"$\text{\$5}$"),
    ],
)
def test_formulas_are_written_with_dollars(source: str, written: str) -> None:
    assert safe(source) == written
    assert safe(written) == written


@pytest.mark.parametrize("renderer", HTML)
@pytest.mark.parametrize(
    ("source", "bold"),
    [
        ("这是**“重点”**内容", "“重点”"),
        ("**注意：**请先保存", "注意："),
        ("他说**（括号）**了", "（括号）"),
        ("**「引用」**是", "「引用」"),
        ("见**`code`**的", "code"),
        ("- **第一步：**打开`a`，**再**关", "第一步："),
        ("これは**「重要」**です", "「重要」"),
        ("값은**(예)**입니다", "(예)"),
    ],
)
def test_bold_that_touches_wide_punctuation_is_bold_everywhere(renderer, source: str, bold: str) -> None:
    shown = renderer(safe(source))
    assert visible(re.findall("<strong>(.*?)</strong>", shown)[0]) == bold
    assert visible(shown) == re.sub(r"[*`]|^- ", "", source)
    assert safe(safe(source)) == safe(source)


@pytest.mark.parametrize("text", ["2**(n+1) and 3**(n)", 'a**"b"**c', "这 ** 是 **", "x**", "**开 始 ** 了"])
def test_stars_that_are_no_emphasis_stay_as_they_are(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    "money",
    [
        "costs $5 and $6",
        "between $10k and $20k",
        "$5-$6",
        "US$5, A$6",
        "$1,000 per month or $12",
        "only $",
        "$5",
        "| $5 | $6 |",
    ],
)
def test_an_amount_of_money_is_not_a_formula(money: str) -> None:
    shown = safe(money)
    assert "$" not in shown
    assert visible(RENDERERS["markdown-it"](shown)) == money


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("[a](https://x.example/b_c?d=1&e=2)", "[a](https://x.example/b_c?d=1&amp;e=2)"),
        ('[a](http://x.example "title")', "[a](http://x.example)"),
        ("[a](mailto:me@x.example)", "[a](mailto:me@x.example)"),
        ("[a](#part-2)", "[a](#part-2)"),
        ("[维基](https://zh.example/维基_(a))", "[维基](https://zh.example/%E7%BB%B4%E5%9F%BA_%28a%29)"),
        ("![p](https://x.example/p.png)", "[🖼 p](https://x.example/p.png)"),
        ("![p](data:image/png;base64,AA)", "🖼 p"),
        ("- [ ] a\n- [x] b", "- [ ] a\n- [x] b"),
        ("x <br> y", "x <br> y"),
    ],
)
def test_links_stay_and_images_become_links(source: str, written: str) -> None:
    assert safe(source) == written


def test_a_link_that_leads_elsewhere_shows_as_it_was_written() -> None:
    assert visible(RENDERERS["nbconvert"](safe("[a](javascript:alert(1))"))) == "[a](javascript:alert(1))"


def test_plain_markdown_is_left_as_it_is() -> None:
    text = (
        "# Title\n\nSome *text*, **bold**, ~~gone~~, 中文 😀 and `code`.\nNext line  \nbroken.\n\n- a\n  - b\n\n1. c\n2. d\n\n"
        "> quote\n> more\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n\n---\n\n```python\nprint(1 < 2)\n```\n\nEnd!\n"
    )
    assert safe(text) == text


@pytest.mark.parametrize(
    "drawing",
    [
        "graph TD; A-->B",
        "graph TD\nA[x<br/>y] --> B",
        'flowchart LR\n  A[开始] --> B{"is it so?"}\n  B -- yes (50%) --> C((end))\n  B -.->|no| D[/in/]\n  %% a remark',
        "sequenceDiagram\n  participant A as Alice\n  A->>+B: How are you?\n  rect rgb(200, 150, 255)\n  B-->>-A: fine!\n  end",
        "classDiagram\n  Animal <|-- Duck\n  Animal : +int age\n  class Duck{\n    +swim()\n  }",
        "stateDiagram-v2\n  [*] --> Still\n  Still --> [*]",
        'erDiagram\n  CUSTOMER ||--o{ ORDER : places\n  ORDER {\n    string id "key"\n  }',
        "gantt\n  title Plan\n  dateFormat YYYY-MM-DD\n  axisFormat %m-%d\n  section A\n  One :a1, 2026-01-01, 30d",
        'pie title Pets\n  "Dogs" : 38.6',
        "mindmap\n  root((here))\n    One\n    Two",
        'gitGraph\n  commit id: "a"\n  branch b\n  checkout b',
    ],
)
def test_an_ordinary_drawing_is_drawn(drawing: str) -> None:
    assert safe(f"```mermaid\n{drawing}\n```") == f"```mermaid\n{drawing}\n```"


@pytest.mark.parametrize("name", [name for name in PAYLOADS if name.startswith("mermaid")])
def test_a_drawing_with_anything_else_in_it_is_shown_as_its_source(name: str) -> None:
    shown = safe(PAYLOADS[name])
    assert "```text" in shown
    assert "```mermaid" not in shown


words = st.sampled_from(
    ["word", "**bold**", "`a < b`", "`<div>`", "*x*", "1", "中文", "(a)", "x_y", "https://a.example/b"]
)
sentence = st.lists(words, min_size=1, max_size=5).map(" ".join)
code = st.lists(
    st.sampled_from(["<b>", "x = 1", "", "  y", "if a < b:", "# c", "- d", "> e", "| f |"]), min_size=1, max_size=5
)


def fenced(lines: list[str]) -> str:
    return "```html\n" + "\n".join(lines) + "\n```"


block = st.one_of(
    sentence,
    sentence.map(lambda text: "## " + text),
    code.map(fenced),
    sentence.map(lambda text: f"- {text}\n  - {text}\n- {text}"),
    st.tuples(sentence, code).map(
        lambda both: f"1. {both[0]}\n\n   " + fenced(both[1]).replace("\n", "\n   ") + f"\n2. {both[0]}"
    ),
    sentence.map(lambda text: f"> {text}\n> {text}"),
    sentence.map(lambda text: f"| {text} | b |\n|---|---|\n| 1 | {text} |"),
)


@given(st.lists(block, min_size=1, max_size=6).map("\n\n".join))
@settings(max_examples=200, deadline=None)
def test_ordinary_answers_look_as_without_us(text: str) -> None:
    for renderer in (RENDERERS["markdown-it"], RENDERERS["nbconvert"]):
        ours, theirs = renderer(safe(text)), renderer(text)
        assert visible(ours) == visible(theirs)
        assert code_blocks(ours) == code_blocks(theirs)


@given(st.text(st.characters(codec="utf-8"), max_size=200))
@settings(deadline=None)
def test_safe_is_total(text: str) -> None:
    safe(text)


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("<strong>bold", "&lt;strong>bold"),
        ("[ ](https://example.com)", "&#91; &#93;(https://example.com)"),
        (r"\\(x + y\\)", "$x + y$"),
        (r"\(a \\) b\)", r"$a \\) b$"),
        (r"\(a \( b\)", "&#40;a $b$"),
        ("-      x", "- x"),
    ],
)
def test_what_is_seldom_written_has_one_reading(source: str, written: str) -> None:
    assert safe(source) == written


def test_code_without_content_is_nothing_and_plain_html_has_no_syntax() -> None:
    assert code_span("") == ""
    assert plain_html("a < $b$ \\(c") == "a &lt; <span>&#36;</span>b<span>&#36;</span> <span>&#92;</span>(c"
