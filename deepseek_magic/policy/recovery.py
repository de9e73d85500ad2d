"""How an attempt ended → what to do: Retry | Resume | Continue | Restart | Accept | GiveUp.

One decision, no doing: ``decide`` sees values and returns a step with its delay and a sentence for the user.

    an attempt ended because                      nothing delivered   something delivered
    ────────────────────────────────────────────  ──────────────────  ─────────────────────────────────────────────
    the user stopped it                           Accept interrupted  Accept interrupted
    stop, tool_calls with an answer               –                   Accept complete
    content_filter                                Accept filtered     Accept filtered
    length                                        Accept truncated    Accept truncated, or Continue when asked for
    stop without an answer (empty response)       Retry               Restart; of a continuation: the same step again
    length, and going on from it fails            –                   Accept truncated, when no way is left but Restart
    insufficient_system_resource, aborted         Retry               Continue › Restart
    another finish word                           Retry               GiveUp: nobody says what it means
    reset, cut, stall, damaged bytes, refused     Retry               Resume › Continue › Restart
    the same after two resumes without progress   Retry               Restart where it may, else as before
    408 425 429 5xx, an error inside the stream   Retry               the same step again
    400 401 402 403 404 413 422 and other 4xx     GiveUp              GiveUp; of a resume or continuation: the next way
    a demo that nobody has started                GiveUp              –
    400 422 that name our stream_options          Retry without them  the same step again, without them
    the whole call's time is up                   GiveUp              GiveUp

Budgets: ``attempts`` bounds the requests that begin from nothing or were refused before a stream opened, ``resumes``
the new segments of an answer that broke (a segment that brings nothing counts twice), ``continuations`` those of an
answer that reached its length. One more request that asks whether a text that was called whole is whole is a resume, and
an attempt when none is left. So a call sends at most ``attempts + resumes + continuations`` requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..protocol.errors import Disconnected, ReadTimeout
from ..protocol.outcome import AT_LENGTH, GAVE_UP, OUTCOMES, Outcome
from ..text.messages import Message
from .attempts import Abilities, Delivered, EndingKind, Spent, Way
from .attempts import Ending as Ending
from .attempts import RecoveryPolicy as RecoveryPolicy
from .causes import burdens, cause_of, is_passing, refuses_stream_options

AT_ONCE_S: Final = 0.1
"""The first resume after a broken connection starts within this time: the server is well, only the line broke."""

LONGEST_PAUSE_S: Final = 10.0
"""A stream's own ``retry:`` is honoured up to here."""

RETRY_AFTER_SPREAD: Final = 0.05
"""A time that the server stated is never undercut and overstayed by at most this share, so that many waiters do not come together."""

FRUITLESS_MAX: Final = 2
"""After so many resumes in a row without a new character the answer is restarted, where it may be: this way leads nowhere."""

BELIEVED_TIMES: Final = 2
"""A text that was sent back whole is believed to be whole when it was called so this often: once may be an empty response."""

COMPARE_MAX_CHARS: Final = 2000
"""A second run is compared with the first only this far: the longer the text, the surer it differs somewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """``why`` is one sentence for the user, with what happened as its value ``what``; ``spent`` the account after the step."""

    why: Message
    delay_s: float = 0.0
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Another(_Step):
    """A step that sends a request: ``attempt`` of ``of_attempts``, as the user counts them."""

    attempt: int = 1
    of_attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(_Another):
    """Send the same request again; nothing had been delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(_Another):
    """Send the same request with Last-Event-ID; the server goes on where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue(_Another):
    """Send a prefix: the first ``text_chars`` of the text and ``reasoning_chars`` of the reasoning. The rest is void.

    With ``text_chars == 0`` the model goes on inside its chain of thought.
    """

    text_chars: int
    reasoning_chars: int
    max_tokens: int | None = None

    @classmethod
    def of(cls, delivered: Delivered, **step: Any) -> Continue:
        """The continuation of what was delivered. Behind an answer the thought is whole and goes along whole; else it is
        the prefix itself."""
        reasoning = delivered.reasoning_chars if delivered.text_kept_chars else delivered.reasoning_kept_chars
        return cls(text_chars=delivered.text_kept_chars, reasoning_chars=reasoning, **step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(_Another):
    """Send the same request and restart the answer, with a seam that says so.

    With ``compare`` the consumer cannot rewind: the new text is swallowed while it equals the delivered one
    (``seams.RestartFilter``), and an ending of kind "diverged" follows if it does not.
    """

    compare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept(_Step):
    """The call is over and the completion is final. ``finish_reason`` is given where the client itself ends the answer."""

    outcome: Outcome
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp(_Step):
    """The call has failed; the error carries the partial completion. ``then`` is why no more is done, a sentence that can
    follow an error's own."""

    then: Message | None = None


