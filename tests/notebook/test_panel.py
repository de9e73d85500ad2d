"""The panel: controls from declarations, gauges from events, and a conversation held by clicks in a real kernel."""

from __future__ import annotations

import html
import json
import queue
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL
from deepseek_magic.engine.hosts.endpoints import in_order
from deepseek_magic.notebook.magic.flags import read_line
from deepseek_magic.notebook.panel.gauges import Gauges, Reading, curve, gauges_html
from deepseek_magic.notebook.panel.head import now_html, who_html
from deepseek_magic.notebook.panel.still import still, still_class
from deepseek_magic.notebook.panel.tabs.as_magic import SYSTEM_VARIABLE, as_cell
from deepseek_magic.notebook.panel.tabs.controls import EXAMPLES, Controls, panel_options
from deepseek_magic.notebook.panel.tabs.history import history_html, matching
from deepseek_magic.notebook.view.status import Status
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.events import AttemptStarted, Heartbeat, TextDelta
from deepseek_magic.protocol.options import OPTIONS

from .conftest import Kernel

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


# settings and the cell that asks the same


def test_every_flag_of_the_magic_has_a_control_but_for_those_that_concern_a_cell() -> None:
    controlled = {option.name for options in panel_options().values() for option in options}
    left = {option.name for option in OPTIONS if option.flags} - controlled
    a_cell_s = {"chat", "new", "background", "dry_run", "quiet", "no_ahead"}
    assert left == a_cell_s | {"run", "tool", "confirm", "confirm_wait"}


def test_a_control_that_was_not_touched_sends_nothing() -> None:
    assert Controls({}, lambda: None).given == {}


def test_controls_stand_at_what_they_were_given_and_give_it_back() -> None:
    options = {"model": "deepseek-v4-pro", "think": "off", "temperature": 0.5, "stop": ("a", "b"), "json": True}
    assert Controls(options, lambda: None).given == options


def test_a_value_out_of_bounds_is_one_sentence() -> None:
    controls = Controls({}, lambda: None)
    controls.widgets["temperature"].value = "7"
    with pytest.raises(ConfigurationError, match="temperature cannot be"):
        _ = controls.given


def test_the_cell_says_only_what_was_set() -> None:
    cell = as_cell("Why?", {"model": "deepseek-v4-pro", "think": "off", "json": True})
    assert cell.source == "%%deepseek --model deepseek-v4-pro --think off --json\nWhy?"


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_the_line_of_the_cell_reads_back_as_the_same_options(system: str, stop: list[str]) -> None:
    options = {"system": system, "stop": tuple(stop), "think": "low", "temperature": 0.3, "max_tokens": 5}
    line = as_cell("p", options).source.partition("\n")[0].removeprefix("%%deepseek")
    assert read_line(line).options == options


def test_a_system_prompt_of_several_lines_goes_into_a_variable() -> None:
    cell = as_cell("p", {"system": "one\ntwo"})
    assert cell.source.startswith(f"%%deepseek --system ${SYSTEM_VARIABLE}\n")
    assert cell.variables == {SYSTEM_VARIABLE: "one\ntwo"}


# gauges, story, history, picture


def test_the_rate_falls_to_nothing_while_nothing_comes() -> None:
    gauges = Gauges(now_s=0.0)
    gauges.note([AttemptStarted(attempt=1)], 0.0)
    assert gauges.read(0.5) == Reading(attempt=1)
    for step in range(20):
        gauges.note([TextDelta(text="x"), Heartbeat()], 1.0 + step / 10)
    flowing = gauges.read(3.0)
    assert flowing.first_token_s == 1.0
    assert flowing.tokens_per_s == pytest.approx(10, abs=1)
    assert gauges.read(9.0).tokens_per_s == 0
    assert gauges.read(9.5).curve[-2:] == (0.0, 0.0)


def test_what_has_no_value_is_not_shown() -> None:
    assert gauges_html(Reading()) == ""
    assert re.findall("<span>(.*?)</span>", gauges_html(Reading(attempt=1, first_token_s=0.5))) == [
        "first token",
        "attempt",
    ]
    assert re.sub("<.*?>", "", now_html(None, Reading())) == "Ready"
    assert curve([1.0]) == ""
    assert "polyline" in curve([1.0, 2.0])


