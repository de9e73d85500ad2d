"""Take the still pictures of the documentation: the panel after a break, the class view, the design language, an experiment.

    .venv/bin/python docs/pictures.py           # writes them as .webp, in either theme, to docs/_static
    .venv/bin/python docs/pictures.py sweep     # only those of the experiment; "panel": those of panel, its sweep tab and design;
                                                # "class": the class view; "cluster": that of a sweep on one; "fastest": two
                                                # endpoints, and which of them was asked first
    .venv/bin/python docs/pictures.py --zh panel class  # the same in Chinese, as NAME.zh_CN.webp, which the Chinese site shows in their place

Needs what ``docs/record.py`` needs. What the pictures show is drawn by a real JupyterLab: the colours are those of its themes.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import nbformat
from PIL import Image

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from deepseek_magic.demo.server import DemoServer  # noqa: E402  the checkout's own
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE  # noqa: E402
from deepseek_magic.notebook.frontend import LANGUAGE_VARIABLE  # noqa: E402
from deepseek_magic.text.design import tokens  # noqa: E402
from deepseek_magic.text.language import Language  # noqa: E402
from deepseek_magic.text.messages import Message  # noqa: E402
from docs.record import BARE, notebook_in_lab  # noqa: E402
from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS, Lab, Page  # noqa: E402
from tests.browser.panel_page import Panel  # noqa: E402

TARGET: Final = ROOT / "docs" / "_static"
SIZE: Final = {"width": 1280, "height": 800}
TALL: Final = {"width": 1280, "height": 1200}
"""For what is longer than a screen."""
SCALE: Final = 1.5
WAIT_MS: Final = 120_000
ZOOMED: Final = {"width": 853, "height": 533}
"""A screen of 1280 × 800 pixels at 150 %, drawn as large as it is there."""
QUESTION: Final = "Explain in five sentences how streaming works"
SUMS: Final = "sums = [{'question': f'What is {n} + {n}?', 'answer': 2 * n} for n in range(21, 29)]"
IN_CHINESE: Final = {
    "What is {n} + {n}?": "{n} + {n} 等于多少？",
    "Answer with one number. ": "只用一个数回答。",
    "sums · 8 inputs": "sums · 8 条输入",
    "48 trials: 2 settings × 8 inputs × 3 repeats": "48 次试验",
    "Armed, once": "已就绪，生效一次",
}
"""What the product's own catalogue does not have: questions, and sentences with their figures."""
CELLS: Final = (
    f"%load_ext deepseek_magic\n{SUMS}",
    "%deepseek_panel --think off",
    "display({'text/html': specimen}, raw=True)",
)
CLASS: Final = ("%load_ext deepseek_magic", "%deepseek_panel --class")
EXPERIMENT: Final = ROOT / "notebooks" / "07_a_prompt_experiment.ipynb"
ON_CLUSTER: Final = (
    "%load_ext deepseek_magic\n"
    "from dask.distributed import Client\n"
    "client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)\n"
    "sums = [{'a': n, 'b': n + 17} for n in range(60)]",
    "%%deepseek_sweep -o sweep --over sums --vary temperature=0,1 --think off --dask client --go\n"
    "What is {a} + {b}? Explain in two sentences.",
)
SLOW: Final = "latency at=after-headers s=3"
"""What makes one of two endpoints the one that is not asked first."""
SWEEP_SIZE: Final = {"width": 940, "height": 1700}
"""All of the experiment at once; the notebook is as wide as one beside an open file browser."""


LANGUAGE: Language = "en"
"""Of the pictures that are taken."""


def said(english: str) -> str:
    """Words of the panel, or of the one who asks, in the language of the pictures."""
    if LANGUAGE == "en":
        return english
    for ours, theirs in IN_CHINESE.items():
        english = english.replace(ours, theirs)
    return Message(english).localized(LANGUAGE)