Step = Retry | Resume | Continue | Restart | Accept | GiveUp


def decide(
    ending: Ending,
    delivered: Delivered,
    policy: RecoveryPolicy,
    spent: Spent,
    u: float,
    *,
    can: Abilities,
    may_repeat: Callable[[], bool] = lambda: True,
) -> Step:
    """The next step of a call after an attempt has ended. ``u`` is uniform in [0, 1).

    ``may_repeat`` takes one from the repetitions that busy servers may be burdened with, False when none is left; it is
    asked only for a step that needs one.
    """
    step = _step(ending, delivered, policy, spent, u, can)
    if burdens(ending.status) and isinstance(step, _Another) and not may_repeat():
        step = GiveUp(why=Message("Too many requests were asked again in the last minute."), spent=step.spent)
    if step.spent.at_length and isinstance(step, Restart | GiveUp):
        what = _what_happened(ending, delivered)
        why = Message("{what}; the answer is kept as the token budget ended it.", what=what)
        return Accept(outcome="truncated", finish_reason=AT_LENGTH, why=why, spent=step.spent)
    return step


def _step(ending: Ending, delivered: Delivered, policy: RecoveryPolicy, spent: Spent, u: float, can: Abilities) -> Step:
    spent = _settled(ending, delivered, spent)
    what = _what_happened(ending, delivered)
    over = _end_of_call(ending, delivered, policy, spent, can, what)
    if over is not None:
        return over
    if ending.kind == "finished" and ending.finish_reason == AT_LENGTH:
        return _beyond_length(delivered, policy, spent)
    told_s = ending.retry_after_s
    if told_s is not None and told_s > policy.retry_after_ceiling_s:
        then = Message(
            "The server asked for a pause of {wait} s; more than {limit} s is not waited.",
            wait=f"{told_s:g}",
            limit=f"{policy.retry_after_ceiling_s:g}",
        )
        return _give_up(what, then, spent)
    delay_s = _delay_s(ending, delivered, policy, spent, u)
    spent = replace(spent, failures=spent.failures + 1)
    return _another(ending, delivered, policy, spent, can, what, delay_s)


def _settled(ending: Ending, delivered: Delivered, spent: Spent) -> Spent:
    """The account with what the ended attempt taught: progress, double charge without it, a way that was refused."""
    refused = _refused_way(ending, delivered)
    if refused is not None:
        return replace(spent, refused=spent.refused | {refused}, failures=0)
    if delivered.new_chars > 0:
        return replace(spent, failures=0, fruitless=0, called_whole=0, at_length=False)
    if _calls_whole(ending, delivered):
        return replace(spent, called_whole=spent.called_whole + 1)
    if ending.opened and ending.strategy in ("resume", "continue", "restart"):
        return replace(spent, resumes=spent.resumes + 1, fruitless=spent.fruitless + 1)
    return spent


def _calls_whole(ending: Ending, delivered: Delivered) -> bool:
    """Whether the answer to all of the text was its end. A prefix that ends where the text does may be the whole answer;
    one that ends before the last word is always written on by at least that word."""
    ended_well = ending.kind == "finished" and OUTCOMES.get(ending.finish_reason or "") == "complete"
    sent_whole = ending.strategy == "continue" and delivered.text_kept_chars == delivered.text_chars
    return ended_well and sent_whole and delivered.has_answer and not delivered.new_chars


