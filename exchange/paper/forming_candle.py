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
        self._close_time = self._open_time + timeframe.duration
        known = feed.bars(*name, timeframe, self._open_time, position, position)
        self._bar: Bar | None = known[0] if known else None
        self._traded_at = position
        self.moved = False  # whether the forming candle is another than the one last told

    def step(self, trades: Sequence[Tick], now: datetime) -> list[Row]:
        """Go on to ``now`` over the trades up to there; the rows of the candles closed since."""
        rows: list[Row] = []
        if now >= self._close_time:
            forming = self._timeframe.floor(now)
            closed = self._feed.bars(*self.name, self._timeframe, self._open_time, forming - _MILLISECOND, now)
            rows = [self._row(bar, bar.open_time + self._timeframe.duration) for bar in closed]
            self._open_time, self._close_time = forming, forming + self._timeframe.duration
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