def specimen() -> str:
    """A page of every colour, size and space, by name."""
    swatch = "display:inline-block;width:7em;margin:0 12px 8px 0;font-size:var(--deepseek-small)"
    block = "display:block;height:2.2em;border:1px solid var(--deepseek-line);border-radius:var(--deepseek-corner)"
    colours = "".join(
        f'<span style="{swatch}"><span style="{block};background:var(--deepseek-{name})"></span>{name}</span>'
        for name in tokens.COLOURS
    )
    sizes = "".join(
        f'<span style="font-size:var(--deepseek-{name});margin-right:24px">{name}: 60 tokens/s</span>'
        for name in ("small", "body", "large")
    )
    spaces = "".join(
        f'<span style="font-size:var(--deepseek-small);margin-right:24px">{name} <span style="display:inline-block;'
        f'width:var(--deepseek-{name});height:1em;background:var(--deepseek-accent);vertical-align:middle"></span></span>'
        for name in tokens.SPACES
    )
    failed = (
        '<p style="font-size:var(--deepseek-body);border-left:var(--deepseek-rule) solid var(--deepseek-error);'
        'padding-left:var(--deepseek-space-2)">The API answered with 401. Check the key.</p>'
    )
    series = "".join(
        f'<span style="display:inline-block;width:3em;height:1em;margin-right:8px;background:{colour}"></span>'
        for colour in (*tokens.SERIES, tokens.INK)
    )
    parts = (colours, sizes, spaces, failed, series)
    body = "".join(f'<div style="margin-bottom:12px">{part}</div>' for part in parts)
    return (
        f'<style>{tokens.rule(".specimen")}</style><div class="specimen" style="padding:12px;width:700px">{body}</div>'
    )


def main(wanted: Sequence[str]) -> None:
    """Open a notebook, ask, and take the pictures."""
    if "--zh" in wanted:
        global LANGUAGE
        LANGUAGE, wanted = "zh", [one for one in wanted if one != "--zh"]
    spoken = {LANGUAGE_VARIABLE: LANGUAGE}
    if not wanted or "panel" in wanted:
        sources = [*CELLS[:2], f"specimen = {specimen()!r}\n{CELLS[2]}", *CELLS[3:]]
        with DemoServer() as demo, notebook_in_lab([said(one) for one in sources], demo, spoken) as opened:
            take(*opened)
    if not wanted or "class" in wanted:
        with DemoServer() as demo, notebook_in_lab(CLASS, demo, spoken) as opened:
            take_class(*opened)
    if not wanted or "sweep" in wanted:
        with DemoServer(pace=1.2) as demo, notebook_in_lab(experiment(demo), demo, spoken) as opened:
            take_sweep(demo, *opened)
    if not wanted or "fastest" in wanted:
        with (
            DemoServer(8651, SLOW) as slow,
            DemoServer(8652) as demo,
            notebook_in_lab(of_two(slow, demo), demo) as opened,
        ):
            take_fastest(*opened)
    if not wanted or "cluster" in wanted:
        with DemoServer(pace=1.2) as demo, notebook_in_lab(ON_CLUSTER, demo, spoken) as opened:
            take_cluster(demo, *opened)


def experiment(demo: DemoServer) -> list[str]:
    """The cells of the notebook about an experiment, asking a demo whose pace is ours to set."""
    cells = [cell.source for cell in nbformat.read(EXPERIMENT, as_version=4).cells if cell.cell_type == "code"]
    asked = [cell for cell in cells if not cell.startswith(("import os", "%deepseek_demo"))]
    # Its prices are the demo's, as in the notebooks that `deepseek-magic demo` opens.
    return [re.sub(r"%deepseek_demo.*", f"%env {DEMO_VARIABLE}={demo.base_url}", cell) for cell in asked]


def of_two(*servers: DemoServer) -> list[str]:
    """The cells of a notebook that asks the faster one of two servers, of which each is known from a few calls."""
    places = ",".join(server.base_url for server in servers)
    return [
        "%load_ext deepseek_magic\nimport deepseek_magic as ds\n"
        f"for place in {places!r}.split(',') * 2:\n    ds.ask('What is a stream?', endpoint=place, think='off')",
        f"%%deepseek --endpoint {places} --prefer fastest --think off\nWhat is a stream?",
        "ds.log",
    ]


