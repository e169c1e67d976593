"""What of the history that decisions need is not stored yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from activities.backfill_range import BackfillRange
from db.repositories.candles import Market, count_each
from db.repositories.strategies import current_configs
from db.session import Database
from domain.candle import Timeframe
from domain.history import (
    REGIME_SYMBOL,
    REGIME_TIMEFRAMES,
    STORED_TIMEFRAMES,
    bars_of_market,
    bars_to_decide,
    last_bars,
)
from domain.market import Category, Instrument

REQUESTED_BY = "warm-up"


async def plan(
    database: Database, universe: Sequence[Instrument], regime: Sequence[Instrument], now: datetime
) -> list[BackfillRange]:
    """Ranges to fetch for every market of ``universe``, and for the regime's symbol where it isn't one of them.

    Long timeframes first: they are small, and decide most. A category that has all its candles is left out.
    """
    planned: list[BackfillRange] = []
    async with database.session() as session:
        needed = bars_to_decide(await current_configs(session))
        for timeframe in reversed(STORED_TIMEFRAMES):
            markets = _markets(universe, regime, timeframe)
            short = _by_symbol(await _short(session, markets, timeframe, needed, now))
            planned += [
                BackfillRange(
                    symbol=symbol,
                    timeframe=timeframe,
                    categories=tuple(starts),
                    start=min(starts.values()),
                    end=timeframe.floor(now),
                    requested_by=REQUESTED_BY,
                )
                for symbol, starts in short.items()
            ]
    return planned


async def _short(
    session: AsyncSession,
    markets: Sequence[Market],
    timeframe: Timeframe,
    needed: Mapping[Timeframe, int],
    now: datetime,
) -> dict[Market, datetime]:
    """The markets that lack a candle, each with the start of what it needs."""
    bars = {market: bars_of_market(needed, *market, timeframe) for market in markets}
    short: dict[Market, datetime] = {}
    for many in sorted(set(bars.values())):
        start, end = last_bars(timeframe, many, now)
        asked = [market for market in markets if bars[market] == many]
        stored = await count_each(session, asked, timeframe, start, end)
        short.update({market: start for market in asked if stored[market] < many})
    return short


def _markets(universe: Sequence[Instrument], regime: Sequence[Instrument], timeframe: Timeframe) -> list[Market]:
    wanted = [*universe, *regime] if timeframe in REGIME_TIMEFRAMES else universe
    return list(dict.fromkeys((Category(one.category), one.symbol) for one in wanted))


def _by_symbol(markets: Mapping[Market, datetime]) -> Mapping[str, dict[Category, datetime]]:
    """The regime's symbol first: everything is judged against it."""
    found: dict[str, dict[Category, datetime]] = {}
    for category, symbol in sorted(markets, key=lambda market: market[1] != REGIME_SYMBOL):
        found.setdefault(symbol, {})[category] = markets[category, symbol]
    return found
