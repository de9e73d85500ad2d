"""What a person is doing: the defaults in force, the clients in use, the prompts being filled, the log of it all.

One session a process. It turns what was typed into a ``Request`` for an endpoint (``prepare``), has it answered
(``start``, ``ask``, ``aask``) and keeps the record. It knows nothing of how an answer looks.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from .engine import cache, keys
from .engine.asking import question
from .engine.client import Client
from .engine.endpoints import ENDPOINTS, Endpoint, resolve
from .engine.journal import Entry, Journal
from .engine.loop import Call, apump, engine, pump, pump_turning
from .metrics.log import MetricsLog
from .policy.failover import DownEndpoints, is_down, patience
from .policy.pricing import estimate_tokens
from .policy.recovery import Abilities, Delivered, cannot_continue
from .policy.resuming import going_on
from .protocol.chat import Prompt, Request
from .protocol.completion import Completion
from .protocol.conversation import Conversation, Conversations, Turn
from .protocol.errors import ConfigurationError
from .protocol.events import Event, Seam, Waiting
from .protocol.models import resolve_model
from .protocol.options import OPTIONS_BY_NAME, Options, notices
from .protocol.schema import Schema

__all__ = ["Prepared", "Session", "aask", "ask", "journal", "log", "resume", "session"]

MAX_HISTORY_TOKENS: Final = 200_000
"""A fifth of the context: longer histories cost more than they help; what is left out is said."""

SHOWN_CHARS: Final = 60
"""So much of a prompt tells which one it is."""

ANY_TEXT: Final = Delivered(text_chars=1, text_kept_chars=1)
"""Some answer, to ask whether one could be gone on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a request can go, as it goes there: the key, and the model by its name at that endpoint."""

    endpoint: Endpoint
    api_key: keys.Key | None
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request ready to be sent: where to, with which settings, and what the user should be told first."""

    request: Request
    endpoint: Endpoint
    options: Options
    notices: tuple[str, ...] = ()
    api_key: keys.Key | None = None
    chat: str | None = None
    turn: str = ""
    schema: Schema | None = None
    others: tuple[Place, ...] = ()
    """Where it goes when the endpoint is down, in order."""
    before: Completion | None = None
    """The answer of an earlier call to this request, to go on with."""

    @property
    def cached(self) -> bool:
        """Whether the journal's answer will do."""
        return bool(self.options.get("cache")) and not self.options.get("fresh") and self.before is None


