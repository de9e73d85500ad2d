"""The line of a magic: what is a flag, what is the prompt, and what is a slip."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_magic.engine.hosts.endpoints import ENDPOINTS
from deepseek_magic.engine.hosts.keys import forget
from deepseek_magic.notebook.magic import service
from deepseek_magic.notebook.magic.completion import candidates
from deepseek_magic.notebook.magic.fix import FixMagics
from deepseek_magic.notebook.magic.flags import FLAGS, help_head, help_text, read_line, read_order, wrapped
from deepseek_magic.notebook.magic.manuals import helped, plain
from deepseek_magic.notebook.magic.service import ServiceMagics
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.options import OPTIONS
from deepseek_magic.session.state import Session
from deepseek_magic.text.language import Language, use
from deepseek_magic.text.language import language as current


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("-m pro -t 0.5", {"model": "pro", "temperature": 0.5}, ""),
        ("--model=pro what's 2 < 3?", {"model": "pro"}, "what's 2 < 3?"),
        ("-s 'You are a \"poet\".' write", {"system": 'You are a "poet".'}, "write"),
        (r'-s "say \"hi\""', {"system": 'say "hi"'}, ""),
        ("--stop END --stop 'THE END'", {"stop": ("END", "THE END")}, ""),
        ("--think off --json list -m things", {"think": "off", "json": True}, "list -m things"),
        ("-- --model is a flag", {}, "--model is a flag"),
        ("- a list item", {}, "- a list item"),
        ("it's", {}, "it's"),
        ("-o", None, ""),
    ],
)
def test_flags_come_first_and_the_rest_is_the_prompt_as_typed(
    line: str, options: dict[str, Any] | None, rest: str
) -> None:
    if options is None:
        with pytest.raises(ConfigurationError, match="needs a value"):
            read_line(line)
    else:
        read = read_line(line)
        assert (read.options, read.rest) == (options, rest)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--modle x", "did you mean --model?"),
        ("--think hihg", "did you mean high?"),
        ("-t 9", "from 0 to 2"),
        ("--json=yes", "takes no value"),
        ("--max-tokens many", "a whole number"),
    ],
)
def test_a_slip_is_one_sentence(line: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_line(line)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_option_with_a_flag_is_in_the_help() -> None:
    shown = help_text()
    for option in OPTIONS:
        assert all(flag in shown for flag in option.flags)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_help_begins_with_the_common_flags_and_leaves_its_top_on_a_small_screen(language: Language) -> None:
    before = current()
    use(language)
    try:
        shown = help_head()
    finally:
        use(before)
    assert len(shown.splitlines()) <= 38
    places = [shown.index(flag) for flag in ("-m, --model", "--dry-run", "--temperature", "--timeline")]
    assert places == sorted(places)
    assert all(any(flag in shown for flag in option.flags) for option in OPTIONS if option.flags)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%%deepseek --thi", ["--think"]),
        ("%%deepseek --think ", ["off", "low", "high", "max"]),
        ("%%deepseek --think=h", ["high"]),
        ("%deepseek --think low --thi", []),
        ("%%deepseek -o an", ["answer"]),
        ("%%deepseek -s $st", ["$style"]),
        ("%%deepseek -m deepseek-f", ["deepseek-flash"]),
        ("%%deepseek --json ", []),
        ("%%deepseek --tool ", ["f"]),
        ("%deepseek_panel --thi", ["--think"]),
        ("%deepseek_doctor --end", ["--endpoint"]),
        ("%deepseek_models --endpoint olla", ["ollama"]),
        ("%deepseek_key --thi", []),
        ("%deepseek_log --pl", ["--plot"]),
        ("%deepseek_log --plot w", ["waterfall"]),
        ("%deepseek_log --columns ttft", ["ttft_s"]),
        ("%deepseek_demo st", ["start", "stop"]),
        ("%deepseek_demo --fault 'cut", ["cut"]),
        ("%deepseek_demo start --", ["--fault", "--pace", "--help"]),
        ("%deepseek_resume --l", ["--list"]),
        ("%deepseek_resume --temp", []),
        ("%deepseek_resume -o an", ["answer"]),
        ("%deepseek_resume ", ["half"]),
        ("%deepseek_chat --ex", ["--export"]),
        ("print(", None),
        ("%%deepseekx -", None),
    ],
)
def test_tab_offers_what_can_stand_there(line: str, expected: list[str] | None) -> None:
    half = Completion(request=Request.of("hi"), text="ha", outcome="interrupted")
    assert candidates(line, {"answer": 1, "style": "short", "_x": 2, "f": len, "half": half}) == expected


def test_all_flags_are_offered_once() -> None:
    offered = candidates("%%deepseek -", {})
    assert offered is not None
    assert sorted(offered) == sorted([*FLAGS, "--help"])


def test_printed_help_has_no_marks_for_what_renders_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("deepseek_key", "deepseek_doctor", "deepseek_models"):
        assert helped(ServiceMagics, name, "--help")
    for text in (capsys.readouterr().out, plain(FixMagics.deepseek_fix)):
        assert "%deepseek_" in text
        assert "::" not in text
        assert "``" not in text


@pytest.mark.parametrize("name", ["class", "1x", "a.b"])
def test_an_answer_is_bound_to_a_name_that_can_be_read_again(name: str) -> None:
    with pytest.raises(ConfigurationError, match="takes the name of a variable"):
        read_order(f"-o {name}", "echo a")


def test_a_key_is_set_for_the_endpoint_that_is_named_also_while_the_demo_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    here = Session()
    here.defaults = here.defaults.replace(endpoint="demo", base_url="http://127.0.0.1:9")
    monkeypatch.setattr(service, "session", lambda: here)

    def typed(question: str) -> str:
        asked.append(question)
        return "sk-typed-1234"

    monkeypatch.setattr(service, "getpass", typed)
    magics = ServiceMagics(None)
    magics.deepseek_key("")
    assert (asked, capsys.readouterr().out) == ([], "the demo server needs no key.\n")
    magics.deepseek_key("--endpoint deepseek")
    assert len(asked) == 1
    assert "DeepSeek" in asked[0]
    forget(ENDPOINTS["deepseek"])


@pytest.mark.parametrize("value", ["1", "5%", "much"])
def test_what_is_no_value_of_a_flag_that_may_stand_alone_is_said_where_it_can_be_no_prompt(value: str) -> None:
    order = read_order(f"--hedge {value} is the question", None)
    assert order is not None
    assert (order.options["hedge"], order.prompt) == (0.05, f"{value} is the question")
    with pytest.raises(ConfigurationError, match="--hedge cannot be"):
        read_order(f"--think off --hedge {value}", "What is asked")


def test_chinese_help_is_broken_between_characters_never_within_a_name_or_before_a_full_stop() -> None:
    text = "如果已经找到密钥（环境变量、.env、密钥环），会说明来源。程序中用 ds.log.plot(kind='speed')、ds.log.explain('ttft_s')。"
    for indent in range(60):
        lines = [line[indent:] for line in wrapped(text, indent)]
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert not [line for line in lines if line.startswith(tuple("，。：；？！）”、"))]
        assert "ds.log.plot(kind='speed')" in "\n".join(lines)
