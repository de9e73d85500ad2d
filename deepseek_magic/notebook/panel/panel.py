"""The panel: prompt, conversation, gauges and settings in one widget, on the engine of the magics.

``%deepseek_panel`` and ``ds.panel()`` show one. It is put together here; its parts are the modules beside this one.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
from IPython.display import display

from ...engine.home import engine
from ...metrics.tables import cell
from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError, DeepSeekError
from ...protocol.measured import currency_name
from ...protocol.options import Options
from ...session import session
from ...text.design.tokens import rule
from ...text.messages import Message, say
from ..frontend import NO_WIDGETS, widgets_refused
from ..magic.demo import DemoMagics
from ..magic.magics import DeepSeekMagics
from ..view.live import STATUS_INTERVAL_S
from ..view.parts import bundle, close, set_titles
from ..view.settled import escape
from ..view.status import Status
from .answers import Transcript
from .attached import AttachedFiles
from .calls import Calls
from .chats import ChatPicker
from .gauges import Reading
from .head import Now, answerers, names_of, who_html
from .prompt_box import PromptBox, actions, texts
from .still import still, still_class
from .tabs.as_magic import Cell, as_cell
from .tabs.controls import Controls
from .tabs.lab import Lab
from .tabs.sections import HistorySection, Metrics, Settings, Source, sentence_html
from .tabs.story import Story, lanes_text
from .tabs.sweep import SweepTab

STYLE = Path(__file__).with_name("panel.css")


class Panel:
    """One panel. ``answer`` is the completion of its last call. The last expression of a cell shows it. ``for_class`` has the
    failure lab on top, the state large, and no other section.

    Once it is closed, to show it or to ask in it raises ConfigurationError.
    """

    def __init__(self, magics: DeepSeekMagics, demo: DemoMagics, *, for_class: bool = False, **options: Any) -> None:
        self._magics = magics
        self._id = uuid.uuid4().hex[:8]
        self._picture: Any = None
        self._lock = threading.RLock()
        self._closed = False
        self._reading, self._story, self._told = Reading(), Story(0.0), 0
        self._status: Status | None = None
        self._counted, self._money = 0, ""
        self._message, self._strip = ipywidgets.HTML(), ipywidgets.HTML()
        self._who = ipywidgets.HTML()
        self._now = Now(lambda: self._guard(lambda: self._act("stop", "")), large=for_class)
        self._transcript = Transcript(lambda text: self._prompt.offer(text))
        self._calls = Calls(magics, self._transcript, self)
        self._for_class = for_class
        # A thought would hide the experiment: what breaks in it is not seen.
        given = dict(Options(**({"think": "off"} | options if for_class else options)))
        chat = str(given.pop("chat", session().chat))
        self._controls = Controls(given, lambda: self._guard(self._draw_source))
        self._attached = AttachedFiles(lambda: self._guard(lambda: None))
        self._prompt = PromptBox(lambda name, text: self._guard(lambda: self._act(name, text)))
        self._chats = ChatPicker(
            chat, on_switch=self._chat_switched, busy=lambda: self._calls.running, tell=self._say, guard=self._guard
        )
        self._settings = Settings(self._controls, magics)
        self._history, self._metrics = HistorySection(), Metrics()
        self._lab = Lab(demo, self._guard, self._ask_several, self._calls.forget_lanes, for_class=for_class)
        self._source = Source(
            self._guard, lambda: self._insert(self._cell()), lambda: self._prompt.copy(self._cell().source)
        )
        self._sweep = SweepTab(magics, lambda: self._controls.given, self._insert, self._prompt.copy)
        self._prompt.help = {**self._settings.help, **self._chats.help, **self._sweep.help}
        sections: dict[str, Any] = {
            say("Settings"): self._settings,
            say("Failure lab"): self._lab,
            say("History"): self._history,
            say("Metrics"): self._metrics,
            say("As a cell"): self._source,
            say("Sweep"): self._sweep,
        }
        if for_class:  # it has the lab beside no tabs
            sections = {name: part for name, part in sections.items() if part is not self._lab}
        self._sections = tuple(sections.values())
        self._tabs = ipywidgets.Tab([part.box for part in self._sections])
        set_titles(self._tabs, list(sections))
        magics.observe(self._draw_words, "enter")
        self._prompt.observe(self._typed, "value")
        self._tabs.observe(lambda _change: self._refresh(), "selected_index")
        self.widget = self._put_together()
        self._chat_switched()
        self._draw()

    def _put_together(self) -> Any:
        hidden = f".jp-OutputArea-child:has(.{still_class(self._id)}) {{ display: none; }}"
        style = ipywidgets.HTML(
            f"<style>{rule('.deepseek-magic-panel')}{STYLE.read_text('utf-8')}{hidden}{self._attached.style}</style>"
        )
        style.layout.display = "none"
        # Laid out from below, so that it stays at its end while an answer grows, unless the reader scrolls away.
        scroll = ipywidgets.Box((self._transcript.box,))
        scroll.add_class("deepseek-magic-scroll")
        head = ipywidgets.HBox((self._who, self._chats.box, self._chats.fold))
        attached = () if self._for_class else (self._attached.box,)
        below = (scroll, self._prompt.box, *attached, self._message)
        if self._for_class:
            main = ipywidgets.VBox((self._strip, *below, self._lab.story))
            top = ipywidgets.HBox((self._now.box, head))
            top.add_class("deepseek-magic-top")
            side = ipywidgets.VBox((top, self._lab.box))
            self._lab.box.add_class("deepseek-magic-lab")
        else:
            main, side = ipywidgets.VBox((head, self._now.box, *below)), ipywidgets.VBox((self._tabs,))
        columns = ipywidgets.Box((side, main) if self._for_class else (main, side))
        whole = ipywidgets.VBox((style, columns))
        if self._for_class:
            whole.add_class("deepseek-magic-class")
        for widget, name in ((head, "head"), (main, "main"), (side, "side"), (columns, "columns"), (whole, "panel")):
            widget.add_class(f"deepseek-magic-{name}")
        return whole

    @property
    def answer(self) -> Completion | None:
        """The completion of the last call that ended; None before."""
        return self._calls.answer

    def _ipython_display_(self) -> None:
        """IPython's hook: the widget, and below it the picture that outlives the kernel."""
        self._check_open()
        display(bundle(self.widget), raw=True)
        data, metadata = self._still()
        self._picture = display(data, metadata=metadata, raw=True, display_id=True)
        self._prompt.shown()
        if self.widget.comm is not None:
            self.widget.comm.on_close(self._refused)

    def _refused(self, _message: Any) -> None:
        """The front end closes what it cannot draw: one sentence takes the place of the picture."""
        widgets_refused()
        sentence = NO_WIDGETS.localized()
        self._picture.update({"text/markdown": escape(sentence), "text/plain": sentence}, raw=True)

    def close(self) -> None:
        """Stop what runs and let go of the widgets; safe to call again."""
        if self._closed:
            return
        self._closed = True
        self._calls.stop()
        self._settings.close()
        self._attached.close()
        self._magics.unobserve(self._draw_words, "enter")
        close(self.widget)
        for other in (self._tabs, self._attached.box) if self._for_class else (self._strip,):  # which are not in it
            close(other)

    def _check_open(self) -> None:
        if self._closed:
            said = Message("This panel is closed.")
            raise ConfigurationError(said, hint=Message("%deepseek_panel, or ds.panel(), shows a new one."))

    # what a person does

    def _guard(self, do: Callable[[], None]) -> None:
        self._check_open()
        self._say("")
        try:
            do()
        except DeepSeekError as error:
            self._say(error.localized(), failed=True)
        self._draw()

    def _act(self, name: str, text: str) -> None:
        self._check_open()
        if name == "stop":
            self._calls.stop()
        elif self._calls.running:
            self._say(say("An answer is being written: stop it first, or wait."))
        elif name == "send":
            self._calls.send(text, self._chats.chosen, self._controls.given, self._attached.chosen)
            self._prompt.taken(text)
            self._attached.clear()
        elif name == "continue":
            self._calls.go_on(self._controls.given)
        elif name == "regenerate":
            self._calls.regenerate(self._controls.given)

    def _typed(self, change: Any) -> None:
        self._draw_source()
        # The first key stroke of a question: while it is typed the connection can be made.
        if change["new"] and not change["old"]:
            given = self._controls.given
            session().warm_up(**{name: given[name] for name in ("endpoint", "base_url") if name in given})

    def _ask_several(self, count: int) -> None:
        if self._calls.several:
            self._say(say("What was asked at once has not ended: stop it first, or wait."))
            return
        self._calls.ask_several(self._prompt.value or say("Count to ten."), count, self._controls.given)
        if not self._calls.running:
            with self._lock:  # what is told of the answer before has nothing to do with these
                self._strip.value = ""
                self._lab.tell([])
        engine.beside(self._follow_several(), name="lanes")

    async def _follow_several(self) -> None:
        """Show the lanes until the last one has ended."""
        while self._calls.several:
            self._draw_lanes()
            await engine.pause(STATUS_INTERVAL_S)
        self._draw_lanes()
        self._refresh()

    def _draw_lanes(self) -> None:
        with self._lock:
            self._lab.show_lanes(self._calls.lanes)
            self._lab.look()
            self._draw_now()

    def _chat_switched(self) -> None:
        self._calls.forget()
        self._reading = Reading()  # the figures are those of an answer in the other chat
        self._tell(Story(0.0))
        self._transcript.show(session().chats.get(self._chats.chosen))
        self._draw_source()

    def _insert(self, cell: Cell, run: bool = False) -> None:
        self._magics.shell.push(dict(cell.variables))
        self._prompt.insert(cell.source, run=run)

    def cell_ended(self) -> None:
        """A cell has ended, and may have changed who answers, and which chats there are."""
        self._draw_words()
        self._chats.refresh()
        self._lab.look()
        if self._chosen is self._sweep:
            self._sweep.refresh()

    # what the call does; these two come from the thread that draws

    def moved(self, status: Status, reading: Reading, story: Story) -> None:
        """There is something new about the running call."""
        self._status, self._reading = status, reading
        self._tell(story)
        self._draw_now()

    def ended(self, completion: Completion, story: Story) -> None:
        """The call is over."""
        self._status = None
        self._say("")  # whatever was said of the running answer is over with it
        story.end(completion, time.monotonic())
        if (record := completion.record) is not None:
            self._reading = replace(
                self._reading,
                first_token_s=record.ttft_s,
                tokens_per_s=record.tokens_per_s,
                chunks_per_s=record.chunks_per_s,
                attempt=record.attempts,
            )
        self._tell(story)
        self._chats.refresh()
        self._refresh()
        self._draw()
        if self._picture is not None:
            data, metadata = self._still()
            self._picture.update(data, metadata=metadata, raw=True)

    # drawing

    def _tell(self, story: Story) -> None:
        with self._lock:
            self._strip.value = story.strip_html(time.monotonic())
            if story is not self._story or len(story.lines) != self._told:
                self._story, self._told = story, len(story.lines)
                self._lab.tell(story.lines)
                self._lab.look()

    def _say(self, text: str, *, failed: bool = False) -> None:
        self._message.value = sentence_html(text, failed=failed)

    def _draw(self) -> None:
        with self._lock:  # the answer may end while the kernel's thread is drawing that it began
            running = self._calls.running
            again = self._calls.asked is not None and not running
            self._prompt.actions = actions(running, self._calls.can_continue, again)
            self._lab.show_lanes(self._calls.lanes)
            if not running:
                self._status = None
            elif self._status is None:
                self._status = Status()
            self._draw_words()
            self._draw_now()

    def _draw_now(self) -> None:
        with self._lock:
            self._draw_state()

    def _draw_state(self) -> None:
        gate, log, several = self._calls.gate, session().log, lanes_text(self._calls.lanes)
        if log.spending.calls != self._counted:
            self._counted = log.spending.calls
            spent = log.spending.spent.items()
            self._money = " + ".join(f"{cell(amount, 2)} {currency_name(currency)}" for currency, amount in spent)
        if self._for_class:  # one large state; the figures stand below the answer
            self._now.show(self._status, Reading(), None, "", several)
        else:
            self._now.show(self._status, self._reading, gate, self._money, several)
        if self._chosen is self._metrics:
            self._metrics.show_gauges(self._reading, gate, self._money)

    def _draw_words(self, _change: Any = None) -> None:
        """Who answers, and what depends on it or on the key that sends."""
        places, by_default = answerers(lambda: self._controls.given), answerers(dict)
        self._who.value = who_html(places)
        self._controls.show_endpoint(names_of(by_default, "demo") or "–")
        self._prompt.enter = self._magics.enter
        self._prompt.texts = texts(self._magics.enter, names_of(places, say("the demo server")) or "DeepSeek")

    @property
    def _chosen(self) -> Any:
        """The section that is seen."""
        if self._for_class:
            return self._lab
        chosen = self._tabs.selected_index
        return None if chosen is None else self._sections[chosen]

    def _refresh(self) -> None:
        if self._chosen in (self._history, self._metrics, self._sweep):
            self._draw_now()
            self._chosen.refresh()

    def _cell(self) -> Cell:
        options = self._controls.given
        if self._chats.chosen != session().chat:
            options["chat"] = self._chats.chosen
        return as_cell(self._prompt.value or (self._calls.asked.prompt if self._calls.asked else ""), options)

    def _draw_source(self) -> None:
        self._source.show(self._cell())

    def _still(self) -> Any:
        asked = self._calls.asked
        question = asked.prompt if asked is not None else ""
        return still(self._id, self._controls.given, question, self._calls.lasting)
