"""Errors as OpenAI's API shapes them: what the relay itself refuses, and what became of the provider's answer.

A provider's error keeps its status, with two exceptions: a refused key and an empty account are the relay's own, and must not
read to a student as theirs.
"""

from __future__ import annotations

import json
from typing import Final

from ..protocol.errors import (
    CLASS_RULE,
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    ConnectTimeout,
    DeepSeekError,
    InsufficientBalance,
    MissingKey,
    ReadTimeout,
    RuleBroken,
)
from ..text.language import Language
from ..text.messages import Message, localized

RETRY_S: Final = 2
"""A student who has too many calls under way is told to come back after so long."""

_OF_RULES: Final = {"budget": 402, "limits.at_once": 429}
"""The status of a broken rule, by its name or table; 403 for the others."""


class Refusal(Exception):
    """An answer that is none. ``final``: sending it again would not help, or the relay has done so already."""

    def __init__(
        self,
        *,
        status: int,
        message: Message | str,
        type: str,
        code: str | int | None = None,
        retry_after_s: float | None = None,
        final: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.retry_after_s = retry_after_s
        self.final = final

    def body(self, language: Language = "en") -> bytes:
        """The error object, in a language."""
        error = {"message": localized(self.message, language), "type": self.type, "param": None, "code": self.code}
        return json.dumps({"error": error}, ensure_ascii=False).encode()

    @property
    def headers(self) -> dict[str, str]:
        """What goes along with it."""
        told = {"content-type": "application/json; charset=utf-8"}
        if self.final:
            told["x-should-retry"] = "false"
        if self.retry_after_s is not None:
            told["retry-after"] = f"{self.retry_after_s:.0f}"
        if self.status == 401:
            told["www-authenticate"] = "Bearer"
        return told


def by_rule(error: RuleBroken) -> Refusal:
    """The refusal of a rule of the class."""
    status = _OF_RULES.get(error.rule) or _OF_RULES.get(error.rule.partition(".")[0], 403)
    busy = status == 429
    again_s = RETRY_S if busy else None
    return Refusal(
        status=status, message=error.whole, type=CLASS_RULE, code=error.rule, retry_after_s=again_s, final=not busy
    )


def by_error(error: DeepSeekError) -> Refusal:
    """What a client is told of the error that ended a call."""
    match error:
        case RuleBroken():
            return by_rule(error)
        case MissingKey() | AuthenticationError():
            said = Message("The relay's own key was refused or is missing; its owner has to see to it.")
            return Refusal(status=502, message=said, type=CLASS_RULE, code="relay.key")
        case InsufficientBalance():
            said = Message("The account behind the relay has no money left; its owner has to see to it.")
            return Refusal(status=402, message=said, type=CLASS_RULE, code="relay.balance")
        case APIStatusError():
            status = error.status if 400 <= error.status < 600 else 502
            words = error.said or error.message
            after_s = error.retry_after_s
            return Refusal(
                status=status, message=words, type=error.type or "provider_error", code=status, retry_after_s=after_s
            )
        case ConfigurationError():
            return Refusal(status=400, message=error.whole, type="invalid_request_error")
        case ConnectTimeout() | ReadTimeout():
            return Refusal(status=504, message=error.message, type="provider_error", code=504)
    return Refusal(status=502, message=error.message, type="provider_error", code=502)


def unauthorised(message: Message) -> Refusal:
    """The refusal of a token."""
    return Refusal(status=401, message=message, type="authentication_error", code="invalid_api_key")


def restarting() -> Refusal:
    """What readers are told when the relay ends."""
    return Refusal(
        status=503, message=Message("The relay is being restarted."), type="server_error", code=503, final=False
    )


def unwritable(why: str) -> Refusal:
    """What a student is told whose call cannot be written down, and so is not made."""
    said = Message("The relay cannot write its file: {why}. Its owner has to see to it.", why=why)
    return Refusal(status=503, message=said, type="server_error", code="relay.file", retry_after_s=RETRY_S, final=False)


def stopped() -> Refusal:
    """The refusal of everything, while the teacher has stopped the class."""
    said = Message("The teacher has stopped all calls of the class.")
    return Refusal(status=403, message=said, type=CLASS_RULE, code="class.stopped")
