"""Series that the exchange stamps per interval, for a scan: open interest, and how many accounts are long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from activities.due_strategies import MicrostructureWanted
from db.models import LongShortRatioRow, OpenInterestRow
from db.repositories.long_short import upsert_long_short
from db.repositories.open_interest import upsert_open_interest
from db.repositories.stamped import StampedRow, missing_stamps
from db.session import Database
from domain.candle import Timeframe
from domain.microstructure import UNSTAMPED
from domain.strategies.contract import Needs
from exchange.protocol import Exchange, ExchangeError
from observability.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Series:
    """One of them: who needs it, where it is kept, how it is asked for and stored."""

    name: str
    row: type[StampedRow]
    needed: Callable[[Needs], bool]
    ask: Callable[[Exchange, str, Timeframe, datetime, datetime], Awaitable[Sequence[Any]]]
    store: Callable[[AsyncSession, Timeframe, Sequence[Any]], Awaitable[None]]


_SERIES = (
    _Series(
        "open interest",
        OpenInterestRow,
        lambda needs: needs.open_interest,
        lambda exchange, *asked: exchange.open_interest(*asked),
        upsert_open_interest,
    ),
    _Series(
        "long/short ratio",
        LongShortRatioRow,
        lambda needs: needs.long_short_ratio,
        lambda exchange, *asked: exchange.long_short_ratio(*asked),
        upsert_long_short,
    ),
)


async def fetch_stamps(
    database: Database,
    exchange: Exchange,
    wanted: Sequence[MicrostructureWanted],
    room: asyncio.Semaphore,
) -> None:
    """The stamps of every bar's open, for strategies that ask for them; what the exchange doesn't tell is unknown."""
    for series in _SERIES:
        missing = await _missing(database, series, wanted)
        await asyncio.gather(
            *(
                _fetch(room, database, exchange, series, timeframe, symbol, stamps)
                for (timeframe, symbol), stamps in missing.items()
            )
        )


async def _missing(
    database: Database, series: _Series, wanted: Sequence[MicrostructureWanted]
) -> dict[tuple[Timeframe, str], list[datetime]]:
    missing: dict[tuple[Timeframe, str], list[datetime]] = {}
    async with database.session() as session:
        for one in wanted:
            window, timeframe = one.window, one.window.timeframe
            if not series.needed(one.needs) or timeframe in UNSTAMPED:
                continue
            found = await missing_stamps(session, series.row, timeframe, window.symbols, window.first, window.last)
            for symbol, stamps in found.items():
                known = missing.setdefault((timeframe, symbol), [])
                known[:] = sorted({*known, *stamps})
    return missing


async def _fetch(
    room: asyncio.Semaphore,
    database: Database,
    exchange: Exchange,
    series: _Series,
    timeframe: Timeframe,
    symbol: str,
    stamps: Sequence[datetime],
) -> None:
    async with room:
        try:
            told = await series.ask(exchange, symbol, timeframe, stamps[0], stamps[-1])
        except ExchangeError as error:
            log.warning("no stamps to be had", series=series.name, symbol=symbol, timeframe=timeframe, error=str(error))
            return
        async with database.session() as session:
            await series.store(session, timeframe, told)
