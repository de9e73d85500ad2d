"""What a user types → an endpoint."""

from __future__ import annotations

import pytest

from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE, ENDPOINTS, Endpoint, in_order, resolve
from deepseek_magic.protocol.errors import ConfigurationError


def test_every_entry_says_where_it_comes_from() -> None:
    assert set(ENDPOINTS) == {
        *("deepseek", "demo", "ollama", "vllm", "llamacpp", "sglang"),
        *("openrouter", "siliconflow", "volcengine", "together", "fireworks"),
    }
    for name, endpoint in ENDPOINTS.items():
        assert endpoint.name == name
        assert endpoint.source
        assert endpoint.needs_key == (not endpoint.is_local)
        assert resolve(endpoint.base_url).base_url == endpoint.base_url
        assert not endpoint.models or endpoint.default_model in endpoint.models


def test_the_demo_is_the_one_that_this_process_was_started_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("demo").base_url == ENDPOINTS["demo"].base_url
    monkeypatch.setenv(DEMO_VARIABLE, "http://127.0.0.1:8651")
    assert resolve("demo").base_url == "http://127.0.0.1:8651"
    assert resolve("demo").name == "demo"


def test_nothing_typed_means_deepseek() -> None:
    assert resolve() is resolve("deepseek") is ENDPOINTS["deepseek"]
    assert resolve().chat_url == "https://api.deepseek.com/chat/completions"
    assert resolve().continue_url == "https://api.deepseek.com/beta/chat/completions"
    assert resolve().balance_url == "https://api.deepseek.com/user/balance"


@pytest.mark.parametrize(
    ("typed", "addresses"),
    [
        ("https://x.example/a,b/v1", ["https://x.example/a,b/v1"]),
        ("https://x.example/a,b/v1,deepseek", ["https://x.example/a,b/v1", "https://api.deepseek.com"]),
        ("deepseek, https://x.example/v1,", ["https://api.deepseek.com", "https://x.example/v1"]),
        ("https://x.example,http://y.example", ["https://x.example", "http://y.example"]),
    ],
)
def test_a_comma_inside_an_address_belongs_to_it(typed: str, addresses: list[str]) -> None:
    assert [endpoint.base_url for endpoint in in_order(typed)] == addresses


def test_the_environment_moves_deepseek_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_BASE_URL", "http://localhost:9000/")
    for endpoint in (resolve(), resolve("deepseek")):
        assert endpoint.base_url == "http://localhost:9000"
        assert endpoint.continue_url == "http://localhost:9000/beta/chat/completions"
        assert endpoint.key_variables == ("DEEPSEEK_API_KEY",)
        assert not endpoint.needs_key
    assert resolve("openrouter") is ENDPOINTS["openrouter"]
    assert resolve(base_url="http://localhost:1").base_url == "http://localhost:1"
    monkeypatch.setenv("DEEPSEEK_BASE_URL", "api.deepseek.com")
    with pytest.raises(ConfigurationError, match="DEEPSEEK_BASE_URL"):
        resolve()


@pytest.mark.parametrize(
    ("typed", "base_url"),
    [
        ("https://x.example", "https://x.example"),
        ("https://X.example/v1/", "https://x.example/v1"),
        ("https://x.example/v1/chat/completions", "https://x.example/v1"),
        (" http://[::1]:8000/v1 ", "http://[::1]:8000/v1"),
    ],
)
def test_a_base_url_is_cleaned_of_what_is_pasted_along(typed: str, base_url: str) -> None:
    endpoint = resolve(typed)
    assert (endpoint.base_url, endpoint.name) == (base_url, "custom")
    assert resolve(base_url=typed) == endpoint


def test_a_known_host_is_known_by_its_address() -> None:
    assert resolve("https://api.deepseek.com/v1") is ENDPOINTS["deepseek"]
    assert resolve("https://api.deepseek.com/beta").continue_url == "https://api.deepseek.com/beta/chat/completions"
    assert resolve("https://openrouter.ai/api/v1").key_variables == ("OPENROUTER_API_KEY",)
    assert resolve("https://api.siliconflow.com/v1").name == "siliconflow"


def test_a_named_endpoint_can_be_moved() -> None:
    moved = resolve("vllm", "https://gpu.example/v1")
    assert (moved.name, moved.continuing, moved.host) == ("vllm", "continue_final_message", "gpu.example")
    assert resolve(moved, "http://127.0.0.1:1/v1").base_url == "http://127.0.0.1:1/v1"
    assert resolve(moved) is moved


@pytest.mark.parametrize(
    ("url", "local", "needs_key"),
    [
        ("http://127.0.0.1:8000", True, False),
        ("http://127.8.8.8", True, False),
        ("http://localhost:8000/v1", True, False),
        ("http://[::1]:1", True, False),
        ("http://192.168.0.7:8000", False, False),  # in clear text: no key would be sent
        ("https://x.example", False, True),
    ],
)
def test_this_machine_needs_no_key(url: str, local: bool, needs_key: bool) -> None:
    endpoint = resolve(url)
    assert (endpoint.is_local, endpoint.needs_key) == (local, needs_key)


@pytest.mark.parametrize(
    "typed",
    [
        "ftp://x.example",
        "https://",
        "https://user:secret@x.example",
        "https://x.example/?key=secret",
        "https://x.example:port",
        "https://[::1",
    ],
)
def test_what_is_no_base_url_is_refused_without_being_shown(typed: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(typed)
    assert "secret" not in str(caught.value)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean openrouter\?"):
        resolve("openruoter")


def test_two_addresses_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError):
        resolve("https://a.example", "https://b.example")


def test_an_endpoint_of_ones_own_is_taken_as_it_is() -> None:
    own = Endpoint(name="own", title="Own", base_url="https://own.example/v1")
    assert resolve(own) is own
    assert own.balance_url is None
    assert own.continue_url == "https://own.example/v1/chat/completions"