def _refused_way(ending: Ending, delivered: Delivered) -> Way | None:
    """Which way on the endpoint does not know: it refused our request for it, not the user's request."""
    if ending.asked_usage and refuses_stream_options(ending.error):
        return "stream_options"
    if ending.strategy == "resume" and ending.kind == "diverged":
        return "resume"
    refusal = ending.kind == "status" and not _passing(ending) and not cause_of(ending.status).account
    if not refusal or delivered.new_chars:  # after text it is an error in the stream
        return None
    if ending.strategy == "continue":
        return "continue" if delivered.text_chars else "continue_reasoning"
    return "resume" if ending.strategy == "resume" else None


def _passing(ending: Ending) -> bool:
    if ending.strategy == "first" and isinstance(ending.error, Disconnected) and ending.error.absent:
        return False  # it does not start by itself; in the middle of a call it was there, and may be started again
    return is_passing(ending.error, status=ending.status, should_retry=ending.should_retry)


def _end_of_call(
    ending: Ending, delivered: Delivered, policy: RecoveryPolicy, spent: Spent, can: Abilities, what: Message
) -> Accept | GiveUp | None:
    """The endings after which no request is sent; None when one may be."""
    match ending.kind:
        case "stopped":
            return Accept(outcome="interrupted", why=Message("Stopped by you; the text so far is kept."), spent=spent)
        case "finished":
            return _end_by_finish(ending, delivered, policy, spent, can)
        case "total":
            return _give_up(what, Message("No further attempt is made."), spent)
        case "diverged" if ending.strategy != "resume":
            why = Message("The repeated answer differs from the text that was already delivered.")
            return GiveUp(why=why, spent=spent)
        case _ if not _passing(ending) and _refused_way(ending, delivered) is None:
            return _give_up(what, Message("Sending it again would not help."), spent)
    return None


def _end_by_finish(
    ending: Ending, delivered: Delivered, policy: RecoveryPolicy, spent: Spent, can: Abilities
) -> Accept | GiveUp | None:
    reason = ending.finish_reason or ""
    outcome = OUTCOMES.get(reason)
    if outcome == "truncated":
        asked = policy.continue_on_length and spent.continuations < policy.continuations
        if asked and delivered.anything and cannot_continue(delivered, can, spent) is None:
            return None
        return Accept(outcome=outcome, why=Message("The answer reached the token limit."), spent=spent)
    if outcome == "filtered":
        return Accept(outcome=outcome, why=Message("The provider's content filter ended the answer."), spent=spent)
    if outcome == "complete" and delivered.has_answer:
        # A continuation or restart that brought no word is an empty response, which says nothing about the text before.
        empty = ending.strategy in ("continue", "restart") and not delivered.new_chars
        # Only what was said counts: a continuation that broke before its first word has called nothing whole.
        if not empty or spent.called_whole >= BELIEVED_TIMES:
            said = reason if empty else None
            return Accept(outcome=outcome, finish_reason=said, why=Message("The answer is complete."), spent=spent)
    if outcome is None and reason not in GAVE_UP and delivered.anything:
        why = Message('The answer ended for a reason that is not documented: "{reason}".', reason=reason)
        return GiveUp(why=why, spent=spent)
    return None


def cannot_continue(delivered: Delivered, can: Abilities, spent: Spent | None = None) -> Message | None:
    """Why the answer cannot be continued where it ended, as half a sentence; None when it can."""
    refused = spent.refused if spent is not None else frozenset()
    rules = [
        (can.style == "none", Message("the endpoint cannot continue from a prefix")),
        ("continue" in refused, Message("the endpoint refused to continue from a prefix")),
        (delivered.tool_open, Message("a tool call was open")),
        (can.tools, Message("tools are used")),
        (can.json_mode, Message("JSON mode forbids a prefix")),
        (can.choices > 1, Message("several choices were requested")),
    ]
    if not delivered.text_kept_chars:
        torn = delivered.text_chars > 0 and not can.rewind
        rules += [
            (not delivered.reasoning_kept_chars, Message("too little has arrived")),
            (not can.reasoning, Message("the endpoint cannot continue inside a chain of thought")),
            ("continue_reasoning" in refused, Message("the endpoint refused to continue inside a chain of thought")),
            (torn, Message("text that was given out cannot be taken back")),
            (delivered.looping, Message("the chain of thought repeats itself")),
        ]
    return next((why for applies, why in rules if applies), None)


