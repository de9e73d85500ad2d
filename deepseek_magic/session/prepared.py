"""A request ready to be sent, and what a call from Python may say about it.

Apart from the session, because whoever only carries or shows a request needs no session for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.client import Addressed, Client
from ..engine.hosts import keys
from ..engine.hosts.endpoints import Endpoint, Endpoints
from ..policy.deadlines import Timeouts
from ..protocol.chat import Request
from ..protocol.completion import Completion
from ..protocol.context.pieces import Piece
from ..protocol.options import CallOptions, Options
from ..protocol.schema import Schema
from ..protocol.tools.tool import ToolRun
from ..text.messages import Message
from .tools.box import Toolbox


class ResumeOptions(CallOptions, total=False):
    """What a call from Python takes: every setting, and the endpoints and key that only Python can name."""

    endpoint: Endpoints
    api_key: str | keys.Key | None
    timeouts: Timeouts | None


class AskOptions(ResumeOptions, total=False):
    """Besides, where ``{name}`` is looked up, and which turn of its conversation the call is (``Session.prepare``)."""

    variables: Mapping[str, Any] | None
    turn: str | None


def hide_key(options: ResumeOptions) -> None:
    """Wrap a key in place, so that no frame of a traceback holds it as text."""
    options["api_key"] = keys.wrapped(options.get("api_key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request ready to be sent: where to, with which settings, and the notices that the user should see first."""

    addressed: tuple[Addressed, ...]
    """The request as each endpoint is sent it, in the order in which they are tried."""
    options: Options
    client: Client
    notices: tuple[Message | str, ...] = ()
    chat: str | None = None
    turn: str = ""
    schema: Schema | None = None
    timeouts: Timeouts | None = None
    along: tuple[Piece, ...] = ()
    """What is sent along with the prompt, as it is listed."""
    before: Completion | None = None
    """The answer of an earlier call to this request, to go on with."""
    tools: Toolbox | None = None
    """The functions that are run when the answer asks for them."""
    waiting: Completion | None = None
    """The answer to this request, whose calls of functions are still to be run."""
    ran: tuple[ToolRun, ...] = ()
    """What was run before this request and stands in it, where an answer is resumed by asking for it again."""
    purpose: str = "ask"

    @property
    def request(self) -> Request:
        """As the first endpoint is sent it."""
        return self.addressed[0].request

    @property
    def endpoint(self) -> Endpoint:
        """The one that is asked first."""
        return self.addressed[0].endpoint

    def patience(self, timeouts: Timeouts) -> Timeouts:
        """The time-outs of an endpoint's call: those that were given as such, then the flags for single ones."""
        given = self.options.get
        timeouts = self.timeouts or timeouts
        return timeouts.patient(first_token_s=given("first_token"), idle_s=given("idle"), total_s=given("total"))

    @property
    def cached(self) -> bool:
        """Whether the journal's answer will do."""
        return bool(self.options.get("cache")) and not self.options.get("fresh") and self.before is None
