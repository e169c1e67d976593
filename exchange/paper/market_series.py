"""Candles of every length that Bybit lists, summed from the shorter ones that a market makes.

Lengths up to a day count from midnight UTC, weeks begin on Monday, months on their first day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.candle import MINUTE_MS, Timeframe, from_ms, to_ms
from domain.market import Category
from exchange.paper.feed import Bar, Feed, PriceKind

_MILLISECOND = timedelta(milliseconds=1)
_UP_TO_WHOLE_MS = timedelta(microseconds=999)
_A_YEAR_MS = 366 * 24 * 60 * MINUTE_MS
_PREMIUM_DIGITS = Decimal("0.00000001")
_ZERO = Decimal(0)

# candles of one timeframe that open in [start, end]
ReadBars = Callable[[Timeframe, datetime, datetime], list[Bar]]


@dataclass(frozen=True, slots=True)
class Interval:
    """A candle length by Bybit's ``code``: ``count`` candles of ``base``, or a calendar month of them (0)."""

    code: str
    base: Timeframe
    count: int = 1

    def floor_ms(self, instant_ms: int) -> int:
        """Open time (ms) of the candle that holds ``instant_ms``."""
        if self.count == 0:
            return _month_ms(_month_of(instant_ms))
        return instant_ms - (instant_ms - self.base.origin_ms) % self._step

    def ceil_ms(self, instant_ms: int) -> int:
        """The first open time (ms) at or after ``instant_ms``."""
        opening = self.floor_ms(instant_ms)
        return opening if opening == instant_ms else self.moved_ms(opening, 1)

    def moved_ms(self, open_ms: int, candles: int) -> int:
        """The open time (ms) ``candles`` later, or earlier."""
        if self.count == 0:
            return _month_ms(_month_of(open_ms) + candles)
        return open_ms + candles * self._step

    def floor(self, instant: datetime) -> datetime:
        return from_ms(self.floor_ms(to_ms(instant)))

    def close_of(self, open_time: datetime) -> datetime:
        """Where the candle that opens at ``open_time`` ends: the next one's open time."""
        return from_ms(self.moved_ms(to_ms(open_time), 1))

    @property
    def _step(self) -> int:
        return self.base.milliseconds * self.count


INTERVALS = {
    interval.code: interval
    for interval in (
        Interval("1", Timeframe.M1),
        Interval("3", Timeframe.M1, 3),
        Interval("5", Timeframe.M1, 5),
        Interval("15", Timeframe.M15),
        Interval("30", Timeframe.M15, 2),
        Interval("60", Timeframe.H1),
        Interval("120", Timeframe.H1, 2),
        Interval("240", Timeframe.H4),
        Interval("360", Timeframe.H1, 6),
        Interval("720", Timeframe.H4, 3),
        Interval("D", Timeframe.D1),
        Interval("W", Timeframe.W1),
        Interval("M", Timeframe.D1, 0),
    )
}


def kline_window(
    interval: Interval, start_ms: int | None, end_ms: int | None, limit: int, now: datetime
) -> tuple[datetime, datetime]:
    """(first, last) open time wanted: the newest ``limit`` before the end, or with a start alone the first from it."""
    newest = interval.floor_ms(min(to_ms(now), end_ms if end_ms is not None else to_ms(now)))
    if start_ms is None:
        return from_ms(interval.moved_ms(newest, 1 - limit)), from_ms(newest)
    first = interval.ceil_ms(min(start_ms, to_ms(now) + _A_YEAR_MS))
    if end_ms is None:
        return from_ms(first), from_ms(min(interval.moved_ms(first, limit - 1), newest))
    return from_ms(max(interval.moved_ms(newest, 1 - limit), first)), from_ms(newest)


