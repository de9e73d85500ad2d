"""Images in a prompt: from a path, an address, bytes or a picture of some library → the part of a message that carries it.

DeepSeek's rules (page "create chat completion", November 2026): JPEG, PNG, GIF or WebP, in user messages, at most 600
of them and 48 MiB a request; a model that does not see drops them without a word, so that is found out before.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ..engine.hosts.endpoints import Endpoint
from ..protocol.chat import Request
from ..protocol.errors import ConfigurationError
from ..protocol.models import MODELS
from ..protocol.options import closest
from ..protocol.template import lookup
from ..text.messages import Message

MAX_IMAGES: Final = 600
MAX_TOTAL_BYTES: Final = 48 * 1024 * 1024
MAX_ADDRESS_CHARS: Final = 8192
_FORMATS: Final = {
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "gif": re.compile(rb"GIF8[79]a"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_SUFFIXES: Final = frozenset({".jpg", *(f".{kind}" for kind in _FORMATS)})
_TAKES: Final = Message(
    "An image is a file, an address, bytes, a PIL image, a matplotlib figure or a NumPy array: JPEG, PNG, GIF, WebP."
)
_PATH: Final = re.compile(r"([^\W\d]\w*)((?:\.[^\W\d]\w*|\[-?\d+\])*)")


def _find(name: str, variables: Mapping[str, Any] | None) -> Any:
    """What ``name`` stands for: a variable (``plot``, ``photos[0]``), an address or a file. Raises ConfigurationError."""
    path = _PATH.fullmatch(name)
    if path is not None and variables is not None and path[1] in variables:
        return lookup(variables, path[1], path[2])
    if name.startswith(("https://", "http://")) or Path(name).expanduser().is_file():
        return name
    near = closest(name, [*(known for known in variables or () if not known.startswith("_")), *_pictures_beside(name)])
    said = Message("There is no image {name}{near}.", name=name, near=near)
    raise ConfigurationError(said, hint=Message("Name a variable or a file."))


def _pictures_beside(name: str) -> list[str]:
    """The pictures in the folder in which there is none of that name, named as it is."""
    folder = Path(name).parent
    try:
        found = [str(each) for each in folder.expanduser().iterdir() if each.suffix.lower() in _SUFFIXES]
    except OSError:
        return []
    return [each for each in found if each.isprintable()]


def _part_of(what: Any) -> dict[str, Any]:
    """The part of a message that carries the image. Raises ConfigurationError for what is none."""
    if isinstance(what, str) and what.startswith(("https://", "http://")):
        if len(what) > MAX_ADDRESS_CHARS:
            raise ConfigurationError(
                Message("An image's address has at most {limit} characters.", limit=f"{MAX_ADDRESS_CHARS:,}")
            )
        return _part(what)
    data = _bytes_of(what)
    kind = next((kind for kind, begins in _FORMATS.items() if begins.match(data)), None)
    if kind is None:
        raise ConfigurationError(Message("{name} is not an image that can be sent.", name=_name(what)), hint=_TAKES)
    return _part(f"data:image/{kind};base64,{base64.b64encode(data).decode()}")


def check(request: Request, endpoint: Endpoint) -> list[Message]:
    """Whether the images of a request can be seen there; sentences where that is not known.

    Raises ConfigurationError for too many, too large, or a model that is known not to see.
    """
    addresses = [
        str(part["image_url"]["url"])
        for message in request.messages
        if not isinstance(message.content, str)
        for part in message.content
        if part.get("type") == "image_url"
    ]
    if not addresses:
        return []
    if len(addresses) > MAX_IMAGES:
        said = Message("{count} images are too many: a request takes {limit}.", count=len(addresses), limit=MAX_IMAGES)
        raise ConfigurationError(said, hint=Message("Begin a --new conversation."))
    total = sum(map(len, addresses))
    if total > MAX_TOTAL_BYTES:
        size, limit = f"{total / 2**20:.0f}", MAX_TOTAL_BYTES // 2**20
        said = Message("The images take {size} MiB: a request takes {limit}.", size=size, limit=limit)
        raise ConfigurationError(said, hint=Message("Make them smaller, or begin a --new conversation."))
    sees = _sees(request.model)
    if sees is False:
        said = Message("{model} does not see images.", model=request.model)
        raise ConfigurationError(said, hint=Message("Ask deepseek-flash (-m flash), or leave the image out."))
    if sees:
        return []
    place = endpoint.title
    return [Message("Whether {model} at {endpoint} sees images is not known.", model=request.model, endpoint=place)]


def _sees(model: str) -> bool | None:
    """Whether a model sees; other hosts write the maker before its name. None: not known."""
    names = {model, model.rpartition("/")[2]}
    return next((known.vision for known in MODELS if known.id in names), None)


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _name(what: Any) -> Message | str:
    named = isinstance(what, str | Path)
    return str(what)[:80] if named else Message("A value of type {name}", name=type(what).__name__)


def _bytes_of(what: Any) -> bytes:
    """Its file, none of what is no image. Raises ConfigurationError for a file that cannot be read."""
    if isinstance(what, str | Path):
        try:
            return Path(what).expanduser().read_bytes()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigurationError(
                Message("The image {name} cannot be read ({why}).", name=_name(what), why=why)
            ) from None
    if isinstance(what, bytes | bytearray | memoryview):
        return bytes(what)
    if isinstance(getattr(what, "data", None), bytes):  # IPython.display.Image
        return bytes(what.data)
    figure = what if hasattr(what, "savefig") else getattr(what, "figure", None)  # matplotlib's; axes know theirs
    if figure is not None and hasattr(figure, "savefig"):
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return file.getvalue()
    if hasattr(what, "__array_interface__") and hasattr(what, "astype"):
        what = _picture(what)
    drawn = getattr(what, "_repr_png_", None)  # PIL's, and that of whatever draws itself in a notebook
    png = drawn() if callable(drawn) else None
    return png if isinstance(png, bytes) else b""


def _picture(array: Any) -> Any:
    """A PIL image of an array: whole numbers to 255, or fractions to 1, as matplotlib's imshow reads colours."""
    try:
        from PIL import Image
    except ImportError:
        sentence = Message("An array becomes an image by Pillow.")
        raise ConfigurationError(sentence, hint=Message("pip install pillow")) from None
    shape, low, high = array.shape, array.min(), array.max()
    if low < 0 or high > 255 or len(shape) not in (2, 3):
        said = Message("An array of shape {shape} with values from {low} to {high} is no image.")
        hint = Message("Rows, columns and colours, with values to 255, or to 1 where they are fractions.")
        raise ConfigurationError(said.filled(shape=shape, low=f"{low:g}", high=f"{high:g}"), hint=hint)
    fractions = array.dtype.kind == "b" or (array.dtype.kind == "f" and high <= 1)
    return Image.fromarray((array * 255 if fractions else array).astype("uint8").squeeze())


def parts(images: Iterable[Any], variables: Mapping[str, Any] | None) -> tuple[dict[str, Any], ...]:
    """The parts for several images; texts among them are names, addresses or paths."""
    return tuple(_part_of(_find(one, variables) if isinstance(one, str) else one) for one in images)
