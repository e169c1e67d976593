"""Every task queue, timeout and retry policy, declared once.

Guards and streams: a heartbeat timeout of 5 s and a retry every second for ever bound a failover to about 6 s.
Temporal's defaults (backoff to 100 s, sticky 10 s) would miss a recovery within 15 s.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio.common import RetryPolicy

TRADING_QUEUE: Final = "trading"
MARKET_QUEUE: Final = "market"
RESEARCH_QUEUE: Final = "research"

WORKFLOW_TASK_TIMEOUT: Final = timedelta(seconds=5)
STICKY_TIMEOUT: Final = timedelta(seconds=2)
HEARTBEAT_THROTTLE: Final = timedelta(seconds=1)

_FOR_EVER = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=1.0, maximum_interval=timedelta(seconds=1)
)

ALWAYS_ON: Final[dict[str, Any]] = {
    "start_to_close_timeout": timedelta(days=3650),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": _FOR_EVER,
}
"""Guards and streams: they run until they say they are done."""

ORDER: Final[dict[str, Any]] = {"start_to_close_timeout": timedelta(seconds=5), "retry_policy": _FOR_EVER}
"""Activities that reach the exchange: the HTTP timeout is below theirs. Each is safe to repeat."""

LOOK: Final[dict[str, Any]] = {"start_to_close_timeout": timedelta(seconds=12), "retry_policy": _FOR_EVER}
"""Queries and cancels of an order: two or three calls of the exchange in a row, each with its own HTTP timeout."""

BOOKS: Final[dict[str, Any]] = {"start_to_close_timeout": timedelta(seconds=10), "retry_policy": _FOR_EVER}
"""Activities on the database (and queries of the exchange). Each is safe to repeat."""

TARGETS: Final[dict[str, Any]] = {"start_to_close_timeout": timedelta(seconds=25), "retry_policy": _FOR_EVER}
"""New targets: the stop at the exchange may have to be moved first, and the guard is waited for after."""

STOP_CHECK: Final[dict[str, Any]] = {
    "start_to_close_timeout": timedelta(seconds=25),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_attempts=6),
}
"""A look at the stop that somebody asked for: whoever finds it wrong again asks again."""

SNAPSHOT: Final[dict[str, Any]] = {
    "start_to_close_timeout": timedelta(minutes=2),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=500),
        backoff_coefficient=1.5,
        maximum_interval=timedelta(seconds=5),
        maximum_attempts=10,
    ),
}
"""Taking a snapshot: it waits for its hour, and for books that are not complete up to it yet, by being tried again.

Not for ever: one that can't be had is paged, and scans that have become due meanwhile go before it is tried anew."""

RECONCILE: Final[dict[str, Any]] = {"start_to_close_timeout": timedelta(minutes=3), "retry_policy": _FOR_EVER}
"""A comparison asks Temporal about every row under way and the exchange about the account, twice if it found some."""
WHOLE_COMPARISON_EVERY: Final = 5
"""Rounds: the account's log is read page by page, so balances are not held against it every time."""

HISTORY: Final[dict[str, Any]] = {
    "start_to_close_timeout": timedelta(days=1),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15)),
}
"""A stretch of a backfill: it beats while it waits for its turn, which many others may have before it."""

SCAN: Final[dict[str, Any]] = {
    "start_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=1.0,
        maximum_interval=timedelta(seconds=1),
        maximum_attempts=30,
    ),
}
"""A piece of a scan. What doesn't work for half a minute fails the scan, which is paged and tried again."""

WARM_UP: Final[dict[str, Any]] = {
    "start_to_close_timeout": timedelta(seconds=60),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=1), maximum_attempts=10
    ),
    "task_queue": MARKET_QUEUE,
}
"""Planning what history is needed: scans fetch what they miss, so the clock doesn't wait for it for ever."""

RECV_WINDOW: Final = timedelta(seconds=5)
RETRY_LATER_FIRST: Final = timedelta(milliseconds=250)
RETRY_LATER_LAST: Final = timedelta(seconds=2)
LOOK_AGAIN_PAUSE: Final = timedelta(seconds=1)
GUARD_AGAIN_PAUSE: Final = timedelta(seconds=1)
FIRST_POLL: Final = timedelta(seconds=1)
LAST_POLL: Final = timedelta(seconds=60)
STOP_POLL: Final = timedelta(hours=6)
"""A stop rests for days and its news comes by the stream, whose catch-up covers every order that isn't final."""
EXIT_AGAIN_FIRST: Final = timedelta(seconds=1)
EXIT_AGAIN_LAST: Final = timedelta(minutes=15)
"""Refused exits and stops are tried again ever more slowly: a history has room for days of refusals."""
DUE_AGAIN_FIRST: Final = timedelta(seconds=1)
DUE_AGAIN_LAST: Final = timedelta(seconds=60)
"""A scan or snapshot that failed is tried again ever more slowly, for ever: none is left out."""
MARKET_OVER_PAUSE: Final = timedelta(seconds=1)
WARM_UP_AT_ONCE: Final = 6
WARM_UP_MOST: Final = 600
WARM_UP_PATIENCE: Final = timedelta(minutes=10)
"""Scans fetch what they miss: a history too large for one run, or one that can't be had, doesn't hold them up."""
REGIME_STRETCH: Final = 540
"""4h closes rebuilt at once, a quarter of a year: a scan that comes meanwhile waits for no more than that."""
EXIT_TELLS: Final = 5
EXIT_TELL_AGAIN: Final = timedelta(seconds=2)
"""A position without a running workflow has one again within seconds: reconciliation sees to that."""
FLATTEN_TELL_AGAIN: Final = timedelta(seconds=10)
FLATTEN_LOOK_FIRST: Final = timedelta(milliseconds=250)
FLATTEN_LOOK_LAST: Final = timedelta(seconds=2)
