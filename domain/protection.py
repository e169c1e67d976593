"""Where the stop at the exchange may rest beside the guard's, and how long a position was without either."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from domain.market import PositionSide


class Interval(NamedTuple):
    """A stretch of wall time; ``end`` is not before ``start``."""

    start: datetime
    end: datetime


FOLLOW_SECONDS = 60.0
"""The stop at the exchange follows a ratchet at most this often (wall)."""
FOLLOW_BUFFERS = Decimal(2)
"""It follows a ratchet once it lies this many buffers from the guard's stop."""
FOLLOW_TARGETS_BUFFERS = Decimal("1.25")
"""The same for new targets: less than that is not worth an order."""


def is_tighter(side: PositionSide, stop: Decimal, other: Decimal) -> bool:
    """Whether ``stop`` would be crossed before ``other`` by a price that goes against the position."""
    return side.sign * (stop - other) > 0


def stop_follows(
    side: PositionSide,
    guard_stop: Decimal,
    resting: Decimal,
    buffer_pct: Decimal,
    seconds_since_move: float,
    *,
    new_targets: bool = False,
) -> bool:
    """Whether the stop that rests at ``resting`` is to be moved to ``buffer_pct`` percent beyond ``guard_stop`` now.

    At once where it would be crossed before the guard's own, and after new targets; after a ratchet only when it is
    left far behind, and not again within ``FOLLOW_SECONDS``: an amended order for each step would be nonsense.
    """
    if not is_tighter(side, guard_stop, resting):
        return True
    behind = side.sign * (guard_stop - resting)
    if new_targets:
        return behind >= guard_stop * FOLLOW_TARGETS_BUFFERS * buffer_pct / 100
    return seconds_since_move >= FOLLOW_SECONDS and behind >= guard_stop * FOLLOW_BUFFERS * buffer_pct / 100


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


def interrupted(span: Interval, gaps: Iterable[Interval]) -> list[Interval]:
    """What is left of ``span`` without ``gaps``, in order. Gaps may overlap and come in any order."""
    left: list[Interval] = []
    start = span.start
    for gap in sorted(gaps):
        if gap.start > start:
            left.append(Interval(start, min(gap.start, span.end)))
        start = max(start, gap.end)
        if start >= span.end:
            return left
    return [*left, Interval(start, span.end)] if start < span.end else left
