"""The extension of JupyterLab and Notebook 7: prompts look like prompts, code of answers has buttons, and nothing else changes."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from typing import Any, Final

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol import template

from .conftest import TOKEN, Lab, Page
from .panel_page import Panel

Open = Callable[..., Page]
LOAD: Final = "%load_ext deepseek_magic"
BODY: Final = """\
Our dataset {dataset} has {rows} rows and {nothing} else; `{rows} here` and $x_{rows}$ stay, as {{rows}} does. **Plan** an
analysis for and with it, in one line that is so long that it has to be wrapped, or its end would be out of sight for all who read it.
---
for x in {rows}: while it is not None"""
PROMPT: Final = f"%%deepseek -o plan --think off --no-history\n{BODY}"
FRONT_ENDS: Final = pytest.mark.parametrize("where", ["doc/tree", "notebooks"])
LANGUAGE: Final = "node => node.querySelector('.cm-content').dataset.language"
WRAPS: Final = "node => { const one = node.querySelector('.cm-scroller'); return one.scrollWidth <= one.clientWidth; }"


def names(page: Page, cell: int, kind: str) -> list[str]:
    return list(page.cell(cell).locator(f".deepseek-magic-name.mod-{kind}").all_inner_texts())


def language(page: Page, cell: int) -> str:
    return str(page.cell(cell).evaluate(LANGUAGE))


@FRONT_ENDS
def test_a_prompt_wraps_is_markdown_and_shows_which_names_the_kernel_knows(
    open_notebook: Open, demo: DemoServer, where: str
) -> None:
    demo.pace, demo.fault = 0.0, None
    page = open_notebook([f"{LOAD}\ndataset, rows = 'penguins', 344", PROMPT, "for x in range(3): pass"], where=where)
    prompt = page.cell(1)
    page.wait_until(lambda: language(page, 1) == "markdown")
    assert prompt.evaluate(WRAPS)
    assert prompt.locator(".deepseek-magic-line").inner_text() == PROMPT.partition("\n")[0]
    colour = "(node, text) => getComputedStyle([...node.querySelectorAll('.cm-line span')].find(one => one.textContent === text)).fontWeight"
    assert int(prompt.evaluate(colour, "Plan")) >= 600
    assert not prompt.locator(".cm-line span", has_text="while").count()  # no word of Python is one here
    assert language(page, 2) == "python"
    assert names(page, 1, "known") == names(page, 1, "unknown") == []  # nobody has said what there is

    page.run(0)
    page.wait_until(lambda: names(page, 1, "known") == ["{dataset}", "{rows}", "{rows}"])
    assert names(page, 1, "unknown") == ["{nothing}"]
    page.screenshot(f"labextension_light_{where.partition('/')[0]}")

    # what is sent is what stands there
    page.run(1)
    sent = BODY.replace("{dataset}", "penguins").replace("{{rows}}", "{(rows)}")
    sent = sent.replace(" {rows} rows", " 344 rows").replace("in {rows}", "in 344").replace("{(rows)}", "{rows}")
    assert demo.requests[-1].body["messages"][-1]["content"] == sent

    # a name that appears or goes is told after the cell that did it
    editor = page.cell(2).locator(".cm-content")
    editor.fill("nothing = 1; del rows")
    page.run(2)
    page.wait_until(lambda: names(page, 1, "known") == ["{dataset}", "{nothing}"])
    assert names(page, 1, "unknown") == ["{rows}", "{rows}"]

    # nor is anything filled where --raw says so
    editor.fill("%%deepseek --raw\n{dataset}")
    page.wait_until(lambda: language(page, 2) == "markdown")
    assert names(page, 2, "known") == []

    # the look follows the first line, at the key that makes it one
    keyboard = page.page.keyboard
    editor.fill("for x in 'abc': pass")
    assert language(page, 2) == "python"
    editor.press("Control+Home")
    keyboard.type("%%deepsee")
    assert language(page, 2) == "python"
    keyboard.type("k")
    assert language(page, 2) == "python"  # %%deepseekfor
    keyboard.press("Enter")
    assert language(page, 2) == "markdown"
    keyboard.press("Backspace")
    assert language(page, 2) == "python"
    assert not page.cell(2).locator(".deepseek-magic-line").count()

    # with the kernel goes what it knew
    page.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_until(lambda: names(page, 1, "known") == names(page, 1, "unknown") == [])


MESSAGES: Final = r"""() => {
  window.sent = [];
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  kernel.anyMessage.connect((_kernel, { direction, msg }) => {
    const what = `${msg.header.msg_type} ${msg.content.target_name ?? ""}`;
    // JupyterLab asks for the debugger's state and for widgets and ends subshells, when it has the time.
    if (direction === "send" && !/^debug_request|subshell_request|jupyter\.widget/.test(what)) window.sent.push(what);
  });
}"""
RUN: Final = "execute_request "
ASK: Final = "comm_info_request deepseek_magic.names"


def test_a_kernel_is_asked_without_running_code_and_not_at_all_where_there_is_no_prompt(open_notebook: Open) -> None:
    def sent(page: Page) -> list[str]:
        return list(page.page.evaluate("window.sent.splice(0)"))

    page = open_notebook(["a = 1", "%%deepseek\nWhat is {a}?", LOAD, "b = 2"])
    page.page.evaluate(MESSAGES)
    page.run(0)
    page.wait_until(lambda: page.page.evaluate("window.sent.at(-1)") == ASK)  # and it hears that nobody is there
    assert set(sent(page)) == {RUN, ASK}
    page.run(2)
    page.wait_until(lambda: names(page, 1, "known") == ["{a}"])
    asked = sent(page)
    assert set(asked) == {RUN, ASK, "comm_msg "}
    assert asked.count(RUN) == asked.count("comm_msg ") == 1
    page.run(3)
    assert sent(page) == [RUN]  # from now on it is told
    assert page.prompt(3) == "[3]:"

    plain = open_notebook(["a = 1"])
    plain.page.evaluate(MESSAGES)
    plain.run(0)
    assert sent(plain) == [RUN]


@FRONT_ENDS
def test_code_of_an_answer_is_copied_and_put_into_a_cell_by_the_keyboard(
    open_notebook: Open, demo: DemoServer, where: str
) -> None:
    demo.pace, demo.fault = 0.0, None
    page = open_notebook([LOAD, "%%deepseek --think off -o plan\nA table and code", "# last"], where=where)
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.run(0)
    page.run(1)
    area, keyboard = page.output(1), page.page.keyboard
    copy, insert = (area.get_by_role("button", name=name, exact=True) for name in ("Copy", "Insert below"))
    page.wait_until(lambda: copy.count() == 1)
    code = str(area.locator("pre code").inner_text()).rstrip("\n")
    assert code.startswith("def primes(")
    copy.focus()
    keyboard.press("Enter")
    page.wait_until(lambda: area.get_by_role("status").inner_text() == "Copied.")
    assert page.page.evaluate("navigator.clipboard.readText()") == code
    keyboard.press("Tab")
    assert insert.evaluate("node => node === document.activeElement")
    page.screenshot(f"labextension_code_{where.partition('/')[0]}")
    keyboard.press("Enter")
    page.wait_until(lambda: page.page.locator(".jp-Notebook .jp-CodeCell").count() == 4)
    saved = page.save()["cells"]
    assert ["".join(cell["source"]) for cell in saved[2:]] == [code, "# last"]
    assert list(saved[1]["outputs"][0]["data"]) == ["text/markdown", "text/plain"]
    assert "<button" not in json.dumps(saved)

    if where == "notebooks":
        return
    # opened again, without a kernel that knows of it
    again = open_notebook(path=page.path, where=where)
    button = again.output(1).get_by_role("button", name="Insert below", exact=True)
    again.wait_until(lambda: button.count() == 1)
    button.click()
    again.wait_until(lambda: again.page.locator(".jp-Notebook .jp-CodeCell").count() == 5)
    assert again.cell(2).locator(".cm-content").inner_text().startswith("def primes(")


def test_in_a_panel_and_in_chinese_and_in_the_dark(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0.0, None
    page = open_notebook(
        [
            LOAD,
            "%deepseek_panel --think off",
            "%%deepseek\n{In} and {nothing}",
            "%config DeepSeekMagics.language = 'zh'",
        ]
    )
    page.run(0)
    page.run(1)
    panel = Panel(page, 1)
    panel.ask("A table and code")
    panel.ready()
    page.wait_until(lambda: panel.transcript.get_by_role("button").count() == 2)
    page.dark()
    page.run(3)
    words = [button.get_attribute("aria-label") for button in panel.transcript.get_by_role("button").all()]
    assert words == ["复制", "插入到下方"]
    title = page.cell(2).locator(".deepseek-magic-name.mod-known").get_attribute("title")
    assert title == "发送时会替换为这个变量的值。"
    page.screenshot("labextension_dark")
    panel.transcript.get_by_role("button", name="插入到下方").click()
    page.wait_until(lambda: "def primes(" in str(page.cell(2).locator(".cm-content").inner_text()))


def test_disabled_it_is_gone_and_the_file_is_the_same_either_way(open_notebook: Open, lab: Lab) -> None:
    page = open_notebook([PROMPT, "%%deepseek\n- a list", "a = '%%deepseek'"])
    other = page.path.with_stem(f"{page.path.stem}_disabled")
    shutil.copy(page.path, other)
    page.wait_until(lambda: language(page, 0) == language(page, 1) == "markdown")
    lab.disable("deepseek-magic")  # what `jupyter labextension disable` writes
    plain = open_notebook(path=other)
    lab.enable("deepseek-magic")
    assert [language(plain, cell) for cell in range(3)] == ["python"] * 3
    assert not plain.page.locator("[class*=deepseek-magic]").count()
    assert page.save() == plain.save()


FRAGMENTS: Final = (
    *(
        "{rows}",
        "{x}",
        "{other}",
        "{{rows}}",
        "{{{rows}}}",
        "{rows.a}",
        "{x[0]}",
        "{x['a']}",
        "{x[-3:]}",
        "{x[:]}",
        "{变量}",
        "{",
        "}",
        "rows",
        "x",
    ),
    *("`", "``", "```", "~~~", "\n", "\n", "\n\n", "    ", "> ", "- ", "1. ", "python", " ", " ", "$", "^", "_"),
    *("$$", "\\[", "\\]", "\\(", "\\)", "{unit price}", "{{unit price}}", "{no such}", "{x.y}"),
    *("\\frac", "\\text", "\\begin", "\\", "[1]", "(a)", "'", "²", "\u2028", "\r\n", "report_", "e^", "\t"),
)


class Value(str):
    """Whatever is looked up in it is itself."""

    a = property(lambda self: self)

    def __getitem__(self, _key: Any) -> Any:
        return self


FILL: Final = """async ([address, names, texts]) => {
  const { places } = await import(address);
  const isKnown = (name) => names.includes(name);
  return texts.map((text) => {
    const [sent, missing] = [[], new Set()];
    let at = 0;
    for (const { start, end, name, filled, doubled, left, right } of places(text, isKnown)) {
      if (!filled) { missing.add(name); continue; }
      const inner = doubled ? text.slice(start, end).replace(/^\\{+|\\}+$/g, "") : "VALUE";
      sent.push(text.slice(at, start), "{".repeat(left), inner, "}".repeat(right));
      at = end;
    }
    return [sent.join("") + text.slice(at), [...missing]];
  });
}"""


def test_the_page_reads_braces_as_the_prompts_of_python_do(browser: Any, lab: Lab) -> None:
    draw = random.Random(1)
    texts = ["".join(draw.choices(FRAGMENTS, k=draw.randint(1, 24))) for _ in range(4_000)]
    known = {name: Value("VALUE") for name in ("rows", "x", "变量", "unit price", "x.y")}

    def read(text: str) -> list[Any]:
        filling = template._Filling(text, known, 100, None)
        sent = template._PATH.sub(filling.replace, text)
        assert sent == template.fill(text, known).text
        return [sent, list(filling._missing)]

    page = browser.new_page()
    folder = f"{lab.url}/lab/extensions/deepseek-magic"
    page.goto(f"{folder}/package.json?token={TOKEN}")
    found = page.evaluate(FILL, [f"{folder}/static/braces.js", list(known), texts])
    page.close()
    expected = [read(text) for text in texts]
    assert [one for one in zip(texts, found, expected, strict=True) if one[1] != one[2]][:3] == []
    assert 500 < sum(sent != text for text, (sent, _) in zip(texts, expected, strict=True)) < 3_500
