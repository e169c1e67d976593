"""The closed set of failure types an activity may raise, and which of them are worth another try."""

from __future__ import annotations

from typing import Any

from temporalio.exceptions import ApplicationError

BAD_INPUT = "bad_input"
DENIED = "denied"
NOT_FOUND = "not_found"
TARGETS_MOVED = "targets_moved"
EXCHANGE_REFUSED = "exchange_refused"
EXCHANGE_UNAVAILABLE = "exchange_unavailable"
NOT_YET = "not_yet"
OTHER_MARKET = "other_market"

_RETRYABLE = {EXCHANGE_UNAVAILABLE, NOT_YET}


def failure(kind: str, message: str, **details: Any) -> ApplicationError:
    """An ApplicationError of one of the types above; ``details`` travel with it (field, rule, ...)."""
    return ApplicationError(message, details, type=kind, non_retryable=kind not in _RETRYABLE)
