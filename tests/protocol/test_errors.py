"""The tree of errors: which status becomes which, what a person reads, what a program can ask."""

from __future__ import annotations

import pytest

from deepseek_magic.protocol import errors
from deepseek_magic.protocol.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    DeepSeekError,
    InsufficientBalance,
    InvalidRequest,
    MissingKey,
    RateLimited,
    ReadTimeout,
    ServerError,
    TransportError,
    status_error,
)
from deepseek_magic.text.messages import Message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, ServerError),
        (400, InvalidRequest),
        (401, AuthenticationError),
        (402, InsufficientBalance),
        (403, AuthenticationError),
        (404, InvalidRequest),
        (409, InvalidRequest),
        (413, InvalidRequest),
        (418, InvalidRequest),
        (422, InvalidRequest),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (529, ServerError),
        (599, ServerError),
    ],
)
def test_every_status_has_its_error_with_what_to_do_next(status: int, kind: type[APIStatusError]) -> None:
    error = status_error(status, "no.", type="t", code="c", retry_after_s=1.5, trace_id="i")
    assert type(error) is kind
    assert (error.status, error.type, error.code, error.retry_after_s, error.trace_id) == (status, "t", "c", 1.5, "i")
    assert str(error) == f"{error.message} {error.hint}"
    assert str(error.message).endswith(": no.")
    assert str(error.hint).endswith(".")


def test_a_model_that_is_not_there_is_answered_with_how_to_choose_another() -> None:
    said = "The supported API model names are deepseek-flash, deepseek-v4-pro, but you passed gpt-4."
    assert str(status_error(400, said)).endswith("but you passed gpt-4. Choose one of these with -m.")


def test_an_empty_purse_behind_a_429_is_said() -> None:
    assert "top up" in str(status_error(429, "limit of 25 based on your remaining balance"))
    assert "top up" not in str(status_error(429, "limit of 25"))


def test_a_proxy_that_asks_for_a_password_is_not_called_the_api() -> None:
    error = status_error(407, "Proxy Authentication Required")
    assert str(error.message) == "A proxy on the way answered with 407: Proxy Authentication Required."
    assert "HTTP_PROXY" in str(error)


def test_an_answer_without_a_reason_says_so() -> None:
    assert str(status_error(500, " ").message) == "The API answered with 500: no reason given."


def test_every_error_is_a_deepseek_error_and_carries_the_partial_completion() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, DeepSeekError)
            extra = {"status": 500} if issubclass(kind, APIStatusError) else {}
            error = kind("It broke.", hint="Try again.", completion="partial", **extra)
            assert (str(error), error.completion) == ("It broke. Try again.", "partial")


def test_the_branches_of_the_tree_hang_where_its_drawing_says() -> None:
    assert issubclass(MissingKey, ConfigurationError)
    assert issubclass(ReadTimeout, TransportError)
    assert not issubclass(TransportError, APIStatusError)
    assert ReadTimeout("It is silent.", deadline="idle").deadline == "idle"


def test_ipython_shows_the_sentence_and_no_frames() -> None:
    assert MissingKey("There is no key.", hint="Set one.")._render_traceback_() == [
        "MissingKey: There is no key. Set one."
    ]


def test_a_setting_that_is_wrong_is_named_with_what_it_takes() -> None:
    error = ConfigurationError.of_setting("mode", "fast", Message("it takes one of {choices}", choices="a, b"))
    assert str(error) == "mode cannot be fast: it takes one of a, b."


def test_what_a_class_refuses_is_its_own_sentence_and_nobody_is_told_to_top_up() -> None:
    error = status_error(402, "Over the budget. Ask ann.", type="class_rule", code="budget.student.day")
    assert isinstance(error, InsufficientBalance)
    assert (str(error), error.code) == ("Over the budget. Ask ann.", "budget.student.day")
