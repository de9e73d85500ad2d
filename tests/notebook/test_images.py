"""--image: pictures in a prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from deepseek_magic.demo.server import DemoServer

Run = Callable[..., list[list[Any]]]

DRAW = "from PIL import Image\npicture = Image.new('RGB', (64, 48), 'teal')"


def test_variables_and_files_are_seen_in_order_before_the_words(
    run_headless: Run, demo: DemoServer, tmp_path: Path
) -> None:
    Image.new("L", (5, 7)).save(tmp_path / "small.gif")
    _, shown = run_headless(DRAW, f"%%deepseek --image picture -i {tmp_path / 'small.gif'}\nwhat is on them?")
    text = shown[0].data["text/plain"]
    assert text.startswith("I got 2 images:\n\n- PNG, 64 × 48 pixels, ")
    assert "- GIF, 5 × 7 pixels, " in text
    content = demo.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]


def test_the_conversation_goes_on_with_the_image_in_it(run_headless: Run, demo: DemoServer) -> None:
    *_, shown = run_headless(
        DRAW, "%deepseek -i picture what is this?", "%deepseek and its colour?", "%deepseek_chat show"
    )
    assert demo.requests[-1].body["messages"][0]["content"][0]["type"] == "image_url"
    assert "[image]\n\nwhat is this?" in shown[0].data["text/plain"]


def test_a_model_that_does_not_see_is_not_asked(run_headless: Run, demo: DemoServer) -> None:
    _, outputs = run_headless(DRAW, "%deepseek -m pro -i picture what is this?")
    assert outputs[0].traceback == [
        "ConfigurationError: deepseek-v4-pro does not see images. "
        "Ask deepseek-flash (-m flash), or leave the image out."
    ]
    assert not demo.requests


def test_a_misspelt_file_gets_the_name_of_the_picture_beside_it(run_headless: Run, tmp_path: Path) -> None:
    Image.new("L", (5, 7)).save(tmp_path / "leaf.png")
    (outputs,) = run_headless(f"%deepseek -i {tmp_path / 'leef.png'} what is this?")
    assert f"(did you mean {tmp_path / 'leaf.png'}?)" in outputs[0].traceback[0]


def test_python_takes_the_picture_itself_and_a_dry_run_shows_it_short(run_headless: Run, demo: DemoServer) -> None:
    _, dry, used = run_headless(
        DRAW,
        "%deepseek --dry-run -i picture what is this?",
        "import deepseek_magic as ds; print(ds.ask('what?', image=picture).text[:14])",
    )
    assert "data:image/png;base64," in dry[0].data["text/plain"]
    assert len(dry[0].data["text/plain"]) < 2_000
    assert "About 1,0" in dry[0].data["text/plain"]
    assert used[0].text == "I got 1 image:\n"
