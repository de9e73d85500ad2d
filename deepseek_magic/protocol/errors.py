"""Everything that can go wrong, as one tree; each error carries data, and the partial completion if there is text::

    DeepSeekError
    ├── ConfigurationError          nothing was sent: a key, a flag, a name or a setting is missing or wrong
    │   ├── MissingKey
    │   ├── NotOnTape               a tape is played in the network's place, and does not hold this request
    │   ├── BudgetExceeded          the call could cost more than the budget leaves
    │   └── RuleBroken              the class does not allow it (rule names the one that does not)
    ├── TransportError              the network, not the API
    │   ├── ConnectTimeout
    │   ├── ReadTimeout             a deadline passed without progress (deadline names it)
    │   └── Disconnected            refused, reset, closed early, body damaged (how tells the last two)
    ├── APIStatusError              the API answered with an error
    │   ├── InvalidRequest          400, 404, 413, 422
    │   ├── AuthenticationError     401, 403
    │   ├── InsufficientBalance     402
    │   ├── RateLimited             429
    │   └── ServerError             5xx
    ├── ProtocolError               the bytes are not what the API promises
    ├── IncompleteStream            the answer ended before it was finished
    ├── NotConfirmed                nobody said yes to what was going to be run
    └── ToolsEnded                  the model went on asking for functions beyond the limit

A message is one sentence that says what happened and why; ``hint`` says what to do next. Either is a ``Message``, or a text of
somebody else's, which is never translated. ``str`` is English.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, TypedDict, Unpack

from ..text.characters import named
from ..text.language import language
from ..text.messages import Message, localized

if TYPE_CHECKING:
    from .completion import Completion

_NOTHING: Final = Decimal(0)
DisconnectedHow = Literal["broken", "early", "damaged"]


class _Common(TypedDict, total=False):
    """What every error takes besides its message and its own."""

    hint: Message | str
    completion: Completion | None


class DeepSeekError(Exception):
    """Any failure of a call. ``completion`` is the Completion with what had arrived, or None when nothing was asked."""

    permanent: bool = False
    """Whether the same request would fail again, however often it is sent. Of a status, ``policy`` decides that."""

    general: bool = False
    """Whether every other request would fail of it as well. Of a status, ``policy`` decides that."""

    def __init__(
        self, message: Message | str, *, hint: Message | str = "", completion: Completion | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.completion = completion

    @property
    def whole(self) -> Message | str:
        """What happened, and what to do next."""
        if not self.hint:
            return self.message
        return Message("{message} {hint}", message=self.message, hint=self.hint)

    def __reduce__(self) -> tuple[object, ...]:
        # An exception would be made again from its message alone; its other arguments are in its state.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        return str(self.whole)

    def change_said(self, change: Callable[[str], str]) -> None:
        """Change every text in it that is somebody else's, such as one that quotes a key."""
        self.message = self.message.mapped(change) if isinstance(self.message, Message) else change(self.message)
        self.args = (self.message,)

    def localized(self) -> str:
        """``str(self)`` in the reader's language, and the notes that were added to it."""
        between = " " if language() == "en" else ""  # a Chinese full stop is as wide as two
        said = (self.message, self.hint, *getattr(self, "__notes__", ()))
        return between.join(localized(part) for part in said if part)

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: a failed call is shown as its sentence, in the reader's language, not as this package's frames."""
        return [f"{type(self).__name__}: {self.localized()}"]


class ConfigurationError(DeepSeekError):
    """Nothing was sent, because a setting is missing or wrong."""

    permanent = True

    @classmethod
    def of_setting(cls, name: str, value: object, why: Message) -> ConfigurationError:
        """The error of a setting that does not take ``value``; ``why`` is what it takes, as half a sentence."""
        return cls(Message("{name} cannot be {value}: {why}.", name=name, value=value, why=why))


class MissingKey(ConfigurationError):
    """The endpoint needs a key and none was found in any of its places."""

    general = True


class NotOnTape(ConfigurationError):
    """A tape is played in the network's place, and does not hold this request, or no more of its answer."""


class BudgetExceeded(ConfigurationError):
    """The call could cost more than the budget leaves; US dollars.

    ``cap`` is the budget, ``spent`` what was spent of it, ``held`` what other calls under way may still cost, ``most`` what
    this one may.
    """

    def __init__(
        self,
        message: Message | str,
        *,
        cap: Decimal = _NOTHING,
        spent: Decimal = _NOTHING,
        held: Decimal = _NOTHING,
        most: Decimal = _NOTHING,
        **common: Unpack[_Common],
    ) -> None:
        super().__init__(message, **common)
        self.cap = cap
        self.spent = spent
        self.held = held
        self.most = most


