"""What market time makes due: the next close to scan, the next hour to snapshot, or how long there is nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.failures import EXCHANGE_UNAVAILABLE, failure
from activities.strategies_in_use import in_use
from db.models import MarketClockCursor
from db.repositories.scans import cursor_of, raise_scanned
from db.repositories.strategies import current_configs
from db.session import Database
from domain.candle import Timeframe
from domain.clock import MarketClock
from domain.history import REGIME_STEP
from domain.strategy_config import StrategyConfig
from exchange.protocol import Exchange, ExchangeError

_QUARTER = Timeframe.M15
_HOUR = Timeframe.H1.duration
_LONGEST_WAIT = timedelta(seconds=30)
_SHORTEST_WAIT = timedelta(milliseconds=20)


class Due(BaseModel):
    """The earliest piece of work that is due, or ``kind`` nothing and how long (wall) to wait before asking again.

    ``at`` is the close to scan (with the ``timeframes`` scanned that close then), the hour to snapshot, or the instant
    at which something will be due next. ``step``: the market stands still until it is told to go on.
    """

    kind: Literal["scan", "snapshot", "nothing"]
    epoch: str
    now: AwareDatetime
    at: AwareDatetime
    timeframes: list[Timeframe] = []
    speed: float
    step: bool
    wait_seconds: float = 0.0


class MarketTimeActivities:
    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange

    @activity.defn
    async def next_due(self) -> Due:
        """The market's clock against its cursors: closes in order, hours in order, a close before any hour.

        A signal goes stale, a snapshot says the same however late it is taken.
        """
        try:
            clock = await self._exchange.market_clock()
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"can't read the market's clock: {error}") from error
        async with self._database.session() as session:
            cursor = await cursor_of(session, clock.epoch, clock.now)
            timeframes = _watched(await current_configs(session))
            due = due_at(clock, cursor.scanned_until, cursor.snapshot_until, timeframes)
            if due.kind != "scan":
                await _pass_by(session, cursor, clock.now, timeframes)
        return due


def _watched(configs: Iterable[StrategyConfig]) -> set[Timeframe]:
    """Timeframes whose closes are scanned: of the strategies in use, and the regime's, whoever is in use."""
    return {REGIME_STEP} | {config.timeframe for config in configs if in_use(config)}


async def _pass_by(
    session: AsyncSession, cursor: MarketClockCursor, now: datetime, timeframes: Collection[Timeframe]
) -> None:
    """Closes at which nobody decides are behind us: a timeframe switched on later doesn't begin with them."""
    if next_close(cursor.scanned_until, timeframes, now) is None and _QUARTER.floor(now) > cursor.scanned_until:
        await raise_scanned(session, cursor.epoch, _QUARTER.floor(now))


def due_at(
    clock: MarketClock, scanned_until: datetime, snapshot_until: datetime, timeframes: Collection[Timeframe]
) -> Due:
    """What is due at ``clock.now`` after what the two cursors say is done: the oldest close, else the oldest hour."""
    close, hour = next_close(scanned_until, timeframes, clock.now), snapshot_until + _HOUR
    told = {"epoch": clock.epoch, "now": clock.now, "speed": clock.speed, "step": clock.step}
    if close is not None:
        return Due(kind="scan", at=close, timeframes=closing(close, timeframes), **told)
    if hour <= clock.now:
        return Due(kind="snapshot", at=hour, **told)
    upcoming = min([hour, *(each.floor(clock.now) + each.duration for each in timeframes)])
    wait = min(clock.wall_until(upcoming), _LONGEST_WAIT)
    return Due(kind="nothing", at=upcoming, wait_seconds=max(wait, _SHORTEST_WAIT).total_seconds(), **told)


def next_close(after: datetime, timeframes: Collection[Timeframe], now: datetime) -> datetime | None:
    """The first close of one of ``timeframes`` in (after, now]; None if there is none."""
    closes = [timeframe.floor(after) + timeframe.duration for timeframe in timeframes]
    return min((close for close in closes if close <= now), default=None)


def closing(close: datetime, timeframes: Collection[Timeframe]) -> list[Timeframe]:
    """Those of ``timeframes`` of which a candle closes at ``close``, the shortest first."""
    found = [timeframe for timeframe in timeframes if timeframe.floor(close) == close]
    return sorted(found, key=lambda timeframe: timeframe.milliseconds)
