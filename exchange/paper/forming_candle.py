"""The candle that a kline subscription is watching: updated trade by trade, confirmed when market time passes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.market import Category
from exchange.paper.feed import Bar, Feed, Tick
from exchange.paper.market_series import Interval, trade_bars
from exchange.paper.wire import Row, number, to_millis

_MILLISECOND = timedelta(milliseconds=1)


class FormingCandle:
    """Messages of one kline topic from ``position`` on."""

    def __init__(self, feed: Feed, name: tuple[Category, str], interval: Interval, position: datetime) -> None:
        self.name = name
        self._feed = feed
        self._interval = interval
        self._open_time = interval.floor(position)
        self._close_time = interval.close_of(self._open_time)
        known = trade_bars(feed, *name, interval, self._open_time, position, position)
        self._bar: Bar | None = known[0] if known else None
        self._traded_at = position
        self.moved = False  # whether the forming candle is another than the one last told

    def step(self, trades: Sequence[Tick], now: datetime) -> list[Row]:
        """Go on to ``now`` over the trades up to there; the rows of the candles closed since."""
        rows: list[Row] = []
        if now >= self._close_time:
            forming = self._interval.floor(now)
            closed = trade_bars(self._feed, *self.name, self._interval, self._open_time, forming - _MILLISECOND, now)
            rows = [self._row(bar, self._interval.close_of(bar.open_time)) for bar in closed]
            self._open_time, self._close_time = forming, self._interval.close_of(forming)
            self._bar, self.moved = None, False
        for tick in trades:
            if tick.at >= self._open_time:
                self._bar = _grown(self._bar, self._open_time, tick)
                self._traded_at, self.moved = tick.at, True
        return rows

    def forming(self) -> Row | None:
        """The row of the forming candle, if it moved since this was last asked."""
        if not self.moved or self._bar is None:
            return None
        self.moved = False
        return self._row(self._bar, self._traded_at)

    def _row(self, bar: Bar, traded_at: datetime) -> Row:
        start = to_millis(bar.open_time)
        return {
            "start": start,
            "end": to_millis(self._interval.close_of(bar.open_time)) - 1,
            "interval": self._interval.code,
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
