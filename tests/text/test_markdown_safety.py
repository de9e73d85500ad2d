"""What a model writes can never run, load or lead astray where it is shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_magic.protocol.markdown import Segmenter, safe
from tests.text.hostile import PAYLOADS
from tests.text.judges import RENDERERS, fault
from tests.work import calls_made

PIECES = [
    *(
        "<img src=x onerror=alert(1)>",
        "<script>",
        "</code>",
        "<!--",
        "-->",
        "<br>",
        "<div>\n",
        "<pre>",
        "<https://a.b>",
        "<x:y>",
    ),
    *(
        "```",
        "````",
        "~~~",
        '``` "><img src=x onerror=alert(1)>',
        "```mermaid\n",
        "```~",
        "\n```\n",
        "\n  ```\n",
        "\n> ```\n",
    ),
    *("`", "``", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\\\(", "\\\\)", "\\begin{a}", "\\end{a}", "{", "}", "\\"),
    *(
        "@@0@@",
        "|",
        "\\|",
        "[",
        "]",
        "](",
        "![",
        "[a](",
        "](javascript:alert(1))",
        "](https://x.y/$",
        "[a]: javascript:alert(1)",
    ),
    *(
        '"onmouseover=alert(1) x="',
        "&lt;",
        "&#36;",
        "&#96;",
        "&",
        "*",
        "**",
        "_",
        "~",
        "~~",
        "!",
        ":",
        "a",
        " ",
        "https://a.b/",
    ),
    *(
        "\n",
        "\n\n",
        "\n- ",
        "\n  - ",
        "\n1. ",
        "\n> ",
        "\n>",
        "\n    ",
        "\n  ",
        "\n\t",
        "\n# ",
        "\n|---|---|\n",
        "\n---",
        "\n- [ ] ",
    ),
    *("\r", "\u2028", "\u00a0", "\x0b", "\x00", "中文", "😀"),
]
documents = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS)
@pytest.mark.parametrize("text", PAYLOADS.values(), ids=PAYLOADS)
def test_no_payload_leaves_more_than_markdown_in_any_renderer(text, renderer) -> None:
    assert fault(renderer(safe(text))) is None


@pytest.mark.parametrize(
    "command",
    [
        "href",
        "url",
        "style",
        "class",
        "cssId",
        "require",
        "unicode",
        "htmlData",
        "includegraphics",
        "def",
        "gdef",
        "let",
        "newcommand",
        "renewcommand",
        "providecommand",
        "DeclareMathOperator",
        "DeclarePairedDelimiters",
        "DeclarePairedDelimitersX",
        "DeclareAnything",
        "Newextarrow",
        "newtagform",
        "renewtagform",
        "usetagform",
        "mathtoolsset",
        "setOptions",
        "definecolor",
        "enclose",
        "csname",
        "tag",
        "label",
    ],
)
@pytest.mark.parametrize("formula", ["${}$", "$${}$$", "\\({}\\)", "\\[{}\\]", "\\begin{{align}}{}\\end{{align}}"])
def test_a_formula_that_links_loads_styles_or_defines_is_shown_as_its_source(command: str, formula: str) -> None:
    shown = safe(formula.format(f"\\{command}{{\\alpha}}{{x}}"))
    assert "$" not in re.sub(r"`[^`]*`|<code>[^<]*</code>", "", shown)


@pytest.mark.parametrize(
    "formula", ["a \\subset b", "\\emptyset", "\\underset{x}{y}", "\\set{a}", "A \\setminus B", "a\\newline b"]
)
def test_a_command_that_only_typesets_stays_a_formula(formula: str) -> None:
    assert safe(f"${formula}$") == f"${formula}$"


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_prefix_of_a_payload_is_less_safe_than_the_whole(name: str) -> None:
    text = PAYLOADS[name]
    for end in range(0, len(text), 3):
        for renderer in (RENDERERS["jupyterlab"], RENDERERS["nbconvert"]):
            assert fault(renderer(safe(text[:end]))) is None, text[:end]


def test_the_judges_know_the_payloads_for_what_they_are() -> None:
    bite = {
        name for name, text in PAYLOADS.items() if any(fault(RENDERERS[r](text)) for r in ("jupyterlab", "nbconvert"))
    }
    assert len(bite) > 90  # the rest needs a browser, MathJax, mermaid or marked to bite


@given(documents)
@settings(max_examples=400, deadline=None)
def test_no_arrangement_of_adversarial_pieces_leaves_more_than_markdown(text: str) -> None:
    shown = safe(text)
    for name, renderer in RENDERERS.items():
        assert fault(renderer(shown)) is None, (name, shown)


@given(documents)
@settings(max_examples=200, deadline=None)
def test_settled_segments_and_open_tails_are_safe_on_their_own(text: str) -> None:
    segmenter = Segmenter()
    shown = []
    for at in range(0, len(text), 7):
        segmenter.feed(text[at : at + 7])
        shown += segmenter.settled()
        shown.append(segmenter.tail())
    shown += segmenter.finish()
    for part in shown:
        assert fault(RENDERERS["jupyterlab"](part)) is None, part


@given(documents)
@settings(max_examples=200, deadline=None)
def test_made_safe_twice_it_stays_as_safe(text: str) -> None:
    assert fault(RENDERERS["jupyterlab"](safe(safe(text)))) is None


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "`",
        "$",
        "\\(",
        "\\[",
        "![](",
        "**",
        "> ",
        "- ",
        "<",
        "`a ",
        "$$",
        "\n```",
        "\n> ",
        "\n\\[",
        "[a](b ",
        "\n- - ",
    ],
)
def test_work_grows_in_step_with_the_text(piece: str) -> None:
    def calls(text: str) -> int:
        return calls_made(lambda: safe(text))

    assert calls(piece * 4_000) < 5 * calls(piece * 1_000) + 1_000
