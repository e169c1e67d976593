"""Candles that closed while the stream was not there: before it began, and while it was broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from activities.history import PacedHistory
from db.repositories.candles import Market, newest_candles
from db.session import Database
from domain.candle import Timeframe
from domain.history import PAGE_BARS, STORED_TIMEFRAMES, bars_between
from domain.market import Category, Instrument
from exchange.protocol import Candle, Exchange, ExchangeError, StreamGap
from observability.logs import get_logger

log = get_logger(__name__)

_RETRY_SECONDS = 1.0
_SERIES_AT_ONCE = 8
_STILL_GAP = timedelta(days=1)  # where the market moves in steps, or has ended, no speed says how far it came

Take = Callable[[Sequence[Candle]], None]


class CandleCatchUp:
    """Hands the closed candles that a stream missed to ``take``."""

    def __init__(self, database: Database, exchange: Exchange, history: PacedHistory, take: Take) -> None:
        self._database = database
        self._exchange = exchange
        self._history = history
        self._take = take
        self._gaps: asyncio.Queue[tuple[Market, StreamGap]] = asyncio.Queue()

    def broke(self, category: Category, symbol: str, gap: StreamGap) -> None:
        """A stream of this market was broken and is back."""
        self._gaps.put_nowait(((category, symbol), gap))

    async def fill(self, instruments: Sequence[Instrument]) -> None:
        """What closed since the newest stored candle of each series, and then what breaks for as long as it runs.

        A series without any candle, or with more than a page missing, is a backfill's business.
        """
        await self.fill_edges(instruments)
        while True:
            market, gap = await self._gaps.get()
            try:
                await self._refill(*market, gap)
            except ExchangeError as error:
                log.warning("missed candles not fetched yet", symbol=market[1], error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self._gaps.put_nowait((market, gap))

    async def fill_edges(self, instruments: Sequence[Instrument]) -> None:
        """What closed since the newest stored candle of each series, once."""
        markets = [(one.category, one.symbol) for one in instruments]
        async with self._database.session() as session:
            newest = await newest_candles(session, markets, STORED_TIMEFRAMES)
        places = asyncio.Semaphore(_SERIES_AT_ONCE)

        async def fill(category: Category, symbol: str, timeframe: Timeframe, stored: datetime) -> None:
            async with places:
                await self._fill_edge(category, symbol, timeframe, stored)

        async with asyncio.TaskGroup() as filling:
            for key, stored in _shortest_first(newest):
                filling.create_task(fill(*key, stored))

    async def _fill_edge(self, category: Category, symbol: str, timeframe: Timeframe, stored: datetime) -> None:
        start = stored + timeframe.duration
        while True:
            try:
                end = timeframe.floor((await self._exchange.market_clock()).now)
                missing = bars_between(timeframe, start, end)
                if not 0 < missing <= PAGE_BARS:
                    return
                self._take(await self._history.candles(category, symbol, timeframe, start, end))
                return
            except ExchangeError as error:
                log.warning("candles up to now not fetched yet", symbol=symbol, error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _refill(self, category: Category, symbol: str, gap: StreamGap) -> None:
        clock = await self._exchange.market_clock()
        missed = _STILL_GAP if clock.speed <= 0 else (gap.back_at - gap.lost_at) * max(clock.speed, 1.0)
        for timeframe in STORED_TIMEFRAMES:
            start = timeframe.floor(clock.now - missed - timeframe.duration)
            end = timeframe.floor(clock.now)
            self._take(await self._history.candles(category, symbol, timeframe, start, end))


def _shortest_first(
    newest: Mapping[tuple[Category, str, Timeframe], datetime],
) -> list[tuple[tuple[Category, str, Timeframe], datetime]]:
    """Decisions on short timeframes come soonest."""
    return sorted(newest.items(), key=lambda each: each[0][2].milliseconds)
