"""Questions about the server itself: which models, how much money, and is it well.

Source: DeepSeek's pages "list models" and "get user balance".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from ...protocol.errors import APIStatusError, ConfigurationError, DeepSeekError, Disconnected, ProtocolError
from ...protocol.measured import TYPED
from ...protocol.models import MODELS, Model
from ...text.characters import named
from ...text.messages import Message
from ..attempt import read_all, status_error_of
from ..calls import HTTPAnswer, HTTPCall, Transport
from ..home import loopback
from ..network.proxies import proxy_of
from .endpoints import Endpoint
from .keys import Key

_LARGEST_BODY_BYTES: Final = 8 * 2**20
_READ_S: Final = 30.0
_NAME_S: Final = 10.0
_JSON: Final = {"accept": "application/json", "content-type": "application/json"}
_NOT_THERE: Final = frozenset({400, 404, 405, 422, 501})
"""What a server answers to a question that it does not know, though it may know the chat."""
_KNOWN: Final = {model.id: model for model in MODELS}

StepName = Literal["name", "key", "connect", "tls", "first_byte", "models", "balance"]
"""What is asked, in this order."""
_TIMINGS: Final[Mapping[StepName, str]] = {"connect": "connect_tcp", "tls": "start_tls", "first_byte": "first_byte"}
"""The steps that the connection takes, and what they are called among an answer's ``timings_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceOf:
    """Money in one currency, as the text that the API sends (it is exact)."""

    currency: str
    total: str
    granted: str | None = None
    topped_up: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The account's money. ``available`` is false when calls would be refused. It lags behind what was spent."""

    available: bool
    amounts: tuple[BalanceOf, ...] = ()

    def __str__(self) -> str:
        return str(self.message)

    @property
    def message(self) -> Message | str:
        """The amounts, and whether they are too little."""
        money = ", ".join(f"{amount.total} {amount.currency}" for amount in self.amounts) or Message("unknown")
        return money if self.available else Message("{amount} (not enough for a call)", amount=money)


@dataclass(frozen=True, slots=True)
class HealthStep:
    """One question. ``ok`` is None when it was not asked; ``seconds`` None when it took no time of its own."""

    name: StepName
    ok: bool | None
    said: Message | str
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a check found, step by step, in the order of a call's way."""

    endpoint: Endpoint
    steps: tuple[HealthStep, ...]
    models: tuple[Model, ...] = ()
    balance: Balance | None = None
    http_version: str | None = None
    error: DeepSeekError | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing that was asked went wrong."""
        return all(step.ok is not False for step in self.steps)

    def step(self, name: StepName) -> HealthStep:
        """One of the steps by its name."""
        return next(step for step in self.steps if step.name == name)


async def models(transport: Transport, endpoint: Endpoint, key: Key | None) -> list[Model]:
    """The models that the server lists, with the limits that are known."""
    return _read_models(await _get(transport, endpoint.models_url, key))


async def balance(transport: Transport, endpoint: Endpoint, key: Key | None) -> Balance:
    """The account's balance. Raises ConfigurationError where the endpoint does not tell it."""
    if endpoint.balance_url is None:
        raise ConfigurationError(Message("{endpoint} does not report a balance.", endpoint=endpoint.title))
    return _read_balance(await _get(transport, endpoint.balance_url, key))


async def check(transport: Transport, endpoint: Endpoint, key_of: Callable[[], Key | None]) -> Health:
    """Ask the server all that a call depends on, on a new connection. Raises nothing of our tree."""
    steps: list[HealthStep] = []
    found: dict[str, Any] = {}
    is_https = endpoint.http_url.startswith("https:")

    def timed(answer: HTTPAnswer) -> None:
        found["http_version"] = answer.http_version
        for name, timing in _TIMINGS.items():
            if timing in answer.timings_s:
                steps.append(HealthStep(name, True, answer.http_version, answer.timings_s[timing]))
            elif name == "tls" and not is_https:
                steps.append(HealthStep(name, None, Message("not used: the address is http")))

    try:
        steps.append(await _name(endpoint))
        key = key_of()
        said = Message("found in {source}", source=key.source) if key else Message("none, and none is needed")
        steps.append(HealthStep("key", True, said))
        try:
            found["models"] = listed = tuple(
                _read_models(await _get(transport, endpoint.models_url, key, on_answer=timed))
            )
            steps.append(_offered(listed, endpoint.default_model))
        except (APIStatusError, ProtocolError):  # a list is no chat: some keys may not read it, some servers have none
            await _ask_nothing(transport, endpoint, key)
            steps.append(HealthStep("models", None, Message("this server does not list them")))
        if endpoint.balance_url is not None:
            began_s = time.perf_counter()
            try:
                found["balance"] = told = await balance(transport, endpoint, key)
                steps.append(HealthStep("balance", told.available, told.message, time.perf_counter() - began_s))
            except DeepSeekError as error:
                unknown = isinstance(error, ProtocolError) or getattr(error, "status", None) in _NOT_THERE
                if not unknown and endpoint.name != TYPED:  # elsewhere no call depends on it
                    raise
                steps.append(HealthStep("balance", None, Message("this server does not tell it")))
    except DeepSeekError as error:
        found["error"] = error
        behind = {step.name for step in steps} | (set() if is_https else {"tls"})
        failed = next(name for name in get_args(StepName) if name not in behind)
        steps.append(HealthStep(failed, False, error.whole))
    return Health(endpoint=endpoint, steps=tuple(steps), **found)


