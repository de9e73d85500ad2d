"""The rows of the sweep tab that are added one by one: what is varied, and how answers are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Final

import ipywidgets

from ....protocol.experiments import score
from ....protocol.experiments.axes import Axis
from ....protocol.options import Option
from ....text.messages import say
from ...magic.completion import values_of
from .controls import EXAMPLES, SUGGESTED, label
from .sweep_parts import Change, Namespace, Part, Several

_EXAMPLES: Final[Mapping[str, str]] = {"temperature": "0, 1", "top_p": "0.95, 1", "max_tokens": "200, 2000"}


class Adder(Several):
    """A list of what can be added, with a button; below it a row for each that was."""

    def __init__(self, title: str, tooltip: str, adds: str, changed: Change) -> None:
        super().__init__(changed)
        self._kinds = ipywidgets.Dropdown(description=title)
        add = ipywidgets.Button(description=f"+ {adds}", tooltip=tooltip)
        add.layout.width = "auto"
        add.on_click(lambda _button: self.add(self._kinds.value))
        self.box = ipywidgets.VBox((ipywidgets.HBox((self._kinds, add)), self._rows))

    def add(self, kind: Any) -> None:
        """One more of this kind."""
        raise NotImplementedError


def _named(text: str) -> Any:
    """What stands where a text field would have its label."""
    made = ipywidgets.Label(text)
    made.add_class("deepseek-magic-named")
    return made


class AxisPart(Part):
    """The values of one option: boxes to tick for those that are known, a field for others."""

    def __init__(
        self, option: Option, namespace: Mapping[str, Any], away: Callable[[Part], Any], changed: Change
    ) -> None:
        super().__init__()
        self.option, self.title = option, label(option)
        known = _known(option, namespace)
        self.boxes = {value: ipywidgets.Checkbox(description=value, indent=False, value=False) for value in known}
        self.others = None if option.kind in ("choice", "switch") else _others(option)
        ticks = ipywidgets.HBox(tuple(self.boxes.values()))
        ticks.add_class("deepseek-magic-ticks")
        if self.others is None:
            rows = [ipywidgets.HBox((_named(self.title), ticks, away(self)))]
        else:
            rows = [ipywidgets.HBox((self.others, away(self))), ticks]
            self.others.observe(lambda _change: changed(), "value")
        self.box = ipywidgets.VBox((*rows, self._wrong))
        self.box.add_class(f"deepseek-magic-option-{option.name}")
        for box in self.boxes.values():
            box.observe(lambda _change: changed(), "value")

    def _read(self) -> str:
        ticked = [value for value, box in self.boxes.items() if box.value]
        others = "" if self.others is None else str(self.others.value).strip()
        values = ",".join(part for part in (Axis.typed(ticked) if ticked else "", others) if part)
        if not values:
            return ""
        typed = f"{self.option.name}={values}"
        Axis.read(typed)
        return typed


def _others(option: Option) -> Any:
    example = _EXAMPLES.get(option.name, EXAMPLES.get(option.name))
    field = ipywidgets.Text(description=label(option), continuous_update=False)
    field.placeholder = (
        say("others, separated by commas") if example is None else say("e.g. {example}", example=example)
    )
    return field


def _known(option: Option, namespace: Mapping[str, Any]) -> Sequence[str]:
    """The values of an option that can be ticked."""
    match option.kind, option.name:
        case "switch", _:
            return ("on", "off")
        case "choice", _:
            return option.choices
        case _, "template" | "schema":
            return values_of(option, namespace)
    return SUGGESTED.get(option.name, ())


class Axes(Adder):
    """What is varied."""

    def __init__(self, options: Sequence[Option], namespace: Namespace, changed: Change) -> None:
        super().__init__(say("vary"), say("ask with several values of this option"), say("Vary"), changed)
        self._options, self._namespace = {option.name: option for option in options}, namespace
        self._kinds.options = [(label(option), option.name) for option in options]
        self._kinds.index = 0

    def add(self, kind: str) -> None:
        """Vary one more option; one that is varied already stays as it is."""
        if kind not in [part.option.name for part in self.parts]:
            option = self._options[kind]
            self._add(AxisPart(option, self._namespace(), lambda part: self._away(part, label(option)), self._changed))


class ScorePart(Part):
    """One score, with what it compares with."""

    def __init__(self, kind: str, namespace: Namespace, away: Callable[[Part], Any], changed: Change) -> None:
        super().__init__()
        self.kind, self._namespace, self.title = kind, namespace, kind
        self.argument = self._field(changed) if kind in score.EXAMPLES else None
        head = ipywidgets.HBox((_named(kind) if self.argument is None else self.argument, away(self)))
        self.box = ipywidgets.VBox((head, self._wrong))

    def _field(self, changed: Change) -> Any:
        example = score.EXAMPLES[self.kind].strip('"').partition("=")[2]
        field = ipywidgets.Text(description=self.kind, continuous_update=False)
        field.placeholder = say("e.g. {example}", example=example)
        field.add_class("deepseek-magic-fills")
        field.observe(lambda _change: changed(), "value")
        return field

    def _read(self) -> str:
        typed = self.kind
        if self.argument is not None:
            argument = str(self.argument.value).strip()
            if not argument:
                return ""
            typed += f"={argument}"
        score.read(typed, self._namespace())
        return typed


class ScoreList(Adder):
    """How answers are scored; ``unused`` names a column that may be the expected answer, or nothing."""

    def __init__(self, namespace: Namespace, unused: Callable[[], str], changed: Change) -> None:
        super().__init__(say("score"), say("score each answer in this way"), say("Score"), changed)
        self._namespace, self._unused = namespace, unused
        self.refresh()

    def refresh(self) -> None:
        """List the kinds, and the functions of the notebook."""
        own = [name for name, value in self._namespace().items() if _is_own(name, value)]
        kinds = (*score.EXAMPLES, *(name for name in own if name not in score.EXAMPLES))
        if kinds != self._kinds.options:
            chosen = self._kinds.value
            self._kinds.options = kinds
            self._kinds.value = chosen if chosen in kinds else kinds[0]

    def add(self, kind: str) -> None:
        """One more score."""
        part = ScorePart(kind, self._namespace, lambda part: self._away(part, kind), self._changed)
        if part.argument is not None and kind in ("exact", "contains", "number"):
            part.argument.value = self._unused()
        self._add(part)


def _is_own(name: str, value: Any) -> bool:
    """Whether this is a function that the notebook defines."""
    return isinstance(value, FunctionType) and value.__module__ == "__main__" and not name.startswith("_")
