"""The market stream: live prices once a second, closed candles as they come, instruments on start and hourly."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity

from activities.failures import EXCHANGE_UNAVAILABLE, failure
from activities.stream_report import report_streams
from db.models import CandleRow
from db.repositories.market import upsert_candles, upsert_instruments, upsert_live_prices
from db.repositories.settings import current_settings
from db.session import Database
from domain.market import Category, Instrument
from exchange.protocol import Candle, Exchange, ExchangeError, StreamGap, Subscription, Ticker
from observability.logs import get_logger

log = get_logger(__name__)

TIMEFRAMES = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
}
_FLUSH_SECONDS = 1.0
_INSTRUMENTS_SECONDS = 3600.0


class MarketStreamRequest(BaseModel):
    """``run_seconds`` is after how long the activity returns, so that its workflow can begin a fresh history."""

    run_seconds: int = 86_400


class MarketStreamActivities:
    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange

    @activity.defn
    async def stream_market(self, request: MarketStreamRequest) -> None:
        """Keep ``live_prices`` and ``candles`` current for the universe until ``run_seconds`` are over."""
        reader = _Reader(self._database, self._exchange)
        try:
            await reader.run(request.run_seconds)
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"market stream can't start: {error}") from error


class _Reader:
    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._tickers: dict[tuple[Category, str], tuple[Ticker, datetime]] = {}
        self._candles: list[Candle] = []
        self._gaps: asyncio.Queue[tuple[Category, str, StreamGap]] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []

    async def run(self, seconds: int) -> None:
        background = [asyncio.create_task(self._refill_forever()), asyncio.create_task(self._beat_forever())]
        loop = asyncio.get_running_loop()
        end, instruments_due = loop.time() + seconds, loop.time() + _INSTRUMENTS_SECONDS
        try:
            for instrument in await self._universe():
                self._subscribe(instrument)
            while loop.time() < end:
                await self._flush()
                if loop.time() >= instruments_due:
                    instruments_due = loop.time() + _INSTRUMENTS_SECONDS
                    await self._universe()
                await asyncio.sleep(_FLUSH_SECONDS)
        finally:
            for task in background:
                task.cancel()
            for subscription in self._subscriptions:
                subscription.close()

    async def _beat_forever(self) -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(1)

    async def _universe(self) -> list[Instrument]:
        """Instruments of the setting ``universe`` that the exchange lists; an empty setting means all it lists."""
        listed = [one for category in Category for one in await self._exchange.instruments(category)]
        async with self._database.session() as session:
            wanted = set((await current_settings(session))["universe"])
            chosen = [one for one in listed if not wanted or one.symbol in wanted]
            await upsert_instruments(session, chosen)
        if not chosen:
            log.error("no symbol of the setting universe is listed", universe=sorted(wanted))
        return [one for one in chosen if one.tradable]

    def _subscribe(self, instrument: Instrument) -> None:
        category, symbol = instrument.category, instrument.symbol

        def on_gap(gap: StreamGap) -> None:
            self._gaps.put_nowait((category, symbol, gap))

        self._subscriptions.append(self._exchange.subscribe_tickers(category, symbol, self._on_ticker, lambda _: None))
        for timeframe in TIMEFRAMES:
            notify = on_gap if timeframe == "15m" else lambda _: None
            self._subscriptions.append(
                self._exchange.subscribe_candles(category, symbol, timeframe, self._on_candle, notify)
            )

    def _on_ticker(self, ticker: Ticker) -> None:
        self._tickers[(ticker.category, ticker.symbol)] = (ticker, datetime.now(UTC))

    def _on_candle(self, candle: Candle) -> None:
        if candle.confirmed:
            self._candles.append(candle)

    async def _flush(self) -> None:
        tickers, self._tickers = self._tickers, {}
        candles, self._candles = self._candles, []
        try:
            async with self._database.session() as session:
                await upsert_live_prices(
                    session,
                    [
                        (t.category, t.symbol, t.last_price, t.bid, t.ask, t.at, received)
                        for t, received in tickers.values()
                    ],
                )
                await upsert_candles(session, [_row(candle) for candle in _newest(candles)])
            await report_streams(self._database, self._exchange)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.error("market data not written yet", error=str(error), candles=len(candles))
            self._candles = [*candles, *self._candles]

    async def _refill_forever(self) -> None:
        """Candles that closed while the stream was broken, by REST."""
        while True:
            category, symbol, gap = await self._gaps.get()
            try:
                clock = await self._exchange.market_clock()
                missed = (gap.back_at - gap.lost_at) * max(clock.speed, 1.0)
                for timeframe, length in TIMEFRAMES.items():
                    start = clock.now - missed - 2 * length
                    candles = await self._exchange.candles(category, symbol, timeframe, start, clock.now)
                    self._candles.extend(candle for candle in candles if candle.confirmed)
            except ExchangeError as error:
                log.warning("missed candles not fetched yet", symbol=symbol, error=str(error))
                await asyncio.sleep(1)
                self._gaps.put_nowait((category, symbol, gap))


def _newest(candles: list[Candle]) -> list[Candle]:
    """One of each candle, the last told: PostgreSQL refuses to upsert a row twice in one statement."""
    return list({(c.category, c.symbol, c.timeframe, c.open_time): c for c in candles}.values())


def _row(candle: Candle) -> CandleRow:
    return CandleRow(**candle.model_dump(exclude={"confirmed"}))
