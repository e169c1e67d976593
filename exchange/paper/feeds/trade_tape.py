"""The trades of one instrument in memory, and candles made of them; flat at ``opening`` before the first trade."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from domain.candle import Timeframe
from exchange.paper.feed import Bar, Tick

_MINUTE = Timeframe.M1.duration
_ZERO = Decimal(0)


class TradeTape:
    """Append-only. Candles of whole minutes are kept ready, so that long candles don't walk every trade."""

    def __init__(self, opening: Decimal) -> None:
        self.opening = opening
        self._ticks: list[Tick] = []
        self._times: list[datetime] = []
        self._minutes: list[Bar] = []
        self._minute_times: list[datetime] = []

    @property
    def last_sequence(self) -> int:
        return self._ticks[-1].sequence if self._ticks else 0

    @property
    def last_price(self) -> Decimal:
        return self._ticks[-1].price if self._ticks else self.opening

    def __len__(self) -> int:
        return len(self._ticks)

    @property
    def first_at(self) -> datetime | None:
        """When the first trade was; None before any."""
        return self._times[0] if self._times else None

    def append(self, tick: Tick) -> None:
        """Add a trade not older than the last."""
        self._ticks.append(tick)
        self._times.append(tick.at)
        minute = Timeframe.M1.floor(tick.at)
        if self._minute_times and self._minute_times[-1] == minute:
            self._minutes[-1] = _with(self._minutes[-1], tick)
        else:
            self._minute_times.append(minute)
            self._minutes.append(_first(minute, tick))

    def forget(self, before: datetime) -> None:
        """Drop the trades before an instant, and the candles of the minutes before it."""
        end = bisect_left(self._times, before)
        self.opening = self._ticks[end - 1].price if end else self.opening
        minutes = bisect_left(self._minute_times, Timeframe.M1.floor(before))
        del self._ticks[:end], self._times[:end]
        del self._minutes[:minutes], self._minute_times[:minutes]

    def between(self, after: datetime, until: datetime) -> list[Tick]:
        """Trades with ``after < at <= until``."""
        return self._ticks[bisect_right(self._times, after) : bisect_right(self._times, until)]

    def recent(self, now: datetime, limit: int) -> list[Tick]:
        end = bisect_right(self._times, now)
        return self._ticks[max(end - limit, 0) : end]

    def price_at(self, now: datetime) -> Decimal:
        end = bisect_right(self._times, now)
        return self._ticks[end - 1].price if end else self.opening

    def bar(self, open_time: datetime, duration: timedelta, now: datetime) -> Bar | None:
        """The candle as known at ``now``: flat if nothing was traded, None while it forms without a trade."""
        close_time = open_time + duration
        complete = min(close_time, Timeframe.M1.floor(now))
        first, last = bisect_left(self._minute_times, open_time), bisect_left(self._minute_times, complete)
        total: Bar | None = None
        for minute in self._minutes[first:last]:
            total = replace(minute, open_time=open_time) if total is None else _sum(total, minute)
        if complete < close_time:
            begin = bisect_left(self._times, max(complete, open_time))
            for tick in self._ticks[begin : bisect_right(self._times, now)]:
                total = _first(open_time, tick) if total is None else _with(total, tick)
        if close_time > now:
            return total
        if total is None:
            before = bisect_left(self._times, open_time)
            price = self._ticks[before - 1].price if before else self.opening
            total = Bar(open_time, price, price, price, price, _ZERO, _ZERO, confirmed=True)
        return replace(total, confirmed=True)


def merged(open_time: datetime, parts: Iterable[Bar]) -> Bar | None:
    """The forming candle of consecutive shorter ones; None where nothing was traded."""
    total: Bar | None = None
    for part in (each for each in parts if each.volume):
        total = replace(part, open_time=open_time, confirmed=False) if total is None else _sum(total, part)
    return total


def _first(open_time: datetime, tick: Tick) -> Bar:
    price = tick.price
    return Bar(open_time, price, price, price, price, tick.qty, price * tick.qty, confirmed=False)


def _with(bar: Bar, tick: Tick) -> Bar:
    return _sum(bar, _first(bar.open_time, tick))


def _sum(bar: Bar, later: Bar) -> Bar:
    return Bar(
        bar.open_time,
        bar.open,
        max(bar.high, later.high),
        min(bar.low, later.low),
        later.close,
        bar.volume + later.volume,
        bar.turnover + later.turnover,
        confirmed=False,
    )
