"""How long a position was without a guard or without any protection, from the intervals in which it had one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple


class Interval(NamedTuple):
    """A stretch of wall time; ``end`` is not before ``start``."""

    start: datetime
    end: datetime


RECORDED_WITHIN = timedelta(seconds=2)
"""A fill recorded this soon after its order was sent was recorded as it happened."""


def held_from(recorded_at: datetime, sent_at: datetime | None) -> datetime:
    """When a position began to be held, wall time, from when its first fill was recorded and its entry first sent.

    The exchange tells fills in market time only. One learned of late (a broken stream, a dead worker) may have happened
    right after the sending: then the sending counts, which errs on the side of having held longer.
    """
    if sent_at is not None and recorded_at - sent_at > RECORDED_WITHIN:
        return sent_at
    return recorded_at


def uncovered_seconds(span: Interval, cover: Iterable[Interval]) -> float:
    """Seconds of ``span`` that no interval of ``cover`` reaches. Intervals may overlap and come in any order.

    A span that ends before it starts has none.
    """
    missing = timedelta(0)
    reached = span.start
    if span.end <= span.start:
        return 0.0
    for interval in sorted(cover):
        if interval.start > reached:
            missing += min(interval.start, span.end) - reached
        reached = max(reached, interval.end)
        if reached >= span.end:
            break
    if reached < span.end:
        missing += span.end - reached
    return missing.total_seconds()