def _beyond_length(delivered: Delivered, policy: RecoveryPolicy, spent: Spent) -> Continue:
    number, limit = spent.continuations + 1, policy.continuations
    why = Message(
        "The token budget ended the answer{where}; continuing, continuation {n} of {of}.",
        where=_where(delivered),
        n=number,
        of=limit,
    )
    paid = replace(spent, continuations=number, at_length=True)
    return Continue.of(delivered, attempt=number, of_attempts=limit, spent=paid, why=why)


def _delay_s(ending: Ending, delivered: Delivered, policy: RecoveryPolicy, spent: Spent, u: float) -> float:
    if ending.retry_after_s:
        return ending.retry_after_s * (1 + RETRY_AFTER_SPREAD * u)
    line_broke = ending.kind in ("reset", "cut") and delivered.anything and spent.failures == 0 and not spent.fruitless
    if line_broke or _refused_way(ending, delivered) is not None:
        return AT_ONCE_S * u
    return backoff_s(policy, spent.failures, u)


def backoff_s(policy: RecoveryPolicy, failures: int, u: float) -> float:
    """Seconds to wait after ``failures`` earlier failures in a row: base · 2ⁿ, capped, shortened by up to the jitter."""
    # 2**1024 is no float; long before that the cap holds.
    return min(policy.cap_s, policy.base_s * 2.0 ** min(failures, 64)) * (1 - policy.jitter * u)


def _give_up(what: Message, then: Message, spent: Spent) -> GiveUp:
    return GiveUp(why=Message("{what}. {then}", what=what, then=then), then=then, spent=spent)


_ANOTHER: Final[Mapping[type[Retry | Resume | Continue | Restart], Message]] = {
    Retry: Message("{what}; asking again{when}, attempt {n} of {of}."),
    Resume: Message("{what}; asking again for the rest of the stream{when}, attempt {n} of {of}."),
    Continue: Message("{what}; asking again for the rest{when}, attempt {n} of {of}."),
    Restart: Message("{what}; asking again from the beginning{when}, attempt {n} of {of}."),
}


def _way_on(
    ending: Ending, delivered: Delivered, spent: Spent, can: Abilities
) -> tuple[type[Retry | Resume | Continue | Restart] | None, Message | str]:
    """The mildest way on that is open and has not just led nowhere twice; else what prevents it."""
    if not delivered.anything:
        return Retry, ""
    obstacle = cannot_continue(delivered, can, spent) or ""
    # The end of an answer without a word is no place to go on from; text that stood before an empty response is.
    empty = ending.kind == "finished" and ending.finish_reason not in GAVE_UP and not delivered.has_answer
    comparable = can.repeatable and not (delivered.tool_open or can.json_mode) and not empty
    anew = can.rewind or not delivered.text_chars or (comparable and delivered.text_chars <= COMPARE_MAX_CHARS)
    resumable = delivered.ids_seen and can.resume and "resume" not in spent.refused and ending.kind != "finished"
    ways: tuple[tuple[bool, type[Resume | Continue | Restart]], ...] = (
        (anew and spent.fruitless >= FRUITLESS_MAX, Restart),
        (resumable, Resume),
        (not obstacle and not empty, Continue),
        (anew, Restart),
    )
    way = next((way for is_open, way in ways if is_open), None)
    return way, "" if way else obstacle or Message("text that was given out cannot be taken back")