def test_the_line_says_attempts_only_where_there_were_several_and_money_when_it_is_spent() -> None:
    reading = Reading(first_token_s=0.5, tokens_per_s=60.2, attempt=1)
    assert re.sub("<.*?>", "", now_html(None, reading)) == "Ready · 60 tokens/s · first token 0.50 s"
    shown = now_html(None, replace(reading, attempt=2), money="0.1 USD")
    assert "asked again · 0.1 USD" in shown


def test_the_line_of_a_running_answer_leaves_to_the_badge_who_answers() -> None:
    status = Status(state="writing", model="deepseek-flash", place="host", attempt=2, of_attempts=6)
    shown = now_html(status, Reading())
    assert "Writing" in shown
    assert "attempt 2 of 6" in shown
    assert "deepseek-flash" not in shown
    assert "host" not in shown


@pytest.mark.parametrize(
    ("said", "who", "cost"),
    [
        (None, "DeepSeek", "paid"),
        ("demo", "demo server", "free"),
        ("http://localhost:8000/v1", "localhost:8000", "this machine"),
        ("deepseek,https://openrouter.ai/api/v1", "DeepSeek, OpenRouter", "paid"),
        ("http://localhost:8000/v1,deepseek", "localhost:8000, DeepSeek", "paid"),
    ],
)
def test_the_badge_says_who_answers_and_whether_it_costs(
    said: str | None, who: str, cost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPSEEK_BASE_URL", raising=False)
    monkeypatch.delenv("DEEPSEEK_MAGIC_DEMO", raising=False)
    assert re.sub("<.*?>", "", who_html(in_order(said))) == f"{who} · {cost}"


def test_every_control_explains_itself_and_an_empty_field_shows_a_default_or_an_example() -> None:
    controls = Controls({}, lambda: None)
    assert set(controls.help) == set(controls.widgets)
    assert all(controls.help.values())
    for name, widget in controls.widgets.items():
        assert f"deepseek-magic-option-{name}" in widget._dom_classes
        if widget.has_trait("placeholder"):
            assert re.match("default: |e.g. ", widget.placeholder), name


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ("image", "schema")])
def test_an_example_can_be_typed_as_it_stands(name: str) -> None:
    controls = Controls({}, lambda: None)
    controls.widgets[name].value = str(EXAMPLES[name])
    assert name in controls.given


ROWS = [
    {"outcome": "complete", "model": "deepseek-flash", "error_type": None},
    {"outcome": "incomplete", "model": "deepseek-v4-pro", "error_type": "Disconnected"},
]


@pytest.mark.parametrize(
    ("words", "outcome", "found"),
    [("", None, [1, 0]), ("flash", None, [0]), ("PRO disc", None, [1]), ("", "complete", [0]), ("pro", "complete", [])],
)
def test_the_history_shows_rows_that_have_every_word_and_the_outcome(
    words: str, outcome: str | None, found: list[int]
) -> None:
    assert matching(ROWS, words, outcome) == [ROWS[i] for i in found]


def test_a_row_of_the_history_has_its_model_attempts_and_error_below_the_outcome() -> None:
    row = {**ROWS[1], "attempts": 3, "total_s": 1.5, "started_at": None}
    assert "incomplete\ndeepseek-v4-pro\nasked again 2×\nDisconnected" in html.unescape(history_html([row]))


def test_the_picture_holds_settings_question_and_answer_and_its_question_is_inert() -> None:
    answer = [({"text/markdown": "**safe**", "text/plain": "raw"}, {"deepseek_magic": {}})]
    data, metadata = still("ab", {"think": "off"}, "<script>x</script>", answer)
    assert "**safe**" in data["text/markdown"]
    assert still_class("ab") in data["text/markdown"]
    assert "<script" not in data["text/markdown"]
    assert data["text/plain"].endswith("> <script>x</script>\n\nraw")
    assert metadata == {"deepseek_magic": {}}


