"""A market of several instruments, each made of base candles: what replay and the synthetic market have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from domain.candle import Timeframe, from_ms, to_ms
from domain.market import Category, Instrument
from exchange.paper.feed import Bar, Interest, Liquidity, Tick
from exchange.paper.feeds.tick_path import MIN_TICKS
from exchange.paper.feeds.ticked_series import BarSource, TickedSeries
from exchange.paper.options import TICKS_PER_MINUTE

_MOST_TICKS_PER_BAR = 288
_UP_TO_WHOLE_MS = timedelta(microseconds=999)


class UnknownSymbol(KeyError):
    """The market has no such instrument."""


def series_key(seed: int, symbol: str) -> int:
    """The 64-bit seed of a symbol's ticks: spot and perpetual take the same way."""
    digest = hashlib.sha256(f"{seed}/{symbol}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def ticks_per_bar(timeframe: Timeframe, per_minute: float) -> int:
    """Ticks of a base candle: ``per_minute`` of them, at least 4 and at most 288 (one in 5 minutes of a day)."""
    minutes = timeframe.milliseconds / 60_000
    return max(MIN_TICKS, min(round(per_minute * minutes), _MOST_TICKS_PER_BAR))


class BarFeed:
    """A ``Feed`` over base candles. ``start`` must be an open time of every source's timeframe for exact turnovers."""

    def __init__(
        self,
        sources: Iterable[BarSource],
        *,
        epoch: str,
        start: datetime,
        end: datetime | None,
        seed: int,
        ticks_per_minute: float = TICKS_PER_MINUTE,
    ) -> None:
        self.epoch = epoch
        self.start = start
        self.end = end
        self._series: dict[tuple[Category, str], TickedSeries] = {}
        for source in sorted(sources, key=lambda s: (s.instrument.category, s.instrument.symbol)):
            name = source.instrument.category, source.instrument.symbol
            self._series[name] = TickedSeries(
                source,
                key=series_key(seed, name[1]),
                ticks_per_bar=ticks_per_bar(source.timeframe, ticks_per_minute),
                live_from_ms=to_ms(start),
            )
        self._window_ms = min(series.source.timeframe.milliseconds for series in self._series.values())

    def instruments(self) -> list[Instrument]:
        return [series.instrument for series in self._series.values()]

    def ticks(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """Trades with ``after < at <= until`` in order, made one base candle at a time."""
        begin, end = to_ms(after), to_ms(until if self.end is None else min(until, self.end))
        while begin < end:
            upto = min(begin + self._window_ms, end)
            found = [
                (tick.at, place, tick.sequence, tick)
                for place, series in enumerate(self._series.values())
                for tick in series.ticks(begin, upto)
            ]
            found.sort()  # (at, place) never ties between different instruments, sequence decides within one
            yield from (entry[3] for entry in found)
            begin = upto

    def trades(self, category: Category, symbol: str, after: datetime, until: datetime) -> Iterator[Tick]:
        last = until if self.end is None else min(until, self.end)
        return self._of(category, symbol).ticks(to_ms(after), to_ms(last))

    def recent_ticks(self, category: Category, symbol: str, now: datetime, limit: int) -> list[Tick]:
        return self._of(category, symbol).recent_ticks(to_ms(now), limit)

    def bars(
        self, category: Category, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        series = self._of(category, symbol)
        first = to_ms(start + _UP_TO_WHOLE_MS)
        return series.bars(Timeframe(timeframe), first, to_ms(end), to_ms(now))

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal:
        return self._of(category, symbol).last_price(to_ms(now))

    def open_interest(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[Interest]:
        source = self._of(Category.LINEAR, symbol).source
        first, last = to_ms(start + _UP_TO_WHOLE_MS), to_ms(min(end, now))
        return [Interest(from_ms(ms), value) for ms, value in source.open_interest(interval_ms, first, last, limit)]

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        return self._of(category, symbol).liquidity(to_ms(now))

    def _of(self, category: Category, symbol: str) -> TickedSeries:
        try:
            return self._series[category, symbol]
        except KeyError:
            raise UnknownSymbol(f"{category} {symbol}") from None
