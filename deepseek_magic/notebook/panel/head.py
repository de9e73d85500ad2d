"""The head of the panel: who answers and whether it costs, and in one row above the conversation Stop and what happens now."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets

from ...engine.gate import Gate
from ...engine.hosts.endpoints import Endpoint, in_order
from ...protocol.errors import ConfigurationError
from ...session import session
from ...text.messages import say
from ..view.seam_marks import asked_again
from ..view.status import STATES, Status, status_text
from .gauges import Reading, curve


def answerers(given: Callable[[], Mapping[str, Any]]) -> tuple[Endpoint, ...]:
    """The endpoints that a question with the ``given`` options goes to; none where they cannot be used, which is said
    when something is asked."""
    try:
        options = session().in_force(given())
        return in_order(options.get("endpoint"), options.get("base_url"))
    except ConfigurationError:
        return ()


def names_of(places: Sequence[Endpoint], demo: str) -> str:
    """What a person calls them; the demo is called ``demo``."""
    return ", ".join(
        dict.fromkeys(
            demo if place.name == "demo" and place.tape is None else _taped(place) or place.title for place in places
        )
    )


def _taped(place: Endpoint) -> str:
    """What a place is called while a tape records or plays; nothing without one."""
    if place.tape is None:
        return ""
    if place.tape.plays:
        return say("tape {name}", name=place.tape.name)
    return say("{name}, recorded", name=say("demo server") if place.name == "demo" else place.title)


def who_html(places: Sequence[Endpoint]) -> str:
    """The badge: who answers, and in a word what it costs. Nothing for nobody."""
    if not places:
        return ""
    word, sentence = _cost_of(min(places, key=lambda place: place.is_local))
    return (
        f'<span class="deepseek-magic-who" title="{html.escape(sentence, quote=True)}">'
        f"<b>{html.escape(names_of(places, say('demo server')))}</b> · {html.escape(word)}</span>"
    )


def _cost_of(place: Endpoint) -> tuple[str, str]:
    if place.tape is not None and place.tape.plays and not place.tape.asks:
        return say("free"), say(
            "Answers come from a tape, as they were recorded. No network is asked and nothing is paid."
        )
    if place.name == "demo":
        return say("free"), say("Answers come from a demo server on this machine and cost nothing.")
    if place.is_local:
        return say("this machine"), say("Answers come from a server on this machine.")
    return say("paid"), say("Questions go to {host} and may cost money.", host=place.host)


class Now:
    """``box`` is the row: Stop while an answer is written, and one line, whose first word a projector has ``large``."""

    def __init__(self, stop: Callable[[], None], *, large: bool = False) -> None:
        self._large = large
        self._stop = ipywidgets.Button(
            description=say("Stop"), tooltip=say("end the answer now and keep the text so far")
        )
        self._stop.on_click(lambda _button: stop())
        self._stop.add_class("deepseek-magic-stop")
        self._line = ipywidgets.HTML()
        self.box = ipywidgets.HBox((self._stop, self._line))
        self.box.add_class("deepseek-magic-now")

    def show(self, status: Status | None, reading: Reading, gate: Gate | None, money: str, several: str = "") -> None:
        """Draw the line; ``status`` is None while nothing is written, ``several`` empty while no others are asked at once."""
        self._stop.layout.display = None if status is not None or several else "none"
        self._line.value = now_html(status, reading, gate, money, several, large=self._large)


def now_html(
    status: Status | None,
    reading: Reading,
    gate: Gate | None = None,
    money: str = "",
    several: str = "",
    *,
    large: bool = False,
) -> str:
    """What happens now, or how the last answer did: only what has a value, and only what is not as usual. If ``large``, the
    state alone: its word, and in smaller letters the rest of it."""
    if large:
        word = STATES[status.state].localized() if status is not None else several or say("Ready")
        rest = (
            []
            if status is None
            else [status_text(replace(status, model="", place="")).removeprefix(word).lstrip("…:： ")]
        )
        rest += [several] if several and status is not None else []
        small = html.escape(" · ".join(rest))
        return f'<div class="deepseek-magic-state"><span role="status"><b>{html.escape(word)}</b> {small}</span></div>'
    if status is not None:  # who answers stands in the badge
        said = [status_text(replace(status, model="", place=""))]
    else:
        said = [] if several else [say("Ready"), *_last(reading)]
    if several:
        said.append(several)
    said += _queue(gate)
    if money and status is None:
        said.append(money)
    line = html.escape(" · ".join(said))
    drawn = "" if status is None else curve(reading.curve)
    return f'<div class="deepseek-magic-state"><span role="status">{line}</span>{drawn}</div>'


def _last(reading: Reading) -> list[str]:
    said = []
    if reading.tokens_per_s is not None:
        said.append(say("{rate} tokens/s", rate=f"{reading.tokens_per_s:.0f}"))
    if reading.first_token_s is not None:
        said.append(say("first token {seconds} s", seconds=f"{reading.first_token_s:.2f}"))
    if reading.attempt > 1:
        said.append(asked_again(reading.attempt - 1))
    return said


def _queue(gate: Gate | None) -> list[str]:
    """The queue of all cells and panels of this process together, where there is more than one request in it."""
    if gate is None:
        return []
    standing, waiting, said = gate.standing, gate.waiting, []
    if standing.running > 1 or waiting:
        said.append(say("{running} of {most} at once", running=standing.running, most=standing.window))
    if waiting:
        said.append(say("{count} in the queue", count=f"{waiting:,}"))
    if standing.frozen_s > 0:
        said.append(say("closed for {seconds} s", seconds=f"{standing.frozen_s:.0f}"))
    return said
