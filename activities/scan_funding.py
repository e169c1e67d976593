"""Funding for a scan: every settlement up to the close, of the perpetuals that somebody wants to enter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from activities.due_strategies import MicrostructureWanted
from db.repositories.funding_rates import settled_reach, upsert_funding_rates
from db.session import Database
from domain.candle import EPOCH
from domain.microstructure import FUNDING_INTERVAL
from exchange.protocol import Exchange, ExchangeError
from observability.logs import get_logger

log = get_logger(__name__)

_SHORTEST_INTERVAL = timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)
_PATIENCE_SECONDS = 2.0
"""Wall time for which a settlement of this very close is asked for: the exchange may still be writing it."""
_ASK_AGAIN_SECONDS = 0.25


async def fetch_funding(
    database: Database,
    exchange: Exchange,
    wanted: Sequence[MicrostructureWanted],
    close_at: datetime,
    room: asyncio.Semaphore,
) -> None:
    """Store the settlements that decisions at ``close_at`` look at; what the exchange doesn't tell is unknown."""
    begins = _begins(wanted)
    patience_ends = time.monotonic() + _PATIENCE_SECONDS
    asked: set[str] = set()  # for the whole of it: what a young perpetual lacks of its beginning never comes
    missing = await _missing(database, begins, close_at, asked)
    while missing:
        await asyncio.gather(
            *(_fetch(room, database, exchange, symbol, start, close_at) for symbol, start in missing.items())
        )
        asked |= missing.keys()
        missing = await _missing(database, begins, close_at, asked)
        if not missing or not _settles_at(close_at) or time.monotonic() > patience_ends:
            return
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _begins(wanted: Sequence[MicrostructureWanted]) -> Mapping[str, datetime]:
    """By symbol, after when a settlement counts: one interval before its first bar closes."""
    begins: dict[str, datetime] = {}
    for one in wanted:
        if one.needs.funding_rate:
            begin = one.window.first + one.window.timeframe.duration - FUNDING_INTERVAL
            begins |= {symbol: min(begin, begins.get(symbol, begin)) for symbol in one.window.symbols}
    return begins


async def _missing(
    database: Database, begins: Mapping[str, datetime], close_at: datetime, asked: Collection[str]
) -> Mapping[str, datetime]:
    """From when on to ask, by symbol. What is stored has no gaps: it was stored in one go up to a close. Who was
    ``asked`` before is wanted for the newest settlement alone."""
    if not begins:
        return {}
    async with database.session() as session:
        reach = await settled_reach(session, list(begins), min(begins.values()), close_at)
    missing = {}
    for symbol, begin in begins.items():
        oldest, newest = reach.get(symbol, (close_at, EPOCH))
        if oldest > begin + FUNDING_INTERVAL and symbol not in asked:
            missing[symbol] = begin + _MILLISECOND
        elif newest + _SHORTEST_INTERVAL <= close_at:
            missing[symbol] = newest + _MILLISECOND
    return missing


async def _fetch(
    room: asyncio.Semaphore, database: Database, exchange: Exchange, symbol: str, start: datetime, close_at: datetime
) -> None:
    async with room:
        try:
            told = await exchange.funding_rates(symbol, start, close_at)
        except ExchangeError as error:
            log.warning("no funding to be had", symbol=symbol, error=str(error))
            return
        async with database.session() as session:
            await upsert_funding_rates(session, told)


def _settles_at(close_at: datetime) -> bool:
    """Whether every perpetual settles then, however short its interval is."""
    return (close_at - EPOCH) % FUNDING_INTERVAL == timedelta(0)
