"""What of a text looks like a key or a password, and what only seems to."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.engine.hosts.secrets import Shield
from deepseek_magic.protocol.context.secrets import MASK, without_secrets

PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
SECRETS = [
    "sk-test-1234",
    "sk-ant-api03-0123456789abcdef",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_11ABCDEFG0123456789_abcdefghij",
    "glpat-0123456789abcdefghij",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456789012-abcdef",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "hf_abcdefghijABCDEFGHIJ0123456789abcd",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
]


@pytest.mark.parametrize("secret", [*SECRETS, PEM], ids=lambda secret: secret[:12])
def test_a_key_is_left_out_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"key = '{secret}'", f"a {secret}, b", f'{{"k": "{secret}"}}', f"{secret}\n{secret}"):
        found = without_secrets(text)
        assert secret not in found.text
        assert found.left_out == text.count(secret)
        assert found.text == text.replace(secret, MASK)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password = 'hunter22'", "password = '****'"),
        ('{"api_key": "abc12345def"}', '{"api_key": "****"}'),
        ("os.environ['DB_PASSWORD'] = \"s3cr3t pass\"", "os.environ['DB_PASSWORD'] = \"****\""),
        ("postgresql://me:pa55word@db.example/x", "postgresql://me:****@db.example/x"),
        ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: Bearer ****"),
        ("export STRIPE_TOKEN=tok1234567", "export STRIPE_TOKEN=****"),
        ("a = 1\nMY_SECRET=abc123xyz\nb = 2", "a = 1\nMY_SECRET=****\nb = 2"),
    ],
)
def test_a_value_under_the_name_of_a_secret_is_left_out(text: str, left: str) -> None:
    assert without_secrets(text) == (left, 1)


@pytest.mark.parametrize(
    "text",
    [
        "from sk-learn import sk",
        "tokens = tokenizer.encode('hello world')",
        "max_tokens = 4096",
        "token = next(tokens)",
        "key = lambda row: row[0]",
        "password = getpass.getpass('Password: ')",
        "api_key = os.environ['DEEPSEEK_API_KEY']",
        "f'https://{user}:{password}@host/'",
        "token = 'hello'",
        "for key, value in items: print(key=1)",
        "sha = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
        "the basic idea of the bearer",
        "primary_key=user_id",
    ],
)
def test_ordinary_code_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == (text, 0)


def test_what_the_environment_and_env_files_call_a_secret_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("export DB_PASSWORD='from-a-file-9'\nNAME=plain\n", "utf-8")
    monkeypatch.setenv("MY_SERVICE_KEY", "not.a.known.shape.1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "somevalue1")
    monkeypatch.setenv("A_KEY", "/home/me/key1.json")
    Key("known-to-us-77", source="a test")
    text = "from-a-file-9 not.a.known.shape.1 known-to-us-77 somevalue1 plain /home/me/key1.json"
    assert Shield().clean(text) == ("**** **** **** somevalue1 plain /home/me/key1.json", 3)
