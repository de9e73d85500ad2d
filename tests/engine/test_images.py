"""Images in a prompt: what is taken, in which form it goes, and who is not asked."""

from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.display import Image as DisplayImage
from PIL import Image

from deepseek_magic.engine.hosts.endpoints import ENDPOINTS
from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.session import images

PICTURE = Image.new("RGB", (4, 3), (200, 30, 30))


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, format=kind)
    return file.getvalue()


def opened(part: dict[str, Any]) -> Image.Image:
    head, _, data = part["image_url"]["url"].partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{str(picture.format).lower()}"
    return picture


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_file_goes_as_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(kind))
    given: list[object] = [str(path), path, path.read_bytes()]
    with contextlib.suppress(ValueError):  # IPython 8.18 knows no WebP
        given.append(DisplayImage(filename=str(path), format=kind.lower()))
    for what in given:
        (part,) = images.parts([what], None)
        assert opened(part).format == kind
        assert part["image_url"]["url"].endswith(base64.b64encode(path.read_bytes()).decode())


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (np.full((3, 4, 3), 200, dtype=np.uint8), "RGB"),
        (np.full((3, 4), 0.5), "L"),
        (np.full((3, 4, 4), 255, dtype=np.int64), "RGBA"),
        (np.ones((3, 4), dtype=bool), "L"),
    ],
)
def test_an_array_is_a_picture_of_its_rows_and_columns(array: Any, mode: str) -> None:
    (part,) = images.parts([array], None)
    assert (opened(part).size, opened(part).mode) == ((4, 3), mode)


def test_a_picture_of_a_library_is_sent_as_png() -> None:
    (part,) = images.parts(["photos[1]"], {"photos": [None, PICTURE]})
    assert opened(part).getpixel((0, 0)) == (200, 30, 30)


def test_a_figure_and_its_axes_are_sent_as_they_are_drawn() -> None:
    figures = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")
    figure = figures.Figure(figsize=(2, 1), dpi=50)
    axes = figure.subplots()
    for part in images.parts([figure, axes], None):
        assert opened(part).size == (100, 50)


def test_an_address_is_sent_as_an_address() -> None:
    (part,) = images.parts(["https://example.org/a.png"], {})
    assert part == {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("photo", r"There is no image photo \(did you mean photos\?\)\."),
        ("photos[7]", r"photos\[7\] does not exist"),
        (b"<svg/>", "A value of type bytes is not an image"),
        (3, "A value of type int is not an image"),
        (Path("missing.png"), "The image missing.png cannot be read"),
        (np.full((3, 4), 300), r"An array of shape \(3, 4\) with values from 300 to 300 is no image"),
        (np.zeros(5), r"An array of shape \(5,\)"),
        ("https://x/" + "y" * 9000, "has at most 8,192 characters"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(what: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        images.parts([what], {"photos": []})


def request_with(*parts: dict[str, Any], model: str = "deepseek-flash") -> Request:
    return Request.of([ChatMessage(role="user", content=(*parts, {"type": "text", "text": "hi"}))], model=model)


ONE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
LARGE = {"type": "image_url", "image_url": {"url": "x" * (49 * 2**20)}}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (request_with(ONE, model="deepseek-v4-pro"), "deepseek-v4-pro does not see images"),
        (request_with(ONE, model="deepseek/deepseek-v4-pro"), "does not see images"),
        (request_with(*[ONE] * 601), "601 images are too many"),
        (request_with(LARGE), "take 49 MiB"),
    ],
)
def test_what_could_not_be_seen_is_not_sent(request_: Request, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        images.check(request_, ENDPOINTS["deepseek"])


def test_where_it_is_not_known_whether_a_model_sees_it_is_said() -> None:
    assert images.check(request_with(ONE), ENDPOINTS["deepseek"]) == []
    assert images.check(Request.of("hi", model="deepseek-v4-pro"), ENDPOINTS["deepseek"]) == []
    (said,) = images.check(request_with(ONE, model="llava"), ENDPOINTS["ollama"])
    assert str(said) == "Whether llava at Ollama sees images is not known."
