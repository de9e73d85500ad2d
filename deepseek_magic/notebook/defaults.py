"""The settings of a project's pyproject.toml as the defaults of its notebooks; a wrong one is said, and no more."""

from __future__ import annotations

import warnings
from typing import Any

from traitlets import TraitError

from ..engine.project import FILE_NAME, project
from ..protocol.errors import ConfigurationError
from ..protocol.language import translated
from ..protocol.options import closest

__all__ = ["take_project_defaults"]


def take_project_defaults(magics: Any) -> None:
    """Set each trait of ``magics`` that ``[tool.deepseek-magic]`` names, over what the IPython profile says."""
    try:
        here = project()
    except ConfigurationError as error:
        _warn(error.told)
        return
    known = magics.trait_names(config=True)
    for name, value in here.settings.items() if here is not None else ():
        if name not in known:
            _warn(translated(f"{FILE_NAME}: there is no setting {name}{closest(name, known)}."))
            continue
        try:
            setattr(magics, name, value)
        except (TraitError, ConfigurationError) as error:
            _warn(f"{FILE_NAME}: {translated(str(error).splitlines()[0])}")


def _warn(sentence: str) -> None:
    # A project's slip must not keep its notebooks from loading, nor a setting from being missed in silence.
    warnings.warn(sentence, stacklevel=2)