def _offered(listed: tuple[Model, ...], default: str | None) -> HealthStep:
    """The list of models. One without the default model is no fault: some servers take any name."""
    names = ", ".join(model.id for model in listed[:5]) or Message("none")
    if default is None or default in {model.id for model in listed}:
        return HealthStep("models", True, names)
    missing = Message("{names}; the default {model} is not among them, name one with -m", names=names, model=default)
    return HealthStep("models", None, missing)


async def _name(endpoint: Endpoint) -> HealthStep:
    """Resolve the server's name, as the first step of a check."""
    parts = urlsplit(endpoint.http_url)
    if endpoint.tape is not None and endpoint.tape.plays:
        return HealthStep("name", None, Message("left to the tape {name}", name=endpoint.tape.name))
    if loopback is not None:
        return HealthStep("name", None, Message("left to the browser"))
    if (proxy := proxy_of(endpoint.http_url)) is not None:  # which resolves it, and may be all that can
        return HealthStep("name", None, Message("left to the proxy {proxy}", proxy=proxy.shown))
    began_s = time.perf_counter()
    try:
        async with asyncio.timeout(_NAME_S):
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443)
    except OSError:  # a TimeoutError among them
        said = Message("The name {host} could not be resolved.", host=parts.hostname)
        raise Disconnected(said, hint=Message("Check the address and the network.")) from None
    addresses = sorted({str(each[4][0]) for each in found})
    return HealthStep("name", True, ", ".join(addresses[:4]), time.perf_counter() - began_s)


async def _ask_nothing(transport: Transport, endpoint: Endpoint, key: Key | None) -> None:
    """Whether there is a chat API at all, where no models are listed: an empty question costs nothing and is refused as
    one. Raises the error of an address that knows no chat."""
    call = HTTPCall(method="POST", url=endpoint.chat_url, headers=_JSON, body=b"{}", key=key, read_s=_READ_S)
    try:
        async with transport.open(call) as answer:
            if not 200 <= answer.status < 300:
                raise await status_error_of(answer)
            # A page of HTML, as of a network that wants a login first, is no chat.
            await _json_of(answer, endpoint.chat_url)
    except APIStatusError as error:  # gRPC may tell it in the body
        if error.status not in (400, 422):
            raise


async def _get(
    transport: Transport, url: str, key: Key | None, *, on_answer: Callable[[HTTPAnswer], None] | None = None
) -> Any:
    """The JSON at ``url``; with ``on_answer``, which is told the headers, on a new connection that can be timed."""
    fresh = on_answer is not None
    accept = {"accept": "application/json"}
    call = HTTPCall(method="GET", url=url, headers=accept, key=key, read_s=_READ_S, fresh=fresh)
    async with transport.open(call) as answer:
        if on_answer is not None:
            on_answer(answer)
        if not 200 <= answer.status < 300:
            raise await status_error_of(answer)
        return await _json_of(answer, url)


async def _json_of(answer: HTTPAnswer, url: str) -> Any:
    """The JSON of an answer. Raises ProtocolError where it is none."""
    body = await read_all(answer.chunks(), _LARGEST_BODY_BYTES)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = Message("{host} answered with something that is not JSON.", host=urlsplit(url).netloc)
        raise ProtocolError(said, hint=Message("Check the base URL.")) from None


def _read_models(raw: Any) -> list[Model]:
    match raw:
        case {"data": list(entries)} | list(entries):
            ids = [named(e["id"]) for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]
            return [_KNOWN.get(id_, Model(id=id_)) for id_ in ids]
    raise ProtocolError(Message("The list of models is not in the API's form."), hint=Message("Check the base URL."))


def _read_balance(raw: Any) -> Balance:
    match raw:
        case {"is_available": bool(available), "balance_infos": list(infos)}:
            return Balance(available=available, amounts=tuple(_amount(info) for info in infos))
    raise ProtocolError(Message("The balance is not in the API's form."), hint=Message("Check the base URL."))


def _amount(info: Any) -> BalanceOf:
    match info:
        case {"currency": str(currency), "total_balance": total}:
            return BalanceOf(
                currency=named(currency),
                total=named(str(total)),
                granted=_text(info.get("granted_balance")),
                topped_up=_text(info.get("topped_up_balance")),
            )
    raise ProtocolError(Message("The balance is not in the API's form."), hint=Message("Check the base URL."))


def _text(value: Any) -> str | None:
    return None if value is None else named(str(value))
