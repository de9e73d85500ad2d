"""``deepseek-magic relay`` from a shell: tokens, status, and what it refuses before it begins."""

from __future__ import annotations

import csv
import io
import json
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from deepseek_magic.cli import main
from deepseek_magic.relay import roster
from deepseek_magic.relay.command import _EXTRA
from deepseek_magic.relay.web.serving import as_others_write
from tests.relay.running import RunningRelay
from tests.relay.test_relay import BODY


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "class.csv"
    path.write_text("Name;x,Email\nAnn,ann@example.org\nBob,bob@example.org\n", "utf-8-sig")
    return path


def tokens_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    capsys.readouterr()
    assert main(["relay", "tokens", *arguments]) == 0
    return {row["name"]: row["token"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}


def test_tokens_are_made_once_renewed_and_taken_back(
    names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path / "data"))
    first = tokens_of(capsys, str(names), *data)
    assert [*first] == ["ann@example.org", "bob@example.org"]
    assert all(token.startswith(roster.TOKEN_PREFIX) for token in first.values())
    assert tokens_of(capsys, str(names), *data) == {}
    again = tokens_of(capsys, str(names), "--renew", *data)
    assert again.keys() == first.keys()
    assert not set(again.values()) & set(first.values())
    for path in (tmp_path / "data").iterdir():  # only digests are kept
        assert not any(token.encode() in path.read_bytes() for token in (*first.values(), *again.values()))
    assert main(["relay", "tokens", str(names), "--revoke", *data]) == 0
    assert "2 tokens were taken back" in capsys.readouterr().out
    assert [*tokens_of(capsys, str(names), *data)] == [*first]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it has no names"),
        ("name\n", "it has no names"),
        ("a\nb\na\n", "the name a is there twice"),
        ("name\n\x07\n", "is no name"),
    ],
)
def test_a_list_that_is_none_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    assert main(["relay", "tokens", str(tmp_path / "list.csv"), "--data", str(tmp_path / "data")]) == 1
    assert said in capsys.readouterr().err
    assert main(["relay", "tokens", str(tmp_path / "none.csv"), "--data", str(tmp_path / "data")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_status_tells_who_asked_and_what_it_cost(relay: RunningRelay, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 1):
        assert httpx.post(f"{relay.base_url}/v1/chat/completions", json=BODY, headers=relay.headers(number)).is_success
    assert httpx.post(f"{relay.base_url}/v1/chat/completions", json={}, headers=relay.headers()).status_code == 400
    relay.__exit__()
    assert main(["relay", "status", "--json", "--data", str(relay.folder)]) == 0
    students = {line["name"]: line for line in json.loads(capsys.readouterr().out)["students"]}
    assert students["student 00"] | {"last": 0, "spent": 0} == {
        "name": "student 00",
        "calls": 1,
        "shared": 0,
        "failed": 0,
        "refused": 1,
        "last": 0,
        "spent": 0,
    }
    assert students["student 01"]["shared"] == 1
    assert students["student 02"]["calls"] == 0
    together = students["the class"]
    assert together["spent"] == students["student 00"]["spent"]
    assert [together[name] for name in ("calls", "shared", "refused")] == [2, 1, 1]
    assert together["last"] == max(students["student 00"]["last"], students["student 01"]["last"])
    assert main(["relay", "status", "--data", str(relay.folder)]) == 0
    assert "student 02" in capsys.readouterr().out
    relay.__enter__()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "Tokens and answers could be read on their way to 0.0.0.0"),
        (("--tls-cert", "a.pem"), "--tls-cert and --tls-key go together"),
        (("--tls-cert", "a.pem", "--tls-key", "b.pem"), "There is no file a.pem"),
        (("--tls-cert", __file__, "--tls-key", __file__), "and its key cannot be used"),
        (("--port", "70000"), "--port cannot be 70000: it takes a number from 0 to 65535"),
        (("--host", "relay.example.org"), "could be read on their way to relay.example.org"),
    ],
)
def test_it_listens_beyond_this_machine_with_a_certificate_or_an_explicit_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "classroom.toml").write_text("")
    assert main(["relay", "--class", str(tmp_path / "classroom.toml"), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_the_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in _EXTRA:
        monkeypatch.setitem(sys.modules, module, None)
    assert main(["relay", "--demo"]) == 1
    assert capsys.readouterr().err == (
        "The relay needs starlette, which is not installed. pip install 'deepseek-magic[relay]' brings it.\n"
    )


def test_what_it_needs_is_said_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--data", str(tmp_path / "data"))
    assert main(["relay", *data]) == 1
    assert "needs the rules of the class" in capsys.readouterr().err
    (tmp_path / "classroom.toml").write_text("")
    assert main(["relay", "--class", str(tmp_path / "classroom.toml"), *data]) == 1
    said = capsys.readouterr().err
    assert said.startswith("The relay has no API key for DeepSeek: set DEEPSEEK_API_KEY. --demo asks a demo server")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["relay", "--demo", "--class", str(tmp_path / "classroom.toml"), "--port", port, *data]) == 1
    assert f"The port {port} of 127.0.0.1 cannot be opened" in capsys.readouterr().err
    nowhere = ("--clear-text", "--host", "no-such-machine.invalid", "--port", "0")
    assert main(["relay", "--demo", "--class", str(tmp_path / "classroom.toml"), *nowhere, *data]) == 1
    assert "The port 0 of no-such-machine.invalid cannot be opened" in capsys.readouterr().err
    assert main(["relay", "--demo", "--class", str(tmp_path / "classroom.toml"), "--replay-pace", "nan", *data]) == 1
    assert "--replay-pace cannot be nan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "written"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("a.example", "a.example")]
)
def test_a_host_is_told_as_others_write_it(host: str, written: str) -> None:
    assert as_others_write(host) == written


def test_who_listens_everywhere_tells_an_address_that_others_can_use() -> None:
    for everywhere in ("0.0.0.0", "::"):
        told = as_others_write(everywhere)
        assert told
        assert told not in ("0.0.0.0", "::", "[::]")


def test_it_answers_over_tls(start: Callable[..., RunningRelay], tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    settings: Any = {"ssl_certfile": certificate, "ssl_keyfile": key}
    relay = start(server=settings)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    url = relay.base_url.replace("http:", "https:")
    assert httpx.get(f"{url}/healthz", verify=trusted).json()["ok"] is True
