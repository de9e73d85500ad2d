"""Where a key is found, in which order, and that it never shows itself."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts import keys
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS, resolve
from deepseek_magic.engine.hosts.keys import Key, find_key, forget, looks_like_key, mask, mask_content
from deepseek_magic.protocol.errors import ConfigurationError, MissingKey
from deepseek_magic.session import calls
from deepseek_magic.session.project import project

DEEPSEEK = ENDPOINTS["deepseek"]
OLLAMA = ENDPOINTS["ollama"]


def found(**arguments: object) -> str:
    key = find_key(DEEPSEEK, **arguments)  # type: ignore[arg-type]
    assert key is not None
    return key.reveal()


def fake_keyring(monkeypatch: pytest.MonkeyPatch, get_password: Callable[[str, str], str | None]) -> None:
    module = ModuleType("keyring")
    module.get_password = get_password  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)


def test_the_nearest_place_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert found(ask=lambda prompt: "sk-asked") == "sk-asked"
    fake_keyring(monkeypatch, lambda service, name: f"sk-{service}-{name}")
    assert found(ask=lambda prompt: "sk-other") == "sk-deepseek-magic-DEEPSEEK_API_KEY"
    (tmp_path / ".env").write_text("DEEPSEEK_API_KEY=sk-file\n")
    assert found() == "sk-file"
    monkeypatch.setenv("DEEPSEEK_API_KEY", " sk-environment\n")
    assert found() == "sk-environment"
    assert found(explicit="sk-explicit") == "sk-explicit"


def test_a_typed_key_is_asked_for_once_and_again_after_it_was_forgotten() -> None:
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return "sk-typed"

    assert [found(ask=ask), found(ask=ask)] == ["sk-typed"] * 2
    forget(DEEPSEEK)
    found(ask=ask)
    assert len(prompts) == 2
    assert "DeepSeek" in prompts[0]


def test_an_empty_answer_to_the_question_is_no_key() -> None:
    with pytest.raises(MissingKey):
        find_key(DEEPSEEK, ask=lambda prompt: "  ")


@pytest.mark.parametrize(
    "line",
    [
        "DEEPSEEK_API_KEY=sk-file",
        "  export DEEPSEEK_API_KEY = sk-file  # mine",
        'DEEPSEEK_API_KEY="sk-file"',
        "DEEPSEEK_API_KEY='sk-file'  # mine",
        "OTHER=1\nDEEPSEEK_API_KEY=old\nDEEPSEEK_API_KEY=sk-file\r\n",
        "\ufeffDEEPSEEK_API_KEY=sk-file",
        "# DEEPSEEK_API_KEY=no\nMY_DEEPSEEK_API_KEY=no\nDEEPSEEK_API_KEY=sk-file",
    ],
)
def test_an_env_file_is_read(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(line, "utf-8", newline="")
    assert found() == "sk-file"


@pytest.mark.parametrize("text", ["", "DEEPSEEK_API_KEY=", 'DEEPSEEK_API_KEY=""', "DEEPSEEK_API_KEY", "#" * 70_000])
def test_an_env_file_without_the_variable_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text(text)
    with pytest.raises(MissingKey):
        find_key(DEEPSEEK)


def test_env_files_are_looked_for_up_to_the_root_of_the_project_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".env").write_text("DEEPSEEK_API_KEY=sk-too-far")
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(deep)
    with pytest.raises(MissingKey):
        find_key(DEEPSEEK)
    (project / ".env").write_text("DEEPSEEK_API_KEY=sk-project")
    assert found() == "sk-project"
    (deep / ".env").write_text("DEEPSEEK_API_KEY=sk-here")
    assert found() == "sk-here"


def test_a_keyring_that_fails_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(service: str, name: str) -> str:
        raise RuntimeError("locked")

    fake_keyring(monkeypatch, locked)
    with pytest.raises(MissingKey):
        find_key(DEEPSEEK)


def test_a_local_server_needs_none_but_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_key(OLLAMA, ask=lambda prompt: pytest.fail("asked")) is None
    monkeypatch.setenv("OLLAMA_API_KEY", "sk-local")
    assert find_key(OLLAMA) == Key("sk-local", source="x")


def test_the_deepseek_key_does_not_go_to_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-secret")
    assert find_key(resolve("http://127.0.0.1:9999")) is None
    assert find_key(resolve("demo")) is None


def test_a_key_is_never_sent_in_clear_text_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = resolve("http://model.example:8000/v1")
    assert find_key(endpoint, ask=lambda prompt: pytest.fail("asked")) is None
    monkeypatch.setenv("DEEPSEEK_API_KEY_MODEL_EXAMPLE", "sk-secret-77")
    assert find_key(resolve("vllm", "http://model.example:8000/v1")) is None
    with pytest.raises(ConfigurationError, match="not encrypted") as caught:
        find_key(endpoint)
    assert "sk-secret-77" not in str(caught.value)


@pytest.mark.parametrize("secret", ["", "   ", "sk with spaces", "sk-日本", "sk-a\nb"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Key(secret, source="a test")
    assert "日本" not in str(caught.value)


def test_a_key_shows_itself_nowhere() -> None:
    key = Key("sk-test-1234", source="a test")
    assert "1234" not in f"{key} {key!r} {[key]}"
    for write_down in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            write_down(key)


def test_every_key_ever_found_is_masked_and_so_are_echoed_tails() -> None:
    Key("sk-test-1234", source="a test")
    assert mask("key sk-test-1234 and ****e78f, **bold** stays") == "key **** and ****, **bold** stays"
    Key("EMPTY", source="a test")
    assert mask("EMPTY is no secret") == "EMPTY is no secret"


@pytest.mark.parametrize(
    "echo",
    [
        "sk-canary123... defKEY",
        "sk-cana****************fKEY",
        "sk-canary123abc",
        "a key ending in defKEY",
        "Bearer sk-canary123abcdefKEY",
        '{"key":"sk-canary12…cdefKEY"}',
    ],
)
def test_no_part_of_a_key_that_a_server_echoes_survives(echo: str) -> None:
    Key("sk-canary123abcdefKEY", source="a test")
    left = mask(echo)
    assert not any(part in left for part in ("canary", "sk-cana", "defKEY", "fKEY")), left


def test_an_answer_loses_whole_keys_and_halves_of_them_but_no_word_that_is_in_one() -> None:
    Key("sk-no-key-required-here", source="a test")
    assert mask_content("it is required here: sk-no-key-required-here.") == "it is required here: ****."
    assert mask_content("first sk-no-key-requ, then ired-here") == "first ****, then ired-here"
    assert mask_content("***bold*** stays") == "***bold*** stays"


def test_a_key_in_an_argument_is_wrapped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client("https://api.example", api_key="sk-secret-77")
    assert "sk-secret-77" not in repr(vars(client))
    assert client.key is not None
    assert client.key.reveal() == "sk-secret-77"
    with pytest.raises(ConfigurationError) as caught:
        calls.ask("", api_key="sk-secret-77")
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb)]
    assert len(frames) > 3
    assert not any("sk-secret-77" in repr(frame.f_locals) for frame in frames[1:])
    with pytest.raises(ConfigurationError, match="not encrypted"):
        assert Client("http://api.example", api_key="sk-secret-77").key


def test_the_key_of_a_service_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-deepseek-1")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-openrouter-1")
    for endpoint in (
        resolve("https://a-b.example/v1"),
        resolve("deepseek", "https://a-b.example"),
        resolve("openrouter", "https://a-b.example"),
        resolve("deepseek", "http://127.0.0.1:9999"),
    ):
        with contextlib.suppress(MissingKey):
            assert find_key(endpoint) is None
    monkeypatch.setenv("DEEPSEEK_API_KEY_A__B_EXAMPLE", "sk-named-1")
    assert find_key(resolve("https://a-b.example/v1")) == Key("sk-named-1", source="x")
    monkeypatch.setenv("DEEPSEEK_BASE_URL", "https://a-b.example")
    assert find_key(resolve()) == Key("sk-deepseek-1", source="x")


def test_a_folder_that_everybody_may_write_and_those_above_home_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, home = tmp_path / "shared", tmp_path / "home"
    for folder in (shared / "mine", home / "mine"):
        folder.mkdir(parents=True)
    shared.chmod(0o777)
    monkeypatch.setenv("HOME", str(home))
    for folder in (shared, tmp_path):
        (folder / "pyproject.toml").write_text("[tool.deepseek-magic]\n")
    (shared / ".env").write_text("DEEPSEEK_API_KEY=sk-anybody")
    assert project(home / "mine") is None
    (home / "pyproject.toml").write_text("[tool.deepseek-magic]\n")
    found = project(home / "mine")
    assert found is not None
    assert found.folder == home
    if os.name == "posix":
        assert project(shared / "mine") is None
        monkeypatch.chdir(shared)
        with pytest.raises(MissingKey):
            find_key(DEEPSEEK)


def test_a_key_typed_into_a_cell_is_recognised() -> None:
    long = "sk-" + "a1" * 16
    assert looks_like_key(f'client = Client(api_key="{long}")')
    assert not looks_like_key("ask-me-anything-about-this-and-that-please")
    assert not looks_like_key("keys begin with sk-")
    assert not looks_like_key("sk-test-1234")
    Key("sk-test-1234", source="a test")
    assert looks_like_key("mine is sk-test-1234")


def test_of_many_keys_the_ones_used_last_are_masked() -> None:
    for number in range(1000):
        Key(f"sk-test-{number:04}", source="a test")
        Key("sk-test-mine", source="a test")
    assert mask("sk-test-mine and sk-test-0999") == "**** and ****"
    assert len(keys._secrets) == keys._SECRETS_MAX


@pytest.mark.parametrize("key", ['sk-01"234567"89', r"sk-01\234567\89", '\\sk-0123456789"'])
def test_a_key_is_masked_also_as_json_writes_it(key: str) -> None:
    Key(key, source="a test")
    text = json.dumps({"said": f"a {key} b", "arguments": json.dumps({"key": key})})
    for masked in (mask(text), mask_content(text)):
        said = json.loads(masked)
        assert (said["said"], said["arguments"]) == ("a **** b", '{"key": "****"}')
    assert mask_content(f"a {key} b") == "a **** b"


def test_a_placeholder_of_plain_words_takes_no_word_out_of_a_sentence() -> None:
    Key("no-key-required", source="a test")
    assert mask("The request was required to name a key.") == "The request was required to name a key."
    assert mask("Bearer no-key-required") == "Bearer ****"


def test_a_kernel_of_a_hub_asks_a_service_of_that_hub_with_its_own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-servers-own-token")
    monkeypatch.setenv("DEEPSEEK_BASE_URL", "http://hub.example/services/deepseek")
    assert resolve().key_variables == ("DEEPSEEK_API_KEY",)  # no hub started this kernel
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://hub.example:8081/hub/api")
    key = find_key(resolve())
    assert key is not None
    assert key.reveal() == "the-servers-own-token"
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://another.example:8081/hub/api")
    with pytest.raises(ConfigurationError, match="not encrypted"):
        find_key(resolve())
    monkeypatch.setenv("DEEPSEEK_BASE_URL", "https://gateway.example/v1")
    with pytest.raises(MissingKey):
        find_key(resolve())
