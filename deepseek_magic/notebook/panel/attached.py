"""Files that go along with the panel's next question: picked on the machine of who looks, which need not be the kernel's."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import ipywidgets

from ...text.characters import in_one_line
from ...text.messages import say
from ..view.parts import close


class AttachedFiles:
    """A button that picks files, and a button for each that was picked, which takes it out again. ``on_change`` hears of both.

    What was picked lies in a folder of its own until the panel is closed: a question that is asked again needs it again.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._folder: Path | None = None
        self._count = 0
        self._chosen: dict[str, Path] = {}
        self._pick = ipywidgets.FileUpload(multiple=True, icon="")
        self._pick.add_class("deepseek-magic-pick")
        self._pick.tooltip = say("send files along with the next question")
        self._pick.layout.width = "auto"
        self._pick.observe(self._picked, "value")
        self.box = ipywidgets.HBox((self._pick,))
        self.box.add_class("deepseek-magic-attached")

    @property
    def style(self) -> str:
        """What the button says, as a rule of CSS: its own text ends in how many files it holds, which is none when they are
        beside it."""
        text = json.dumps(say("Attach files"), ensure_ascii=False)
        return f".deepseek-magic-pick {{ font-size: 0; }} .deepseek-magic-pick::before {{ content: {text}; }}"

    @property
    def chosen(self) -> Mapping[str, Path]:
        """The files by the name that they were picked under; a second one of the same name has its number in it."""
        return dict(self._chosen)

    def clear(self) -> None:
        """They went along with a question: the next one has none."""
        self._chosen.clear()
        self._draw()

    def close(self) -> None:
        """Forget what was picked."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _picked(self, change: Any) -> None:
        if not change["new"]:
            return
        for name, content in _uploads(change["new"]):
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="deepseek-magic-"))  # which only its user can read
            self._count += 1
            place = self._folder / str(self._count)  # two files of one name are two files
            place.mkdir()
            (place / name).write_bytes(content)
            self._chosen[self._free(name)] = place / name
        with contextlib.suppress(Exception):  # below ipywidgets 8 it cannot be emptied, and only counts on
            self._pick.value = ()
        self._draw()
        self._on_change()

    def _free(self, name: str) -> str:
        """``name`` or, where a file has it already, the first such as ``notes (2).txt`` that none has."""
        named = PurePosixPath(name)
        numbered = (f"{named.stem} ({number}){named.suffix}" for number in itertools.count(2))
        return next(each for each in itertools.chain((name,), numbered) if each not in self._chosen)

    def _draw(self) -> None:
        old, self.box.children = self.box.children[1:], (self._pick, *map(self._button, self._chosen))
        for button in old:
            close(button)

    def _button(self, name: str) -> Any:
        shown = in_one_line(name)
        button = ipywidgets.Button(description=f"{shown} ×", tooltip=say("take {name} out", name=shown))
        button.layout.width = "auto"
        button.on_click(lambda _button: self._take_out(name))
        return button

    def _take_out(self, name: str) -> None:
        self._chosen.pop(name, None)
        self._draw()
        self._on_change()


def _uploads(value: Any) -> Iterator[tuple[str, bytes]]:
    """The files of an upload: a list of them, or below ipywidgets 8 a dict by name."""
    files = value.items() if isinstance(value, dict) else ((each["name"], each) for each in value)
    for name, each in files:
        last = PurePosixPath(PureWindowsPath(str(name)).name).name  # whatever a page says, a name and no path
        yield last if last not in ("", ".", "..") else "file", bytes(each["content"])