class RuleBroken(ConfigurationError):
    """A rule of the class does not allow the call. ``rule`` is its place in ``classroom.toml``: table and name."""

    def __init__(self, message: Message | str, *, rule: str = "", **common: Unpack[_Common]) -> None:
        super().__init__(message, **common)
        self.rule = rule


class TransportError(DeepSeekError):
    """The network failed, not the API."""


class ConnectTimeout(TransportError):
    """No connection within ``Timeouts.connect_s``."""


class ReadTimeout(TransportError):
    """A deadline passed without progress; ``deadline`` is its name (read, queue, first_delta, idle, total).

    ``what`` is the message as half a sentence, for sentences about it.
    """

    def __init__(
        self, message: Message | str, *, deadline: str = "read", what: Message | None = None, **common: Unpack[_Common]
    ) -> None:
        super().__init__(message, **common)
        self.deadline = deadline
        self.what = what


class Disconnected(TransportError):
    """The connection was refused or reset (``how`` is "broken"), the body ended too early ("early") or was damaged on its
    way ("damaged"). ``absent``: it was made to a demo server that nobody has started."""

    absent = False

    def __init__(self, message: Message | str, *, how: DisconnectedHow = "broken", **common: Unpack[_Common]) -> None:
        super().__init__(message, **common)
        self.how = how


class APIStatusError(DeepSeekError):
    """The API answered with an error.

    ``status`` is the HTTP status (200 for an error object inside a stream), ``said`` the server's sentence as it came,
    ``type`` and ``code`` are the body's own words, ``retry_after_s`` what the server asked for in seconds, ``trace_id`` the id that support would ask for.
    """

    def __init__(
        self,
        message: Message | str,
        *,
        status: int,
        said: str = "",
        type: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        trace_id: str | None = None,
        **common: Unpack[_Common],
    ) -> None:
        super().__init__(message, **common)
        self.status = status
        self.said = said
        self.type = type
        self.code = code
        self.retry_after_s = retry_after_s
        self.trace_id = trace_id

    def change_said(self, change: Callable[[str], str]) -> None:
        super().change_said(change)
        self.said = change(self.said)


class InvalidRequest(APIStatusError):
    """400, 404, 407, 413 or 422: the same request would fail again."""


class AuthenticationError(APIStatusError):
    """401 or 403: the key is wrong, or not allowed to do this."""


class InsufficientBalance(APIStatusError):
    """402: the account has no money left."""


class RateLimited(APIStatusError):
    """429: too many requests, or too many at once."""


class ServerError(APIStatusError):
    """5xx: the server is at fault or overloaded."""


class ProtocolError(DeepSeekError):
    """The bytes are not what the API promises: broken JSON, an event without end, an unexpected shape.

    ``permanent`` where nothing was damaged on the way: another kind of server answers at this address.
    """

    def __init__(self, message: Message | str, *, permanent: bool = False, **common: Unpack[_Common]) -> None:
        super().__init__(message, **common)
        self.permanent = permanent


class IncompleteStream(DeepSeekError):
    """The stream ended before the answer was finished; ``completion`` holds the part that arrived."""


class NotConfirmed(DeepSeekError):
    """Something was going to be run that somebody has to confirm, and nobody did; it was not run."""


class ToolsEnded(DeepSeekError):
    """The model asked for functions in too many rounds, or for the same call again and again; ``completion`` has its last answer."""


_STATUS_OF_WORDS: Final[dict[str, int]] = {
    **dict.fromkeys(("contextlengthexceeded", "invalidparameter", "invalidprompt", "unsupportedvalue"), 400),
    **dict.fromkeys(("contentfilter", "datainspectionfailed", "unsupportedparameter", "badrequesterror"), 400),
    **dict.fromkeys(("stringabovemaxlength", "invalidtype", "missingrequiredparameter"), 400),
    **dict.fromkeys(("authenticationerror", "invalidapikey", "unauthorized", "invalidauthentication"), 401),
    **dict.fromkeys(("incorrectapikey", "authenticationfails"), 401),
    **dict.fromkeys(("insufficientquota", "insufficientbalance", "billingerror", "arrearage", "paymentrequired"), 402),
    **dict.fromkeys(("permissionerror", "permissiondenied", "accessdenied", "forbidden"), 403),
    **dict.fromkeys(("notfounderror", "modelnotfound", "modelnotexist"), 404),
    **dict.fromkeys(("requesttoolarge",), 413),
    **dict.fromkeys(("ratelimitexceeded", "ratelimiterror", "throttling", "toomanyrequests"), 429),
}
"""What an error object's own words stand for where no HTTP status says it: inside a stream (OpenAI, Anthropic, Alibaba).
The server's own faults are not here: inside a stream they are 200, a segment of the answer that broke."""
_INVALID_REQUEST: Final = "invalidrequesterror"


