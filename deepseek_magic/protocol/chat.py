"""Request ⇄ the API's JSON: what is asked. What comes back is read in ``chunks``; its names are here too.

Source: DeepSeek's page "create chat completion" and its guides on thinking and on chat prefix completion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Unpack

import msgspec

from ..text.messages import Message
from .chunks import DONE, ChatDecoder, error_from_body, read_usage
from .context.pieces import attached_name
from .errors import ConfigurationError
from .models import DEFAULT_MODEL
from .options import Options, RequestOptions

__all__ = ["DONE", "ChatDecoder", "ChatMessage", "ContinueStyle", "Prompt", "Request", "error_from_body", "read_usage"]

ContinueStyle = Literal["deepseek_prefix", "trailing_assistant", "continue_final_message", "none"]
"""How an endpoint goes on from a partial answer: DeepSeek's prefix flag (its /beta route), a plain last assistant message
(OpenRouter), the same with vLLM's, SGLang's and llama.cpp's body fields, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message in the API's terms. ``content`` is text or the API's list of parts.

    ``reasoning_content`` is sent only where the API wants it (see ``Request.body``); ``prefix`` asks for a continuation
    and is legal on a last assistant message alone.
    """

    role: str
    content: str | Sequence[Mapping[str, Any]] = ""
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tool_call_id: str | None = None
    prefix: bool = False

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ChatMessage:
        """Read one message of the API's JSON. Raises ConfigurationError for an unknown role or a wrong shape."""
        if not isinstance(raw, Mapping):
            raise ConfigurationError(
                Message("A message is an object with role and content, not {kind}.", kind=type(raw).__name__),
                hint=Message('For a plain question give the text itself, or [{"role": "user", "content": "..."}].'),
            )
        role = raw.get("role")
        if role not in ("system", "user", "assistant", "tool"):
            raise ConfigurationError(
                Message(
                    "A message cannot have the role {name}: it takes system, user, assistant or tool.", name=f"{role!r}"
                )
            )
        content = raw.get("content")
        if not isinstance(content, str | list | tuple | None):
            raise ConfigurationError(
                Message("The content of a message is text or a list of parts, not {kind}.", kind=type(content).__name__)
            )
        return cls(
            role=role,
            content=content if content is not None else "",
            name=raw.get("name"),
            reasoning_content=raw.get("reasoning_content"),
            tool_calls=tuple(raw.get("tool_calls") or ()),
            tool_call_id=raw.get("tool_call_id"),
            prefix=bool(raw.get("prefix", False)),
        )

    @property
    def text(self) -> str:
        """What it says in words; parts that are text are joined by a blank line, as the API joins them."""
        if isinstance(self.content, str):
            return self.content
        return "\n\n".join(str(part["text"]) for part in self.content if part.get("type") == "text")

    @property
    def question(self) -> str:
        """The same without what is sent along."""
        if isinstance(self.content, str):
            return self.content
        own = [part for part in self.content if attached_name(part) is None]
        return "\n\n".join(str(part["text"]) for part in own if part.get("type") == "text")

    def to_json(self, *, with_reasoning: bool) -> dict[str, Any]:
        """The message as it is sent. ``content`` is never null: the API answers 400 to that."""
        content = self.content if isinstance(self.content, str) else [dict(part) for part in self.content]
        raw: dict[str, Any] = {"role": self.role, "content": content}
        if self.name is not None:
            raw["name"] = self.name
        if self.role == "assistant":
            if self.tool_calls:
                raw["tool_calls"] = [dict(call) for call in self.tool_calls]
            if with_reasoning or self.tool_calls:
                raw["reasoning_content"] = self.reasoning_content or ""
            elif self.prefix and self.reasoning_content is not None:
                raw["reasoning_content"] = self.reasoning_content
            if self.prefix:
                raw["prefix"] = True
        if self.tool_call_id is not None:
            raw["tool_call_id"] = self.tool_call_id
        return raw


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What is asked: messages, and the settings that were given. Equal when it would be sent alike."""

    messages: tuple[ChatMessage, ...]
    options: Options = field(default_factory=Options)

    @classmethod
    def of(cls, prompt: Prompt, **options: Unpack[RequestOptions]) -> Request:
        """A request from a prompt, from messages (the API's JSON or ``ChatMessage``), or from another request.

        Raises ConfigurationError for an empty prompt, unknown options and values out of bounds.
        """
        system = options.pop("system", None)
        if isinstance(prompt, Request):
            base = prompt if not options else replace(prompt, options=prompt.options.replace(**options).of("request"))
            return base if system is None else base.with_system(system)
        return cls.asking(prompt, Options(**options), system=system)

    @classmethod
    def asking(cls, prompt: Prompt, options: Options, *, system: str | None = None) -> Request:
        """The same with options that are checked already; those of other scopes than the request's are left out."""
        options = options.of("request")
        if isinstance(prompt, Request):
            base = replace(prompt, options=prompt.options.merged(options))
            return base if system is None else base.with_system(system)
        if isinstance(prompt, str):
            if not prompt.strip():
                raise ConfigurationError(Message("The prompt is empty."), hint=Message("Write what you want to ask."))
            # A str of NumPy's is none that JSON can hold.
            messages: tuple[ChatMessage, ...] = (ChatMessage(role="user", content=str(prompt)),)
        else:
            messages = tuple(m if isinstance(m, ChatMessage) else ChatMessage.from_json(m) for m in prompt)
            if not messages:
                said = Message("There are no messages to send.")
                raise ConfigurationError(said, hint=Message("Give at least one user message."))
        request = cls(messages=messages, options=options)
        return request if system is None else request.with_system(system)

    def with_system(self, text: str) -> Request:
        """The request with this system prompt in first place; an earlier one there is replaced."""
        rest = self.messages[1:] if self.messages[0].role == "system" else self.messages
        return replace(self, messages=(ChatMessage(role="system", content=text), *rest))

    def continued(
        self, *, text: str, reasoning: str = "", style: ContinueStyle, max_tokens: int | None = None
    ) -> Request:
        """The request that continues ``text``, or with no text inside ``reasoning``; all else stays as it was.

        A changed thinking mode, effort or user_id would change the answer and lose the prompt's cache. ``max_tokens``
        replaces the limit when given. ``reasoning`` is sent in DeepSeek's style alone. Raises ConfigurationError where
        the API refuses a prefix: tools, JSON mode (guide "chat prefix completion"), or an endpoint without a way.
        """
        body = self.options.body()
        if style == "none":
            raise ConfigurationError(Message("This endpoint cannot continue a partial answer."))
        if body.get("tools") or any(message.tool_calls for message in self.messages):
            raise ConfigurationError(Message("An answer that uses tools cannot be continued from its middle."))
        if (body.get("response_format") or {}).get("type", "text") != "text":
            raise ConfigurationError(Message("An answer in JSON mode cannot be continued from its middle."))
        *before, last = self.messages
        began = last.prefix or (style == "trailing_assistant" and last.role == "assistant")
        if (began or body.get("continue_final_message")) and isinstance(last.content, str):
            # The answer so far comes after a prefix of the user's own.
            text, reasoning = last.content + text, (last.reasoning_content or "") + reasoning
        else:
            before.append(last)
        message = ChatMessage(role="assistant", content=text)
        options = self.options if max_tokens is None else self.options.replace(max_tokens=max_tokens)
        if style == "deepseek_prefix":
            message = replace(message, prefix=True, reasoning_content=reasoning or None)
        elif style == "continue_final_message":
            fields = {"continue_final_message": True, "add_generation_prompt": False}
            options = options.replace(extra_body={**options.get("extra_body", {}), **fields})
        return replace(self, messages=(*before, message), options=options)

    @property
    def asks_usage(self) -> bool:
        """Whether a stream is asked for its usage because we want it, not because the request's author says so."""
        return "stream_options" not in self.options.get("extra_body", {})

    def without_usage(self) -> Request:
        """The same request without ``stream_options``, for a server that does not know the field."""
        extra = {**self.options.get("extra_body", {}), "stream_options": None}
        return replace(self, options=self.options.replace(extra_body=extra))

    @property
    def model(self) -> str:
        """The model that is asked for."""
        return str(self.options.get("model", DEFAULT_MODEL))

    @property
    def prompt(self) -> str:
        """What the last user message asks."""
        return next((message.question for message in reversed(self.messages) if message.role == "user"), "")

    def body(self, *, stream: bool = True) -> dict[str, Any]:
        """The JSON body. Old reasoning goes along exactly where the API demands it: when tools are used."""
        fields = self.options.body()
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [m.to_json(with_reasoning="tools" in fields) for m in self.messages],
            **fields,
        }
        if stream:
            body["stream"] = True
            if fields.get("stream_options", {}) is not None:
                body["stream_options"] = {"include_usage": True, **fields.get("stream_options", {})}
            else:
                del body["stream_options"]  # a server that does not know the field
        return body

    def encoded(self) -> bytes:
        """The body as it is sent. Raises ConfigurationError for what JSON cannot hold."""
        try:
            return msgspec.json.encode(self._sent)
        except UnicodeEncodeError as error:
            near = error.object[max(0, error.start - 20) : error.start]
            raise ConfigurationError(
                Message("The request holds half a character (after {near}), which cannot be sent.", near=repr(near)),
                hint=Message("Text was cut or decoded wrongly: text.encode('utf-8', 'replace').decode() repairs it."),
            ) from None
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigurationError(
                Message("The request cannot be written as JSON: {error}.", error=str(error))
            ) from None

    def bare(self, options: Options | None = None) -> Request:
        """The same request without the body that it has worked out for itself, but with its digest. ``options``: equal ones."""
        made = replace(self, options=self.options if options is None else options)
        made.__dict__["_digest"] = self._digest  # where a cached property has its value
        return made

    def digest(self) -> str:
        """SHA-256 of the canonical body, in hexadecimal: the same for requests that would be sent alike."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        # What cannot be sent has a digest all the same, for its record.
        canonical = json.dumps(self._sent, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def _sent(self) -> dict[str, Any]:
        return self.body()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())


Prompt = str | Sequence[Mapping[str, Any] | ChatMessage] | Request
"""What may be asked: text, messages, or a finished request."""
