"""The names of DeepSeek's models: what to send, what old names mean today, what each can take.

Source: api-docs.deepseek.com, quick_start/pricing, read in November 2026; the fate of old names: its change log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..text.messages import Message
from .options import closest

DEFAULT_MODEL: Final = "deepseek-flash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model id with its limits in tokens; None where an endpoint does not say."""

    id: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    vision: bool | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """The id to send, what an old name implied about thinking, and the sentence to tell the user (or "")."""

    id: str
    think: str | None = None
    notice: Message | str = ""


MODELS: Final[tuple[Model, ...]] = (
    Model(id="deepseek-flash", context_tokens=1_048_576, max_output_tokens=393_216, vision=True, concurrency=2500),
    Model(id="deepseek-v4-pro", context_tokens=1_048_576, max_output_tokens=393_216, vision=False, concurrency=500),
)

ALIASES: Final[dict[str, str]] = {"flash": "deepseek-flash", "pro": "deepseek-v4-pro"}

_USED: Final = Message("{name} was retired on {date}; {new} is used.")
_USED_OFF: Final = Message("{name} was retired on {date}; {new} with thinking off is used.")
_USED_ON: Final = Message("{name} was retired on {date}; {new} with thinking on is used.")


def _retired(name: str, date: str, said: Message = _USED, think: str | None = None) -> ResolvedModel:
    new = "deepseek-flash"
    return ResolvedModel(id=new, think=think, notice=said.filled(name=name, date=date, new=new))


_RETIRED: Final[dict[str, ResolvedModel]] = {
    "deepseek-chat": _retired("deepseek-chat", "2026-07-24", _USED_OFF, "off"),
    "deepseek-reasoner": _retired("deepseek-reasoner", "2026-07-24", _USED_ON, "high"),
    "deepseek-v4-flash": _retired("deepseek-v4-flash", "2026-09-10"),
    "deepseek-v4-flash-vision-exp": _retired("deepseek-v4-flash-vision-exp", "2026-09-10"),
}


def resolve_model(name: str) -> ResolvedModel:
    """What to send to DeepSeek for ``name``. Unknown names pass as they are: the API knows its own list best.

    One that looks like a slip is said.
    """
    name = ALIASES.get(name, name)
    known = (*ALIASES, *(model.id for model in MODELS))
    if name in _RETIRED:
        return _RETIRED[name]
    # A gateway's names have a slash, other hosts' differ in case: neither is a slip.
    meant = "" if "/" in name or name.lower() in known else closest(name, known)
    notice = Message("{name} is not a known model{near}.", name=name, near=meant) if meant else ""
    return ResolvedModel(id=name, notice=notice)


def family(model: str) -> str:
    """The family of a model by its name: ``deepseek`` of ``deepseek-flash`` and of ``deepseek-ai/DeepSeek-V3.2``; the whole name
    where it begins with no letters."""
    name = model.rpartition("/")[2].lower()
    found = re.match("[a-z]+", name)
    return found[0] if found else name