def _another(
    ending: Ending,
    delivered: Delivered,
    policy: RecoveryPolicy,
    spent: Spent,
    can: Abilities,
    what: Message,
    delay_s: float,
) -> Step:
    """Take the way on, paid from the budget that it concerns."""
    way, obstacle = _way_on(ending, delivered, spent, can)
    if way is None:
        return _give_up(what, Message("It cannot be continued: {why}.", why=obstacle), spent)
    if way is Continue and delivered.tokens_left is not None and delivered.tokens_left <= 0:
        why = Message("The connection broke as the token budget was used up.")
        return Accept(outcome="truncated", finish_reason=AT_LENGTH, why=why, spent=spent)
    # A request refused before its stream opened is tried again as an attempt; a broken segment costs a resume.
    refused = not ending.opened and not delivered.new_chars and _refused_way(ending, delivered) is None
    # To ask whether that was all is no further break: it is paid from what is left.
    asks_again = _calls_whole(ending, delivered) and spent.resumes >= policy.resumes
    if way is Retry or refused or asks_again:
        number, limit = spent.attempts + 1, policy.attempts
        paid = replace(spent, attempts=number)
    else:
        number, limit = spent.resumes + 2, policy.resumes + 1
        paid = replace(spent, resumes=spent.resumes + 1)
    if number > limit:
        made = Message("1 attempt was made.") if limit == 1 else Message("{n} attempts were made.", n=limit)
        return _give_up(what, made, spent)
    if way is Resume:
        delay_s = max(delay_s, min(ending.pause_s or 0.0, LONGEST_PAUSE_S))
    when = Message(" in {wait} s", wait=math.ceil(delay_s)) if delay_s > AT_ONCE_S else ""
    why = _ANOTHER[way].filled(what=what, when=when, n=number, of=limit)
    step: dict[str, Any] = {"why": why, "delay_s": delay_s, "attempt": number, "of_attempts": limit, "spent": paid}
    if way is Continue:
        return Continue.of(delivered, max_tokens=delivered.tokens_left, **step)
    if way is Restart:
        return Restart(compare=not can.rewind and delivered.text_chars > 0, **step)
    return way(**step)


def _what_happened(ending: Ending, delivered: Delivered) -> Message:
    """As half a sentence."""
    where, error = _where(delivered), ending.error
    match ending.kind:
        case "status" if _refused_way(ending, delivered) == "stream_options":
            return Message("The server does not know stream_options ({status})", status=ending.status)
        case "status" if _refused_way(ending, delivered) is not None:
            return Message("The endpoint would not continue from a prefix ({status})", status=ending.status)
        case "status" if ending.status == 200:
            return Message("The server reported an error{where}", where=where)
        case "status":
            words = cause_of(ending.status).words
            if words is None:
                return Message("The API answered {status}", status=ending.status)
            return Message("The API answered {status} ({words})", status=ending.status, words=words)
        case "finished" if ending.finish_reason in OUTCOMES:
            return Message("The answer was empty")
        case "finished":
            return Message('The server gave up{where} ("{reason}")', where=where, reason=ending.finish_reason)
        case "damaged" if isinstance(error, Disconnected):
            return Message("The answer was damaged in transit{where}", where=where)
        case "stall" if isinstance(error, ReadTimeout) and error.what is not None:
            return error.what
    return _HAPPENED[ending.kind].filled(where=where)


_HAPPENED: Final[Mapping[EndingKind, Message]] = {
    "unreachable": Message("No connection could be made"),
    "reset": Message("The connection was reset{where}"),
    "cut": Message("The answer broke off{where}"),
    "stall": Message("The answer stalled{where}"),
    "total": Message("The call took too long{where}"),
    "damaged": Message("The stream was damaged{where}"),
    "diverged": Message("The server did not continue the same answer{where}"),
    "stopped": Message("The answer was stopped{where}"),
}


def _where(delivered: Delivered) -> Message | str:
    """How far the answer had come, as an addition to half a sentence."""
    if delivered.text_chars == 1:
        return Message(" after 1 character")
    if delivered.text_chars:
        return Message(" after {chars} characters", chars=delivered.text_chars)
    return Message(" in the reasoning") if delivered.reasoning_chars else ""
