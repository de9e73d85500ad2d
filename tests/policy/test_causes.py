"""What an error says of other requests."""

from __future__ import annotations

from deepseek_magic.policy.causes import concerns_all, status_of
from deepseek_magic.protocol.errors import APIStatusError, Disconnected


def test_a_refused_key_and_an_empty_account_concern_every_request_and_others_do_not() -> None:
    found = {status: APIStatusError("no", status=status) for status in (400, 401, 402, 500)}
    assert [status_of(error) for error in found.values()] == [400, 401, 402, 500]
    assert [status for status, error in found.items() if concerns_all(error)] == [401, 402]
    broken = Disconnected("the line broke", how="early")
    assert (status_of(broken), concerns_all(broken)) == (None, False)
