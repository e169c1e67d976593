"""What of the history that decisions need is not stored yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from activities.backfill_range import BackfillRange
from db.repositories.candles import Market, count_each
from db.repositories.strategies import current_configs
from db.session import Database
from domain.candle import Timeframe
from domain.history import REGIME_SYMBOL, REGIME_TIMEFRAMES, STORED_TIMEFRAMES, bars_to_decide, last_bars
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
            start, end = last_bars(timeframe, needed[timeframe], now)
            stored = await count_each(session, markets, timeframe, start, end)
            short = _by_symbol(market for market in markets if stored[market] < needed[timeframe])
            planned += [
                BackfillRange(
                    symbol=symbol,
                    timeframe=timeframe,
                    categories=categories,
                    start=start,
                    end=end,
                    requested_by=REQUESTED_BY,
                )
                for symbol, categories in short.items()
            ]
    return planned


def _markets(universe: Sequence[Instrument], regime: Sequence[Instrument], timeframe: Timeframe) -> list[Market]:
    wanted = [*universe, *regime] if timeframe in REGIME_TIMEFRAMES else universe
    return list(dict.fromkeys((Category(one.category), one.symbol) for one in wanted))


def _by_symbol(markets: Iterable[Market]) -> Mapping[str, tuple[Category, ...]]:
    """The regime's symbol first: everything is judged against it."""
    found: dict[str, tuple[Category, ...]] = {}
    for category, symbol in sorted(markets, key=lambda market: market[1] != REGIME_SYMBOL):
        found[symbol] = (*found.get(symbol, ()), category)
    return found