def take_fastest(playwright: Any, lab: Lab, path: Path) -> None:
    """An answer of the second endpoint, with the reason below it, and the log of the calls."""
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
    page = browser.new_context(viewport=TALL, device_scale_factor=SCALE).new_page()
    notebook = lab.open(page, path)
    page.add_style_tag(content=BARE)
    notebook.run(0)
    notebook.run(1)
    while "was asked first" not in notebook.text(1):  # one call in fifty looks elsewhere
        notebook.run(1)
    notebook.run(2)
    shoot(notebook, "fastest", 1, 2)
    notebook.dark()
    shoot(notebook, "fastest_dark", 1, 2)
    browser.close()


def take_sweep(demo: DemoServer, playwright: Any, lab: Lab, path: Path) -> None:
    """A sweep while it runs, what is left of it with its answers side by side and compared, and a plot of scores."""
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
    page = browser.new_context(viewport=SWEEP_SIZE, device_scale_factor=SCALE).new_page()
    notebook = lab.open(page, path)
    page.add_style_tag(content=BARE)
    sources = experiment(demo)
    asks, side, compares, plots = (
        next(number for number, source in enumerate(sources) if beginning in source)
        for beginning in ("-o prompts", "prompts.side", "prompts.compare", "plt.subplots")
    )
    for number in range(asks):
        notebook.run(number)
    notebook.start(asks)
    notebook.wait_until(lambda: re.search(r"\b[23]\d of 60", notebook.text(asks)) is not None)
    shoot(notebook, "sweep_live", asks, asks)
    notebook.dark()
    shoot(notebook, "sweep_live_dark", asks, asks)
    demo.pace = 0
    notebook.wait_until(lambda: not notebook.running(asks))
    for number in range(side, plots + 1):
        notebook.run(number, timeout_s=300)
    for suffix, theme in (("_dark", "JupyterLab Dark"), ("", "JupyterLab Light")):
        notebook.menu("Settings", "Theme", theme)
        page.wait_for_timeout(800)
        shoot(notebook, f"sweep_side{suffix}", side, side)
        notebook.cell(side).evaluate("cell => { cell.style.display = 'none'; }")
        shoot(notebook, f"sweep{suffix}", asks, compares)
        notebook.cell(side).evaluate("cell => { cell.style.display = ''; }")
    notebook.output(plots).scroll_into_view_if_needed()
    save(notebook.output(plots).locator("img").screenshot(), "sweep_plot")
    browser.close()


def take_cluster(demo: DemoServer, playwright: Any, lab: Lab, path: Path) -> None:
    """A sweep on a cluster while it runs, with what each worker does, and what is left of it."""
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
    page = browser.new_context(viewport=SIZE, device_scale_factor=SCALE).new_page()
    page.set_default_timeout(WAIT_MS)
    notebook = lab.open(page, path)
    page.add_style_tag(content=BARE)
    notebook.run(0)
    notebook.start(1)
    notebook.wait_until(lambda: re.search(r"\b\d\d of 120", notebook.text(1)) is not None)
    shoot(notebook, "sweep_cluster", 1, 1)
    notebook.dark()
    shoot(notebook, "sweep_cluster_dark", 1, 1)
    demo.pace = 0
    notebook.wait_until(lambda: not notebook.running(1))
    browser.close()


def shoot(notebook: Page, name: str, first: int, last: int) -> None:
    """Write a picture of some cells, with what stands below them."""
    notebook.cell(first).scroll_into_view_if_needed()
    notebook.page.mouse.move(0, 0)
    notebook.page.wait_for_timeout(300)
    top, end = (notebook.cell(number).bounding_box() for number in (first, last))
    size = {"x": top["x"], "y": top["y"], "width": top["width"], "height": end["y"] + end["height"] - top["y"]}
    save(notebook.page.screenshot(clip=size), name)


