"""The magics: parse the line, call the session, bind the result; nothing else.

One way for all of them: ``Order`` (what was typed) → ``Session.prepare`` → ``Session.start`` → a view fed by a bridge
→ the completion bound to the user's name and to ``_``. ``awaited`` and ``deepseek`` differ in the bridge alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display
from traitlets import Bool, Enum, Float, Int, TraitError, Unicode, observe, validate

from ...engine.loop import Call, apump, pump
from ...protocol.chat import Request
from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError, DeepSeekError
from ...protocol.events import Event
from ...protocol.options import OPTIONS, Option
from ...protocol.outcome import RESUMABLE
from ...session import session
from ...text.language import LANGUAGES, Language, of_locales, use
from ...text.messages import Message, say
from ..ahead.ahead import MOST_AHEAD, LookAhead
from ..frontend import Stopped, ViewName, hears_clicks, interruptible, locales, notebook_path, unpainted, view_for
from ..proposed.offer import check, offered
from ..view.background import Background, BackgroundAnswer
from ..view.live import View
from ..view.views import view_of
from .defaults import Number, WholeNumber
from .flags import Order, documented, help_head, read_order
from .manuals import speak
from .past import LastError, cell_meant, variables
from .turns import Turns

if TYPE_CHECKING:
    from ...session.prepared import Prepared
    from ..proposed.offer import Offer
    from ..tools.follow import Following

_EACH_TIME: Final = ("output", "dry_run", "image", "new", "tool", "context", "file", "url", "private_urls")
DEFAULTS: Final = {o.name: o for o in OPTIONS if o.flags and o.name not in _EACH_TIME}
"""The settings that can have a default for all cells. Not what goes along: a project could have a file sent by it."""
Answer = Completion | BackgroundAnswer


def _kept(completion: Completion, name: str | None, *, resumes: bool) -> Message | None:
    """Where the part that came is, and how to go on, where something ``resumes`` it; None where nothing came. ``_`` is another
    answer's a cell later."""
    if not completion.text and not completion.reasoning:
        return None
    if not resumes:
        return None if name is None else Message("The text so far is in {name}.", name=name)
    if name is None:
        return Message("{command} resumes the answer.", command="%deepseek_resume")
    command = f"%deepseek_resume -o {name}"
    return Message("The text so far is in {name}; {command} resumes the answer.", name=name, command=command)


def _trait(option: Option) -> Any:
    kind: dict[str, Callable[..., Any]] = {
        "choice": lambda **k: Enum(option.choices, **k),
        "integer": Int,
        "number": Float,
        "switch": Bool,
    }
    return kind.get(option.kind, Unicode)(default_value=None, allow_none=True, help=option.help).tag(config=True)


@dataclass(slots=True, kw_only=True)
class Run:
    """An order that is being answered."""

    order: Order
    prepared: Prepared
    call: Call
    view: View
    detached: bool
    interrupted: bool = False


