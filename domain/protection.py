"""How long a position was without a guard or without any protection, from the intervals in which it had one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple


class Interval(NamedTuple):
    """A stretch of wall time; ``end`` is not before ``start``."""

    start: datetime
    end: datetime


def uncovered_seconds(span: Interval, cover: Iterable[Interval]) -> float:
    """Seconds of ``span`` that no interval of ``cover`` reaches. Intervals may overlap and come in any order."""
    missing = timedelta(0)
    reached = span.start
    for interval in sorted(cover):
        if interval.start > reached:
            missing += min(interval.start, span.end) - reached
        reached = max(reached, interval.end)
        if reached >= span.end:
            break
    if reached < span.end:
        missing += span.end - reached
    return missing.total_seconds()
