"""Values that travel: completions, requests and errors through pickle, deepcopy and a pool of processes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context
from typing import Any

import pytest

from deepseek_magic.protocol import errors
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion, ToolCall
from deepseek_magic.protocol.errors import DeepSeekError, RateLimited
from deepseek_magic.protocol.events import Seam, Usage

REQUEST = Request.of("Hi", system="s", tools=[{"type": "function", "function": {"name": "f"}}], stop=["x"])
WAYS = pytest.mark.parametrize("way", [lambda v: pickle.loads(pickle.dumps(v)), copy.deepcopy], ids=["pickle", "copy"])
ARGUMENTS: dict[str, dict[str, Any]] = {
    "APIStatusError": {"status": 402, "code": "c", "retry_after_s": 1.5},
    "BudgetExceeded": {"cap": Decimal(1)},
    "Disconnected": {"how": "early"},
    "ProtocolError": {"permanent": True},
    "ReadTimeout": {"deadline": "idle"},
    "RuleBroken": {"rule": "class.hours"},
}
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DeepSeekError)]


def an_error(kind: type[DeepSeekError]) -> DeepSeekError:
    given = next((ARGUMENTS[base.__name__] for base in kind.__mro__ if base.__name__ in ARGUMENTS), {})
    error = kind("m", hint="h", **given)
    error.completion = Completion(request=REQUEST, text="half", error=error, usage=Usage(total_tokens=3))
    error.add_note("n")
    return error


@WAYS
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_all_that_it_carries(kind: type[DeepSeekError], way: Callable[[Any], Any]) -> None:
    error = an_error(kind)
    again = way(error)
    assert type(again) is kind
    assert (str(again), again.__notes__) == (str(error), ["n"])
    assert again.completion.error is again
    left, right = dict(vars(again)), dict(vars(error))
    assert left.pop("completion").text == right.pop("completion").text == "half"
    assert left == right


@WAYS
def test_a_completion_is_equal_on_the_other_side(way: Callable[[Any], Any]) -> None:
    call = ToolCall(index=0, id="a", name="f", arguments="{}")
    answer = Completion(
        request=REQUEST, text="a", tool_calls=(call,), seams=(Seam(kind="resumed"),), logprobs=({"token": "a"},)
    )
    assert way(answer) == answer
    assert way(answer.request).digest() == REQUEST.digest()


def fail() -> None:
    raise an_error(RateLimited)


def test_a_pool_of_processes_tells_the_error_itself() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(RateLimited) as caught:
        pool.submit(fail).result(60)
    assert (caught.value.code, caught.value.completion.text) == ("c", "half")
