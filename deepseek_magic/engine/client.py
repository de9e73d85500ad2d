"""What calls share: a server, a key, connections, limits; and the questions one asks besides chatting."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Self, Unpack

from ..metrics.row import Origin
from ..policy.attempts import Abilities, RecoveryPolicy
from ..policy.causes import is_down
from ..policy.deadlines import LOCAL_TIMEOUTS, Timeouts
from ..policy.limits.limiter import LimitPolicy
from ..policy.pricing import PRICES, PriceTable
from ..policy.resuming import going_on
from ..policy.several.nearest import fastest_first, place_at, typical_s
from ..protocol.chat import Prompt, Request
from ..protocol.completion import Completion
from ..protocol.errors import ConfigurationError, DeepSeekError, MissingKey
from ..protocol.models import Model, resolve_model
from ..protocol.options import OPTIONS_BY_NAME, RequestOptions
from ..text.messages import Message
from .attempt import Exchanges
from .calls import UNREAD_S, Transport
from .failover import Relay
from .gate import Gate, gate_of
from .home import new_transport
from .hosts import health
from .hosts.endpoints import Endpoint, Endpoints, in_order
from .hosts.health import Balance, Health
from .hosts.keys import Key, find_key, wrapped
from .network.grpcweb import GRPCWeb
from .segment import Purse, Terms
from .several.race import Hedged
from .several.second import SecondRequests
from .several.seen import SEEN
from .stream import Earlier, Keeper, Stream


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A request as one endpoint is sent it: its model is resolved. ``notice`` says what became of the model's name."""

    request: Request
    endpoint: Endpoint
    notice: Message | str = ""


