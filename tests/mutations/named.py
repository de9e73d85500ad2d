"""Faults that once no test noticed, and the test that notices each today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .running import ROOT, Verdict, verdict_on

__all__ = ["NAMED", "Named"]


@dataclass(frozen=True, slots=True)
class Named:
    """``old`` stands exactly once in ``file``; with ``new`` in its place ``test`` fails."""

    fault: str
    file: str
    old: str
    new: str
    test: str

    def verdict(self) -> Verdict:
        """What the test says; "broken" when the place is not there any more."""
        source = (ROOT / "deepseek_magic" / self.file).read_text("utf-8")
        if source.count(self.old) != 1:
            return "broken"
        return verdict_on(f"deepseek_magic/{self.file}", source.replace(self.old, self.new), [f"tests/{self.test}"])


NAMED: Final = (
    Named(
        "the journal is made without the mask of keys",
        "session/state.py",
        "Journal(mask=keys.mask_content, ",
        "Journal(",
        "test_session.py::test_a_key_in_a_prompt_is_masked_in_the_journal",
    ),
    Named(
        "what a server says of an error is not masked",
        "engine/attempt.py",
        "text = mask(bytes(",
        "text = str(bytes(",
        "engine/test_health.py::test_a_wrong_key_is_an_error_that_never_shows_it_even_when_the_server_does",
    ),
    Named(
        "the message of a call's error is not masked",
        "engine/stream.py",
        "error.change_said(keys.mask)",
        "error.change_said(str)",
        "engine/test_client.py::test_the_key_is_in_no_error_even_when_the_server_echoes_it",
    ),
    Named(
        "a late failure on a kept connection sends the request again",
        "engine/network/exchange.py",
        "reused and broke and time.perf_counter() - self.began_s < STALE_S",
        "reused and broke",
        "engine/test_network.py::test_a_request_is_sent_twice_only_where_its_kept_connection_was_dead_before",
    ),
    Named(
        "refused requests are repeated without a budget",
        "policy/recovery.py",
        "and not may_repeat()",
        "and False",
        "engine/test_recovery.py::test_refused_requests_are_repeated_only_within_the_limits_share",
    ),
    Named(
        "a stream's own retry is honoured without a bound",
        "policy/recovery.py",
        "min(ending.pause_s or 0.0, LONGEST_PAUSE_S)",
        "(ending.pause_s or 0.0)",
        "engine/test_recovery.py::test_the_pause_that_a_stream_names_itself_is_kept_up_to_ten_seconds",
    ),
    Named(
        "the spread of a call's pause undercuts Retry-After",
        "policy/recovery.py",
        "(1 + RETRY_AFTER_SPREAD * u)",
        "(1 - RETRY_AFTER_SPREAD * u)",
        "policy/test_recovery.py::test_a_told_time_is_kept_and_overstayed_by_at_most_a_twentieth",
    ),
    Named(
        "the spread of a freeze undercuts Retry-After",
        "policy/limits/limiter.py",
        "(1 + SPREAD * u)",
        "(1 - SPREAD * u)",
        "policy/test_limits.py::test_the_spread_of_a_freeze_is_added_to_what_was_told",
    ),
    Named(
        "a shorter freeze replaces a longer one",
        "policy/limits/limiter.py",
        "if at_s > self._frozen_until_s:",
        "if True:",
        "policy/test_limits.py::test_a_shorter_freeze_does_not_end_a_longer_one",
    ),
    Named(
        "an older success forgives newer refusals",
        "policy/limits/limiter.py",
        "if slot.sent_at_s > self.window.decreased_s:",
        "if True:",
        "policy/test_limits.py::test_a_success_sent_before_a_refusal_does_not_lift_it",
    ),
    Named(
        "a refused request keeps the tokens reserved for it",
        "policy/limits/limiter.py",
        'used = 0.0 if outcome == "refused" else tokens',
        "used = tokens",
        "policy/test_limits.py::test_a_refused_request_gives_its_reserved_tokens_back",
    ),
    Named(
        "every 503 of one epoch shrinks the window",
        "policy/limits/concurrency.py",
        "        if sent_at_s > self.decreased_s:",
        "        if True:",
        "policy/test_limits.py::test_a_busy_service_eases_the_window_once_an_epoch",
    ),
    Named(
        "a silent call does not say that its process lives",
        "engine/journal/writer.py",
        "if streams and now_s - self._seen_s",
        "if False and now_s - self._seen_s",
        "engine/test_journal.py::test_a_silent_call_says_that_it_lives_so_that_no_other_kernel_takes_it_for_dead",
    ),
    Named(
        "413 is remembered as a refused way",
        "policy/attempts.py",
        "ending.status == _TOO_LARGE or ",
        "",
        "policy/test_recovery.py::test_an_answer_too_long_to_be_sent_back_says_nothing_about_the_endpoint",
    ),
    Named(
        "a pause as long as the ceiling is refused",
        "policy/recovery.py",
        "told_s > policy.retry_after_ceiling_s",
        "told_s >= policy.retry_after_ceiling_s",
        "policy/test_recovery.py::test_a_told_time_above_the_ceiling_ends_the_call_and_says_why",
    ),
    Named(
        "a formula may link",
        "text/inline.py",
        '"href url style',
        '"url style',
        "text/test_markdown_safety.py::test_a_formula_that_links_loads_styles_or_defines_is_shown_as_its_source",
    ),
)
