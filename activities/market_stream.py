"""The market stream: live prices, closed candles, taker volume and instruments of the universe.

Prices and taker volume are written once a second, closed candles (and everything with them) at once: a scan waits for
them, and in a market that is stepped nothing else happens until they are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity

from activities.candle_catch_up import CandleCatchUp
from activities.failures import EXCHANGE_UNAVAILABLE, failure
from activities.history import PacedHistory
from activities.stream_report import report_streams
from activities.taker_flow import QUARTER, TakerFlow
from activities.universe import followed, listed_universe
from db.repositories.market import upsert_candles, upsert_live_prices
from db.repositories.microstructure import taker_volume_since, upsert_taker_volume
from db.session import Database
from domain.candle import Timeframe
from domain.history import STORED_TIMEFRAMES
from domain.market import Category, Instrument
from exchange.protocol import Candle, Exchange, ExchangeError, StreamGap, Subscription, Ticker, Trade
from observability.logs import get_logger

log = get_logger(__name__)

_FLUSH_SECONDS = 1.0
_GATHER_SECONDS = 0.01
"""Candles of one close come in a row: so long the first of them waits for the others."""
_INSTRUMENTS_SECONDS = 3600.0
_LIVE_WITHIN_SECONDS = 5.0
_FOLLOW_SECONDS = 5.0
"""How soon a symbol that joined the universe is streamed, and one that left it (and isn't held any more) is not."""

_Market = tuple[Category, str]


class MarketStreamRequest(BaseModel):
    """``run_seconds`` is after how long the activity returns, so that its workflow can begin a fresh history."""

    run_seconds: int = 86_400


class MarketStreamActivities:
    def __init__(self, database: Database, exchange: Exchange, history: PacedHistory) -> None:
        self._database = database
        self._exchange = exchange
        self._history = history

    @activity.defn
    async def stream_market(self, request: MarketStreamRequest) -> None:
        """Keep prices, candles and taker volume current for the universe until ``run_seconds`` are over."""
        reader = _Reader(self._database, self._exchange, self._history)
        try:
            await reader.run(request.run_seconds)
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"market stream can't start: {error}") from error