# a panel in a kernel

WIDGETS = "len((lambda w: getattr(w, '_instances', None) or w.Widget.widgets)(__import__('ipywidgets').widgets.widget))"
CHATS = "__import__('deepseek_magic.session').session.session().chats"


class Front:
    """What a browser does with a panel: sends what its prompt box sends, and sees the state of the widgets."""

    def __init__(
        self, kernel: Kernel, source: str = "p = ds.panel()\np", *, cell: str = "panel", draws: bool = True
    ) -> None:
        self.kernel = kernel
        self.state: dict[str, dict[str, Any]] = {}
        self.displayed: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.asked = 0
        kernel.run("import deepseek_magic as ds", cell="setup")
        ran = kernel.run(source, cell=cell)
        for message in ran.messages:
            self._take(message)
        if draws and ran.of("comm_open"):
            self.says_drawn()

    def says_drawn(self) -> None:
        """What the prompt box's code says as soon as it runs in the page."""
        self.message(self.box, {"method": "custom", "content": {"do": "drawn"}})

    def _take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "comm_open":
            self.state[content["comm_id"]] = dict(content["data"]["state"])
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "update":
            self.state.setdefault(content["comm_id"], {}).update(content["data"]["state"])
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "custom":
            self.sent.append(content["data"]["content"])
        elif message["msg_type"] in ("display_data", "update_display_data"):
            self.displayed.append(content)

    def find(self, **traits: Any) -> str:
        """The id of the widget that has these traits."""
        return next(id for id, state in self.state.items() if all(state.get(k) == v for k, v in traits.items()))

    @property
    def box(self) -> str:
        return next(id for id, state in self.state.items() if "_esm" in state)

    def message(self, comm: str, data: dict[str, Any]) -> None:
        content = {"comm_id": comm, "data": data}
        self.kernel.client.shell_channel.send(self.kernel.client.session.msg("comm_msg", content))

    def act(self, name: str, text: str = "") -> None:
        """Press a button of the prompt box."""
        self.asked += 1
        content = {"do": name, "text": text, "number": self.asked}
        self.message(self.box, {"method": "custom", "content": content})

    def click(self, description: str) -> None:
        """Press a button of ipywidgets."""
        self.message(self.find(description=description), {"method": "custom", "content": {"event": "click"}})

    def put(self, comm: str, **traits: Any) -> None:
        """Change what a control stands at."""
        self.message(comm, {"method": "update", "state": traits, "buffer_paths": []})

    def enabled(self, name: str) -> bool:
        return any(a["enabled"] for a in self.state[self.box]["actions"] if a["name"] == name)

    def shows(self, text: str) -> bool:
        """Whether a widget that is open holds this text."""
        return text in json.dumps(list(self.state.values()), ensure_ascii=False)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.state[self.box]["actions"]
            try:
                self._take(self.kernel.client.get_iopub_msg(timeout=0.05))
            except queue.Empty:
                continue

    def ask(self, text: str) -> None:
        """Send, and wait for the end of the answer: then the picture is taken anew."""
        pictures = len(self.displayed)
        self.act("send", text)
        self.until(lambda: len(self.displayed) > pictures)

    def value(self, expression: str) -> str:
        """What an expression is in the kernel."""
        sent = self.kernel.send(f"print({expression})", cell="look")
        printed: list[str] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                message = self.kernel.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            self._take(message)
            if message["parent_header"].get("msg_id") == sent:
                if message["msg_type"] in ("stream", "error"):
                    printed.append(message["content"].get("text") or str(message["content"]))
                if message["content"].get("execution_state") == "idle":
                    return "".join(printed).strip()
        raise AssertionError("the kernel did not answer")


def test_a_prompt_is_answered_below_it_and_the_turn_belongs_to_the_chat(kernel: Kernel) -> None:
    front = Front(kernel)
    assert front.enabled("send")
    assert not front.enabled("stop")
    front.ask("echo first words")
    assert front.shows("echo first words")
    assert front.value("p.answer.outcome, len(ds.log)") == "complete 1"
    assert front.value(f"{CHATS}['main'].turns[0].user.content") == "echo first words"
    assert front.state[front.box]["heard"] == 1
    assert front.displayed[-1]["data"]["text/plain"].endswith(front.value("p.answer.text"))
    assert "application/vnd.jupyter.widget-view+json" not in front.displayed[-1]["data"]


