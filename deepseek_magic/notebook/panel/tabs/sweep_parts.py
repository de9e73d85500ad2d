"""The parts of the sweep tab: table, prompts and single settings, each with a sentence of what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import ascii_lowercase
from typing import Any, Final

import ipywidgets

from ....protocol.errors import ConfigurationError
from ....protocol.experiments.rows import is_table
from ....protocol.options import Option
from ....text.messages import say
from ...magic.completion import own_variables
from ...view.parts import close
from .controls import made_control, read
from .sections import sentence_html
from .sweep_draft import LABELS

FILE: Final = ":file:"
"""What the list of tables stands at while a file is typed; no variable has this name."""

MAX_CHIPS: Final = 40
"""Of a table with more columns, the others are typed."""

_EXAMPLES: Final[Mapping[str, str]] = {
    "output": "results",
    "repeats": "3",
    "limit": "20",
    "budget": "0.20",
    "sample": "20",
    "sample_seed": "1",
    "name": "primes",
    "cluster": "topic",
    "concurrency": "16",
    "allow_failed": "0.02",
}

Change = Callable[[], None]
Namespace = Callable[[], Mapping[str, Any]]


class Part:
    """A part of the tab: ``box`` is its widget, ``title`` what it is called, ``value`` what it was set to when it was last
    checked."""

    title = ""

    def __init__(self) -> None:
        self.value: Any = None
        self._wrong = ipywidgets.HTML()
        self._wrong.layout.display = "none"

    def check(self) -> bool:
        """Read what it is set to, and say what is wrong with it; whether nothing is."""
        try:
            self.value = self._read()
        except ConfigurationError as error:
            self.refuse(error)
            return False
        self._wrong.layout.display = "none"
        self._wrong.value = ""
        return True

    @property
    def said(self) -> bool:
        """Whether it is set to anything."""
        return bool(self.value)

    def refuse(self, error: ConfigurationError) -> None:
        """Say what is wrong."""
        self._wrong.value = sentence_html(error.localized(), failed=True)
        self._wrong.layout.display = None

    def _read(self) -> Any:
        raise NotImplementedError


class Field(Part):
    """A setting of the sweep itself."""

    def __init__(self, option: Option, changed: Change) -> None:
        super().__init__()
        self.option = option
        empty = (
            say("at once") if option.name == "at" else say("e.g. {example}", example=_EXAMPLES.get(option.name, "…"))
        )
        self.control = made_control(option, LABELS[option.name].localized(), empty)
        self.control.add_class(f"deepseek-magic-option-sweep-{option.name}")
        self.control.observe(lambda _change: changed(), "value")
        self.box = ipywidgets.VBox((self.control, self._wrong))

    def _read(self) -> Any:
        return read(self.option, self.control.value)


class TableChooser(Part):
    """Which table is asked about: a variable of the notebook or a file; ``value`` is what ``--over`` takes, or empty."""

    def __init__(
        self,
        namespace: Namespace,
        columns_of: Callable[[str], tuple[str, ...]],
        changed: Change,
        offer: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._namespace, self._columns_of, self._changed, self._offer = namespace, columns_of, changed, offer
        self.columns: tuple[str, ...] = ()
        self._names = ipywidgets.Dropdown(description=say("inputs"))
        self._names.add_class("deepseek-magic-option-sweep-over")
        self._path = ipywidgets.Text(
            description=say("file"), placeholder=say("e.g. {example}", example="questions.csv"), continuous_update=False
        )
        self._path.layout.display = "none"
        self._chips = ipywidgets.HBox()
        self._chips.add_class("deepseek-magic-chips")
        self.box = ipywidgets.VBox((self._names, self._path, self._wrong, self._chips))
        self._path.observe(lambda _change: changed(), "value")
        self._names.observe(self._on_chosen, "value")
        self.refresh()

    def refresh(self) -> None:
        """List the tables that there are now."""
        found = [
            (
                f"{name} · {say('{count} inputs', count=f'{len(value):,}')}"
                if hasattr(type(value), "__len__")
                else name,
                name,
            )
            for name, value in own_variables(self._namespace()).items()
            if is_table(value)
        ]
        chosen = self._names.value or ""
        options = [(say("none: the prompt as it is"), ""), *found, (say("a CSV or JSONL file"), FILE)]
        if chosen not in [value for _, value in options]:
            options.append((chosen, chosen))  # it is gone, which is said when the plan is made
        if tuple(options) == self._names.options:
            return
        self._names.unobserve(self._on_chosen, "value")  # new options select their first entry for a moment
        self._names.options = tuple(options)
        self._names.value = chosen
        self._names.observe(self._on_chosen, "value")

    def _on_chosen(self, change: Any) -> None:
        self._path.layout.display = None if change["new"] == FILE else "none"
        self._changed()

    def _read(self) -> str:
        over = str(self._path.value).strip() if self._names.value == FILE else str(self._names.value or "")
        columns: tuple[str, ...] = ()
        try:
            columns = self._columns_of(over) if over else ()
        finally:
            self._show(columns)
        return over

    def _show(self, columns: tuple[str, ...]) -> None:
        """The columns, each as a button that puts it into a prompt."""
        if columns == self.columns:
            return
        self.columns = columns
        before, self._chips.children = self._chips.children, tuple(map(self._chip, columns[:MAX_CHIPS]))
        for chip in before:
            close(chip)

    def _chip(self, column: str) -> Any:
        name = f"{{{column}}}"
        chip = ipywidgets.Button(description=name, tooltip=say("put {name} into the prompt", name=name))
        chip.add_class("deepseek-magic-column")
        chip.on_click(lambda _button: self._offer(name))
        return chip


class Several(Part):
    """A part that comes several times: below a button that adds one."""

    def __init__(self, changed: Change) -> None:
        super().__init__()
        self._changed = changed
        self._rows = ipywidgets.VBox()
        self.parts: list[Any] = []

    def _add(self, part: Any) -> None:
        self.parts.append(part)
        self._show()

    def _remove(self, part: Any) -> None:
        self.parts.remove(part)
        self._show()
        close(part.box)

    def _show(self) -> None:
        self._rows.children = tuple(part.box for part in self.parts)
        self._changed()

    def check(self) -> bool:
        """Check all, and say of each what is wrong."""
        found = [part.check() for part in tuple(self.parts)]
        self.value = [part.value for part in tuple(self.parts)]
        return all(found)

    def _away(self, part: Any, name: str) -> Any:
        """The button that takes one away."""
        button = ipywidgets.Button(description="×", tooltip=say("take {name} away", name=name))
        button.add_class("deepseek-magic-away")
        button.on_click(lambda _button: self._remove(part))
        return button


class Prompt(Part):
    """One prompt, and its name where there are several."""

    def __init__(self, name: str, changed: Change) -> None:
        super().__init__()
        self.name = ipywidgets.Text(description=say("its name"), value=name, continuous_update=False)
        self.area = ipywidgets.Textarea(rows=4, continuous_update=False)
        self.area.placeholder = say("{column} takes the value of the row")
        self.area.add_class("deepseek-magic-fills")
        self.area.add_class("deepseek-magic-option-sweep-prompt")
        self.head = ipywidgets.HBox()
        self.box = ipywidgets.VBox((self.head, self.area, self._wrong))
        for control_ in (self.name, self.area):
            control_.observe(lambda _change: changed(), "value")

    @property
    def said(self) -> bool:
        return bool(self.value[1].strip())

    def _read(self) -> tuple[str, str]:
        return str(self.name.value).strip(), str(self.area.value)


class Prompts(Several):
    """The prompts: one text, or several under names, which are then compared."""

    def __init__(self, changed: Change) -> None:
        super().__init__(changed)
        more = ipywidgets.Button(description=f"+ {say('Prompt')}", tooltip=say("compare another prompt with this one"))
        more.layout.width = "auto"
        more.add_class("deepseek-magic-more")
        more.on_click(lambda _button: self.more())
        self.box = ipywidgets.VBox((self._rows, more))
        self._last: Prompt | None = None
        self.more()

    def more(self) -> None:
        """One more prompt."""
        taken = [part.name.value for part in self.parts]
        part = Prompt(next((name for name in ascii_lowercase if name not in taken), ""), self._changed)
        part.head.children = (part.name, self._away(part, say("prompt")))
        part.area.observe(lambda _change: setattr(self, "_last", part), "value")
        self._add(part)

    def _show(self) -> None:
        several = len(self.parts) > 1
        for number, part in enumerate(self.parts, 1):
            part.head.layout.display = None if several else "none"
            part.title = part.area.description = say("prompt {number}", number=number) if several else say("prompt")
        super()._show()

    def offer(self, text: str) -> None:
        """Put this behind the prompt that was written last."""
        (self._last if self._last is not None and self._last in self.parts else self.parts[0]).area.value += text
