"""What the guard book knows of one guard."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from activities.exit_firing import Firing
from domain.exits import ExitPolicy, ExitReason, GuardState
from domain.market import Category
from exchange.protocol import OrderRequest, Trade

MINUTE = timedelta(minutes=1)


def minute_of(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Seen:
    """The lowest and the highest price a guard knows of the minute (market time) in which its ``as_of`` lies.

    What a 1m candle shows beyond them happened while the guard was not there.
    """

    minute: datetime
    low: Decimal
    high: Decimal

    def covers(self, price: Decimal) -> bool:
        return self.low <= price <= self.high


def saw(seen: Seen | None, price: Decimal, at: datetime) -> Seen | None:
    """``seen`` after a price at a time; one of an older minute changes nothing."""
    if seen is None or at - seen.minute >= MINUTE:
        return Seen(minute_of(at), price, price)
    if at < seen.minute or seen.low <= price <= seen.high:
        return seen
    return Seen(seen.minute, min(seen.low, price), max(seen.high, price))


def both_saw(one: Seen | None, other: Seen | None) -> Seen | None:
    """What two records of the same prices know together: of the newer minute alone if their minutes differ."""
    if one is None or other is None:
        return one or other
    if one.minute != other.minute:
        return max(one, other, key=lambda seen: seen.minute)
    return Seen(one.minute, min(one.low, other.low), max(one.high, other.high))


@dataclass(frozen=True, slots=True)
class Targets:
    """A version of a position's exit policy."""

    version: int
    policy: ExitPolicy


@dataclass(eq=False)
class Watch:
    """One guard in the book.

    ``targets`` are those that ``state`` was made under; ``newest`` are the newest known, in force once the guard is in
    the rows. ``state`` and ``seen`` stand still while ``index`` gives the guard's row. ``joined`` is when it began to
    watch (monotonic seconds; None: it doesn't), ``walked_until`` up to when (market) it then knew everything.
    ``held`` and ``resting`` are what the database last said of the position: what it holds, and where its stop rests.
    ``queued`` holds the trades that came while it catches up.
    """

    position_id: str
    category: Category
    symbol: str
    guard_epoch: int
    targets: Targets
    newest: Targets
    state: GuardState
    seen: Seen | None
    exit_request: OrderRequest
    buffer_pct: Decimal
    held: Decimal
    resting: Decimal | None
    outcome: asyncio.Future[Firing]
    index: int | None = None
    joined: float | None = None
    walked_until: datetime | None = None
    queued: list[Trade] = field(default_factory=list)
    firing: bool = False
    reason: ExitReason | None = None
    task: asyncio.Task[None] | None = None

    @property
    def watched_seconds(self) -> float | None:
        """How long it has been watching without a break, wall seconds; None while it doesn't."""
        return None if self.joined is None else time.monotonic() - self.joined
