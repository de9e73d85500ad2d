"""What a call depends on, looked at before anything fails: key, name, connection, models, money, and the versions here.

The findings are values; the command line and the notebook print their lines.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...protocol.errors import ConfigurationError, RuleBroken
from ...text.messages import Message, localized, say, words
from ..client import Client
from .endpoints import Endpoint
from .keys import find_key

SLOW_S: Final = 2.0
"""A step that takes longer is worth a word; from another continent each takes a few tenths."""

PACKAGES: Final = {
    "deepseek-magic": Message("it runs from its source"),
    "ipython": Message("the magics need it"),
    "ipykernel": Message("notebooks need it"),
    "ipywidgets": Message("the live view needs it"),
    "jupyterlab": Message("the demo needs it"),
    "httpcore": Message("every call needs it"),
}
"""Distributions whose versions matter, and what their absence means."""

_SUBJECTS: Final[dict[str, Message]] = {
    **words("name", "key", "models", "balance"),
    "connect": Message("connection"),
    "tls": Message("TLS"),
    "first_byte": Message("first byte"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. ``ok`` is None where there was nothing to judge, ``seconds`` where it took none."""

    subject: Message | str
    ok: bool | None
    said: Message | str
    seconds: float | None = None

    def __str__(self) -> str:
        """One line: the verdict first."""
        said = localized(self.said)
        match self.ok:
            case None:
                verdict = "--"
            case False:
                verdict = say("FAIL")
            case _ if self.seconds is not None and self.seconds > SLOW_S:
                verdict = say("SLOW")
                slow = say("a slow network or a busy service, calls will work")
                said = say("{said}; {then}", said=said, then=slow) if said else slow
            case _:
                verdict = say("ok")
        took = f" ({1000 * self.seconds:.0f} ms)" if self.seconds is not None else ""
        return f"{verdict:5} {localized(self.subject):16} {said}{took}"


async def examine(endpoint: Endpoint) -> list[Finding]:
    """Look at all that a call to this endpoint depends on; raises nothing of our tree."""
    if (tape := endpoint.tape) is not None and tape.plays and not tape.asks:
        said = Message("plays: no key is needed, and no network is asked")
        return [Finding(subject=tape.name, ok=True, said=said)]
    found = [_key(endpoint)]  # before the network is asked, so that it is told even where there is none
    async with Client(endpoint) as client:
        steps = (await client.check()).steps
    return found + [
        Finding(subject=_SUBJECTS[step.name], ok=step.ok, said=step.said, seconds=step.seconds)
        for step in steps
        if step.name != "key"
    ]


def report(
    endpoints: Iterable[Endpoint],
    run: Callable[[Coroutine[Any, Any, list[Finding]]], list[Finding]],
    known: Mapping[Endpoint, Message] | None = None,
    shut: RuleBroken | None = None,
) -> list[bool]:
    """Examine each endpoint by ``run``, which waits for a coroutine, and print all findings; ``known`` says how soon its last
    calls began, ``shut`` why no call may be sent now. Whether each is well."""
    well = []
    for endpoint in endpoints:
        plays = endpoint.tape is not None and endpoint.tape.plays
        print(say("the tape {name}", name=endpoint.title) if plays else f"{endpoint.title}, {endpoint.base_url}")
        findings = run(examine(endpoint))
        if known is not None:
            findings.append(Finding(subject=Message("first token"), ok=None, said=known[endpoint]))
        print(*findings, sep="\n")
        well.append(is_well(findings) and shut is None)
    if shut is not None:
        print(Finding(subject=Message("the class"), ok=False, said=shut.message))
    print(*versions(), sep="\n")
    return well


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing keeps a call from working."""
    return all(finding.ok is not False for finding in findings)


def verdict(well: Sequence[bool]) -> Message:
    """One sentence for all endpoints that were examined."""
    if all(well):
        return Message("Everything works.")
    if any(well):
        return Message("Calls will be answered, but not by every endpoint until the problems marked FAIL are fixed.")
    return Message("Calls will fail until the problems marked FAIL are fixed.")


def versions() -> Iterator[Finding]:
    """What is installed here, of what matters."""
    for package, needed_for in PACKAGES.items():
        try:
            yield Finding(subject=package, ok=True, said=importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(subject=package, ok=None, said=Message("not installed; {why}", why=needed_for))
    yield Finding(subject="Python", ok=True, said=platform.python_version())


def _key(endpoint: Endpoint) -> Finding:
    try:
        key = find_key(endpoint)
    except ConfigurationError as error:
        return Finding(subject=_SUBJECTS["key"], ok=False, said=error.whole)
    said = Message("found in {source}", source=key.source) if key else Message("none is set, and none is needed")
    return Finding(subject=_SUBJECTS["key"], ok=True, said=said)