@magics_class
class DeepSeekMagics(Magics):
    """DeepSeek in cells. Each setting is the default of the flag of its name: ``%config DeepSeekMagics.think = "off"``."""

    shell: Any
    # Traits are found in the class body alone.
    locals().update({name: _trait(option) for name, option in DEFAULTS.items()})

    view = Enum(
        ("auto", "widgets", "handles", "text", "rich", "silent"),
        default_value="auto",
        help="how a growing answer is drawn; auto looks at the front end",
    ).tag(config=True)
    language = Enum(
        ("auto", *LANGUAGES),
        default_value="auto",
        help="the language of help, status lines and errors; auto follows DEEPSEEK_MAGIC_LANGUAGE, then the locale",
    ).tag(config=True)
    enter = Enum(
        ("newline", "send"),
        default_value="newline",
        help="what Enter does in the panel's prompt box; Shift-Enter does the other, and Ctrl-Enter always sends",
    ).tag(config=True)
    warm_up = Bool(
        False,
        help="connect to the endpoint when the extension is loaded, and when this is set, so that the first answer comes sooner",
    ).tag(config=True)
    keep_warm_s = Number(
        None,
        allow_none=True,
        help="seconds between pings of an idle connection, until half an hour after the last call; unset: no pings",
    ).tag(config=True)

    look_ahead = WholeNumber(
        0,
        min=0,
        max=MOST_AHEAD,
        help="on Run All, begin so many of the waiting cells early that depend on nothing before them (0: none)",
    ).tag(config=True)

    pocket = Number(
        0.02,
        help="what a sweep may cost at most, in US dollars, without --go or --budget",
    ).tag(config=True)

    mcp_config = Unicode(
        "",
        help="a file with mcpServers of your own, for --tool mcp:NAME; those of the project's .mcp.json are known without it",
    ).tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.turns = Turns(shell)
        self._muted: list[Any] = []
        self.background_answers, self.last_error = Background(shell), LastError(shell)
        self.ahead = LookAhead(shell, self, read_order, lambda: variables(shell, self.last_error))
        # Only now, because what a profile sets is set before there is anything to switch.
        self.observe(lambda _change: self.ahead.switch(), "look_ahead")
        self.ahead.switch()
        self._speak()

    @observe("language")
    def _speak(self, _change: Any = None) -> None:
        use(cast(Language, self.language) if self.language != "auto" else of_locales(locales()))
        for magics in self.shell.magics_manager.registry.values():
            if type(magics).__module__.startswith(__package__.rpartition(".")[0]):  # of any room of this floor
                speak(type(magics))
        documented(type(self).deepseek)  # ``%%deepseek?`` shows it

    @validate(*DEFAULTS)
    def _checked(self, proposal: Any) -> Any:
        """A value that the flag would refuse is refused here, or ``%config`` would show what is not in force."""
        if proposal["value"] is None:
            return None
        try:
            return DEFAULTS[proposal["trait"].name].check(proposal["value"])
        except ConfigurationError as error:
            raise TraitError(error.localized()) from None

    @observe(*DEFAULTS)
    def _default_changed(self, change: Any) -> None:
        session().defaults = session().defaults.replace(**{change["name"]: change["new"]})

    @observe("mcp_config")
    def _mcp_config(self, change: Any) -> None:
        session().servers.own_file = change["new"]

    @observe("keep_warm_s")
    def _keep_warm(self, change: Any) -> None:
        session().keep_warm_s = change["new"]

    def loaded(self) -> None:
        """Every default is set by now, so ``warm_up`` connects to the endpoint that is configured."""
        self._speak()  # the other magics are registered by now
        self.observe(self._connect, "warm_up")
        self._connect()

    def _connect(self, _change: Any = None) -> None:
        if self.warm_up:
            session().warm_up()

    @no_var_expand  # IPython would evaluate whatever is in braces, and put the text of $name where its name belongs
    @needs_local_scope
    @line_cell_magic
    @documented
    def deepseek(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Answer | None:
        order = self._read(line, cell)
        return None if order is None else self.answer(replace(order, scope=local_ns or {}))

    def answer(self, order: Order) -> Answer | None:
        """Have an order answered, waiting for it; None when it was a dry run."""
        prepared = self._prepare(order)
        return None if prepared is None else self.carry_out(order, prepared)

    def carry_out(self, order: Order, prepared: Prepared) -> Answer:
        """Send what was prepared, and draw it until its end; blocks."""
        if prepared.tools is not None:
            rounds = self._rounds(order, prepared, button=False, awaited=False)
            return self._offered(order, prepared, self._end_rounds(order, prepared, rounds, rounds.follow()))
        return self.follow(self.start(order, prepared, button=False))

    def follow(self, run: Run) -> Answer:
        """Draw the answer until it ends, and bind it; blocks."""
        if run.detached:
            return self._leave(run)
        try:
            pump(run.call, self._watching(run))
        except KeyboardInterrupt:
            run.interrupted = True
        return self._offered(run.order, run.prepared, self._end(run))

    async def awaited(self, line: str, body: str | None) -> Answer | None:
        """The same for a cell that the input transformer turned into an ``await``."""
        order = self._read(line, body)
        return None if order is None else await self.answer_awaited(order)

    async def answer_awaited(self, order: Order) -> Answer | None:
        """``answer`` for an async cell."""
        prepared = self._prepare(order)
        if prepared is None:
            return None
        return await self.carry_out_awaited(order, prepared)

    async def carry_out_awaited(self, order: Order, prepared: Prepared) -> Answer:
        """The same for an async cell."""
        button = hears_clicks(self.shell)
        if prepared.tools is not None:
            rounds = self._rounds(order, prepared, button=button, awaited=True)
            completion = self._end_rounds(order, prepared, rounds, await rounds.follow_awaited())
            return await self._offered_awaited(order, prepared, completion)
        return await self.follow_awaited(self.start(order, prepared, button=button))

    def _rounds(self, order: Order, prepared: Prepared, *, button: bool, awaited: bool) -> Following:
        """What follows a question whose answers may call functions. Its outputs stand below each other."""
        from ..tools.follow import Following  # here, for loading the extension must cost little

        order = replace(order, alone=False)
        return Following(
            self.shell,
            prepared,
            view=self.view_name,
            quiet=order.quiet,
            awaited=awaited,
            start=lambda each: self.start(order, each, button=button),
            watching=self._watching,
        )

    def _end_rounds(self, order: Order, prepared: Prepared, rounds: Following, completion: Completion) -> Completion:
        """The same as for one answer, of which the last round is not settled yet."""
        self._bind(order, completion)
        return self._settle(order, prepared, completion, rounds.view, rounds.settle, stopped=rounds.interrupted)

    async def follow_awaited(self, run: Run) -> Answer:
        """The same for an async cell."""
        if run.detached:
            return self._leave(run)
        try:
            await apump(run.call, self._watching(run))
        except (asyncio.CancelledError, KeyboardInterrupt):
            run.interrupted = True
        return await self._offered_awaited(run.order, run.prepared, self._end(run))

    def _watching(self, run: Run) -> Callable[[Sequence[Event]], None]:
        """What looks at the events of an answer: its view, and meanwhile the look at the cells behind it."""

        def show(events: Sequence[Event]) -> None:
            run.view.show(events)
            self.ahead.look(run.order)

        return show

    def _read(self, line: str, body: str | None) -> Order | None:
        """The order that was typed; None when it asked for help and got it."""
        order = read_order(line, body)
        if order is None:
            print(help_head())
        return order

    @property
    def view_name(self) -> ViewName:
        """How answers are drawn here."""
        return view_for(self.shell) if self.view == "auto" else cast(ViewName, self.view)

    @property
    def watched(self) -> bool:
        """Whether somebody looks on."""
        return self.view_name != "silent"

    def _prepare(self, order: Order) -> Prepared | None:
        """The request that was typed; None when it was only to be shown."""
        session().chats.notebook = notebook_path(self.shell)
        # A server of tools may take its time to start.
        waits = interruptible() if order.options.get("tool") else contextlib.nullcontext()
        try:
            with waits:
                prepared = session().prepare(
                    order.prompt,
                    variables=variables(self.shell, self.last_error, order.scope),
                    turn=self.turns.next(),
                    **{"chat": session().chat, **order.options},
                )
        except KeyboardInterrupt:
            raise Stopped(say("Stopped.")) from None
        except DeepSeekError as error:
            # Bound whatever happens, so that no older answer is taken for this one.
            if order.output and order.prompt:
                self.shell.push({order.output: Completion(request=Request.of(order.prompt), error=error)})
            raise
        if prepared.options.get("dry_run"):
            from .preview import preview

            display(preview(prepared, kept=session().kept(prepared)), raw=True)
            return None
        return prepared

    def start(self, order: Order, prepared: Prepared, *, button: bool) -> Run:
        """Send it, and make the view that will show it."""
        quiet = order.quiet or bool(prepared.options.get("quiet"))
        check(prepared.options, quiet=quiet, watched=self.watched)
        # Where nobody looks on, nothing would be kept of what comes after its cell: there the cell waits.
        detached = bool(prepared.options.get("background")) and self.watched
        early, notice = self.ahead.take(prepared)
        if notice is not None:
            prepared = replace(prepared, notices=(*prepared.notices, notice))
        mode = None if order.quiet else prepared.options.get("buffer", "balanced")
        call = early or session().start(prepared, mode=mode)
        view = view_of(
            self.view_name,
            prepared,
            call,
            quiet=order.quiet,
            alone=order.alone,
            button=button or detached,
            detached=detached,
            name=order.output or "_",
        )
        return Run(order=order, prepared=prepared, call=call, view=view, detached=detached)

    def _leave(self, run: Run) -> BackgroundAnswer:
        """Let the answer go on after its cell."""
        answer = BackgroundAnswer(run.call, run.view, self.shell)
        self.background_answers.add(answer)
        self._bind(run.order, answer)
        self.mute_echo(answer)
        return answer

    def _end(self, run: Run) -> Completion:
        """Settle and bind."""
        completion = run.call.completion
        # First: whatever happens to the drawing, the answer is not lost. Code that expects a handle gets one.
        detached = run.prepared.options.get("background")
        self._bind(run.order, BackgroundAnswer.ended(run.call) if detached else completion)

        def draw() -> None:
            run.view.show(run.call.drain())  # what came between the last look and an interrupt
            run.view.finish(completion)

        return self._settle(run.order, run.prepared, completion, run.view, draw, stopped=run.interrupted)

    def _settle(
        self,
        order: Order,
        prepared: Prepared,
        completion: Completion,
        view: View,
        draw: Callable[[], None],
        *,
        stopped: bool,
    ) -> Completion:
        """Leave what lasts. Raises Stopped, or the error that ended the call: either ends Run All."""
        settings, stopped = prepared.options, stopped or completion.outcome == "interrupted"
        # A tape has the rest of no answer but of one that was resumed when it was recorded.
        resumes = (tape := prepared.endpoint.tape) is None or not tape.plays or tape.asks
        broke = stopped or completion.error is not None
        kept = _kept(completion, order.output, resumes=resumes) if broke else None
        shown = not order.quiet and not settings.get("quiet")
        if stopped and shown and unpainted(self.shell) and kept is not None:
            view.say(kept)
        draw()
        if stopped:
            raise Stopped(say("Stopped. {kept}", kept=kept) if kept is not None else say("Stopped."))
        if completion.error is not None:
            completion.error.completion = completion
            if kept is not None and completion.outcome in RESUMABLE:
                completion.error.add_note(kept.localized())
            raise completion.error
        return completion

    def _offered(self, order: Order, prepared: Prepared, completion: Completion) -> Completion:
        """The answer, whose code is offered as it was asked for."""
        if (offer := self._offer(order, prepared, completion, awaited=False)) is not None:
            offer.settle()
            self.shell.displayhook.update_user_ns(completion)  # the value of the code is in Out
        self.mute_echo(completion)
        return completion

    async def _offered_awaited(self, order: Order, prepared: Prepared, completion: Completion) -> Completion:
        """The same in an async cell, whose value is the answer by itself."""
        if (offer := self._offer(order, prepared, completion, awaited=True)) is not None:
            await offer.asettle()
        self.mute_echo(completion)
        return completion

    def _offer(self, order: Order, prepared: Prepared, completion: Completion, *, awaited: bool) -> Offer | None:
        """What is to be asked about the code of the answer; None where that is the next cell, or there is none."""
        cell = order.replaces
        if cell is None and not prepared.options.get("raw"):
            cell = cell_meant(order.prompt, self.shell)
        return offered(self.shell, prepared.options, completion, replaces=cell, view=self.view_name, awaited=awaited)

    def _bind(self, order: Order, answer: Answer) -> None:
        self.shell.push({order.output: answer} if order.output else {})
        self.shell.displayhook.update_user_ns(answer)

    def mute_echo(self, answer: Any) -> None:
        """The answer is on the screen already: what the cell returns must not show it a second time."""
        shown = self.shell.display_formatter.ipython_display_formatter
        kind = type(answer)
        self._muted.append(answer)

        def once(value: Any) -> None:
            if not any(value is muted for muted in self._muted):
                self.shell.display_pub.publish(value._repr_mimebundle_())

        def unmute(*_args: Any) -> None:
            shown.pop(kind, None)
            self._muted.clear()
            self.shell.events.unregister("post_run_cell", unmute)

        if kind not in shown.type_printers:
            shown.for_type(kind, once)
            self.shell.events.register("post_run_cell", unmute)
