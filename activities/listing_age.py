"""Since when a symbol trades, found out from its first candle where the exchange doesn't tell it (spot)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from domain.candle import Timeframe
from domain.history import OLDEST
from domain.market import Category, Instrument
from domain.universe import Market, Quote
from exchange.protocol import Exchange, ExchangeError, Refused
from observability.logs import get_logger

log = get_logger(__name__)

_ASKED = 100
"""Symbols asked for in one choice, the largest turnover first: the others have their turn with the next ones."""
_AT_ONCE = 4


async def with_ages(
    exchange: Exchange,
    listed: Sequence[Instrument],
    quotes: Mapping[Market, Quote],
    members: Collection[Market],
    now: datetime,
) -> tuple[list[Instrument], list[Instrument]]:
    """``listed`` with the days of listing that could be found out, and those alone for which one was.

    Members are not asked about: what isn't known costs them nothing. Who can't be asked now is asked again
    at the next choice.
    """
    unknown = [
        one for one in listed if one.launched_at is None and one.tradable and (one.category, one.symbol) not in members
    ]
    unknown.sort(key=lambda one: (-_turnover(one, quotes), one.category, one.symbol))
    room = asyncio.Semaphore(_AT_ONCE)

    async def dated(one: Instrument) -> Instrument:
        async with room:
            since = await listed_since(exchange, one.category, one.symbol, now)
        return one.model_copy(update={"launched_at": since})

    asked = await asyncio.gather(*(dated(one) for one in unknown[:_ASKED]))
    learned = {(one.category, one.symbol): one for one in asked if one.launched_at is not None}
    return [learned.get((one.category, one.symbol), one) for one in listed], list(learned.values())


async def listed_since(exchange: Exchange, category: Category, symbol: str, now: datetime) -> datetime | None:
    """The day of the first candle; None where there is none."""
    try:
        weeks = await exchange.candles(category, symbol, Timeframe.W1.value, OLDEST, now)
        if not weeks:
            return None
        first = weeks[0].open_time
        days = await exchange.candles(category, symbol, Timeframe.D1.value, first, first + timedelta(days=6))
    except Refused:
        return None
    except ExchangeError as error:  # one that can't be asked now keeps nothing of what is learned of the others
        log.warning("listing day not found out yet", symbol=symbol, error=str(error))
        return None
    return days[0].open_time if days else first


def _turnover(one: Instrument, quotes: Mapping[Market, Quote]) -> float:
    quote = quotes.get((one.category, one.symbol))
    return float(quote.turnover_usd) if quote is not None and quote.turnover_usd is not None else 0.0
