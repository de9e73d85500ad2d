"""Options → what goes along: ``--context``, ``--file`` and ``--url`` before the words of a prompt, ``{Notebook}`` and
``{Cells}`` in them; all of it listed, without secrets, and within a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ...protocol.chat import Request
from ...protocol.context.pieces import Attached
from ...protocol.errors import ConfigurationError
from ...protocol.options import Options
from ...text.messages import Message
from . import cells, files, pages
from .cells import NAMES, NotebookValues, RanCell
from .gathering import Gathering

MAX_TOKENS: Final = 200_000
"""As much as of a history: a fifth of the context."""
OPTIONS: Final = ("context", "file", "url")
_PAST: Final = ("In", "Out", "Err")
"""What of the notebook a prompt could name before, see ``notebook.magic.past``."""

Ran = Callable[[], Sequence[RanCell]]


class Attachments:
    """What goes along with one prompt. ``ran``: the notebook's cells, None where there are none; ``known``: what the
    conversation says already."""

    def __init__(self, ran: Ran | None, known: Callable[[], Sequence[str]]) -> None:
        self._ran = ran
        self.gathering = Gathering(known)

    def variables(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """``own`` and, by names that it does not have, the notebook's cells."""
        if self._ran is None:
            return own
        return _Beside(own, NotebookValues(self._ran, self.gathering))

    def seen(self, path: str, text: str) -> str:
        """See ``protocol.template.fill``: what is filled in of the notebook's past is listed, without secrets."""
        name = path.partition("[")[0]
        if self._ran is None or name not in _PAST or (name == path and name != "Err"):
            return text
        text = self.gathering.clean(path, text)
        self.gathering.add(path, text)
        return text

    def put_before(self, request: Request, options: Options, uploads: Mapping[str, Path]) -> Request:
        """``request`` with what its options ask for, and ``uploads`` by name, before the last user message's own words.

        Raises ConfigurationError for what cannot be sent, or is too long.
        """
        asked = [*(name for name in OPTIONS if name in options), *(["file"] if uploads else [])]
        if not asked:
            return request
        last = request.messages[-1]
        if last.role != "user":
            said = Message("Nothing can go along with a prompt whose last message is not the user's.")
            raise ConfigurationError(said, hint=Message("Leave {name} out.", name=", ".join(asked)))
        parts: list[Attached] = []
        if options.get("context"):
            if self._ran is None:
                said = Message("There are no cells here that context could send: it needs a notebook.")
                raise ConfigurationError(said, hint=Message("Load the extension in it: %load_ext deepseek_magic."))
            parts += cells.attached(self._ran(), self.gathering, last=options["context"])
        found = [(str(path), path) for path in files.expanded(options.get("file", ()))]
        parts += files.attached([*found, *uploads.items()], self.gathering)
        self.check_length()
        parts += pages.attached(options.get("url", ()), self.gathering, private=bool(options.get("private_urls")))
        self.check_length()
        if not parts:
            return request
        words = [{"type": "text", "text": last.content}] if isinstance(last.content, str) else list(last.content)
        return replace(request, messages=(*request.messages[:-1], replace(last, content=(*parts, *words))))

    def check_length(self) -> None:
        """Raise ConfigurationError where it is more than any question needs."""
        pieces = self.gathering.pieces
        tokens = sum(piece.tokens for piece in pieces)
        if tokens > MAX_TOKENS:
            largest = max(pieces, key=lambda piece: piece.tokens)
            raise ConfigurationError(
                Message(
                    "Nothing was sent, because what should go along has about {tokens} tokens, {name} alone {most}: {limit} are allowed.",
                    tokens=f"{tokens:,}",
                    name=largest.name,
                    most=f"{largest.tokens:,}",
                    limit=f"{MAX_TOKENS:,}",
                ),
                hint=files.PART_OF_IT,
            )


class _Beside(Mapping[str, Any]):
    """``own`` variables first, then those of the notebook."""

    def __init__(self, own: Mapping[str, Any], notebook: NotebookValues) -> None:
        self._own, self._notebook = own, notebook

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in NAMES

    def __getitem__(self, name: str) -> Any:
        return self._own[name] if name in self._own else self._notebook[name]

    def __iter__(self) -> Any:
        return iter({**dict.fromkeys(self._own), **dict.fromkeys(NAMES)})

    def __len__(self) -> int:
        return len({*self._own, *NAMES})
