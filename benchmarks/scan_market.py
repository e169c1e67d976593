"""A market's past to scan: 200 symbols walking at random on both categories, with all microstructure, as it is kept.

Hours are drawn, every longer candle is their sum. Everything goes straight into the tables by COPY: what is measured is
a scan, not how its history came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt

from domain.candle import EPOCH, Timeframe, from_ms, to_ms
from domain.market import Category
from domain.microstructure import FUNDING_INTERVAL
from exchange.protocol import Candle

Floats = npt.NDArray[Any]
SYMBOLS = ("BTCUSDT", *(f"C{number:03d}USDT" for number in range(1, 200)))
TIMEFRAMES = (Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1)
DAYS = 1060
"""Of history before the first scan: the regime looks back 1,000 days and 30 more."""
_KEPT = {Timeframe.H1: timedelta(days=25), Timeframe.H4: timedelta(days=80), Timeframe.D1: timedelta(days=420)}
"""What is stored of it, by timeframe: all of the others, and of BTC."""
_HOUR = timedelta(hours=1)
_HOURLY_MOVE = 0.006
_CANDLES = ("category", "symbol", "timeframe", "open_time", "open", "high", "low", "close", "volume", "turnover")


@dataclass(frozen=True, slots=True)
class Walk:
    """One symbol's candles of one timeframe: arrays over bars from ``first`` (an open time) on."""

    timeframe: Timeframe
    first: datetime
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def bars(self, start: datetime, end: datetime) -> range:
        """Places of the bars that open in [start, end)."""
        length = self.timeframe.duration
        return range(max(-((self.first - start) // length), 0), min(-((self.first - end) // length), len(self.open)))

    def at(self, bar: int) -> tuple[datetime, float, float, float, float, float, float]:
        """Open time, open, high, low, close, volume and turnover."""
        o, h, lo, c, v = (float(column[bar]) for column in (self.open, self.high, self.low, self.close, self.volume))
        return self.first + bar * self.timeframe.duration, o, h, lo, c, v, v * (h + lo) / 2


class ScanMarket:
    """The walks of ``symbols`` from ``DAYS`` before ``start`` (a Monday midnight) until ``days`` after it."""

    def __init__(self, start: datetime, days: int, symbols: Sequence[str] = SYMBOLS, seed: int = 7) -> None:
        assert start.weekday() == 0, "weeks begin on Mondays"
        self.start = start
        self.symbols = symbols
        self.first = start - timedelta(days=DAYS - DAYS % 7)
        hours = (start + timedelta(days=days) - self.first) // _HOUR
        random = np.random.default_rng(seed)
        self._walks = {symbol: _walks(random, self.first, hours) for symbol in symbols}

    def last_price(self, symbol: str) -> float:
        """Where the symbol stands at the start."""
        hours = self._walks[symbol][Timeframe.H1]
        return float(hours.close[(self.start - self.first) // _HOUR - 1])

    def closing_at(self, close_at: datetime) -> list[Candle]:
        """Every candle that closes then, as the stream brings them."""
        found = []
        for category in Category:
            for symbol in self.symbols:
                for timeframe, walk in self._walks[symbol].items():
                    if timeframe.floor(close_at) == close_at:
                        bar = (close_at - timeframe.duration - walk.first) // timeframe.duration
                        at, *numbers = walk.at(bar)
                        found.append(
                            Candle(
                                category=category,
                                symbol=symbol,
                                timeframe=timeframe,
                                open_time=at,
                                **dict(zip(_CANDLES[4:], numbers, strict=True)),
                                confirmed=True,
                            )
                        )
        return found

    async def store_past(self, dsn: str) -> None:
        """Everything before ``start``, as tidy as the server keeps what was stored long ago."""
        await self.store(dsn, self.first, self.start)
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()

    async def store(self, dsn: str, start: datetime, end: datetime) -> None:
        """Everything that is known of [start, end): candles that open and close there, and microstructure."""
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                for table, columns, rows in (
                    ("candles", _CANDLES, self._candles(start, end)),
                    ("taker_volume", ("category", "symbol", "open_time", "bought", "sold"), self._takers(start, end)),
                    ("open_interest", ("symbol", "interval", "at", "value"), self._stamps(start, end, 4e6, 3e5)),
                    (
                        "long_short_ratio",
                        ("symbol", "interval", "at", "long_share"),
                        self._stamps(start, end, 0.6, 0.02),
                    ),
                    ("funding_rates", ("symbol", "at", "rate"), self._funding(start, end)),
                ):
                    await connection.copy_records_to_table(table, columns=columns, records=rows)
        finally:
            await connection.close()

    def _candles(self, start: datetime, end: datetime) -> Iterable[tuple[Any, ...]]:
        for category in Category:
            for symbol in self.symbols:
                for timeframe, walk in self._walks[symbol].items():
                    kept = start if symbol == SYMBOLS[0] else max(start, end - _KEPT.get(timeframe, end - start))
                    for bar in walk.bars(kept, end - timeframe.duration + timedelta(milliseconds=1)):
                        yield category.value, symbol, timeframe.value, *walk.at(bar)

    def _takers(self, start: datetime, end: datetime) -> Iterable[tuple[Any, ...]]:
        """A quarter of each hour's volume a quarter, half of it bought: as long as windows of 4h are."""
        for category in Category:
            for symbol in self.symbols:
                walk = self._walks[symbol][Timeframe.H1]
                for bar in walk.bars(max(start, end - _KEPT[Timeframe.H4]), end):
                    opened, *_, volume, _ = walk.at(bar)
                    for quarter in range(4):
                        yield category.value, symbol, opened + quarter * _HOUR / 4, volume / 8, volume / 8

    def _stamps(self, start: datetime, end: datetime, mean: float, wide: float) -> Iterable[tuple[Any, ...]]:
        random = np.random.default_rng(to_ms(start) % 2**32)
        for symbol in self.symbols:
            for timeframe in (Timeframe.H1, Timeframe.H4):
                first = timeframe.floor(max(start, end - _KEPT[timeframe]))
                values = mean + wide * random.standard_normal((end - first) // timeframe.duration)
                for place, value in enumerate(values.tolist()):
                    yield symbol, timeframe.value, first + place * timeframe.duration, value

    def _funding(self, start: datetime, end: datetime) -> Iterable[tuple[Any, ...]]:
        kept = max(start, end - _KEPT[Timeframe.H4])
        first = kept - (kept - EPOCH) % FUNDING_INTERVAL
        for symbol in self.symbols:
            for place in range((end - first) // FUNDING_INTERVAL):
                yield symbol, first + (place + 1) * FUNDING_INTERVAL, 0.0001


def _walks(random: np.random.Generator, first: datetime, hours: int) -> dict[Timeframe, Walk]:
    """A geometric walk by hours, and its sums."""
    moves = _HOURLY_MOVE * random.standard_normal(hours)
    close = np.round(100 * np.exp(np.cumsum(moves - moves.mean())), 4)
    open_ = np.concatenate([close[:1], close[:-1]])
    reach = np.exp(np.abs(_HOURLY_MOVE / 2 * random.standard_normal((2, hours))))
    high, low = np.maximum(open_, close) * reach[0], np.minimum(open_, close) / reach[1]
    hourly = Walk(Timeframe.H1, first, open_, high, low, close, random.lognormal(8, 1, hours))
    return {each: hourly if each is Timeframe.H1 else _sum(hourly, each) for each in TIMEFRAMES}


def _sum(hourly: Walk, timeframe: Timeframe) -> Walk:
    each = timeframe.duration // _HOUR
    whole = len(hourly.open) // each * each

    def grouped(column: Floats) -> Floats:
        return column[:whole].reshape(-1, each)

    return Walk(
        timeframe,
        hourly.first,
        grouped(hourly.open)[:, 0],
        grouped(hourly.high).max(axis=1),
        grouped(hourly.low).min(axis=1),
        grouped(hourly.close)[:, -1],
        grouped(hourly.volume).sum(axis=1),
    )


def monday(day: str) -> datetime:
    """A date as the midnight that begins it."""
    return from_ms(to_ms(datetime.fromisoformat(day).replace(tzinfo=UTC)))
