"""Candles as they are stored: how many there are of a stretch, the newest of each series, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import CandleRow
from domain.candle import Timeframe
from domain.market import Category

Market = tuple[Category, str]

_COUNT_EACH = text("""
    SELECT market.category, market.symbol, stored.candles
    FROM unnest(CAST(:categories AS text[]), CAST(:symbols AS text[])) AS market (category, symbol)
    CROSS JOIN LATERAL (
        SELECT count(*) AS candles FROM candles
        WHERE candles.category = market.category AND candles.symbol = market.symbol
          AND timeframe = :timeframe AND open_time >= :start AND open_time < :end
    ) AS stored
""")

# One step down the index a series, however many candles there are.
_NEWEST_EACH = text("""
    SELECT market.category, market.symbol, timeframe.name, newest.open_time
    FROM unnest(CAST(:categories AS text[]), CAST(:symbols AS text[])) AS market (category, symbol)
    CROSS JOIN unnest(CAST(:timeframes AS text[])) AS timeframe (name)
    CROSS JOIN LATERAL (
        SELECT open_time FROM candles
        WHERE candles.category = market.category AND candles.symbol = market.symbol
          AND candles.timeframe = timeframe.name
        ORDER BY open_time DESC LIMIT 1
    ) AS newest
""")

_HOLES = text("""
    SELECT before, after FROM (
        SELECT lag(at) OVER (ORDER BY at) AS before, at AS after FROM (
            SELECT open_time AS at FROM candles
            WHERE category = :category AND symbol = :symbol AND timeframe = :timeframe
              AND open_time >= :start AND open_time < :end
            UNION ALL SELECT CAST(:before_start AS timestamptz) UNION ALL SELECT CAST(:end AS timestamptz)
        ) AS stored
    ) AS neighbours
    WHERE after - before > CAST(:length AS interval)
    ORDER BY before
""")


@dataclass(frozen=True, slots=True)
class Hole:
    """``bars`` candles from the open time ``start`` on that are not stored."""

    start: datetime
    bars: int


async def count_candles(
    session: AsyncSession, category: Category, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> int:
    """Stored candles of one series with open time in [start, end)."""
    wanted = (
        (CandleRow.category == category)
        & (CandleRow.symbol == symbol)
        & (CandleRow.timeframe == timeframe)
        & (CandleRow.open_time >= start)
        & (CandleRow.open_time < end)
    )
    return await session.scalar(select(func.count()).select_from(CandleRow).where(wanted)) or 0


async def count_each(
    session: AsyncSession, markets: Sequence[Market], timeframe: Timeframe, start: datetime, end: datetime
) -> dict[Market, int]:
    """The same of many markets at once; every one of ``markets`` is in the answer."""
    given = {**_columns(markets), "timeframe": timeframe.value, "start": start, "end": end}
    rows = await session.execute(_COUNT_EACH, given)
    return {(Category(row.category), row.symbol): row.candles for row in rows}


async def newest_candles(
    session: AsyncSession, markets: Sequence[Market], timeframes: Sequence[Timeframe]
) -> Mapping[tuple[Category, str, Timeframe], datetime]:
    """Open time of the newest stored candle of each series that has any."""
    rows = await session.execute(_NEWEST_EACH, {**_columns(markets), "timeframes": [each.value for each in timeframes]})
    return {(Category(row.category), row.symbol, Timeframe(row.name)): row.open_time for row in rows}


async def list_candles(
    session: AsyncSession,
    category: Category,
    symbol: str,
    timeframe: Timeframe,
    *,
    since: datetime | None,
    closed_by: datetime | None,
    before: datetime | None,
    limit: int,
) -> Sequence[CandleRow]:
    """Candles of one series, newest first: open from ``since`` on, closed by ``closed_by``, open before ``before``."""
    row = CandleRow
    query = (
        select(row)
        .where(row.category == category.value, row.symbol == symbol, row.timeframe == timeframe.value)
        .order_by(row.open_time.desc())
        .limit(limit)
    )
    if since is not None:
        query = query.where(row.open_time >= since)
    if closed_by is not None:
        query = query.where(row.open_time <= closed_by - timeframe.duration)
    if before is not None:
        query = query.where(row.open_time < before)
    return (await session.scalars(query)).all()


async def holes(
    session: AsyncSession, category: Category, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> list[Hole]:
    """What is not stored of [start, end), oldest first. Both ends must be open times of the timeframe."""
    length: timedelta = timeframe.duration
    given = {
        "category": category.value,
        "symbol": symbol,
        "timeframe": timeframe.value,
        "start": start,
        "end": end,
        "before_start": start - length,
        "length": length,
    }
    rows = await session.execute(_HOLES, given)
    return [Hole(row.before + length, (row.after - row.before) // length - 1) for row in rows]


def _columns(markets: Sequence[Market]) -> dict[str, list[str]]:
    return {"categories": [category.value for category, _ in markets], "symbols": [symbol for _, symbol in markets]}
