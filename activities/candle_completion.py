"""Windows of candles made complete: waited for at the edge, fetched where they are missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from temporalio import activity

from activities.due_strategies import Window
from db.repositories.candles import Hole, count_each, holes
from db.repositories.market import upsert_candles
from db.repositories.settings import current_settings
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from exchange.protocol import Exchange, ExchangeError, Refused
from observability.logs import get_logger

log = get_logger(__name__)

_POLL_SECONDS = 0.05
_AT_ONCE = 8
"""Candle queries under way at a time: the rest of the exchange's rate limit is for trading."""
_EDGE_PATIENCE_SECONDS = 2.0
"""Wall time for which a candle that just closed is asked for: our reading of the market's clock may run ahead."""
OUTAGE_ATTEMPTS = 5
"""From this attempt on, a symbol the exchange can't answer for counts as missing instead of holding up the others."""

Series = tuple[Category, str, Timeframe]


class CandleCompletion:
    """For activities: how long an exchange that doesn't answer is waited for depends on the attempt."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange

    async def complete(self, windows: Sequence[Window], close_at: datetime) -> int:
        """Old gaps by REST at once; the candles just closed by the stream within the grace, then by REST.

        How many candles came by REST. Raises the exchange's errors.
        """
        return await self.fill(windows, await self.missing(windows), close_at)

    async def fill(self, windows: Sequence[Window], found: Mapping[Series, Sequence[Hole]], close_at: datetime) -> int:
        """The same, with what is known to be missing of ``windows``."""
        edges = {series: only for series, only in found.items() if _is_edge(series, only, close_at)}
        fetched = await self._fetch({series: gaps for series, gaps in found.items() if series not in edges})
        while edges and await self._within_grace(close_at):
            await asyncio.sleep(_POLL_SECONDS)
            edges = {series: gaps for series, gaps in (await self.missing(windows)).items() if series in edges}
        patience_ends = time.monotonic() + _EDGE_PATIENCE_SECONDS
        while edges:
            fetched += await self._fetch(edges)
            edges = {series: gaps for series, gaps in (await self.missing(windows)).items() if series in edges}
            if time.monotonic() > patience_ends:
                break
            if edges:
                await asyncio.sleep(_POLL_SECONDS)
        return fetched

    async def missing(self, windows: Sequence[Window]) -> dict[Series, list[Hole]]:
        """What is not stored of the windows, by series."""
        missing: dict[Series, list[Hole]] = {}
        async with self._database.session() as session:
            for window in windows:
                end = window.last + window.timeframe.duration
                markets = [(window.category, symbol) for symbol in window.symbols]
                counts = await count_each(session, markets, window.timeframe, window.first, end)
                for (category, symbol), count in counts.items():
                    if count < window.bars:
                        series = category, symbol, window.timeframe
                        missing[series] = await holes(session, *series, window.first, end)
        return missing

    async def _within_grace(self, close_at: datetime) -> bool:
        """Whether the stream may still bring the candle: market time, and none where the market stands still."""
        async with self._database.session() as session:
            grace = timedelta(seconds=float((await current_settings(session))["scan_grace_seconds"]))
        clock = await self._exchange.market_clock()
        return not clock.step and clock.now < close_at + grace

    async def _fetch(self, missing: Mapping[Series, Sequence[Hole]]) -> int:
        """Ask the exchange for what is missing, a few at a time, and store what has closed."""
        room = asyncio.Semaphore(_AT_ONCE)
        fetches = [asyncio.create_task(self._fetch_series(room, *each)) for each in missing.items()]
        try:
            return sum(await asyncio.gather(*fetches))
        finally:  # one that failed ends the attempt: the others must not go on beside the next one
            for fetch in fetches:
                fetch.cancel()

    async def _fetch_series(self, room: asyncio.Semaphore, series: Series, gaps: Sequence[Hole]) -> int:
        category, symbol, timeframe = series
        start, last = gaps[0].start, gaps[-1].start + (gaps[-1].bars - 1) * timeframe.duration
        async with room:
            try:
                found = await self._exchange.candles(category, symbol, timeframe, start, last)
            except Refused as refused:
                log.warning("no candles to be had", symbol=symbol, timeframe=timeframe, error=str(refused))
                return 0
            except ExchangeError as error:
                if activity.info().attempt < OUTAGE_ATTEMPTS:
                    raise
                log.error("candles given up for this scan", symbol=symbol, timeframe=timeframe, error=str(error))
                return 0
            closed = [candle for candle in found if candle.confirmed]
            async with self._database.session() as session:
                await upsert_candles(session, closed)
        return len(closed)


def _is_edge(series: Series, gaps: Sequence[Hole], close_at: datetime) -> bool:
    """Whether all that is missing is the candle that closed just now."""
    *_, timeframe = series
    return len(gaps) == 1 and gaps[0].start == close_at - timeframe.duration
