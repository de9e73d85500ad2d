"""What a person is doing: the defaults in force, the clients in use, the prompts being filled, the log of it all.

One session a process. It turns what was typed into a ``Request`` for an endpoint (``prepare``), has it answered
(``start``, ``ask``, ``aask``) and keeps the record. It knows nothing of how an answer looks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Unpack

import msgspec

from ..engine.calls import UNREAD_S, UNREAD_SOON_S
from ..engine.client import Client
from ..engine.home import IN_PAGE, engine, new_transport
from ..engine.hosts import keys
from ..engine.hosts.endpoints import ENDPOINTS, Endpoint, Endpoints, in_order
from ..engine.journal.reader import Entry, Journal
from ..engine.loop import Call, outcome, pump, pump_turning
from ..engine.several import nearby
from ..engine.several.prefix import PrefixPlace
from ..engine.stream import Stream, pieces_of
from ..metrics.billing import most_of
from ..metrics.log import MetricsLog
from ..metrics.row import Origin
from ..metrics.spending import Hold
from ..policy.attempts import Abilities, Delivered, RecoveryPolicy
from ..policy.budget import COUNTED
from ..policy.causes import is_passing, status_of
from ..policy.deadlines import Timeouts
from ..policy.estimates import Estimate, estimate
from ..policy.limits.leading import Leading, beginning
from ..policy.pricing import Cost
from ..policy.recovery import cannot_continue
from ..policy.resuming import going_on
from ..policy.tools.approval import asks_for_tools
from ..protocol.chat import Prompt, Request
from ..protocol.completion import Completion
from ..protocol.context.pieces import Piece, listed
from ..protocol.conversation import Conversation, Turn
from ..protocol.errors import BudgetExceeded, ConfigurationError, DeepSeekError, RuleBroken
from ..protocol.events import Event, Usage
from ..protocol.options import OPTIONS_BY_NAME, Options, notices
from ..protocol.outcome import WHOLE
from ..protocol.schema import Schema
from ..text.messages import Message
from . import cache, images, trust, watched
from .asking import question
from .chats import Remembered
from .confirming.hook import confirmer
from .context.attaching import Attachments
from .early.fate import Fate
from .prepared import AskOptions, Prepared, ResumeOptions, hide_key
from .previous import check_demo, check_typed, find_earlier
from .rails import Rails
from .tools.box import given_tools, toolbox
from .tools.driving import adrive, drive
from .tools.resumed import asks_again, waiting_of
from .tools.rounds import rounds
from .tools.servers import Servers

MAX_HISTORY_TOKENS: Final = 200_000
"""A fifth of the context: longer histories cost more than they help; what is left out is said."""


class Session:
    """Defaults, clients and the log of this process. Safe to use from several threads."""

    def __init__(self) -> None:
        self.log = MetricsLog(mask=keys.mask_content)
        self.journal = Journal(mask=keys.mask_content, enabled=not IN_PAGE)
        self.defaults = Options()
        self.chats = Remembered(self.journal)
        self.rails = Rails(self.journal)
        """The rules of the class that this process belongs to, if it belongs to one."""
        self.keep_loop_turning = False
        """Whether a blocking call made where a loop runs keeps that loop turning (nest_asyncio2) while it waits."""
        self.wall: Callable[[], datetime] = lambda: datetime.now(UTC)
        """The wall clock, by which prices change with the hour."""
        self.leading = Leading()
        """Which of several calls that begin alike goes first. For the engine's loop alone."""
        self.last: Completion | None = None
        """The completion of the call that ended last."""
        self.servers = Servers()
        """The MCP servers that questions may name."""
        self.seen_before = nearby.SeenBefore()
        self._early: dict[Fate, Call] = {}
        self._turns: dict[str, tuple[str, str]] = {}
        self._journal_noticed = False
        self._transport = new_transport()
        self._clients: dict[tuple[Endpoint | keys.Key | None, ...], Client] = {}
        self._warming: concurrent.futures.Future[None] | None = None

    @property
    def keep_warm_s(self) -> float | None:
        """Seconds between the pings of an idle connection, see ``engine.hosts.warmth``; None, the default, for none."""
        return self._transport.keep_warm_s

    @keep_warm_s.setter
    def keep_warm_s(self, every_s: float | None) -> None:
        self._transport.keep_warm_s = every_s

    def lately(self, endpoints: Sequence[Endpoint]) -> dict[Endpoint, Message]:
        """How soon the last calls of each endpoint began, by the journal, what a million tokens cost there, and where second
        requests are on, when one would be sent."""
        self.seen_before.look(self.journal, self.wall())
        return nearby.lately(endpoints, self.wall(), self.log.prices, float(self.in_force({}).get("hedge") or 0))

    @property
    def chat(self) -> str:
        """The conversation of a cell that names none. A Python call belongs to a conversation only when it names one."""
        return str(self.defaults.get("chat", OPTIONS_BY_NAME["chat"].default))

    def in_force(self, typed: Mapping[str, Any], endpoint: Endpoints = None) -> Options:
        """The typed settings over the defaults. Of an address that a project names, no part is mixed with one that was
        typed; it is the user's own once confirmed, see ``trust``. An address that was typed alone is no demo's, though cells
        go to one."""
        options = Options(**{**self.defaults, **{k: v for k, v in typed.items() if v is not None}})
        if typed.get("base_url") and not (endpoint or typed.get("endpoint")) and options.get("endpoint") == "demo":
            options = options.replace(endpoint=None)
        if endpoint or typed.get("endpoint") or typed.get("base_url"):
            options = options.replace(**dict.fromkeys(trust.named_by_project(options)))
        return trust.confirmed(options)

    def prepare(
        self,
        prompt: Prompt,
        *,
        variables: Mapping[str, Any] | None = None,
        api_key: str | keys.Key | None = None,
        endpoint: Endpoints = None,
        turn: str | None = None,
        schema: type | str | Schema | None = None,
        image: Any = None,
        timeouts: Timeouts | None = None,
        like: Prepared | None = None,
        cells: bool = True,
        uploads: Mapping[str, Path] | None = None,
        **typed: Any,
    ) -> Prepared:
        """Make the request that ``prompt`` and the typed options ask for; typed options win over the defaults.

        ``variables`` fill ``{name}`` in the prompt and the system prompt, and are where ``$name`` and a schema are found
        by name; ``schema`` may also be the class itself, ``image`` a picture or several. With a ``chat`` the prompt goes on
        from that conversation; ``turn`` is the id of the cell it belongs to, so that a cell run again replaces its
        turn. Several endpoints (a list, or names with commas between) are tried in order; see ``start``. ``like`` was
        asked for with the same options, so its endpoints and keys are not looked for again. ``cells``: whether the notebook's
        may be filled in. ``uploads`` are files that go along under other names than their own. What ``file`` and ``url`` name is read here, also for a dry run. Raises ConfigurationError (or MissingKey, but not for a dry run) when something is missing or wrong;
        nothing is sent.
        """
        if isinstance(endpoint, str):
            typed["endpoint"] = endpoint
        api_key = keys.wrapped(api_key)
        functions = given_tools(typed)
        options = self.in_force(typed, endpoint)
        options = self.rails.applied(options, self.wall(), sent=not options.get("dry_run"))
        if (box := toolbox(functions, options, variables, self.servers)) is not None:
            options = self.rails.applied(options.replace(tools=box.definitions), self.wall(), sent=False)
        chat = None if options.get("no_history") else typed.get("chat")
        limit = options.get("max_history", MAX_HISTORY_TOKENS)
        goes_on = chat is not None and not options.get("new")
        along = Attachments(
            watched.ran if cells else None, lambda: self.chats.texts(str(chat), turn, limit) if goes_on else []
        )
        filling = variables if variables is None else along.variables(variables)
        words = question(prompt, options, filling, schema=schema, image=image, seen=along.seen)
        if words.schema is not None:
            options = options.replace(json=True)
        if options.get("json"):
            options = options.replace(format=options.get("format", "json"))
        client = like.client if like is not None else self._client_of(options, endpoint, api_key)
        place = client.endpoint
        speaks_deepseek = place.continuing == "deepseek_prefix"
        said: list[Message | str] = list(notices(options)) if speaks_deepseek else []
        asked = words.complete(Request.asking(words.prompt, options, system=words.system))
        asked = along.put_before(asked, options, uploads or {})
        if chat is not None and goes_on:
            asked, told_of_chat = self.chats.go_on(asked, chat, turn, limit)
            said += told_of_chat
        if (prefers := options.get("prefer")) == "fastest" or options.get("hedge"):
            self.seen_before.look(self.journal, self.wall())
        addressed = client.addressed(asked, prefer=prefers)
        request, place = addressed[0].request, addressed[0].endpoint
        said += nearby.notices(addressed, client.endpoint, typed, client.prices, self.wall())
        for each in addressed:
            said += images.check(each.request, each.endpoint)
        names_json = any("json" in message.text.lower() for message in request.messages)
        if speaks_deepseek and options.get("json") and not names_json:
            said.append(
                Message(
                    "JSON mode needs the word json in the prompt, or DeepSeek refuses it; describe the JSON that you want."
                )
            )
        can = Abilities.of(request, style=place.continuing, reasoning=False)
        any_text = Delivered(text_chars=1, text_kept_chars=1)
        if options.get("continue_on_length") and (why := cannot_continue(any_text, can)):
            said.append(Message("An answer that reaches its length cannot be continued here: {why}.", why=why))
        if "budget" in options and self._estimated(request, place, options)[1] is None:
            said.append(
                Message(
                    "The price of {model} at {place} is not known in US dollars, so the budget cannot count this call.",
                    model=request.model,
                    place=place.title,
                )
            )
        if options.get("cache") and not self.journal.enabled:
            said.append(Message("No journal is kept here, so no answer can come from it."))
        pieces = tuple(along.gathering.pieces)
        said += along.gathering.notices()
        if pieces:
            said.append(listed(pieces, self._price_of(pieces, request, place)))
        if self.journal.notice and not self._journal_noticed:
            self._journal_noticed = True
            said.append(self.journal.notice)
        return Prepared(
            addressed=addressed,
            options=options,
            client=client,
            notices=tuple(filter(None, (self.rails.notice(), *words.notices, addressed[0].notice, *said))),
            chat=chat,
            turn=turn or uuid.uuid4().hex,
            schema=words.schema,
            timeouts=timeouts,
            tools=box,
            along=pieces,
        )

    def _price_of(self, pieces: Sequence[Piece], request: Request, endpoint: Endpoint) -> Cost | None:
        """What pieces cost as a part of the prompt, none of it cached; None where that is not known."""
        tokens = sum(piece.tokens for piece in pieces)
        usage = Usage(prompt_tokens=tokens, completion_tokens=0, cache_hit_tokens=0, cache_miss_tokens=tokens)
        return self.log.prices.cost_of(request.model, usage, self.wall(), endpoint=endpoint.price_list)

    def _client_of(self, options: Options, endpoint: Endpoints, api_key: str | keys.Key | None) -> Client:
        """The client for the endpoints that were typed, or those in force, with their keys.
        Raises MissingKey, but not for a dry run."""
        places = in_order(endpoint or options.get("endpoint"), options.get("base_url"))
        if options.get("dry_run"):
            return self.client(*places)
        explicit = (api_key, *[None] * (len(places) - 1))
        found = [keys.find_key(place, explicit=given) for place, given in zip(places, explicit, strict=True)]
        return self.client(*places, keys_found=found)

    def client(self, *endpoints: Endpoint, keys_found: Sequence[keys.Key | None] = ()) -> Client:
        """The client for these endpoints and keys: one each, and all share their connections and limits."""
        known = self._clients.get((*endpoints, *keys_found))
        if known is None:
            made = Client(endpoints, api_key=keys_found, transport=self._transport, keeper=self)
            known = self._clients.setdefault((*endpoints, *keys_found), made)
        known.prices = self.log.prices
        known.wall = self.wall
        return known

    def warm_up(self, **typed: Any) -> concurrent.futures.Future[None]:
        """Connect to the endpoints in force, or to those that the typed options name, before anything is asked.

        Returns at once; the engine does it, one at a time, until the future ends, and without a word: where a key is
        missing, a setting is wrong or nobody answers nothing happens, and the call itself will tell. A server on this
        machine is left alone: connecting to it takes no time, and the faults of the demo are meant for questions.
        """
        if self._warming is None or self._warming.done():
            self._warming = engine.submit(self._warm(typed))
        return self._warming

    async def _warm(self, typed: Mapping[str, Any]) -> None:
        with contextlib.suppress(DeepSeekError):
            options = self.in_force(typed)
            # Aside: the system's keyring answers when it likes, and streams are waiting on this loop.
            client = await engine.aside(self._client_of, options, None, None)
            away = [place.http_url for place in client.endpoints if not place.is_local]
            await asyncio.gather(*map(self._transport.warm_up, away))

    def prepare_resume(
        self,
        what: Completion | Entry | str | None = None,
        *,
        api_key: str | keys.Key | None = None,
        endpoint: Endpoints = None,
        timeouts: Timeouts | None = None,
        variables: Mapping[str, Any] | None = None,
        **typed: Any,
    ) -> Prepared:
        """Make the request that goes on with ``what``: a completion, a call of the journal, or the beginning of its id.

        Without one it is the last call of this process, or before the first one the newest of the journal that waits
        for it. It goes where it went before unless ``endpoint`` or ``base_url`` are given. Raises ConfigurationError
        when there is none, or it cannot be resumed, and for what cannot act on a question that is asked already, such as ``hedge``.
        """
        check_typed(typed)
        functions = given_tools(typed)
        before, went_to, said = find_earlier(what, last=self.last, journal=self.journal)
        options = self.in_force(typed, endpoint)
        # The session's own endpoint may have been moved to another address.
        moved = went_to == options.get("endpoint")
        if endpoint is None and "base_url" not in typed and went_to in ENDPOINTS and not moved:
            endpoint, options = went_to, options.replace(base_url=None)
        client = self._client_of(options, endpoint, api_key)
        check_demo(client.endpoint)
        box = toolbox(functions, options, variables, self.servers)
        waiting = waiting_of(before, box)
        asked = Request.asking((waiting or before).request, options.only(typed))
        if box is not None:
            asked = replace(asked, options=asked.options.replace(tools=box.definitions))
        asked = replace(asked, options=self.rails.applied(asked.options, self.wall()))
        addressed = client.addressed(asked, prefer="order")
        request = addressed[0].request
        anew = waiting is not None or asks_again(before, box)
        if not anew:
            going_on(before, can=client.can(request))
        call_id = before.record.call_id if before.record is not None else ""
        chat, turn = self._turns.get(call_id, (None, uuid.uuid4().hex))
        return Prepared(
            addressed=addressed,
            options=options,
            client=client,
            notices=(said,) if said else (),
            chat=chat,
            turn=turn,
            timeouts=timeouts,
            before=None if anew else replace(before, request=request),
            tools=box,
            waiting=None if waiting is None else replace(waiting, request=request),
            ran=before.tool_runs if waiting is None and anew else (),
        )

    def estimated(self, prepared: Prepared) -> tuple[Estimate, Cost | None]:
        """What a request will take, and the most that a budget counts of it if it is sent now; None where that
        is unknown, or in a currency that no budget counts."""
        return self._estimated(prepared.request, prepared.endpoint, prepared.options)

    def _estimated(self, request: Request, endpoint: Endpoint, options: Options) -> tuple[Estimate, Cost | None]:
        continuations = RecoveryPolicy().continuations if options.get("continue_on_length") else 0
        found = estimate(
            request, self.wall(), endpoint=endpoint.price_list, prices=self.log.prices, continuations=continuations
        )
        return found, found.most if found.most is not None and found.most.currency in COUNTED else None

    def kept(self, prepared: Prepared) -> Entry | None:
        """The call of the journal that ``--cache`` would answer ``prepared`` from; None where there is none."""
        if prepared.before is not None:
            return None
        return cache.find(self.journal, prepared.request, prepared.endpoint)

    def start(
        self, prepared: Prepared, *, mode: str | None = None, silent: bool = False, fate: Fate | None = None
    ) -> Call:
        """Begin the answer on the engine. The call's completion carries its error instead of raising it. ``mode`` is how
        it is shown, None where it is not; ``silent`` keeps no events for anybody to show.

        With several endpoints the next one takes over when one is down, in mid-answer too; each leaves a row in the log
        and an entry in the journal. A call that could cost more than the budget leaves ends with BudgetExceeded, and
        nothing is sent. One with a ``fate`` begins before its turn: it ends when it has come and its fate is decided.
        """

        async def source(call: Call) -> Completion:
            kept = cache.recall(self.journal, prepared.request, prepared.endpoint) if prepared.cached else None
            if kept is not None and (known := await kept) is not None and known.record is not None:
                call.put(pieces_of(known))
                self.log.add(known.record)
                return self.keep(prepared, known)
            place, prices = prepared.endpoint.price_list, self.log.prices
            most = most_of(prepared.request, functools.partial(prices.cost_of, endpoint=place), self.wall())
            try:
                await engine.aside(self.rails.check_money, most, self.wall())
                hold = await self._hold(most, prepared, fate)
            except (BudgetExceeded, RuleBroken) as error:
                if fate is not None:
                    fate.failed = True
                return Completion(request=prepared.request, error=error)
            with hold:
                if fate is not None:
                    self._early[fate] = call
                try:
                    completion = await carried(call, hold)
                    return completion if fate is not None and fate.dropped else self.keep(prepared, completion)
                finally:
                    if fate is not None:
                        del self._early[fate]
                        fate.ended.set()

        async def carried(call: Call, hold: Hold) -> Completion:
            among = PrefixPlace(self.leading, beginning(prepared.request, prepared.endpoint.base_url))
            # Before its turn it has time; nobody is to wait longer for the sake of a cache.
            await among.turn(lambda: fate is not None and fate.open)
            early = fate if fate is not None and fate.sending() else None
            if fate is not None and fate.dropped:
                call.stop()  # whoever has dropped it is about to; nothing is sent
            stream = prepared.client.begin(
                prepared.addressed,
                before=prepared.before,
                continue_on_length=prepared.options.get("continue_on_length"),
                timeline=prepared.options.get("timeline"),
                patience=prepared.patience,
                origin=Origin(
                    run_id=self.chats.run_id,
                    notebook=self.chats.notebook or None,
                    mode=mode,
                    purpose=prepared.purpose if early is None else "ahead",
                ),
                call_id=None if early is None else early.call_id,
                purse=hold,
                unread_s=UNREAD_S if silent else UNREAD_SOON_S if prepared.options.get("background") else 0.0,
                hedge=prepared.options.get("hedge") if fate is None else None,
                alone=bool(prepared.options.get("fresh")),
            )
            completion = await call.carry(stream, among.heard)
            among.over(completion)
            return completion if early is None else await self._decided(early, completion)

        return engine.start(source, silent=silent)

    async def _hold(self, most: Cost | None, prepared: Prepared, fate: Fate | None) -> Hold:
        """A call's price, set aside. Raises BudgetExceeded; but first those that began before their turn make room."""
        cap = prepared.options.get("budget")
        try:
            return self.log.spending.hold(most, cap=cap)
        except BudgetExceeded:
            if fate is not None or not self._early:
                raise
        for early, call in tuple(self._early.items()):
            if early.drop():
                call.stop()
        for early in [early for early in self._early if early.dropped]:
            await early.ended.wait()
        return self.log.spending.hold(most, cap=cap)

    async def _decided(self, fate: Fate, completion: Completion) -> Completion:
        """What a call that began before its turn has brought, once it is known whether anybody is given it."""
        record = completion.record
        error = completion.error
        fate.refused = error is not None and not is_passing(error, status=status_of(error))
        fate.failed = error is not None or completion.outcome not in WHOLE
        used = await fate.used()
        if record is None:
            return completion
        record = msgspec.structs.replace(record, used=used, ahead_s=fate.ahead_s if used else None)
        self.journal.measure(record)
        self.log.add(record, completion)
        return replace(completion, record=record)

    def began(self, stream: Stream) -> None:
        """See ``engine.stream.Keeper``: the session writes down what streams bring."""
        place, origin = stream.terms.endpoint, stream.terms.origin
        self.journal.begin(
            stream.call_id,
            stream.request,
            place.name,
            base_url=place.address,
            run_id=origin.run_id,
            purpose=origin.purpose,
        )
        for early in self._early:
            if early.call_id == stream.call_id:
                early.when_taken(functools.partial(self.journal.taken, stream.call_id))

    def taken(self, stream: Stream) -> None:
        """See ``engine.stream.Keeper``."""
        self.journal.taken(stream.call_id)

    def brought(self, stream: Stream, events: list[Event]) -> None:
        """See ``engine.stream.Keeper``."""
        self.journal.append(stream.call_id, events)

    def ended(self, stream: Stream) -> None:
        """See ``engine.stream.Keeper``."""
        completion, record = stream.completion, stream.completion.record
        early = stream.terms.origin.purpose == "ahead"
        if early and record is not None:
            record = msgspec.structs.replace(record, used=False)  # it may be one day, see ``_decided``
        self.journal.end(stream.call_id, completion, record)
        if record is not None and not early:
            self.log.add(record, completion)

    def keep(self, prepared: Prepared, completion: Completion) -> Completion:
        """Remember what a question was answered, in its conversation and as the last answer; but not an answer that only asks for
        functions which are yet to be run."""
        if prepared.tools is not None and asks_for_tools(completion):
            return completion
        remarks = tuple(dict.fromkeys((*prepared.notices, *completion.remarks)))
        completion = replace(completion, schema=prepared.schema, remarks=remarks)
        written = completion.kept or completion.record
        left = Turn.of(prepared.turn, completion, call_id=written.call_id if written is not None else None)
        if prepared.chat is not None and left is not None:
            empty = Conversation(name=prepared.chat)
            conversation = empty if prepared.options.get("new") else self.chats.get(prepared.chat, empty)
            self.chats[prepared.chat] = conversation.with_turn(left)
        self.last = completion
        if completion.record is not None and prepared.chat is not None:
            self._turns[completion.record.call_id] = (prepared.chat, prepared.turn)
        return completion

    def close(self) -> None:
        """Close every connection and the journal's file. The session can be used again; it then opens them again."""
        if self._clients:
            self._clients.clear()
            engine.run(self._transport.aclose())
        self.journal.close()

    def leave(self) -> None:
        """At the interpreter's exit: end what runs and close every connection. The journal's own exit comes after this
        one and writes what was left; in a forked child nothing is touched, the connections are the parent's."""
        if engine.running:
            self._clients.clear()
            engine.stop(self._transport.aclose)

    def ask(self, prompt: Prompt, **options: Unpack[AskOptions]) -> Completion:
        """Ask, and wait for the answer; works in a cell, in a script, in a function, also where a loop runs.

        ``options`` are the flags of ``%%deepseek`` under their long names, and ``endpoint``, ``base_url``, ``api_key``.
        The call belongs to a conversation only when ``chat`` names one. An interrupt stops the answer. Raises the
        DeepSeekError that ended the call; its ``completion`` holds the part that arrived.
        """
        hide_key(options)
        return self._answered(self.prepare(prompt, **options))

    def resume(self, what: Completion | Entry | str | None = None, **options: Unpack[ResumeOptions]) -> Completion:
        """Go on with an answer that was stopped, broke off or reached its length, and wait for the whole.

        ``what`` is its completion, an entry of the journal, or the beginning of a call's id; without it, the last call of
        this process, or the newest of the journal that waits. Usage and cost are those of the new call. Raises as ``ask``.
        """
        hide_key(options)
        return self._answered(self.prepare_resume(what, **options))

    def _answered(self, prepared: Prepared) -> Completion:
        _check_sent(prepared)
        wait = pump_turning if self.keep_loop_turning else pump

        def asked(prepared: Prepared) -> Completion:
            return wait(self.start(prepared, silent=True), lambda _events: None)

        if prepared.tools is None:
            return _whole(asked(prepared))
        person = confirmer(wait_s=prepared.tools.wait_s, awaited=False)
        return _whole(drive(rounds(self, prepared), asked, person), stopped=True)

    async def aask(self, prompt: Prompt, **options: Unpack[AskOptions]) -> Completion:
        """The same as ``ask`` for ``await``, on any loop; many at once share the limits of their endpoint."""
        hide_key(options)
        # Which takes time, and others are on the caller's loop; but only the caller can ask whether a server may start.
        reads = bool(options.get("file") or options.get("url")) and not options.get("tool")
        made = functools.partial(self.prepare, prompt, **options)
        prepared = await engine.aside(made) if reads else made()
        _check_sent(prepared)

        async def asked(prepared: Prepared) -> Completion:
            return await outcome(self.start(prepared, silent=True))

        if prepared.tools is None:
            return _whole(await asked(prepared))
        person = confirmer(wait_s=prepared.tools.wait_s, awaited=True)
        return _whole(await adrive(rounds(self, prepared), asked, person), stopped=True)


def _check_sent(prepared: Prepared) -> None:
    """Raise ConfigurationError for a dry run, which only a cell can show: Python's calls give an answer."""
    if prepared.options.get("dry_run"):
        said = Message("A call from Python cannot be a dry run, so nothing was sent.")
        raise ConfigurationError(said, hint=Message("Look at the request with %%deepseek --dry-run."))


def _whole(completion: Completion, *, stopped: bool = False) -> Completion:
    """The completion of a call from Python; its error is raised, and so is a Stop at the question about a function."""
    if stopped and completion.outcome == "interrupted":
        raise KeyboardInterrupt
    if completion.error is not None:
        completion.error.completion = completion
        raise completion.error
    return completion
