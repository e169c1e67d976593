"""The candles a scan decides on: waited for at the edge, fetched where they are missing, counted when that is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel
from temporalio import activity

from activities.beating import beating
from activities.due_strategies import (
    DueStrategy,
    ScanRequest,
    Window,
    due_strategies,
    together,
    windows_of,
)
from activities.failures import EXCHANGE_UNAVAILABLE, failure
from activities.scan_microstructure import fetch_open_interest, takers_counted
from activities.universe import listed_universe
from db.repositories.candles import Hole, count_each, holes
from db.repositories.market import list_instruments, upsert_candles
from db.repositories.scans import DONE, begin_scan
from db.repositories.settings import current_settings, settings_version
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from exchange.protocol import Exchange, ExchangeError, Refused
from observability.logs import get_logger

log = get_logger(__name__)

_POLL_SECONDS = 0.05
_AT_ONCE = 8
"""Candle queries under way at a time: the rest of the exchange's rate limit is for trading."""
_EDGE_PATIENCE_SECONDS = 2.0
"""Wall time for which a candle that just closed is asked for: our reading of the market's clock may run ahead."""
_OUTAGE_ATTEMPTS = 5
"""From this attempt on, a symbol the exchange can't answer for counts as missing instead of holding up the others."""

_Series = tuple[Category, str, Timeframe]


class OpenedScan(BaseModel):
    """``done``: this close was scanned before, there is nothing to do."""

    done: bool


class Gap(BaseModel):
    """Candles that a strategy needs of a symbol and nobody has."""

    strategy: str
    symbol: str
    bars: int


class Completeness(BaseModel):
    """``symbols`` (of all strategies together) were asked for, ``fetched`` candles came by REST; ``gaps`` stay."""

    symbols: int
    fetched: int
    gaps: list[Gap]


class ScanCandleActivities:
    """The first half of ``scan/<close>``. Each is safe to repeat."""

    def __init__(self, database: Database, exchange: Exchange, strategies: Mapping[str, Strategy] = STRATEGIES) -> None:
        self._database = database
        self._exchange = exchange
        self._strategies = strategies

    @activity.defn
    async def open_scan(self, request: ScanRequest) -> OpenedScan:
        """Write down that the close is being scanned."""
        async with self._database.session() as session:
            version = await settings_version(session)
            scan = await begin_scan(session, request.epoch, request.close_at, request.timeframes, version)
            return OpenedScan(done=scan.state == DONE)

    @activity.defn
    async def complete_candles(self, request: ScanRequest) -> Completeness:
        """Every candle of every window the due strategies need, as far as the exchange has them."""
        async with beating():
            try:
                await self._learn_instruments()
                due = await self._due(request)
                windows = together(window for one in due for window in windows_of(one, request.close_at))
                fetched = await self._complete(windows, request.close_at)
                await takers_counted(self._database, self._exchange, due, request.close_at)
                await fetch_open_interest(self._database, self._exchange, due, request.close_at)
            except ExchangeError as error:
                raise failure(EXCHANGE_UNAVAILABLE, f"can't complete the candles: {error}") from error
            return Completeness(
                symbols=len({(one.config.category, symbol) for one in due for symbol in one.symbols}),
                fetched=fetched,
                gaps=await self._gaps(due, request.close_at),
            )

    async def _learn_instruments(self) -> None:
        """Ask the exchange what it lists if nothing is known yet: the market stream may not have come to it."""
        async with self._database.session() as session:
            known = await list_instruments(session)
        if not known:
            await listed_universe(self._database, self._exchange)

    async def _due(self, request: ScanRequest) -> list[DueStrategy]:
        async with self._database.session() as session:
            return await due_strategies(session, self._strategies, request.timeframes)

    async def _complete(self, windows: Sequence[Window], close_at: datetime) -> int:
        """Old gaps by REST at once; the candles just closed by the stream within the grace, then by REST."""
        found = await self._missing(windows)
        edges = {series: only for series, only in found.items() if _is_edge(series, only, windows)}
        fetched = await self._fetch({series: gaps for series, gaps in found.items() if series not in edges})
        while edges and await self._within_grace(close_at):
            await asyncio.sleep(_POLL_SECONDS)
            edges = {series: gaps for series, gaps in (await self._missing(windows)).items() if series in edges}
        patience_ends = time.monotonic() + _EDGE_PATIENCE_SECONDS
        while edges:
            fetched += await self._fetch(edges)
            edges = {series: gaps for series, gaps in (await self._missing(windows)).items() if series in edges}
            if time.monotonic() > patience_ends:
                break
            if edges:
                await asyncio.sleep(_POLL_SECONDS)
        return fetched

    async def _within_grace(self, close_at: datetime) -> bool:
        """Whether the stream may still bring the candle: market time, and none where the market stands still."""
        async with self._database.session() as session:
            grace = timedelta(seconds=float((await current_settings(session))["scan_grace_seconds"]))
        clock = await self._exchange.market_clock()
        return not clock.step and clock.now < close_at + grace

    async def _missing(self, windows: Sequence[Window]) -> dict[_Series, list[Hole]]:
        """What is not stored of the windows, by series."""
        missing: dict[_Series, list[Hole]] = {}
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

    async def _fetch(self, missing: Mapping[_Series, Sequence[Hole]]) -> int:
        """Ask the exchange for what is missing, a few at a time, and store what has closed."""
        room = asyncio.Semaphore(_AT_ONCE)
        fetches = [asyncio.create_task(self._fetch_series(room, *each)) for each in missing.items()]
        try:
            return sum(await asyncio.gather(*fetches))
        finally:  # one that failed ends the attempt: the others must not go on beside the next one
            for fetch in fetches:
                fetch.cancel()

    async def _fetch_series(self, room: asyncio.Semaphore, series: _Series, gaps: Sequence[Hole]) -> int:
        category, symbol, timeframe = series
        start, last = gaps[0].start, gaps[-1].start + (gaps[-1].bars - 1) * timeframe.duration
        async with room:
            try:
                found = await self._exchange.candles(category, symbol, timeframe, start, last)
            except Refused as refused:
                log.warning("no candles to be had", symbol=symbol, timeframe=timeframe, error=str(refused))
                return 0
            except ExchangeError as error:
                if activity.info().attempt < _OUTAGE_ATTEMPTS:
                    raise
                log.error("candles given up for this scan", symbol=symbol, timeframe=timeframe, error=str(error))
                return 0
            closed = [candle for candle in found if candle.confirmed]
            async with self._database.session() as session:
                await upsert_candles(session, closed)
        return len(closed)

    async def _gaps(self, due: Sequence[DueStrategy], close_at: datetime) -> list[Gap]:
        gaps = []
        for one in due:
            missing: dict[str, int] = {}
            for (_, symbol, _), found in (await self._missing(windows_of(one, close_at))).items():
                missing[symbol] = missing.get(symbol, 0) + sum(hole.bars for hole in found)
            gaps += [Gap(strategy=one.config.strategy, symbol=symbol, bars=bars) for symbol, bars in missing.items()]
        return sorted(gaps, key=lambda gap: (gap.strategy, gap.symbol))


def _is_edge(series: _Series, gaps: Sequence[Hole], windows: Sequence[Window]) -> bool:
    """Whether all that is missing is the candle that closed just now."""
    category, _, timeframe = series
    last = next(each.last for each in windows if (each.category, each.timeframe) == (category, timeframe))
    return len(gaps) == 1 and gaps[0].start == last
