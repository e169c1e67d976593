"""How the kept watchlists did against what the market did then: stored places and candles into ``domain.capture``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import MarketClockCursor
from db.repositories.watchlist import first_listings
from domain.candle import from_ms
from domain.capture import BARS, Capture, Closes, capture, windows
from domain.market import Category, PositionSide

# Symbol by symbol, so that each is one stretch of the candles' index.
_CLOSES = text("""
    SELECT instruments.symbol, path.opens, path.closes
    FROM instruments
    CROSS JOIN LATERAL (
        SELECT array_agg((extract(epoch FROM open_time) * 1000)::bigint ORDER BY open_time) AS opens,
               array_agg(close ORDER BY open_time) AS closes
        FROM candles
        WHERE candles.category = instruments.category AND candles.symbol = instruments.symbol
          AND timeframe = :timeframe AND open_time >= :first AND open_time < :until
    ) AS path
    WHERE instruments.category = :category AND path.closes IS NOT NULL
""")

# A scan names the version it was made by, and that version says what was watched.
_WATCHED = text("""
    SELECT DISTINCT configured.row ->> 'side' AS side, scanned.category
    FROM strategy_scans AS scanned
    JOIN strategy_configurations_history AS configured
        ON configured.strategy = scanned.strategy AND configured.version = scanned.config_version
    WHERE scanned.epoch = :epoch AND scanned.close_at >= :start AND scanned.close_at < :end
      AND (configured.row ->> 'watchlist_gate')::boolean
""")


async def captures(
    session: AsyncSession, epoch: str, since: datetime, until: datetime, k: int
) -> dict[PositionSide, list[Capture]]:
    """Each side in each seven days of [since, until] that the market was scanned, oldest first.

    A side is measured on the markets that its strategies were scanned on in that window with their watchlist gate on,
    as they were configured then: their symbols are those that it could have listed.
    """
    clock = await session.get(MarketClockCursor, epoch)
    began = max(since, clock.began_at) if clock is not None else since
    found: dict[PositionSide, list[Capture]] = {side: [] for side in PositionSide}
    for window in windows(began, until):
        markets = await _markets(session, epoch, window)
        closes = {category: await _closes(session, category, *window) for category in Category}
        for side in PositionSide:
            known = {symbol: each for category in markets[side] for symbol, each in closes[category].items()}
            listed = await first_listings(session, epoch, side, *window)
            found[side].append(capture(side, window, known, listed, k))
    return found


async def _markets(
    session: AsyncSession, epoch: str, window: tuple[datetime, datetime]
) -> dict[PositionSide, list[Category]]:
    """The categories each side watched then; where a symbol is in two, the last one tells its price: spot."""
    start, end = window
    rows = await session.execute(_WATCHED, {"epoch": epoch, "start": start, "end": end})
    watched = {(row.side, row.category) for row in rows}
    return {side: [each for each in reversed(Category) if (side, each) in watched] for side in PositionSide}


async def _closes(session: AsyncSession, category: Category, start: datetime, end: datetime) -> dict[str, Closes]:
    """Closes from the bar that ends at ``start`` to the one that ends at ``end``, by symbol."""
    length = BARS.duration
    given = {
        "category": category.value,
        "timeframe": BARS.value,
        "first": start - length,
        "until": end,
    }
    return {
        row.symbol: [(from_ms(at) + length, close) for at, close in zip(row.opens, row.closes, strict=True)]
        for row in await session.execute(_CLOSES, given)
    }