def trade_bars(
    feed: Feed, category: Category, symbol: str, interval: Interval, start: datetime, end: datetime, now: datetime
) -> list[Bar]:
    """Candles of trades that open in [start, end] as known at ``now``, oldest first; the last may be forming.

    A candle opens with its first trade, is flat if it ended without one, and isn't there before.
    """

    def read(base: Timeframe, first: datetime, last: datetime) -> list[Bar]:
        return feed.bars(category, symbol, base, first, last, now)

    if interval.count == 1:
        return read(interval.base, start, end)
    made: list[Bar] = []
    for group in _groups(read, interval, start, end):
        whole = _sum(group, interval)
        if whole.volume:
            made.append(replace(_sum([bar for bar in group if bar.volume], interval), confirmed=whole.confirmed))
        elif whole.confirmed:
            made.append(whole)
    return made


def price_bars(
    feed: Feed, kind: PriceKind, symbol: str, interval: Interval, start: datetime, end: datetime, now: datetime
) -> list[Bar]:
    """Candles of a perpetual's mark or index price, oldest first."""

    def read(base: Timeframe, first: datetime, last: datetime) -> list[Bar]:
        return feed.price_bars(kind, symbol, base, first, last, now)

    return [_sum(group, interval) for group in _groups(read, interval, start, end)]


def premium_bars(
    feed: Feed, symbol: str, interval: Interval, start: datetime, end: datetime, now: datetime
) -> list[Bar]:
    """Candles of a perpetual's premium over its index (0.001 is 0.1 %).

    Known of a base candle are the premiums at its open, high, low and close; its extremes are the extremes of those.
    """

    def read(base: Timeframe, first: datetime, last: datetime) -> list[Bar]:
        index = {bar.open_time: bar for bar in feed.price_bars(PriceKind.INDEX, symbol, base, first, last, now)}
        traded = feed.bars(Category.LINEAR, symbol, base, first, last, now)
        return [_premium(bar, index[bar.open_time]) for bar in traded if bar.open_time in index]

    return [_sum(group, interval) for group in _groups(read, interval, start, end)]


def _groups(read: ReadBars, interval: Interval, start: datetime, end: datetime) -> list[list[Bar]]:
    """The base candles of each candle that opens in [start, end]."""
    first, last = interval.ceil_ms(to_ms(start + _UP_TO_WHOLE_MS)), interval.floor_ms(to_ms(end))
    if first > last:
        return []
    groups: list[list[Bar]] = []
    closes: datetime | None = None
    for bar in read(interval.base, from_ms(first), from_ms(interval.moved_ms(last, 1)) - _MILLISECOND):
        if closes is None or bar.open_time >= closes:
            groups.append([])
            closes = interval.close_of(interval.floor(bar.open_time))
        groups[-1].append(bar)
    return groups


def _sum(bars: list[Bar], interval: Interval) -> Bar:
    open_time, last = interval.floor(bars[0].open_time), bars[-1]
    ended = last.open_time + interval.base.duration >= interval.close_of(open_time)
    return Bar(
        open_time=open_time,
        open=bars[0].open,
        high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars),
        close=last.close,
        volume=sum((bar.volume for bar in bars), _ZERO),
        turnover=sum((bar.turnover for bar in bars), _ZERO),
        confirmed=last.confirmed and ended,
    )


def _premium(traded: Bar, index: Bar) -> Bar:
    opening, high, low, close = (
        ((price - base) / base).quantize(_PREMIUM_DIGITS)
        for price, base in (
            (traded.open, index.open),
            (traded.high, index.high),
            (traded.low, index.low),
            (traded.close, index.close),
        )
    )
    values = (opening, high, low, close)
    return Bar(traded.open_time, opening, max(values), min(values), close, _ZERO, _ZERO, traded.confirmed)


def _month_of(instant_ms: int) -> int:
    """Months since the year 0."""
    instant = from_ms(instant_ms)
    return instant.year * 12 + instant.month - 1


def _month_ms(month: int) -> int:
    year, index = divmod(month, 12)
    return to_ms(datetime(year, index + 1, 1, tzinfo=UTC))
