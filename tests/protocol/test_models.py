"""Model names: short names, retired names with their sentence, and names that only the host knows."""

from __future__ import annotations

import pytest

from deepseek_magic.protocol.models import ALIASES, DEFAULT_MODEL, MODELS, resolve_model
from deepseek_magic.protocol.options import OPTIONS_BY_NAME

IDS = {model.id for model in MODELS}


def test_every_name_leads_to_a_model_that_is_served() -> None:
    assert DEFAULT_MODEL in IDS
    assert OPTIONS_BY_NAME["model"].default == DEFAULT_MODEL
    assert set(ALIASES.values()) <= IDS
    assert set(ALIASES) == {"flash", "pro"}


@pytest.mark.parametrize("name", sorted([*IDS, *ALIASES]))
def test_a_current_name_is_resolved_in_silence(name: str) -> None:
    resolved = resolve_model(name)
    assert (resolved.id, resolved.think, resolved.notice) == (ALIASES.get(name, name), None, "")


@pytest.mark.parametrize(
    ("name", "think"),
    [
        ("deepseek-chat", "off"),
        ("deepseek-reasoner", "high"),
        ("deepseek-v4-flash", None),
        ("deepseek-v4-flash-vision-exp", None),
    ],
)
def test_a_retired_name_is_translated_and_said(name: str, think: str | None) -> None:
    resolved = resolve_model(name)
    assert (resolved.id, resolved.think) == ("deepseek-flash", think)
    assert name in str(resolved.notice)
    assert think is None or think in OPTIONS_BY_NAME["think"].choices


@pytest.mark.parametrize("name", ["llama3.2:3b", "deepseek/deepseek-v4.1-flash", "DeepSeek-Flash", ""])
def test_an_unknown_name_passes_as_it_is(name: str) -> None:
    assert resolve_model(name).id == name
    assert resolve_model(name).notice == ""


def test_a_slip_in_a_models_name_is_sent_as_it_is_and_said() -> None:
    meant = resolve_model("deepseek-flahs")
    assert meant.id == "deepseek-flahs"
    assert str(meant.notice) == "deepseek-flahs is not a known model (did you mean deepseek-flash?)."
    assert resolve_model("deepseek-flash").notice == ""
    assert resolve_model("somebody-elses-model").notice == ""