def status_of_words(code: object, type: object, said: str = "") -> int | None:
    """The HTTP status that ``code`` and ``type`` of an error object stand for; None when they are not known. Where it has
    neither, the words are looked for in the sentence ``said``.

    ``invalid_request_error`` says it as a type alone: DeepSeek gives it as the code of nearly every error.
    """
    words = ["".join(filter(str.isalpha, str(word).lower())) for word in (code, type, said)]
    if code is None and type is None:
        return next((status for word, status in _STATUS_OF_WORDS.items() if word in words[2]), None)
    found = next((_STATUS_OF_WORDS[word] for word in words[:2] if word in _STATUS_OF_WORDS), None)
    return found or (400 if _INVALID_REQUEST in (words[1], words[0] if type is None else "") else None)


BY_STATUS: Final[dict[int, tuple[type[APIStatusError], str]]] = {
    400: (InvalidRequest, "Change the request; the same one would fail again."),
    401: (AuthenticationError, "Check the key: run %deepseek_doctor, or set DEEPSEEK_API_KEY again."),
    402: (InsufficientBalance, "Top up the account at platform.deepseek.com; %deepseek_doctor shows the balance."),
    403: (AuthenticationError, "This key has no permission for that; check its rights, or use another key."),
    404: (InvalidRequest, "Check the base URL (and the model name, on other hosts)."),
    407: (InvalidRequest, "Put name and password into the proxy's address: HTTP_PROXY=http://name:password@host."),
    413: (InvalidRequest, "Send less: shorten the prompt or start a new chat."),
    200: (ServerError, "The server reported an error inside the stream; try again."),
    422: (InvalidRequest, "A parameter has a value that the API refuses; change it."),
    429: (RateLimited, "Send fewer requests at once, or wait."),
    500: (ServerError, "The service has a problem or is busy; try again in a moment."),
}


CLASS_RULE: Final = "class_rule"
"""The type of the errors with which a class's relay refuses a call; the code is the rule."""

_MEANT_BY_TYPE: Final = {"no_db_connection": 401}
"""What a status stands for where a type says more: LiteLLM without a database answers 400 to a key that it does not know."""


def status_error(
    status: int,
    said: str,
    *,
    type: str | None = None,
    code: str | None = None,
    retry_after_s: float | None = None,
    trace_id: str | None = None,
    page: bool = False,
) -> APIStatusError:
    """The error for an HTTP status (API page "error codes") and what the server said; any other 4xx is an InvalidRequest.

    407 is never the API's: only a proxy asks so (RFC 9110, 15.5.8), one before an address without TLS as if it were the API.
    Neither is a web ``page``: a gateway, or another site, answers with one.
    """
    said = named(said)
    if (
        type == CLASS_RULE
    ):  # what a relay of a class refuses: its sentence says all, and nobody's account is to be topped up
        kind = BY_STATUS.get(min(status, 500), BY_STATUS[400])[0]
        return kind(
            said, status=status, said=said, type=type, code=code, retry_after_s=retry_after_s, trace_id=trace_id
        )
    kind, advice = BY_STATUS.get(_MEANT_BY_TYPE.get(type or "", min(status, 500)), BY_STATUS[400])
    hint = Message(advice)
    if status == 429 and "balance" in said:
        hint = Message("The limit shrinks with the account's balance: top up, or send fewer requests at once.")
    elif status == 400 and "supported API model names" in said:  # DeepSeek's sentence, which names them
        hint = Message("Choose one of these with -m.")
    words = said.strip().removesuffix(".") or Message("no reason given")
    if status == 200:
        message = Message("The API reported an error inside the stream: {said}.", said=words)
    elif status == 407:
        message = Message("A proxy on the way answered with {status}: {said}.", status=status, said=words)
    elif page:
        message = Message("A web page answered with {status} instead of the API: {said}.", status=status, said=words)
    else:
        message = Message("The API answered with {status}: {said}.", status=status, said=words)
    return kind(
        message,
        status=status,
        said=said,
        type=type,
        code=code,
        retry_after_s=retry_after_s,
        trace_id=trace_id,
        hint=hint,
    )