def save(png: bytes, name: str) -> None:
    """Write a picture to docs/_static."""
    target = TARGET / (f"{name}.webp" if LANGUAGE == "en" else f"{name}.zh_CN.webp")
    Image.open(io.BytesIO(png)).convert("RGB").save(target, quality=80, method=6)
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


def take(playwright: Any, lab: Lab, path: Path) -> None:
    """The pictures, in the light theme and in the dark one."""
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
    page = browser.new_context(viewport=SIZE, device_scale_factor=SCALE).new_page()
    notebook = lab.open(page, path)
    for number in range(len(CELLS)):
        notebook.run(number)
    panel = Panel(notebook, 1, LANGUAGE)
    panel.tab("Failure lab")
    break_off(panel)
    panel.reads(said("first token"), where=panel.transcript)
    panel.ready()
    put_together(panel)
    for suffix in ("", "_dark"):
        if suffix:
            notebook.dark()
        for name, tab, shown in (
            ("panel", "Failure lab", panel.root.locator(".deepseek-magic-panel")),
            ("sweep_tab", "Sweep", panel.root.locator(".deepseek-magic-side")),
            ("design", "Settings", page.locator(".specimen")),
        ):
            if suffix and name == "sweep_tab":
                continue  # it has no other colours than the panel
            panel.tab(tab)
            page.set_viewport_size(TALL if name == "sweep_tab" else SIZE)
            shown.scroll_into_view_if_needed()
            page.wait_for_timeout(300)
            save(shown.screenshot(), f"{name}{suffix}")
    browser.close()


def break_off(panel: Panel) -> None:
    """An answer that breaks off once."""
    panel.label("slowness").fill("0.2")
    panel.label("slowness").press("Tab")
    panel.set_up("break")
    panel.reads(said("Armed, once"))
    panel.ask(said(QUESTION))


def take_class(playwright: Any, lab: Lab, path: Path) -> None:
    """The class view as a projector of 1280 × 800 pixels shows it at 150 %."""
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
    page = browser.new_context(viewport=ZOOMED, device_scale_factor=SCALE).new_page()
    notebook = lab.open(page, path)
    page.add_style_tag(content=BARE)
    notebook.run(0)
    notebook.run(1)
    panel = Panel(notebook, 1, LANGUAGE)
    break_off(panel)
    panel.reads(said("nothing is lost"), where=panel.root.locator(".deepseek-magic-strip"))
    panel.ready()
    for suffix in ("", "_dark"):
        if suffix:
            notebook.dark()
        shown = panel.root.locator(".deepseek-magic-panel")
        shown.evaluate("node => node.scrollIntoView({block: 'start'})")
        page.mouse.move(0, 0)
        page.wait_for_timeout(400)
        save(page.screenshot(), f"class_view{suffix}")
    browser.close()


def put_together(panel: Panel) -> None:
    """A sweep, as somebody would who has an afternoon."""
    panel.tab("Sweep")
    tab = panel.root.locator(".deepseek-magic-sweep")
    tab.get_by_label(said("inputs"), exact=True).select_option(said("sums · 8 inputs"))
    tab.get_by_label(said("prompt"), exact=True).fill(said("Answer with one number. "))
    panel.button("{question}").click()
    tab.get_by_label(said("vary"), exact=True).select_option(said("model"))
    panel.button(f"+ {said('Vary')}").click()
    for model in ("deepseek-flash", "deepseek-v4-pro"):
        tab.get_by_label(model, exact=True).check()
    tab.get_by_label(said("score"), exact=True).select_option("number")
    panel.button(f"+ {said('Score')}").click()
    tab.get_by_label(said("budget"), exact=True).fill("0.50")
    tab.get_by_label(said("repeats"), exact=True).fill("3")
    tab.get_by_label(said("repeats"), exact=True).press("Tab")
    panel.reads(said("48 trials: 2 settings × 8 inputs × 3 repeats"))


if __name__ == "__main__":
    main(sys.argv[1:])
