"""The table of ``policy.recovery``, row by row, and what holds in every state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.attempts import Abilities, Delivered, Ending, RecoveryPolicy, RefusedWays, Spent
from deepseek_magic.policy.causes import quota_exhausted
from deepseek_magic.policy.recovery import (
    AT_ONCE_S,
    Accept,
    Continue,
    GiveUp,
    Restart,
    Resume,
    Retry,
    Step,
    backoff_s,
    cannot_continue,
    decide,
)
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.errors import (
    ConfigurationError,
    ConnectTimeout,
    DeepSeekError,
    Disconnected,
    IncompleteStream,
    ProtocolError,
    ReadTimeout,
    status_error,
)
from deepseek_magic.protocol.events import Strategy
from deepseek_magic.text.messages import Message

ALL = Abilities(style="deepseek_prefix", reasoning=True)
NOTHING = Delivered()
TEXT = Delivered.of(text="One two three four five.", reasoning="Thought.", new_chars=24)
THOUGHT = Delivered.of(text="", reasoning="Let me think about this", new_chars=23)
TOOL = Delivered.of(text="I will look.", tool_open=True, new_chars=12)

RESET = Ending(kind="reset")
CUT = Ending(kind="cut")
STALL = Ending(kind="stall")


def status(code: int, **more: Any) -> Ending:
    return Ending(kind="status", status=code, **more)


def finished(reason: str, **more: Any) -> Ending:
    return Ending(kind="finished", finish_reason=reason, **more)


def unknown_field(code: int, said: str, *, asked_usage: bool = True, **more: Any) -> Ending:
    return replace(Ending.of(status_error(code, said), **more), asked_usage=asked_usage)


def step_after(
    ending: Ending,
    delivered: Delivered,
    *,
    policy: RecoveryPolicy | None = None,
    spent: Spent | None = None,
    can: Abilities = ALL,
    u: float = 0.5,
) -> Step:
    return decide(ending, delivered, policy or RecoveryPolicy(), spent or Spent(), u, can=can)


TABLE: list[tuple[Ending, Delivered, Abilities, type[Step]]] = [
    # nothing delivered
    (RESET, NOTHING, ALL, Retry),
    (CUT, NOTHING, ALL, Retry),
    (STALL, NOTHING, ALL, Retry),
    (Ending(kind="unreachable"), NOTHING, ALL, Retry),
    (Ending(kind="damaged"), NOTHING, ALL, Retry),
    (finished("stop"), NOTHING, ALL, Retry),
    (finished("tool_calls"), NOTHING, ALL, Retry),
    (finished("insufficient_system_resource"), NOTHING, ALL, Retry),
    (finished("aborted"), NOTHING, ALL, Retry),
    (finished("some_new_word"), NOTHING, ALL, Retry),
    *((status(code), NOTHING, ALL, Retry) for code in (200, 408, 425, 429, 500, 502, 503, 504, 520)),
    *((status(code), NOTHING, ALL, GiveUp) for code in (301, 400, 401, 402, 403, 404, 405, 413, 422, 451, 501, 505)),
    # a field that we had put in is left out; what the request's author had put in is the author's to change
    (unknown_field(400, "unknown field: stream_options"), NOTHING, ALL, Retry),
    (unknown_field(422, "extra_forbidden: stream_options"), NOTHING, ALL, Retry),
    (
        unknown_field(400, "unknown field: stream_options", strategy="continue"),
        replace(TEXT, new_chars=0),
        ALL,
        Continue,
    ),
    (unknown_field(400, "unknown field: top_p"), NOTHING, ALL, GiveUp),
    (unknown_field(403, "stream_options"), NOTHING, ALL, GiveUp),
    (unknown_field(400, "unknown field: stream_options", asked_usage=False), NOTHING, ALL, GiveUp),
    # the server's own word, except where a repetition cannot help
    (status(503, should_retry=False), NOTHING, ALL, GiveUp),
    (status(409, should_retry=True), NOTHING, ALL, Retry),
    (status(400, should_retry=True), NOTHING, ALL, GiveUp),
    (status(402, should_retry=True), NOTHING, ALL, GiveUp),
    # in the answer
    (RESET, TEXT, ALL, Continue),
    (CUT, TEXT, ALL, Continue),
    (STALL, TEXT, ALL, Continue),
    (Ending(kind="damaged"), TEXT, ALL, Continue),
    (status(200), TEXT, ALL, Continue),
    (finished("insufficient_system_resource"), TEXT, ALL, Continue),
    (finished("aborted"), TEXT, ALL, Continue),
    (finished("some_new_word"), TEXT, ALL, GiveUp),
    # in the reasoning
    (RESET, THOUGHT, ALL, Continue),
    (STALL, THOUGHT, ALL, Continue),
    (STALL, THOUGHT, replace(ALL, reasoning=False), Restart),
    (STALL, THOUGHT, replace(ALL, reasoning=False, rewind=False), Restart),
    (STALL, replace(THOUGHT, looping=True), ALL, Restart),
    (finished("stop"), THOUGHT, ALL, Restart),
    # ids: the server can go on itself, whatever the request was
    (RESET, replace(TEXT, ids_seen=True), ALL, Resume),
    (RESET, replace(TOOL, ids_seen=True), ALL, Resume),
    (RESET, replace(TEXT, ids_seen=True), replace(ALL, resume=False), Continue),
    (finished("aborted"), replace(TEXT, ids_seen=True), ALL, Continue),
    # what forbids a prefix
    (RESET, TOOL, ALL, Restart),
    (RESET, TOOL, replace(ALL, rewind=False), GiveUp),
    (RESET, replace(TOOL, text_chars=0), replace(ALL, rewind=False), Restart),
    (RESET, TEXT, replace(ALL, tools=True), Restart),
    (RESET, TEXT, replace(ALL, json_mode=True), Restart),
    (RESET, TEXT, replace(ALL, json_mode=True, rewind=False), GiveUp),
    (RESET, TEXT, replace(ALL, choices=2), Restart),
    (RESET, TEXT, replace(ALL, style="none"), Restart),
    (RESET, TEXT, replace(ALL, style="none", rewind=False), GiveUp),
    (RESET, TEXT, replace(ALL, style="none", rewind=False, repeatable=True), Restart),
    (RESET, replace(TEXT, text_chars=2001), replace(ALL, style="none", rewind=False, repeatable=True), GiveUp),
    (RESET, TOOL, replace(ALL, rewind=False, repeatable=True), GiveUp),
    (RESET, TEXT, replace(ALL, json_mode=True, rewind=False, repeatable=True), GiveUp),
    (RESET, Delivered.of(text="Word", new_chars=4), ALL, Restart),
    (RESET, Delivered.of(text="Word", reasoning="A whole long thought, then.", new_chars=4), ALL, Continue),
    # a prefix whose echo could not be told from an honest repetition is not sent
    (RESET, Delivered.of(text="Sixteen letters! more", new_chars=4), ALL, Continue),
    (RESET, Delivered.of(text="Fifteen letters more", new_chars=4), ALL, Restart),
    (
        RESET,
        Delivered.of(text="Fifteen letters more", reasoning="A whole long thought, then.", new_chars=4),
        ALL,
        Continue,
    ),
    (RESET, Delivered.of(text="", reasoning="Fifteen letters more", new_chars=4), ALL, Restart),
    # finished
    (finished("stop"), TEXT, ALL, Accept),
    (finished("tool_calls"), TOOL, ALL, Accept),
    (finished("length"), TEXT, ALL, Accept),
    (finished("length"), NOTHING, ALL, Accept),
    (finished("content_filter"), TEXT, ALL, Accept),
    (finished("content_filter"), NOTHING, ALL, Accept),
    (Ending(kind="stopped"), TEXT, ALL, Accept),
    (Ending(kind="stopped"), NOTHING, ALL, Accept),
    (Ending(kind="total"), TEXT, ALL, GiveUp),
    (Ending(kind="total"), NOTHING, ALL, GiveUp),
    (Ending(kind="diverged", strategy="restart"), TEXT, ALL, GiveUp),
    # a segment of an answer that is refused at the door is asked for again; never with a bad key or no money
    *((status(code, strategy="continue"), replace(TEXT, new_chars=0), ALL, Continue) for code in (429, 500, 503)),
    *((status(code, strategy="continue"), replace(TEXT, new_chars=0), ALL, GiveUp) for code in (401, 402, 403)),
    # and where the endpoint does not know the way, the next one is taken
    (status(400, strategy="continue"), replace(TEXT, new_chars=0), ALL, Restart),
    (status(404, strategy="continue"), replace(THOUGHT, new_chars=0), ALL, Restart),
    (status(404, strategy="continue"), replace(TEXT, new_chars=0), replace(ALL, rewind=False), GiveUp),
    (status(400, strategy="resume"), replace(TEXT, new_chars=0, ids_seen=True), ALL, Continue),
    (status(204, strategy="resume"), replace(TEXT, new_chars=0, ids_seen=True), ALL, Continue),
    (Ending(kind="diverged", strategy="resume"), replace(TEXT, new_chars=0, ids_seen=True), ALL, Continue),
]


@pytest.mark.parametrize(("ending", "delivered", "can", "expected"), TABLE)
def test_the_table(ending: Ending, delivered: Delivered, can: Abilities, expected: type[Step]) -> None:
    assert type(step_after(ending, delivered, can=can)) is expected


@pytest.mark.parametrize(
    ("ending", "delivered", "outcome"),
    [
        (finished("stop"), TEXT, "complete"),
        (finished("length"), TEXT, "truncated"),
        (finished("content_filter"), TEXT, "filtered"),
        (Ending(kind="stopped"), TEXT, "interrupted"),
    ],
)
def test_an_accepted_ending_says_its_outcome(ending: Ending, delivered: Delivered, outcome: str) -> None:
    step = step_after(ending, delivered)
    assert isinstance(step, Accept)
    assert step.outcome == outcome
    assert step.finish_reason is None


def test_a_continuation_in_the_answer_sends_the_rewound_text_and_the_whole_thought() -> None:
    step = step_after(RESET, Delivered.of(text="One two three four five.", reasoning="Thought.\n", new_chars=24))
    assert isinstance(step, Continue)
    assert (step.text_chars, step.reasoning_chars) == (len("One two three four"), len("Thought.\n"))


def test_a_continuation_in_the_reasoning_sends_the_rewound_thought_and_no_text() -> None:
    step = step_after(STALL, THOUGHT)
    assert isinstance(step, Continue)
    assert (step.text_chars, step.reasoning_chars) == (0, len("Let me think about"))


def test_a_consumer_that_cannot_rewind_has_its_text_sent_whole() -> None:
    delivered = Delivered.of(text="One two three four. ", new_chars=20, rewinding=False)
    step = step_after(RESET, delivered, can=replace(ALL, rewind=False))
    assert isinstance(step, Continue)
    assert step.text_chars == delivered.text_chars


def test_a_torn_end_that_cannot_be_taken_back_is_never_sent() -> None:
    delivered = Delivered.of(text="One two \ufffd", new_chars=9, rewinding=False)
    assert isinstance(step_after(RESET, delivered, can=replace(ALL, rewind=False)), GiveUp)


def test_an_answer_that_broke_at_its_token_budget_has_reached_its_length() -> None:
    step = step_after(RESET, replace(TEXT, tokens_left=0))
    assert isinstance(step, Accept)
    assert (step.outcome, step.finish_reason) == ("truncated", "length")
    going_on = step_after(RESET, replace(TEXT, tokens_left=7))
    assert isinstance(going_on, Continue)
    assert going_on.max_tokens == 7


def test_length_is_gone_beyond_only_when_asked_and_within_its_own_budget() -> None:
    policy = RecoveryPolicy(continue_on_length=True, continuations=2)
    step = step_after(finished("length"), TEXT, policy=policy)
    assert isinstance(step, Continue)
    assert step.max_tokens is None
    assert (step.spent.continuations, step.spent.resumes, step.spent.attempts) == (1, 0, 1)
    assert isinstance(step_after(finished("length"), TEXT, policy=policy, spent=Spent(continuations=2)), Accept)
    for forbidden in (replace(ALL, json_mode=True), replace(ALL, tools=True), replace(ALL, style="none")):
        assert isinstance(step_after(finished("length"), TEXT, policy=policy, can=forbidden), Accept)
    assert isinstance(step_after(finished("length"), TOOL, policy=policy), Accept)
    assert isinstance(step_after(finished("length"), THOUGHT, policy=policy), Continue)
    assert isinstance(step_after(finished("length"), replace(THOUGHT, looping=True), policy=policy), Accept)


# time


@pytest.mark.parametrize(("failures", "delay_s"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (5000, 10.0)])
def test_the_back_off_doubles_from_its_base_to_its_cap(failures: int, delay_s: float) -> None:
    assert backoff_s(RecoveryPolicy(), failures, 0.0) == delay_s
    assert backoff_s(RecoveryPolicy(jitter=0.25), failures, 1.0) == pytest.approx(0.75 * delay_s)


def test_an_answer_that_reached_its_length_stays_when_going_on_fails() -> None:
    policy = RecoveryPolicy(continue_on_length=True, attempts=2)
    beyond = step_after(finished("length"), TEXT, policy=policy)
    standing = replace(TEXT, new_chars=0)
    refused = Ending.of(status_error(400, "no"), strategy="continue")
    broke = Ending(kind="reset", strategy="continue")
    poor = Ending.of(status_error(402, "no money"), strategy="continue")
    for ending in (refused, poor):
        step = step_after(ending, standing, policy=policy, spent=beyond.spent)
        assert isinstance(step, Accept)
        assert (step.outcome, step.finish_reason) == ("truncated", "length")
    again = step_after(broke, standing, policy=policy, spent=beyond.spent)
    assert isinstance(again, Continue)
    grown = step_after(
        Ending.of(status_error(402, "no money"), strategy="continue"), TEXT, policy=policy, spent=beyond.spent
    )
    assert isinstance(grown, GiveUp)


def test_failures_in_a_row_back_off_further_and_progress_resets_them() -> None:
    spent, delays = Spent(), []
    for _ in range(4):
        step = step_after(status(503), NOTHING, spent=spent, u=0.0)
        delays.append(step.delay_s)
        spent = step.spent
    assert delays == [1.0, 2.0, 4.0, 8.0]
    assert step_after(STALL, TEXT, spent=spent, u=0.0).delay_s == 1.0


@pytest.mark.parametrize("ending", [RESET, CUT])
def test_the_first_resume_after_a_broken_line_starts_at_once(ending: Ending) -> None:
    assert step_after(ending, TEXT, u=0.999).delay_s <= AT_ONCE_S
    again = step_after(replace(ending, strategy="continue"), replace(TEXT, new_chars=0), u=0.0)
    assert again.delay_s == 1.0


@pytest.mark.parametrize(
    "ending", [STALL, finished("insufficient_system_resource"), status(200), Ending(kind="damaged")]
)
def test_a_resume_after_the_servers_own_trouble_backs_off(ending: Ending) -> None:
    assert step_after(ending, TEXT, u=0.0).delay_s == 1.0


@pytest.mark.parametrize("code", [429, 503])
def test_a_told_time_is_kept_and_overstayed_by_at_most_a_twentieth(code: int) -> None:
    assert step_after(status(code, retry_after_s=7.0), NOTHING, u=0.0).delay_s == 7.0
    assert 7.0 <= step_after(status(code, retry_after_s=7.0), NOTHING, u=0.999).delay_s <= 7.35


def test_a_told_time_of_zero_is_a_back_off_not_a_hammer() -> None:
    assert step_after(status(429, retry_after_s=0.0), NOTHING, u=0.0).delay_s == 1.0


def test_a_busy_server_is_asked_again_only_while_repetitions_are_left() -> None:
    asked = []
    for ending in (status(503), RESET):
        step = decide(
            ending, NOTHING, RecoveryPolicy(), Spent(), 0.5, can=ALL, may_repeat=lambda: bool(asked.append(1))
        )
        assert isinstance(step, GiveUp if ending.status == 503 else Retry)
    assert len(asked) == 1


def test_a_told_time_above_the_ceiling_ends_the_call_and_says_why() -> None:
    assert isinstance(step_after(status(429, retry_after_s=120.0), NOTHING), Retry)
    step = step_after(status(429, retry_after_s=600.0), NOTHING)
    assert isinstance(step, GiveUp)
    assert str(step.why) == (
        "The API answered 429 (too many requests). "
        "The server asked for a pause of 600 s; more than 120 s is not waited."
    )


def test_a_way_that_was_refused_costs_no_waiting() -> None:
    assert step_after(status(400, strategy="continue"), replace(TEXT, new_chars=0)).delay_s <= AT_ONCE_S


# budgets


def run(endings: list[tuple[Ending, Delivered]], policy: RecoveryPolicy, can: Abilities = ALL) -> list[Step]:
    """What one call does when its attempts end so; the strategy of each ending is that of the step before it."""
    strategies = {Retry: "retry", Resume: "resume", Continue: "continue", Restart: "restart"}
    spent, strategy, steps = Spent(), "first", []
    for ending, delivered in endings:
        step = decide(replace(ending, strategy=strategy), delivered, policy, spent, 0.5, can=can)
        steps.append(step)
        if isinstance(step, Accept | GiveUp):
            break
        spent, strategy = step.spent, strategies[type(step)]
    return steps


def test_a_demo_that_nobody_has_started_is_asked_once_and_one_that_has_ended_may_come_back() -> None:
    absent = Disconnected("No.")
    absent.absent = True
    assert isinstance(step_after(Ending.of(absent), NOTHING), GiveUp)
    assert isinstance(step_after(Ending.of(absent, strategy="continue"), TEXT), Continue)


def test_a_call_that_never_begins_makes_five_attempts() -> None:
    steps = run([(status(503), NOTHING)] * 9, RecoveryPolicy())
    assert [type(s) for s in steps] == [Retry] * 4 + [GiveUp]
    assert str(steps[-1].why) == "The API answered 503 (too busy). 5 attempts were made."


def test_an_answer_that_keeps_breaking_is_resumed_five_times() -> None:
    steps = run([(RESET, TEXT)] * 9, RecoveryPolicy())
    assert [type(s) for s in steps] == [Continue] * 5 + [GiveUp]


DRY = replace(TEXT, new_chars=0)


@pytest.mark.parametrize("first", [Resume, Continue])
def test_after_two_resumes_in_a_row_that_bring_nothing_the_answer_begins_anew(first: type[Step]) -> None:
    ids = first is Resume
    steps = run([(RESET, replace(TEXT, ids_seen=ids)), *[(RESET, replace(DRY, ids_seen=ids))] * 9], RecoveryPolicy())
    assert [type(s) for s in steps] == [first, first, Restart, GiveUp]
    assert str(steps[-1].why).endswith("6 attempts were made.")


def test_a_way_that_brings_nothing_is_kept_where_no_other_is_open() -> None:
    steps = run([(RESET, TEXT), *[(RESET, DRY)] * 9], RecoveryPolicy(), replace(ALL, rewind=False))
    assert [type(s) for s in steps] == [Continue, Continue, Continue, GiveUp]


EMPTY = finished("stop")


@pytest.mark.parametrize(("strategy", "can"), [("continue", ALL), ("restart", replace(ALL, style="none"))])
def test_an_empty_response_to_a_continuation_does_not_make_half_an_answer_whole(
    strategy: Strategy, can: Abilities
) -> None:
    step = step_after(replace(EMPTY, strategy=strategy), DRY, can=can)
    assert isinstance(step, Continue if strategy == "continue" else Restart)
    assert str(step.why).startswith("The answer was empty; ")
    assert step.spent.fruitless == 1
    last = step_after(replace(EMPTY, strategy=strategy), DRY, can=can, spent=Spent(resumes=5))
    assert isinstance(last, GiveUp)


@pytest.mark.parametrize(
    "then",
    [
        [EMPTY, EMPTY],
        [RESET, EMPTY, EMPTY],  # a break before the first word says nothing
        [EMPTY, RESET, EMPTY],
        [EMPTY, status(503), EMPTY],
        [RESET, RESET, EMPTY, EMPTY],  # the last question is paid as an attempt
    ],
)
def test_an_answer_that_was_sent_back_whole_is_believed_to_be_whole_when_that_is_said_twice(then: list[Ending]) -> None:
    whole = replace(DRY, text_kept_chars=DRY.text_chars)
    endings = [(RESET, TEXT), *((ending, whole) for ending in then)]
    steps = run(endings, RecoveryPolicy(), replace(ALL, rewind=False))
    assert [type(s) for s in steps] == [*[Continue] * len(then), Accept]


def test_whether_that_was_all_is_asked_within_the_budgets() -> None:
    whole = replace(DRY, text_kept_chars=DRY.text_chars)
    for resumes, last in ((1, GiveUp), (2, Accept)):
        once = RecoveryPolicy(attempts=1, resumes=resumes)
        assert isinstance(
            run([(RESET, TEXT), (EMPTY, whole), (EMPTY, whole)], once, replace(ALL, rewind=False))[-1], last
        )


def test_what_was_said_of_a_text_says_nothing_of_a_longer_one() -> None:
    whole = replace(DRY, text_kept_chars=DRY.text_chars)
    endings = [(RESET, TEXT), (EMPTY, whole), (RESET, TEXT), (EMPTY, whole)]
    assert isinstance(run(endings, RecoveryPolicy(resumes=9), replace(ALL, rewind=False))[-1], Continue)


def test_a_stream_taken_up_again_behind_its_last_word_is_whole() -> None:
    assert isinstance(step_after(replace(EMPTY, strategy="resume"), replace(DRY, ids_seen=True)), Accept)


def test_a_new_beginning_that_brings_something_is_gone_on_with_in_the_mildest_way() -> None:
    steps = run([(RESET, TEXT), (RESET, DRY), (RESET, DRY), (RESET, TEXT)], RecoveryPolicy(resumes=9))
    assert [type(s) for s in steps] == [Continue, Continue, Restart, Continue]


def test_a_resume_that_brings_nothing_counts_double() -> None:
    steps = run([(RESET, TEXT), (RESET, DRY)] * 9, RecoveryPolicy())
    assert [type(s) for s in steps] == [Continue, Continue, Continue, GiveUp]  # 1, 2 + 3, 4, 5 + none left


def test_a_continuation_refused_at_the_door_is_paid_as_an_attempt() -> None:
    step = step_after(status(503, strategy="continue"), replace(TEXT, new_chars=0), spent=Spent(resumes=5))
    assert isinstance(step, Continue)
    assert (step.spent.attempts, step.spent.resumes) == (2, 5)


def test_a_way_once_refused_is_not_tried_again_in_this_call() -> None:
    refused = step_after(status(400, strategy="continue"), replace(TEXT, new_chars=0))
    again = step_after(replace(RESET, strategy="restart"), TEXT, spent=refused.spent)
    assert isinstance(again, Restart)


def test_a_refused_thought_leaves_the_answers_prefix_open() -> None:
    refused = step_after(status(400, strategy="continue"), replace(THOUGHT, new_chars=0))
    assert isinstance(refused, Restart)
    assert isinstance(step_after(replace(RESET, strategy="restart"), TEXT, spent=refused.spent), Continue)


def test_a_refusal_is_remembered_for_an_hour_for_its_endpoint_and_model() -> None:
    ways = RefusedWays()
    ending = Ending.of(status_error(400, "prefix is not supported"), strategy="continue")
    spent = step_after(ending, replace(TEXT, new_chars=0)).spent
    ways.learn("http://a", "m", spent, ending, 10.0)
    assert ways.of("http://a", "m", 3609.0) == {"continue"}
    assert ways.of("http://a", "other", 20.0) == ways.of("http://b", "m", 20.0) == frozenset()
    assert isinstance(step_after(RESET, TEXT, spent=Spent(refused=ways.of("http://a", "m", 20.0))), Restart)
    assert ways.of("http://a", "m", 3610.0) == frozenset()


def test_an_answer_too_long_to_be_sent_back_says_nothing_about_the_endpoint() -> None:
    ways = RefusedWays()
    for code, words in ((400, "This model's maximum context length is 1048576 tokens."), (413, "too large")):
        ending = Ending.of(status_error(code, words), strategy="continue")
        ways.learn("http://a", "m", step_after(ending, replace(TEXT, new_chars=0)).spent, ending, 0.0)
    assert ways.of("http://a", "m", 1.0) == frozenset()


def test_an_error_status_inside_a_stream_that_had_begun_is_a_broken_segment() -> None:
    step = step_after(status(502, strategy="continue"), TEXT)
    assert isinstance(step, Continue)
    assert (step.spent.attempts, step.spent.resumes) == (1, 1)


def test_recovery_can_be_switched_off() -> None:
    off = RecoveryPolicy(attempts=1, resumes=0)
    assert isinstance(step_after(RESET, NOTHING, policy=off), GiveUp)
    assert isinstance(step_after(RESET, TEXT, policy=off), GiveUp)


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"resumes": -1}, {"base_s": -1.0}, {"base_s": float("nan")}, {"jitter": 1.5}]
)
def test_a_policy_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RecoveryPolicy(**wrong)


# words


@pytest.mark.parametrize(
    ("ending", "delivered", "can", "sentence"),
    [
        (
            RESET,
            replace(TEXT, text_chars=312),
            ALL,
            "The connection was reset after 312 characters; asking again for the rest, attempt 2 of 6.",
        ),
        (
            status(429, retry_after_s=4.0),
            NOTHING,
            ALL,
            "The API answered 429 (too many requests); asking again in 5 s, attempt 2 of 5.",
        ),
        (STALL, THOUGHT, ALL, "The answer stalled in the reasoning; asking again for the rest in 1 s, attempt 2 of 6."),
        (
            CUT,
            TEXT,
            replace(ALL, json_mode=True),
            "The answer broke off after 24 characters; asking again from the beginning, attempt 2 of 6.",
        ),
        (finished("aborted"), NOTHING, ALL, 'The server gave up ("aborted"); asking again in 1 s, attempt 2 of 5.'),
        (finished("stop"), NOTHING, ALL, "The answer was empty; asking again in 1 s, attempt 2 of 5."),
        (
            RESET,
            TOOL,
            replace(ALL, rewind=False),
            "The connection was reset after 12 characters. It cannot be continued: a tool call was open.",
        ),
        (status(401), NOTHING, ALL, "The API answered 401. Sending it again would not help."),
        (
            Ending.of(Disconnected("No.", how="damaged")),
            NOTHING,
            ALL,
            "The answer was damaged in transit; asking again in 1 s, attempt 2 of 5.",
        ),
    ],
)
def test_every_step_says_what_happened_and_what_comes(
    ending: Ending, delivered: Delivered, can: Abilities, sentence: str
) -> None:
    assert str(step_after(ending, delivered, can=can).why) == sentence


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ConnectTimeout("No."), "unreachable", None),
        (ReadTimeout("No.", deadline="idle"), "stall", None),
        (ReadTimeout("No.", deadline="total"), "total", None),
        (Disconnected("No."), "reset", None),
        (ProtocolError("No."), "damaged", None),
        (IncompleteStream("No."), "cut", None),
        (DeepSeekError("No."), "reset", None),
        (status_error(503, "busy", retry_after_s=3.0), "status", 503),
    ],
)
def test_an_error_is_read_as_an_ending(error: Any, kind: str, code: int | None) -> None:
    ending = Ending.of(error, strategy="continue")
    assert (ending.kind, ending.status, ending.strategy, ending.error) == (kind, code, "continue", error)
    assert ending.retry_after_s == (3.0 if code else None)


def test_a_stall_is_told_in_the_deadlines_own_words() -> None:
    what = Message("No text arrived for {limit}, although the connection stayed open", limit="45 s")
    ending = Ending.of(ReadTimeout(Message("{what}.", what=what), deadline="idle", what=what))
    assert step_after(ending, TEXT).why.values["what"] == what


@pytest.mark.parametrize(
    ("error", "used_up"),
    [
        (status_error(402, "Insufficient Balance"), True),
        (status_error(429, "You exceeded your current quota", code="insufficient_quota"), True),
        (status_error(429, "Rate limit exceeded: free-models-per-day"), True),
        (status_error(429, "which exceeds your concurrency limit of 25 based on your remaining balance"), False),
        (status_error(503, "busy"), False),
        (None, False),
    ],
)
def test_a_used_up_quota_is_not_a_rate_limit(error: Any, used_up: bool) -> None:
    assert quota_exhausted(error) is used_up
    if error is not None and error.status == 429:
        assert isinstance(step_after(Ending.of(error), NOTHING), GiveUp if used_up else Retry)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"json": True}, {"json_mode": True}),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tools": True}),
        ({"think": "off", "temperature": 0}, {"repeatable": True}),
        ({"temperature": 0}, {}),
        ({"extra_body": {"n": 3}}, {"choices": 3}),
    ],
)
def test_what_a_request_allows_is_read_from_it(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Abilities.of(Request.of("Hi", **options), style="deepseek_prefix", reasoning=True) == replace(
        ALL, **expected
    )


# in every state

ENDINGS = st.one_of(
    st.builds(
        Ending,
        kind=st.sampled_from(["reset", "cut", "stall", "unreachable", "damaged", "stopped", "total", "diverged"]),
        strategy=st.sampled_from(["first", "retry", "resume", "continue", "restart"]),
    ),
    st.builds(
        Ending,
        kind=st.just("finished"),
        finish_reason=st.sampled_from(
            ["stop", "length", "content_filter", "tool_calls", "aborted", "insufficient_system_resource", "odd"]
        ),
        strategy=st.sampled_from(["first", "continue", "restart"]),
    ),
    st.builds(
        Ending,
        kind=st.just("status"),
        status=st.sampled_from([200, 204, 400, 401, 402, 404, 408, 422, 429, 500, 503]),
        retry_after_s=st.none() | st.floats(0, 500),
        should_retry=st.none() | st.booleans(),
        strategy=st.sampled_from(["first", "retry", "resume", "continue", "restart"]),
    ),
)
DELIVERIES = st.builds(
    Delivered.of,
    text=st.text("ab \n你", max_size=12),
    reasoning=st.text("ab \n", max_size=12),
    new_chars=st.integers(0, 3),
    tool_open=st.booleans(),
    ids_seen=st.booleans(),
    tokens_left=st.none() | st.integers(-2, 5),
)
ABILITIES = st.builds(
    Abilities,
    style=st.sampled_from(["deepseek_prefix", "none"]),
    reasoning=st.booleans(),
    resume=st.booleans(),
    rewind=st.booleans(),
    json_mode=st.booleans(),
    tools=st.booleans(),
    repeatable=st.booleans(),
)
POLICIES = st.builds(
    RecoveryPolicy,
    attempts=st.integers(1, 4),
    resumes=st.integers(0, 4),
    continuations=st.integers(0, 3),
    continue_on_length=st.booleans(),
)


@given(ending=ENDINGS, delivered=DELIVERIES, can=ABILITIES, policy=POLICIES, u=st.floats(0, 1, exclude_max=True))
def test_a_step_never_breaks_the_rules(
    ending: Ending, delivered: Delivered, can: Abilities, policy: RecoveryPolicy, u: float
) -> None:
    step = decide(ending, delivered, policy, Spent(), u, can=can)
    assert str(step.why).endswith(".")
    assert 0 <= step.delay_s <= max(policy.cap_s, policy.retry_after_ceiling_s * 1.05)
    if ending.kind == "stopped":
        assert isinstance(step, Accept)
    if ending.status in (400, 401, 402, 404, 422) and ending.strategy in ("first", "retry"):
        assert isinstance(step, GiveUp)
    match step:
        case Retry():
            assert not delivered.anything
        case Continue():
            assert True not in (delivered.tool_open, can.json_mode, can.tools, can.style == "none")
            assert step.text_chars + step.reasoning_chars > 0
            assert step.text_chars <= delivered.text_chars
            assert can.reasoning or step.text_chars
        case Resume():
            assert delivered.ids_seen
            assert can.resume
        case Restart():
            assert can.rewind or not delivered.text_chars or step.compare
        case Accept(outcome="complete"):
            assert delivered.has_answer
            assert ending.finish_reason in ("stop", "tool_calls")
    if ending.retry_after_s and isinstance(step, Retry | Resume | Continue | Restart):
        assert step.delay_s >= ending.retry_after_s


@given(endings=st.lists(st.tuples(ENDINGS, DELIVERIES), min_size=30, max_size=30), can=ABILITIES, policy=POLICIES)
def test_a_call_never_sends_more_requests_than_its_budgets(
    endings: list[tuple[Ending, Delivered]], can: Abilities, policy: RecoveryPolicy
) -> None:
    steps = run(endings, policy, can)
    sent = 1 + sum(isinstance(s, Retry | Resume | Continue | Restart) for s in steps)
    assert sent <= policy.attempts + policy.resumes + policy.continuations
    assert isinstance(steps[-1], Accept | GiveUp)


@given(delivered=DELIVERIES, can=ABILITIES)
def test_an_open_tool_call_is_never_gone_on_from(delivered: Delivered, can: Abilities) -> None:
    assert cannot_continue(replace(delivered, tool_open=True), can) is not None
