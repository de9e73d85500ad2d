"""What a call depends on, looked at before anything fails: key, name, connection, models, money, and the versions here.

The findings are values; the command line prints their lines, the notebook prints them in the reader's language.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ...protocol.errors import ConfigurationError
from ...text.language import translated
from ...text.messages import say
from ..client import Client
from .endpoints import Endpoint
from .health import StepName
from .keys import find_key

__all__ = ["Finding", "examine", "is_well", "verdict", "versions"]

SLOW_S: Final = 2.0
"""A step that takes longer is worth a word; from another continent each takes a few tenths."""

PACKAGES: Final = {
    "deepseek-magic": "it runs from its source",
    "ipython": "the magics need it",
    "ipykernel": "notebooks need it",
    "ipywidgets": "the live view needs it",
    "jupyterlab": "the demo needs it",
    "httpcore": "every call needs it",
}
"""Distributions whose versions matter, and what their absence means."""

_SUBJECTS: Final[dict[StepName, str]] = {
    "name": "name",
    "key": "key",
    "connect": "connection",
    "tls": "TLS",
    "first_byte": "first byte",
    "models": "models",
    "balance": "balance",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. ``ok`` is None where there was nothing to judge, ``seconds`` where it took none."""

    subject: str
    ok: bool | None
    said: str
    seconds: float | None = None

    def __str__(self) -> str:
        """One line: the verdict first."""
        said = translated(self.said)
        match self.ok:
            case None:
                verdict = "--"
            case False:
                verdict = say("FAIL")
            case _ if self.seconds is not None and self.seconds > SLOW_S:
                verdict = say("SLOW")
                said = say("{said}; a slow network or a busy service, calls will work", said=said).lstrip("; ")
            case _:
                verdict = say("ok")
        took = f" ({1000 * self.seconds:.0f} ms)" if self.seconds is not None else ""
        return f"{verdict:5} {translated(self.subject):16} {said}{took}"


async def examine(endpoint: Endpoint) -> list[Finding]:
    """Look at all that a call to this endpoint depends on; raises nothing of our tree."""
    found = [_key(endpoint)]
    async with Client(endpoint) as client:
        health = await client.check()
    found += [
        Finding(subject=_SUBJECTS[step.name], ok=step.ok, said=step.said, seconds=step.seconds)
        for step in health.steps
        if step.name != "key"
    ]
    return found


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing keeps a call from working."""
    return all(finding.ok is not False for finding in findings)


def verdict(well: Sequence[bool]) -> str:
    """One sentence for all endpoints that were examined."""
    if all(well):
        return "All is well."
    if any(well):
        return "Calls will be answered, but not by every endpoint until the lines marked FAIL are mended."
    return "Calls will fail until the lines marked FAIL are mended."


def versions() -> Iterator[Finding]:
    """What is installed here, of what matters."""
    for package, needed_for in PACKAGES.items():
        try:
            yield Finding(subject=package, ok=True, said=importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(subject=package, ok=None, said=f"not installed; {needed_for}")
    yield Finding(subject="Python", ok=True, said=platform.python_version())


def _key(endpoint: Endpoint) -> Finding:
    # Before the network is asked, so that it is told even where there is none.
    try:
        key = find_key(endpoint)
    except ConfigurationError as error:
        return Finding(subject="key", ok=False, said=str(error))
    return Finding(subject="key", ok=True, said=f"found in {key.source}" if key else "none is set, and none is needed")