class Session:
    """Defaults, clients and the log of this process. Safe to use from several threads."""

    def __init__(self) -> None:
        self.log = MetricsLog()
        self.journal = Journal(mask=keys.mask)
        self.defaults = Options()
        self.chats = Conversations()
        self.max_history_tokens: int | None = MAX_HISTORY_TOKENS
        self.keep_loop_turning = False
        """Whether a blocking call made where a loop runs keeps that loop turning (nest_asyncio2) while it waits."""
        self.last: Completion | None = None
        """The completion of the call that ended last."""
        self._turns: dict[str, tuple[str, str]] = {}
        self._down = DownEndpoints()
        self._journal_noticed = False
        self._clients: dict[tuple[Endpoint, keys.Key | None], Client] = {}

    @property
    def chat(self) -> str:
        """The conversation of a cell that names none. A Python call belongs to a conversation only when it names one."""
        return str(self.defaults.get("chat", OPTIONS_BY_NAME["chat"].default))

    def prepare(
        self,
        prompt: Prompt,
        *,
        variables: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        endpoint: str | Endpoint | Sequence[str | Endpoint] | None = None,
        turn: str | None = None,
        schema: type | str | None = None,
        **typed: Any,
    ) -> Prepared:
        """Make the request that ``prompt`` and the typed options ask for; typed options win over the defaults.

        ``variables`` fill ``{name}`` in the prompt and the system prompt, and are where ``$name`` and a schema are found
        by name (a ``schema`` may also be the class itself). With a ``chat`` the prompt goes
        on from that conversation; ``turn`` is the id of the cell it belongs to, so that a cell run again replaces its
        turn. Several endpoints (a list, or names with commas between) are tried in order; see ``start``. Raises
        ConfigurationError (or MissingKey, but not for a dry run) when something is missing or wrong;
        nothing is sent.
        """
        if isinstance(endpoint, str):
            typed["endpoint"] = endpoint
        options = Options(**{**self.defaults, **{k: v for k, v in typed.items() if v is not None}})
        asked = question(prompt, options, variables, schema=schema)
        said = [*asked.notices]
        if asked.schema is not None:
            options = options.replace(json=True, format=options.get("format", "json"))
        first, *others = _in_order(endpoint or options.get("endpoint"))
        if others and options.get("base_url"):
            raise ConfigurationError("A base URL goes with one endpoint.", hint="Give it as one of the endpoints.")
        place = resolve(first, options.get("base_url"))
        speaks_deepseek = place.continuing == "deepseek_prefix"
        if speaks_deepseek and (told := resolve_model(options.get("model", "")).notice):
            said.append(told)
        said += notices(options) if speaks_deepseek else []
        key = None if options.get("dry_run") else keys.find_key(place, explicit=api_key)
        request = asked.complete(
            self.client(place, key).request(asked.prompt, system=asked.system, **options.of("request"))
        )
        chat = None if options.get("no_history") else typed.get("chat")
        turn = turn or uuid.uuid4().hex
        if chat is not None and not options.get("new"):
            request = self._continue_chat(request, chat, turn, said)
        if speaks_deepseek and options.get("json") and not _names_json(request):
            said.append(
                "JSON mode needs the word json in the prompt: DeepSeek refuses a prompt without it; say what JSON you want."
            )
        if options.get("continue_on_length") and (why := _never_continued(request, place)):
            said.append(f"An answer that reaches its length cannot be gone on from here: {why}.")
        if self.journal.notice and not self._journal_noticed:
            self._journal_noticed = True
            said.append(self.journal.notice)
        return Prepared(
            request=request,
            endpoint=place,
            options=options,
            notices=tuple(said),
            api_key=key,
            chat=chat,
            turn=turn,
            schema=asked.schema,
            others=tuple(self._place(other, request, options) for other in others),
        )

    def _place(self, other: str | Endpoint, request: Request, options: Options) -> Place:
        """The same request for another endpoint, whose own default model answers where the given one is not known."""
        endpoint = resolve(other)
        key = None if options.get("dry_run") else keys.find_key(endpoint)
        given = options.get("model")
        known = given is not None and (endpoint.default_model is None or resolve_model(given).id in endpoint.models)
        there = replace(request, options=request.options.replace(model=given if known else None))
        return Place(endpoint=endpoint, api_key=key, request=self.client(endpoint, key).request(there))

    def _continue_chat(self, request: Request, name: str, turn: str, said: list[str]) -> Request:
        conversation = self.chats.get(name, Conversation(name=name))
        history = conversation.history(before=turn, max_tokens=self.max_history_tokens, count=estimate_tokens)
        if history.dropped_turns:
            said.append(f"The {history.dropped_turns} oldest turns of {name} were left out: the history is too long.")
        return conversation.request(request, history)

    def client(self, endpoint: Endpoint, key: keys.Key | None) -> Client:
        """The client for this endpoint and key: one each, so that they share connections and limits."""
        known = self._clients.get((endpoint, key))
        if known is None:
            known = self._clients.setdefault((endpoint, key), Client(endpoint, api_key=key))
        return known

    def prepare_resume(
        self,
        what: Completion | Entry | str | None = None,
        *,
        api_key: str | None = None,
        endpoint: str | Endpoint | None = None,
        **typed: Any,
    ) -> Prepared:
        """Make the request that goes on with ``what``: a completion, a call of the journal, or the beginning of its id.

        Without one it is the last call of this process, or before the first one the newest of the journal that waits
        for it. It goes where it went before unless ``endpoint`` or ``base_url`` are given. Raises ConfigurationError
        when there is none, or it cannot be gone on from.
        """
        before, went_to, said = self._to_resume(what)
        options = Options(**{**self.defaults, **{k: v for k, v in typed.items() if v is not None}})
        # The session's own endpoint may have been moved to another address, as %deepseek_demo does.
        moved = went_to == options.get("endpoint")
        if endpoint is None and "base_url" not in typed and went_to in ENDPOINTS and not moved:
            place = resolve(went_to)
        else:
            place = resolve(_in_order(endpoint or options.get("endpoint"))[0], options.get("base_url"))
        key = keys.find_key(place, explicit=api_key)
        client = self.client(place, key)
        request = client.request(before.request, **Options(**typed).of("request"))
        going_on(before, can=client.can(request))
        call_id = before.record.call_id if before.record is not None else ""
        chat, turn = self._turns.get(call_id, (None, uuid.uuid4().hex))
        return Prepared(
            request=request,
            endpoint=place,
            options=options,
            notices=(said,) if said else (),
            api_key=key,
            chat=chat,
            turn=turn,
            before=replace(before, request=request),
        )

    def _to_resume(self, what: Completion | Entry | str | None) -> tuple[Completion, str | None, str]:
        """The answer, where it came from, and what to tell about it when it was not named by the user."""
        what = self.last if what is None else what
        if isinstance(what, Completion):
            return what, what.record.endpoint if what.record is not None else None, ""
        if isinstance(what, Entry):
            return what.completion, what.endpoint, ""
        entries = self.journal.resumable() if what is None else self.journal.beginning_with(what)
        if what is None and not entries:
            raise ConfigurationError("No answer waits to be gone on with.", hint="Only broken and stopped ones do.")
        if what is not None and len(entries) != 1:
            found = "no call" if not entries else f"{len(entries)} calls"
            raise ConfigurationError(f"The journal has {found} whose id begins with {what[:40]}.")
        entry = entries[0]
        began = entry.started_at.astimezone().strftime("%d %b %H:%M")
        prompt = " ".join(entry.completion.request.prompt.split())
        shown = f"{prompt[:SHOWN_CHARS]}…" if len(prompt) > SHOWN_CHARS else prompt
        return entry.completion, entry.endpoint, f"Going on with the answer to “{shown}”, asked {began}."

    def start(self, prepared: Prepared) -> Call:
        """Begin the answer on the engine. The call's completion carries its error instead of raising it.

        With several endpoints the next one takes over when one is down: from the first token, or, where it can go on
        from a partial answer, from where that stood. Each leaves a row in the log and an entry in the journal.
        """
        given = (
            Place(endpoint=prepared.endpoint, api_key=prepared.api_key, request=prepared.request),
            *prepared.others,
        )
        order = self._down.order([place.endpoint.base_url for place in given], time.monotonic())
        first, *rest = (given[i] for i in order)

        async def source(call: Call) -> Completion:
            if prepared.cached and (known := await cache.recall(self.journal, given[0].request, given[0].endpoint)):
                call.put(cache.events_of(known))
                self.log.add(known.record)
                return self._keep(prepared, known)
            if order[0]:
                call.put([Waiting(reason="backoff", detail=_instead(given[0], first))])
            completion = await self._answer(call, prepared, first, prepared.before, last=not rest)
            for place in rest:
                if call.stopping or not is_down(completion.error):
                    break
                completion = await self._take_over(call, prepared, place, completion, last=place is rest[-1])
            return self._keep(prepared, completion)

        return engine.start(source)

    async def _take_over(
        self, call: Call, prepared: Prepared, place: Place, broken: Completion, *, last: bool
    ) -> Completion:
        """What the next endpoint makes of an answer that broke; the answer itself when that one cannot go on from it."""
        detail = f"{str(broken.error).partition('. ')[0].rstrip('.')}; going on at {place.endpoint.title}."
        before = replace(broken, request=place.request) if broken.text or broken.reasoning else None
        if before is not None:
            try:
                going_on(before, can=self.client(place.endpoint, place.api_key).can(place.request))
            except ConfigurationError:
                return broken
            # The new stream gives out what had come once more.
            call.put([Seam(kind="restarted", at_chars=0, reasoning_at_chars=0, detail=detail)])
        call.put([Waiting(reason="backoff", detail=detail)])
        return await self._answer(call, prepared, place, before, last=last)

    async def _answer(
        self, call: Call, prepared: Prepared, place: Place, before: Completion | None, *, last: bool
    ) -> Completion:
        """One endpoint's answer, journalled and logged."""
        client = self.client(place.endpoint, place.api_key)
        beyond, policy = prepared.options.get("continue_on_length"), patience(client.recovery, last=last)
        if before is None:
            stream = client.stream(place.request, continue_on_length=beyond, recovery=policy)
        else:
            stream = client.resume(before, continue_on_length=beyond, recovery=policy)
        self.journal.begin(stream.call_id, stream.request, place.endpoint.name, base_url=place.endpoint.base_url)

        def put(events: list[Event]) -> None:
            self.journal.append(stream.call_id, events)
            call.put(events)

        try:
            await stream.run(put)
        except asyncio.CancelledError:
            if not call.stopping:
                raise
        completion = stream.completion
        self.journal.end(stream.call_id, completion, completion.record)
        if completion.record is not None:
            self.log.add(completion.record)
        self._down.note(place.endpoint.base_url, completion.error, time.monotonic())
        return completion

    def _keep(self, prepared: Prepared, completion: Completion) -> Completion:
        completion = replace(completion, schema=prepared.schema)
        left = Turn.of(prepared.turn, completion)
        if prepared.chat is not None and left is not None:
            empty = Conversation(name=prepared.chat)
            conversation = empty if prepared.options.get("new") else self.chats.get(prepared.chat, empty)
            self.chats[prepared.chat] = conversation.with_turn(left)
        self.last = completion
        if completion.record is not None and prepared.chat is not None:
            self._turns[completion.record.call_id] = (prepared.chat, prepared.turn)
        return completion

    def close(self) -> None:
        """Close every connection and the journal's file. The session can be used again; it then opens them anew."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            engine.run(client.aclose())
        self.journal.close()

    def ask(self, prompt: Prompt, **options: Any) -> Completion:
        """Ask and wait. Works in a cell, in a script and where a loop already runs; an interrupt stops the answer.

        Raises the DeepSeekError that ended the call; its ``completion`` holds the part that arrived.
        """
        wait = pump_turning if self.keep_loop_turning else pump
        return _whole(wait(self.start(self.prepare(prompt, **options)), _show_nothing))

    def resume(self, what: Completion | Entry | str | None = None, **options: Any) -> Completion:
        """Go on with an answer that was stopped, broke off or reached its length, and wait; see ``prepare_resume``.

        The completion is the whole answer; its usage and cost are those of the new call. Raises as ``ask`` does.
        """
        wait = pump_turning if self.keep_loop_turning else pump
        return _whole(wait(self.start(self.prepare_resume(what, **options)), _show_nothing))

    async def aask(self, prompt: Prompt, **options: Any) -> Completion:
        """The same for ``await``, on any loop."""
        return _whole(await apump(self.start(self.prepare(prompt, **options)), _show_nothing))


def _show_nothing(_events: object) -> None:
    pass


def _whole(completion: Completion) -> Completion:
    if completion.error is not None:
        completion.error.completion = completion
        raise completion.error
    return completion


def _in_order(endpoint: str | Endpoint | Sequence[str | Endpoint] | None) -> list[Any]:
    """The endpoints, one at least; None stands for the default one."""
    if isinstance(endpoint, str):
        return [name.strip() for name in endpoint.split(",") if name.strip()] or [None]
    return [endpoint] if endpoint is None or isinstance(endpoint, Endpoint) else list(endpoint) or [None]


def _instead(down: Place, place: Place) -> str:
    return f"{down.endpoint.title} failed a moment ago; asking {place.endpoint.title} first."


def _never_continued(request: Request, endpoint: Endpoint) -> str | None:
    """Why no answer to ``request`` could be gone on from, whatever came of it; None when one could."""
    return cannot_continue(ANY_TEXT, Abilities.of(request, style=endpoint.continuing, reasoning=False))


def _names_json(request: Request) -> bool:
    return any("json" in str(message.content).lower() for message in request.messages)


_SESSION: Final = Session()


log: Final = _SESSION.log
"""``ds.log``: the records of this session."""

journal: Final = _SESSION.journal
"""``ds.journal``: every call ever made from this machine's notebooks."""


def session() -> Session:
    """This process's session."""
    return _SESSION


def ask(prompt: Prompt, **options: Any) -> Completion:
    """Ask, and wait for the answer; works in a cell, in a script, in a function, also where a loop runs.

    ``options`` are the flags of ``%%deepseek`` under their long names, and ``endpoint``, ``base_url``, ``api_key``. The
    call belongs to a conversation only when ``chat`` names one. An interrupt stops the answer. Raises the DeepSeekError
    that ended the call; its ``completion`` holds the part that arrived.
    """
    return _SESSION.ask(prompt, **options)


def resume(what: Completion | Entry | str | None = None, **options: Any) -> Completion:
    """Go on with an answer that was stopped, broke off or reached its length, and wait for the whole.

    ``what`` is its completion, an entry of the journal, or the beginning of a call's id; without it, the last call of
    this process, or the newest of the journal that waits. Usage and cost are those of the new call. Raises as ``ask``.
    """
    return _SESSION.resume(what, **options)


async def aask(prompt: Prompt, **options: Any) -> Completion:
    """The same as ``ask`` for ``await``, on any loop; many at once share the limits of their endpoint."""
    return await _SESSION.aask(prompt, **options)