class Client:
    """Calls to one endpoint with one key. Belongs to the loop on which it is used; close it with ``async with``.

    ``endpoint`` is a name, a base URL or an Endpoint; or several of them (a list, or names with commas between), which
    are tried in order: when one is down the next takes over, in mid-answer too; without one it is DeepSeek, or the demo
    server that runs in this process. Keys are looked for at the first call
    (see ``keys.find_key``) unless ``api_key`` gives them: the first endpoint's, or a list with one for each, None where
    it is to be looked for. ``rewind`` is false for a consumer that can never take text back: then an answer goes on
    behind its last character or not at all. ``timeline`` keeps every event with its time in the records. ``keeper``
    writes down what streams bring. ``prices`` are what calls are priced by. ``chance`` spreads waits.
    ``keep_warm_s`` has the client's own transport ping an idle connection that often (``HEAD /``, no key, no tokens),
    until half an hour after the last call. ``prefer`` "fastest" asks the endpoint first whose last calls of this process began
    soonest, instead of the one named first ("order"). ``hedge`` sends a request a second time when its first token is late, and
    takes the answer that begins first; that costs at most so large a share of the money (0, the default, to 0.2).
    Raises ConfigurationError for an unknown endpoint and for what is out of bounds.
    """

    def __init__(
        self,
        endpoint: Endpoints = None,
        *,
        api_key: str | Key | Sequence[str | Key | None] | None = None,
        recovery: RecoveryPolicy | None = None,
        limits: LimitPolicy | None = None,
        timeouts: Timeouts | None = None,
        transport: Transport | None = None,
        rewind: bool = True,
        timeline: bool = False,
        keeper: Keeper | None = None,
        keep_warm_s: float | None = None,
        prefer: str | None = None,
        hedge: float | None = None,
        prices: PriceTable = PRICES,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.endpoints = in_order(endpoint)
        self.recovery = recovery or RecoveryPolicy()
        self.limits = limits or LimitPolicy()
        self.timeouts = timeouts
        if transport is not None and keep_warm_s is not None:
            raise ConfigurationError(
                Message("keep_warm_s has no effect with a transport of your own: set it on that transport.")
            )
        self.transport: Transport = transport or new_transport(keep_warm_s=keep_warm_s)
        self.rewind = rewind
        self.timeline = timeline
        self.prefer: str = OPTIONS_BY_NAME["prefer"].check("order" if prefer is None else prefer)
        self.hedge: float = OPTIONS_BY_NAME["hedge"].check(hedge or 0)
        self.prices = prices
        self.wall: Callable[[], datetime] = lambda: datetime.now(UTC)
        """The wall clock, by which prices change with the hour."""
        self._keeper = keeper
        self._chance = chance
        given = [api_key] if isinstance(api_key, str | Key | None) else api_key
        self._given = {endpoint: wrapped(key) for endpoint, key in zip(self.endpoints, given, strict=False)}
        self._keys: dict[Endpoint, Key] = {}

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that is asked first."""
        return self.endpoints[0]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    @property
    def key(self) -> Key | None:
        """The first endpoint's key. Raises MissingKey when it needs one and there is none."""
        return self._key_of(self.endpoint)

    def _key_of(self, endpoint: Endpoint) -> Key | None:
        key = self._keys.get(endpoint) or find_key(endpoint, explicit=self._given.get(endpoint))
        if key is not None:
            self._keys[endpoint] = key
        return key

    def stream(
        self,
        prompt: Prompt,
        *,
        continue_on_length: bool | None = None,
        recovery: RecoveryPolicy | None = None,
        timeline: bool | None = None,
        **options: Unpack[RequestOptions],
    ) -> Stream | Relay | Hedged:
        """Begin a call; nothing is sent before the stream is iterated. ``options`` as in ``protocol.options``.

        ``recovery`` and ``timeline`` replace the client's for this call, ``continue_on_length`` that part. Raises
        ConfigurationError for options that do not exist or are out of bounds, and MissingKey.
        """
        asked = self.addressed(Request.of(prompt, **options))
        return self.begin(asked, continue_on_length=continue_on_length, recovery=recovery, timeline=timeline)

    def resume(
        self,
        before: Completion,
        *,
        continue_on_length: bool | None = None,
        recovery: RecoveryPolicy | None = None,
        timeline: bool | None = None,
        **options: Unpack[RequestOptions],
    ) -> Stream | Relay | Hedged:
        """Go on with an answer that was stopped, broke off or reached its length; the completion will be the whole.

        ``options`` replace those of its request; its usage and cost are those of the new call alone. Raises
        ConfigurationError when the answer is complete or cannot be resumed.
        """
        asked = self.addressed(Request.of(before.request, **options), prefer="order")
        return self.begin(
            asked, before=before, continue_on_length=continue_on_length, recovery=recovery, timeline=timeline
        )

    def begin(
        self,
        addressed: Sequence[Addressed],
        *,
        before: Completion | None = None,
        continue_on_length: bool | None = None,
        recovery: RecoveryPolicy | None = None,
        timeline: bool | None = None,
        origin: Origin | None = None,
        patience: Callable[[Timeouts], Timeouts] = lambda timeouts: timeouts,
        call_id: str | None = None,
        purse: Purse | None = None,
        exchanges: Exchanges | None = None,
        unread_s: float = 0.0,
        hedge: float | None = None,
        alone: bool = False,
    ) -> Stream | Relay | Hedged:
        """The same for requests that ``addressed`` has made; ``before`` is the answer that the call continues, ``patience``
        what becomes of the time-outs of an endpoint. ``origin`` goes into the call's record. ``call_id`` names the call;
        where several endpoints may answer it is the first one's, each other has its own. ``purse`` pays for it. With
        ``exchanges`` others send its requests, with keys of their own. ``unread_s``: nobody waits for each
        piece, so behind its first words what comes may be left unread so long, where many are. ``hedge`` replaces
        the client's. ``alone``: no answer that was made for somebody else, or before, will do."""
        recovery = recovery or self.recovery
        if continue_on_length is not None:
            recovery = dataclasses.replace(recovery, continue_on_length=continue_on_length)
        legs = []
        for each in addressed:
            timeouts = patience(self.timeouts_of(each.endpoint))
            terms = self._terms(
                each.endpoint, recovery, timeline, origin, timeouts, purse, exchanges, unread_s=unread_s, alone=alone
            )
            if each.endpoint.tape is not None:  # the waits of a recording are those of its replay
                terms = dataclasses.replace(terms, chance=random.Random(each.request.digest()).random)
            legs.append((each.request, terms))
        request, terms = legs[0]
        step = None if before is None else going_on(before, can=terms.can(request))
        earlier = None if before is None or step is None else Earlier(completion=before, step=step)
        share = self.hedge if hedge is None else hedge
        taped = any(
            each.endpoint.tape is not None for each in addressed
        )  # its replay asks once, in the order that it had
        hedged = bool(share) and before is None and not taped
        seconds = SecondRequests(legs, share, keeper=self._keeper) if hedged else None
        if len(legs) == 1:
            stream = Stream(request, terms, earlier, keeper=self._keeper, call_id=call_id)
            return stream if seconds is None else Hedged(stream, seconds)
        return Relay(legs, earlier, keeper=self._keeper, call_id=call_id, seconds=seconds)

    def timeouts_of(self, endpoint: Endpoint) -> Timeouts:
        """The client's, or the defaults for such an endpoint."""
        return self.timeouts or (LOCAL_TIMEOUTS if endpoint.is_local else Timeouts())

    def can(self, request: Request) -> Abilities:
        """How an answer to ``request`` may be continued at the first endpoint."""
        return self._terms(self.endpoint, self.recovery).can(request)

    @property
    def gate(self) -> Gate:
        """The queue in front of the first endpoint, which all clients of this process with its key share."""
        return self.gate_for(None)

    def gate_for(self, exchanges: Exchanges | None) -> Gate:
        """The same for requests that others may send, who need no key of this client's."""
        return self._terms(self.endpoint, self.recovery, exchanges=exchanges).gate

    def _terms(
        self,
        endpoint: Endpoint,
        recovery: RecoveryPolicy,
        timeline: bool | None = None,
        origin: Origin | None = None,
        timeouts: Timeouts | None = None,
        purse: Purse | None = None,
        exchanges: Exchanges | None = None,
        *,
        unread_s: float = 0.0,
        alone: bool = False,
    ) -> Terms:
        timeline = self.timeline if timeline is None else timeline
        timeouts = timeouts or self.timeouts_of(endpoint)
        try:
            key = self._key_of(endpoint)
        except MissingKey:
            if exchanges is None:
                raise
            key = None
        return Terms(
            endpoint=endpoint,
            key=key,
            transport=self._carrier(endpoint),
            gate=gate_of(endpoint.address, key, self.limits, pace=endpoint.pace),
            recovery=recovery,
            timeouts=timeouts,
            rewind=self.rewind,
            timeline=timeline,
            price=functools.partial(self.prices.cost_of, endpoint=endpoint.price_list),
            chance=self._chance,
            origin=origin or Origin(),
            purse=purse,
            alone=alone,
            wall=self.wall,
            exchanges=exchanges,
            unread_s=0.0 if timeline else timeouts.without_notice_s(unread_s),
        )

    def _carrier(self, endpoint: Endpoint) -> Transport:
        return GRPCWeb(self.transport) if endpoint.is_grpc_web else self.transport

    async def complete(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Completion:
        """The whole answer. Raises the DeepSeekError that ended the call; its ``completion`` has what had arrived."""
        stream = self.begin(self.addressed(Request.of(prompt, **options)), unread_s=UNREAD_S)
        async with contextlib.aclosing(stream):
            async for _ in stream.batches():
                pass
        return stream.completion

    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Request:
        """The request as the first endpoint is sent it: with a model, and DeepSeek's old model names translated."""
        return _addressed(Request.of(prompt, **options), self.endpoint).request

    def addressed(self, asked: Request, *, prefer: str | None = None) -> tuple[Addressed, ...]:
        """The request as each endpoint is sent it, in the order in which they are asked; ``prefer`` replaces the client's. A
        model that an endpoint after the first one does not know is left to its own default. Raises ConfigurationError where
        no model is known."""
        first, *others = self.endpoints
        found = (_addressed(asked, first), *(_addressed(_known_at(other, asked), other) for other in others))
        taped = any(endpoint.tape is not None for endpoint in self.endpoints)
        if not others or taped or (prefer or self.prefer) != "fastest":
            return found
        calls, now_s = SEEN.calls, self.wall().timestamp()
        typical = [typical_s(calls, place_at(each.endpoint.base_url, each.request), now_s)[0] for each in found]
        return tuple(found[number] for number in fastest_first(typical, self._chance()))

    async def models(self) -> list[Model]:
        """The models that the first endpoint lists that is not down."""
        *others, last = self.endpoints
        for endpoint in others:
            try:
                return await health.models(self._carrier(endpoint), endpoint, self._key_of(endpoint))
            except DeepSeekError as error:
                if not is_down(error):
                    raise
        return await health.models(self._carrier(last), last, self._key_of(last))

    async def balance(self) -> Balance:
        """The account's balance at the first endpoint. Raises ConfigurationError where that has none."""
        return await health.balance(self._carrier(self.endpoint), self.endpoint, self.key)

    async def check(self) -> Health:
        """Name, connection, TLS, first byte, models and balance, each timed, on a new connection."""
        return await health.check(self._carrier(self.endpoint), self.endpoint, lambda: self.key)

    async def check_all(self) -> list[Health]:
        """The same for each endpoint, in order."""
        return [
            await health.check(self._carrier(each), each, functools.partial(self._key_of, each))
            for each in self.endpoints
        ]

    async def warm_up(self) -> float | None:
        """Connect before anything is asked, so that the first call finds a connection. Its seconds, if one was made."""
        return await self.transport.warm_up(self.endpoint.http_url)


def _addressed(request: Request, endpoint: Endpoint) -> Addressed:
    given = request.options.get("model") or endpoint.default_model
    if given is None:
        said = Message("{endpoint} needs to know which model.", endpoint=endpoint.title)
        raise ConfigurationError(said, hint=Message("Name one with -m (model=)."))
    options = request.options.replace(model=given)
    notice: Message | str = ""
    if endpoint.continuing == "deepseek_prefix":
        model = resolve_model(given)
        options = options.replace(model=model.id, think=options.get("think") or model.think)
        notice = model.notice
    return Addressed(request=dataclasses.replace(request, options=options), endpoint=endpoint, notice=notice)


def _known_at(endpoint: Endpoint, request: Request) -> Request:
    """The request without a model that only other endpoints know."""
    given = request.options.get("model")
    known = given is not None and (endpoint.default_model is None or resolve_model(given).id in endpoint.models)
    return request if known else dataclasses.replace(request, options=request.options.replace(model=None))
