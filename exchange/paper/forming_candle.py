"""The candle that a kline subscription is watching: updated trade by trade, confirmed when market time passes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.candle import Timeframe
from domain.market import Category
from exchange.paper.feed import Bar, Feed, Tick
from exchange.paper.quotes import INTERVALS, Row
from exchange.paper.wire import number, to_millis

_CODES = {timeframe: code for code, timeframe in INTERVALS.items()}
_MILLISECOND = timedelta(milliseconds=1)


class FormingCandle:
    """Messages of one kline topic from ``position`` on."""

    def __init__(self, feed: Feed, name: tuple[Category, str], timeframe: Timeframe, position: datetime) -> None:
        self.name = name
        self._feed = feed
        self._timeframe = timeframe
        self._open_time = timeframe.floor(position)
        known = feed.bars(*name, timeframe, self._open_time, position, position)
        self._bar: Bar | None = known[0] if known else None

    def step(self, trades: Sequence[Tick], now: datetime) -> list[Row]:
        """Rows to tell for the trades up to ``now``: each candle closed since, then the forming one if it moved."""
        rows: list[Row] = []
        forming = self._open_time if now < self._open_time + self._timeframe.duration else self._timeframe.floor(now)
        if forming > self._open_time:
            closed = self._feed.bars(*self.name, self._timeframe, self._open_time, forming - _MILLISECOND, now)
            rows = [self._row(bar, bar.open_time + self._timeframe.duration) for bar in closed]
            self._open_time, self._bar = forming, None
        fresh = [tick for tick in trades if tick.at >= forming]
        for tick in fresh:
            self._bar = _grown(self._bar, forming, tick)
        if fresh and self._bar is not None:
            rows.append(self._row(self._bar, fresh[-1].at))
        return rows

    def _row(self, bar: Bar, traded_at: datetime) -> Row:
        start = to_millis(bar.open_time)
        return {
            "start": start,
            "end": start + self._timeframe.milliseconds - 1,
            "interval": _CODES[self._timeframe],
            "open": number(bar.open),
            "close": number(bar.close),
            "high": number(bar.high),
            "low": number(bar.low),
            "volume": number(bar.volume),
            "turnover": number(bar.turnover),
            "confirm": bar.confirmed,
            "timestamp": to_millis(traded_at),
        }


def _grown(bar: Bar | None, open_time: datetime, tick: Tick) -> Bar:
    price, value = tick.price, tick.price * tick.qty
    if bar is None:
        return Bar(open_time, price, price, price, price, tick.qty, value, confirmed=False)
    high, low = max(bar.high, price), min(bar.low, price)
    return Bar(open_time, bar.open, high, low, price, bar.volume + tick.qty, bar.turnover + value, confirmed=False)
