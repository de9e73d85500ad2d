"""The settings of a notebook: what their numbers take, and the project's pyproject.toml, of which a wrong one is said with its
line."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Final

from traitlets import Float, Int, TraitError

from ...protocol.errors import ConfigurationError
from ...protocol.options import closest
from ...session.project import FILE_NAME, project
from ...text.messages import Message, localized

_WRITTEN_BY: Final = ("endpoint", "base_url", "system")
"""Settings for which it matters who wrote them; the others are tastes. A budget may only be lowered: it is the user's money."""

_USERS_OWN: Final = ("confirm", "mcp_config")
"""Settings that a project cannot change: what is run without a question, and which programs are started."""


class WholeNumber(Int):  # type: ignore[type-arg]  # traitlets' own arguments say nothing here
    """A trait with bounds that is no switch: True is not 1."""

    def validate(self, obj: Any, value: Any) -> Any:
        """See TraitType."""
        if isinstance(value, bool):
            raise _no_number(
                self.name, value, Message("it takes a whole number from {low} to {high}", low=self.min, high=self.max)
            )
        return super().validate(obj, value)


class Number(Float):  # type: ignore[type-arg]
    """A number that is no switch."""

    def validate(self, obj: Any, value: Any) -> Any:
        """See TraitType."""
        if isinstance(value, bool):
            raise _no_number(self.name, value, Message("it takes a number"))
        return super().validate(obj, value)


def _no_number(name: str | None, value: bool, why: Message) -> TraitError:
    return TraitError(ConfigurationError.of_setting(str(name), value, why).localized())


def take_project_defaults(magics: Any) -> None:
    """Set each trait of ``magics`` that ``[tool.deepseek-magic]`` names, over what the IPython profile says."""
    try:
        here = project()
    except ConfigurationError as error:
        _warn(error.localized(), Path(FILE_NAME))
        return
    if here is None:
        return
    known, path = magics.trait_names(config=True), here.folder / FILE_NAME
    own_budget = magics.budget
    for name, value in here.settings.items():
        if name not in known:
            near = closest(name, known)
            sentence = Message("{path}: there is no setting {name}{near}.", path=FILE_NAME, name=name, near=near)
            _warn(sentence, path, name)
            continue
        if name in _USERS_OWN:
            said = Message("{path}: {name} is for you to set and not for a project, so it is left out.")
            _warn(said.filled(path=FILE_NAME, name=name), path, name)
            continue
        if name in _WRITTEN_BY and isinstance(value, str):
            value = here.wrote(value)
        if name == "confirm":
            _warn(
                Message(
                    "{path}: only you can set {name}, in your notebook or your IPython profile.",
                    path=FILE_NAME,
                    name=name,
                ),
                path,
                name,
            )
            continue
        if name == "budget" and own_budget is not None and isinstance(value, int | float):
            value = min(own_budget, value)
        try:
            setattr(magics, name, value)
        except (TraitError, ConfigurationError) as error:
            _warn(f"{FILE_NAME}: {str(error).splitlines()[0]}", path, name)


def _warn(sentence: Message | str, path: Path, setting: str = "") -> None:
    """A project's slip must not keep its notebooks from loading, nor a setting from being missed in silence.

    Warned as if by the line of the file, so that Python shows that line and not one of this module.
    """
    line = 1
    if setting:
        written = re.compile(rf"\s*[\"']?{re.escape(setting).replace('_', '[-_]')}[\"']?\s*=")
        lines = path.read_text("utf-8", "replace").splitlines()
        line = next((number for number, text in enumerate(lines, 1) if written.match(text)), 1)
    warnings.warn_explicit(localized(sentence), UserWarning, str(path), line)