class _Reader:
    def __init__(self, database: Database, exchange: Exchange, history: PacedHistory) -> None:
        self._database = database
        self._exchange = exchange
        self._tickers: dict[tuple[Category, str], tuple[Ticker, datetime]] = {}
        self._candles: list[Candle] = []
        self._flow = TakerFlow()
        self._urgent = asyncio.Event()
        self._catch_up = CandleCatchUp(database, exchange, history, self._take_candles)
        self._subscriptions: dict[_Market, list[Subscription]] = {}

    async def run(self, seconds: int) -> None:
        background = [asyncio.create_task(self._beat_forever()), asyncio.create_task(self._report_forever())]
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            universe = await listed_universe(self._database, self._exchange)
            await self._resume_flow()  # before the first trade: what is counted later is not in the base
            for instrument in universe:
                self._subscribe(instrument)
            background.append(asyncio.create_task(self._catch_up_forever(universe)))
            background.append(asyncio.create_task(self._refresh_instruments()))
            background.append(asyncio.create_task(self._follow_forever()))
            while loop.time() < end:
                await self._flush()
                await self._until_due()
        finally:
            for task in background:
                task.cancel()
            for market in list(self._subscriptions):
                self._leave(market)

    async def _until_due(self) -> None:
        """A second, or until something that must not wait has come."""
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._urgent.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_GATHER_SECONDS)

    async def _beat_forever(self) -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(1)

    async def _report_forever(self) -> None:
        while True:
            try:
                await report_streams(self._database, self._exchange)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("streams not reported", error=str(error))
            await asyncio.sleep(1)

    async def _refresh_instruments(self) -> None:
        while True:
            await asyncio.sleep(_INSTRUMENTS_SECONDS)
            try:
                await listed_universe(self._database, self._exchange)
            except (ExchangeError, SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("instruments not refreshed", error=str(error))

    async def _catch_up_forever(self, universe: Sequence[Instrument]) -> None:
        """Once the exchange serves the streams, so that no candle closes between the query and them."""
        await self._wait_live(universe)
        while True:
            try:
                await self._catch_up.fill(universe)
            except* (SQLAlchemyError, OSError, TimeoutError) as errors:
                log.warning("missed candles not fetched yet", error=str(errors.exceptions[0]))
            await asyncio.sleep(1)

    async def _wait_live(self, instruments: Sequence[Instrument]) -> None:
        asked = [each for one in instruments for each in self._subscriptions.get((one.category, one.symbol), ())]
        live = await asyncio.gather(*(each.wait_live(_LIVE_WITHIN_SECONDS) for each in asked))
        if not all(live):
            log.warning("market stream not live yet; catching up by query", streams=live.count(False))

    async def _follow_forever(self) -> None:
        while True:
            await asyncio.sleep(_FOLLOW_SECONDS)
            try:
                await self._follow()
            except* (SQLAlchemyError, OSError, TimeoutError) as errors:
                log.warning("universe not followed yet", error=str(errors.exceptions[0]))

    async def _follow(self) -> None:
        """Stream what joined the universe and leave what left it; what is held stays."""
        async with self._database.session() as session:
            wanted = {(one.category, one.symbol): one for one in await followed(session)}
        for market in self._subscriptions.keys() - wanted.keys():
            self._leave(market)
        joined = [wanted[market] for market in sorted(wanted.keys() - self._subscriptions.keys())]
        for instrument in joined:
            self._subscribe(instrument)
        if joined:
            await self._wait_live(joined)
            await self._catch_up.fill_edges(joined)

    def _leave(self, market: _Market) -> None:
        for subscription in self._subscriptions.pop(market):
            subscription.close()

    async def _resume_flow(self) -> None:
        now = (await self._exchange.market_clock()).now
        async with self._database.session() as session:
            self._flow.resume(await taker_volume_since(session, QUARTER.floor(now)))

    def _subscribe(self, instrument: Instrument) -> None:
        category, symbol = instrument.category, instrument.symbol
        flow = self._flow.market(category, symbol)

        def on_gap(gap: StreamGap) -> None:
            self._catch_up.broke(category, symbol, gap)

        def on_trades(trades: Sequence[Trade]) -> None:
            if flow.take(trades):
                self._urgent.set()

        # Trades first: what made a candle is counted when it is confirmed.
        add = self._subscriptions.setdefault((category, symbol), []).append
        add(self._exchange.subscribe_trades(category, symbol, on_trades, _ignore))
        add(self._exchange.subscribe_tickers(category, symbol, self._on_ticker, _ignore))
        for timeframe in STORED_TIMEFRAMES:
            notify = on_gap if timeframe is Timeframe.M15 else _ignore
            add(self._exchange.subscribe_candles(category, symbol, timeframe.value, self._on_candle, notify))

    def _on_ticker(self, ticker: Ticker) -> None:
        self._tickers[(ticker.category, ticker.symbol)] = (ticker, datetime.now(UTC))

    def _on_candle(self, candle: Candle) -> None:
        if candle.confirmed:
            self._take_candles((candle,))

    def _take_candles(self, candles: Sequence[Candle]) -> None:
        self._candles.extend(candle for candle in candles if candle.confirmed)
        self._urgent.set()

    async def _flush(self) -> None:
        self._urgent.clear()
        tickers, self._tickers = self._tickers, {}
        candles, self._candles = self._candles, []
        flow = self._flow.changes()
        prices = [
            (t.category, t.symbol, t.last_price, t.bid, t.ask, t.at, received) for t, received in tickers.values()
        ]
        try:
            async with self._database.session() as session:
                await upsert_live_prices(session, prices)
                await upsert_taker_volume(session, flow)
                await upsert_candles(session, candles)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.error("market data not written yet", error=str(error), candles=len(candles))
            self._candles = [*candles, *self._candles]
        else:
            self._flow.written(flow)


def _ignore(gap: StreamGap) -> None:
    """A gap whose consequences another subscription of the same socket takes care of, or that shows by itself."""