def test_the_first_key_stroke_of_a_question_makes_the_connection_that_the_answer_uses(
    kernel: Kernel, demo: DemoServer, elsewhere: str
) -> None:
    front = Front(kernel, f"p = ds.panel(endpoint='vllm', base_url={elsewhere!r}, model='deepseek-flash')\np")
    warming = "__import__('deepseek_magic.session').session.session()._warming"
    assert front.value(warming) == "None"
    front.put(front.box, value="W")
    front.until(lambda: front.value(f"{warming} is not None and {warming}.done()") == "True")
    front.put(front.box, value="Why?")
    front.ask("Why?")
    assert [(seen.method, seen.connection) for seen in demo.requests] == [("HEAD", 1), ("POST", 1)]
    assert front.value("ds.log[0]['connect_s']") == "0.0"


def test_stop_keeps_what_has_come_and_continue_makes_it_whole(kernel: Kernel, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    front = Front(kernel, "p = ds.panel(think='off')\np")
    front.act("send", "long 1")
    front.until(lambda: front.shows("paragraph 1"))
    front.act("stop")
    front.until(lambda: front.enabled("continue"))
    assert front.value("p.answer.outcome") == "interrupted"
    demo.pace = 0
    front.act("continue")
    front.until(lambda: front.enabled("send") and not front.enabled("continue"))
    assert front.value("p.answer.outcome, p.answer.text.count('paragraph 1 ')") == "complete 1"


def test_regenerate_asks_again_with_the_settings_of_now_in_the_place_of_the_answer(
    kernel: Kernel, demo: DemoServer
) -> None:
    front = Front(kernel)
    front.ask("hi")
    front.put(front.find(description="think", _model_name="DropdownModel"), index=1)
    front.act("regenerate")
    front.until(lambda: len(demo.requests) == 2 and front.enabled("send"))
    assert demo.requests[-1].body["thinking"] == {"type": "disabled"}
    front.until(lambda: front.value(f"len({CHATS}['main'].turns)") == "1")


def test_an_error_is_one_sentence_in_the_panel_and_the_text_stays_in_the_box(kernel: Kernel) -> None:
    front = Front(kernel)
    front.put(front.find(description="temperature"), value="7")
    front.until(lambda: front.shows("temperature cannot be"))
    front.act("send", "hi")
    front.until(lambda: front.state[front.box]["heard"] == 1)
    assert front.value("p.answer, len(ds.log)") == "None 0"


def test_a_failed_call_says_why_below_its_question(kernel: Kernel, demo: DemoServer) -> None:
    demo.fault = "401"
    front = Front(kernel)
    front.ask("hi")
    front.until(lambda: front.shows("The API answered with 401"))
    front.until(lambda: front.enabled("send"))
    assert json.dumps(front.state).count("The API answered with 401") == 1
    assert "deepseek-magic-error" in json.dumps(front.state)
    assert not front.enabled("continue")  # there is no text to go on from


def test_stop_is_seen_only_while_an_answer_is_written(kernel: Kernel, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    front = Front(kernel, "p = ds.panel(think='off')\np")
    layout = front.state[front.find(description="Stop")]["layout"].removeprefix("IPY_MODEL_")
    assert front.state[layout]["display"] == "none"
    front.act("send", "long 90")
    front.until(lambda: front.state[layout]["display"] is None)
    front.click("Stop")
    front.until(lambda: front.state[layout]["display"] == "none" and front.enabled("send"))
    assert front.value("p.answer.outcome") == "interrupted"


def test_an_example_goes_into_the_box_and_is_not_sent(kernel: Kernel) -> None:
    front = Front(kernel)
    front.click("Compare three planets in a table")
    front.until(lambda: front.state[front.box]["value"] == "Compare three planets in a table")
    assert front.value("p.answer, len(ds.log)") == "None 0"


def test_what_enter_does_is_one_setting_of_magics_and_panels(kernel: Kernel) -> None:
    front = Front(kernel)
    assert front.state[front.box]["enter"] == "newline"
    assert front.state[front.box]["texts"]["keys"] == "Shift-Enter or Ctrl-Enter sends"
    front.put(front.find(description="Enter sends"), value=True)
    front.until(lambda: front.state[front.box]["enter"] == "send")
    front.until(lambda: front.state[front.box]["texts"]["keys"] == "Enter sends, Shift-Enter starts a line")
    front.value("get_ipython().run_line_magic('config', 'DeepSeekMagics.enter = \"newline\"')")
    front.until(lambda: front.state[front.find(description="Enter sends")]["value"] is False)
    assert front.state[front.box]["enter"] == "newline"


def test_a_cell_that_changes_who_answers_is_seen_in_the_head_and_its_chats_in_the_list(kernel: Kernel) -> None:
    front = Front(kernel)
    front.value("get_ipython().run_line_magic('deepseek_demo', '')")
    front.until(lambda: front.shows("<b>demo server</b> · free"))
    front.value("get_ipython().run_line_magic('deepseek', '--chat tea leaves')")
    front.until(lambda: "tea" in front.state[front.find(description="chat")]["_options_labels"])


def test_a_new_chat_shows_no_figures_of_the_one_before(kernel: Kernel, demo: DemoServer) -> None:
    front = Front(kernel)
    front.ask("hi")
    line = next(id for id, state in front.state.items() if "deepseek-magic-state" in str(state.get("value")))
    front.until(lambda: "first token" in front.state[line]["value"])
    front.until(lambda: front.shows("Text arrives."))
    front.click("+ New")
    front.until(lambda: "first token" not in front.state[line]["value"])
    front.until(lambda: not front.shows("Text arrives."))


def test_an_empty_field_shows_the_default_that_holds(kernel: Kernel) -> None:
    kernel.run(
        "%load_ext deepseek_magic\n%config DeepSeekMagics.model = 'deepseek-v4-pro'\n%config DeepSeekMagics.think = 'low'"
    )
    front = Front(kernel)
    assert front.find(description="model", placeholder="default: deepseek-v4-pro")
    think = front.state[front.find(description="think", _model_name="DropdownModel")]
    assert think["_options_labels"][0] == "default: low"


def test_two_panels_share_the_log_and_the_limiter(kernel: Kernel) -> None:
    one = Front(kernel)
    two = Front(kernel, "q = ds.panel(chat='other')\nq", cell="other")
    one.ask("hi")
    two.ask("ho")
    assert two.value("len(ds.log), p._calls.gate is q._calls.gate") == "2 True"


@pytest.mark.parametrize("source", ["p = ds.panel()\np", "p = ds.panel(for_class=True)\np"])
def test_a_panel_run_again_takes_the_place_of_the_old_one(kernel: Kernel, source: str) -> None:
    kernel.run(
        "import os; os.environ['JPY_SESSION_NAME'] = 'a.ipynb'"
    )  # of a Jupyter server, whose page is told what goes
    Front(kernel, source)
    front = Front(kernel, source)
    before = int(front.value(WIDGETS))
    Front(kernel, source)
    assert int(front.value(WIDGETS)) == before


def test_answers_leave_no_widgets_behind(kernel: Kernel) -> None:
    front = Front(kernel, "p = ds.panel(no_history=True)\np")
    # The boxes of turns that are off the screen go so many at a time; in this test, a few.
    front.value("setattr(__import__('deepseek_magic.notebook.panel.answers').notebook.panel.answers, 'EMPTY_TURNS', 5)")
    for number in range(22):
        front.ask(f"echo {number}")
    full = int(front.value(WIDGETS))
    for number in range(5):
        front.ask(f"echo again {number}")
    assert int(front.value(WIDGETS)) == full


def test_chats_are_made_renamed_and_forgotten_and_the_cells_chat_stays(kernel: Kernel) -> None:
    front = Front(kernel)
    front.ask("hi")
    front.click("+ New")
    front.until(lambda: front.shows("Nothing was asked in this chat yet."))
    front.ask("ho")
    chats = f"sorted({CHATS})"
    assert front.value(chats) == "['chat-1', 'main']"
    front.put(front.find(description="name or file"), value="third")
    front.click("Rename")
    front.until(lambda: front.value(chats) == "['main', 'third']")
    front.click("Delete")
    front.until(lambda: front.shows("Really delete?"))
    front.click("Really delete?")
    front.until(lambda: front.value(chats) == "['main']")


def test_a_page_without_the_boxs_code_gets_plain_widgets_that_ask(kernel: Kernel) -> None:
    front = Front(kernel, draws=False)
    front.until(lambda: front.shows("cannot load the panel&#x27;s own prompt box"))
    front.put(front.find(_view_name="TextareaView", rows=3), value="hi")
    pictures = len(front.displayed)
    front.click("Send")
    front.until(lambda: len(front.displayed) > pictures)
    assert front.value("p.answer.outcome") == "complete"
    assert front.state[front.find(_view_name="TextareaView", rows=3)]["value"] == ""
    front.click("Continue")  # there is nothing to continue
    assert front.value("p.answer.outcome") == "complete"


def test_a_page_that_is_heard_late_gets_its_own_box_back(kernel: Kernel) -> None:
    front = Front(kernel, draws=False)
    front.until(lambda: front.shows("cannot load the panel&#x27;s own prompt box"))
    front.says_drawn()
    held = [f"IPY_MODEL_{front.box}"]
    front.until(lambda: any(state.get("children") == held for state in front.state.values()))


def test_a_front_end_that_refuses_widgets_is_told_so_in_one_sentence(kernel: Kernel) -> None:
    front = Front(kernel, draws=False)
    drawn = front.displayed[0]["data"]["application/vnd.jupyter.widget-view+json"]
    content = {"comm_id": drawn["model_id"], "data": {}}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_close", content))
    sentence = "This front end draws no widgets, so it has no panel."
    front.until(lambda: sentence in front.displayed[-1]["data"]["text/plain"])
    (error,) = kernel.run("%deepseek_panel").of("error")
    assert error["evalue"].startswith(sentence)


def test_run_by_nobody_who_looks_the_panel_leaves_its_picture(run_headless: Callable[..., list[list[Any]]]) -> None:
    (outputs,) = run_headless("%deepseek_panel --think off", store_widget_state=False)
    assert [set(output["data"]) for output in outputs][-1] == {"text/markdown", "text/plain"}
    assert "think off" in outputs[-1]["data"]["text/plain"]


def test_the_magic_takes_flags_and_nothing_else(kernel: Kernel) -> None:
    ran = kernel.run("%deepseek_panel --think off hello")
    assert ran.reply["ename"] == "ConfigurationError"
    ran = kernel.run("%deepseek_panel --tool print")
    assert ran.reply["evalue"].startswith("The panel asks nobody before something is run, so it takes no tool.")
    front = Front(kernel, "%deepseek_panel --think off")
    assert front.find(description="think", index=1)


def test_a_closed_panel_says_so_and_can_be_closed_again(kernel: Kernel) -> None:
    Front(kernel, "import deepseek_magic as ds\np = ds.panel()\np")
    kernel.run("p.close(); p.close()")
    ran = kernel.run("p")
    assert "This panel is closed. %deepseek_panel, or ds.panel(), shows a new one." in str(ran.messages)
    (error,) = kernel.run("p._act('send', 'hello')").of("error")
    assert error["evalue"].startswith("This panel is closed.")


def test_outside_a_notebook_a_panel_is_refused_in_one_sentence() -> None:
    import deepseek_magic as ds

    with pytest.raises(ConfigurationError, match="A panel needs a notebook"):
        ds.panel()


def test_a_panel_refuses_an_option_that_does_not_exist(kernel: Kernel) -> None:
    ran = kernel.run("import deepseek_magic as ds\nds.panel(temprature=1)")
    assert "did you mean temperature?" in ran.reply["evalue"]
