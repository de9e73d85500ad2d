"""A control for every option, made from its declaration, and the options that the controls are set to.

A control that was not touched has no value, and a setting that was not given is not sent: so a number is a text
field with its default in grey, and a choice has a first entry that leaves it to the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import ipywidgets

from ....engine.hosts.endpoints import ENDPOINTS
from ....protocol.models import MODELS
from ....protocol.options import OPTIONS, Option, Options
from ....session import session
from ....text.messages import Message, localized, say, words

_ELSEWHERE: Final = (
    *("chat", "new", "background", "dry_run", "no_ahead", "quiet"),
    *("run", "tool", "confirm", "confirm_wait"),
)
"""Options that the panel has other means for, or that mean nothing in it."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Model": ("model", "think", "system", "endpoint", "buffer"),
    "Sampling": ("temperature", "top_p", "max_tokens", "stop", "seed"),
}
"""Which group an option is in; one that is not named here is in "More"."""

GROUP_WORDS: Final = words("Model", "Sampling", "More")

EXAMPLES: Final[Mapping[str, Any]] = {
    "output": "answer",
    "system": Message("You are a patient teacher."),
    "template": "summary",
    "fill": "dataset",
    "max_tokens": "2000",
    "stop": "END",
    "schema": "Person",
    "image": "photo.png",
    "context": "3",
    "file": "data.csv",
    "url": "https://example.org/page",
    "seed": "7",
    "base_url": "https://host/v1",
    "hedge": "0.05",
    "budget": "0.50",
    "first_token": "60",
    "idle": "30",
    "total": "300",
}
"""What could be typed, for options whose default says nothing of that."""

SUGGESTED: Final[Mapping[str, tuple[str, ...]]] = {
    "model": tuple(model.id for model in MODELS),
    "endpoint": tuple(ENDPOINTS),
}


def panel_options() -> dict[str, list[Option]]:
    """The options with a control, by group."""
    shown = [option for option in OPTIONS if option.flags and option.name not in _ELSEWHERE]
    placed = {name: group for group, names in GROUPS.items() for name in names}
    grouped: dict[str, list[Option]] = {group: [] for group in (*GROUPS, "More")}
    for option in shown:
        grouped[placed.get(option.name, "More")].append(option)
    for group, names in GROUPS.items():
        grouped[group].sort(key=lambda option: names.index(option.name))
    grouped["More"].sort(key=lambda option: option.kind == "switch")  # check boxes stand two in a row
    return grouped


class Controls:
    """The controls by option name. ``given`` is what they are set to; ``on_change`` hears every change."""

    def __init__(self, given: Mapping[str, Any], on_change: Callable[[], None]) -> None:
        self.by_group = panel_options()
        self._options = [option for options in self.by_group.values() for option in options]
        self.widgets: dict[str, Any] = {}
        for option in self._options:
            widget = self.widgets[option.name] = control(option)
            if option.name in given:
                value = given[option.name]
                text = "\n".join(value) if isinstance(value, list | tuple) else str(value)
                widget.value = value if option.kind in ("choice", "switch") else text
            widget.observe(lambda _change: on_change(), "value")

    def show_endpoint(self, name: str) -> None:
        """Say in the empty field of the endpoint who answers by default."""
        self.widgets["endpoint"].placeholder = say("default: {value}", value=name)

    @property
    def help(self) -> dict[str, str]:
        """What each control does, by the name of its option."""
        return {option.name: explanation(option) for option in self._options}

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given. Raises ConfigurationError, in one sentence, for what cannot be one."""
        return dict(Options(**{o.name: read(o, self.widgets[o.name].value) for o in self._options}))

    def group(self, name: str) -> tuple[Any, ...]:
        """The controls of one group, in order."""
        return tuple(self.widgets[option.name] for option in self.by_group[name])


def explanation(option: Option) -> str:
    """What an option does, with its unit and its default."""
    default = f" · {_default(option)}" if option.default else ""
    return f"{option.help.localized()}{_unit(option)}{default}"


def _default(option: Option) -> str:
    """What holds where nothing is chosen: what the user, the project or the demo has set, else the option's own default."""
    value = session().defaults.get(option.name, option.default)
    shown = localized(value) if not isinstance(value, list | tuple) else ", ".join(map(str, value))
    return say("default: {value}", value=shown.partition("\n")[0])


def _unit(option: Option) -> str:
    return f" ({localized(option.unit)})" if option.unit else ""


def _hint(option: Option) -> str:
    """What stands in an empty field: an example, where there is no default or it says nothing of what could be typed."""
    if option.name in EXAMPLES and option.name not in session().defaults:
        return say("e.g. {example}", example=EXAMPLES[option.name]) + _unit(option)
    return _default(option)


def control(option: Option) -> Any:
    """A control that is not touched yet."""
    made = made_control(option, label(option), _hint(option))
    made.add_class(f"deepseek-magic-option-{option.name}")
    return made


def made_control(option: Option, title: str, default: str) -> Any:
    """The widget for an option, with its ``title``; ``default`` stands in it while it is empty."""
    common: dict[str, Any] = {"description": title}
    if option.kind == "choice":
        return ipywidgets.Dropdown(options=[(default, None), *((c, c) for c in option.choices)], index=0, **common)
    if option.kind == "switch":
        return ipywidgets.Checkbox(value=False, indent=False, **common)
    common |= {"placeholder": default, "continuous_update": False}
    if option.name in SUGGESTED:
        return ipywidgets.Combobox(options=SUGGESTED[option.name], **common)
    if option.many > 1 or option.name == "system":  # a line each, or a text of several lines
        return ipywidgets.Textarea(rows=2, **common)
    return ipywidgets.Text(**common)


def label(option: Option) -> str:
    """What an option is called beside its control."""
    return say(option.name.replace("_", " "))


def read(option: Option, value: Any) -> Any:
    """What a control's value means as the option's; None when it has none. Raises ConfigurationError."""
    if option.kind == "choice":
        return value
    if option.kind == "switch":
        return value or None
    text = str(value).strip()
    if not text:
        return None
    return tuple(line for line in text.split("\n") if line) if option.many > 1 else option.parse(text)
