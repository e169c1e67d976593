"""A market of several instruments, each made of base candles: what replay and the synthetic market have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from domain.candle import Timeframe, from_ms, to_ms
from domain.market import Category, Instrument
from exchange.paper.feed import AccountRatio, Bar, Interest, Liquidity, PriceKind, Tick
from exchange.paper.feeds.candle_sums import Prices
from exchange.paper.feeds.reference_prices import FUNDING_INTERVAL, ReferencedPerpetuals, ReferencePrices
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


class MarketSource(BarSource, Protocol):
    """Base candles and what goes with them. Stamps are (ms, value) of the newest ``limit`` in [first_ms, last_ms]."""

    def open_interest(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[tuple[int, Decimal]]:
        """Base coin open at stamps on the interval; [] where there is none."""
        ...

    def account_ratio(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[tuple[int, Decimal]]:
        """Shares of accounts that are long, at stamps on the interval; [] where there are none."""
        ...

    def known_funding(self, at_ms: int) -> Decimal | None:
        """The rate recorded as settled at an instant; None where none is."""
        ...

    def reference(self, kind: PriceKind) -> BarSource | None:
        """The recorded candles of a reference price; None where it follows from the trades."""
        ...


class SeriesPrices:
    """A series as prices in time. See ``PriceSeries``."""

    def __init__(self, series: TickedSeries) -> None:
        self.unit: Decimal = series.source.price_unit
        self.timeframe: Timeframe = series.source.timeframe
        self._series = series

    def price(self, now: datetime) -> Decimal:
        return self._series.last_price(to_ms(now))

    def prices(self, timeframe: Timeframe, start_ms: int, end_ms: int, now: datetime) -> Prices:
        return self._series.prices(timeframe, start_ms, end_ms, to_ms(now))


class BarFeed(ReferencedPerpetuals):
    """A ``Feed`` over base candles. ``start`` must be an open time of every source's timeframe for exact turnovers."""

    def __init__(
        self,
        sources: Iterable[MarketSource],
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
        self._seed = seed
        self._ticks_per_minute = ticks_per_minute
        self._sources = {(source.instrument.category, source.instrument.symbol): source for source in sources}
        self._series = {name: self._ticked(source) for name, source in sorted(self._sources.items())}
        self._references: dict[str, ReferencePrices] = {}
        self._window_ms = min(series.source.timeframe.milliseconds for series in self._series.values())

    def _ticked(self, source: BarSource) -> TickedSeries:
        return TickedSeries(
            source,
            key=series_key(self._seed, source.instrument.symbol),
            ticks_per_bar=ticks_per_bar(source.timeframe, self._ticks_per_minute),
            live_from_ms=to_ms(self.start),
        )

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
        source = self._perpetual(symbol)
        first, last = to_ms(start + _UP_TO_WHOLE_MS), to_ms(min(end, now))
        return [Interest(from_ms(ms), value) for ms, value in source.open_interest(interval_ms, first, last, limit)]

    def account_ratio(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[AccountRatio]:
        source = self._perpetual(symbol)
        first, last = to_ms(start + _UP_TO_WHOLE_MS), to_ms(min(end, now))
        stamps = source.account_ratio(interval_ms, first, last, limit)
        return [AccountRatio(from_ms(ms), share, 1 - share) for ms, share in stamps]

    def funding_rate(self, symbol: str, at: datetime, now: datetime | None = None) -> Decimal:
        """As ``Feed``'s; a recorded rate where there is one, and as the prediction the last one recorded."""
        known = at if now is None or now >= at else at - FUNDING_INTERVAL
        recorded = self._perpetual(symbol).known_funding(to_ms(known))
        return super().funding_rate(symbol, at, now) if recorded is None else recorded

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        return self._of(category, symbol).liquidity(to_ms(now))

    def _reference(self, symbol: str) -> ReferencePrices:
        made = self._references.get(symbol)
        if made is None:
            made = self._references[symbol] = self._make_reference(symbol)
        return made

    def _make_reference(self, symbol: str) -> ReferencePrices:
        traded = self._of(Category.LINEAR, symbol)
        source = self._perpetual(symbol)
        mark, index = (
            None if (recorded := source.reference(kind)) is None else SeriesPrices(self._ticked(recorded))
            for kind in (PriceKind.MARK, PriceKind.INDEX)
        )
        if index is None:
            index = SeriesPrices(self._series.get((Category.SPOT, symbol), traded))
        return ReferencePrices(SeriesPrices(traded), index, traded.instrument.tick_size, mark=mark)

    def _perpetual(self, symbol: str) -> MarketSource:
        self._of(Category.LINEAR, symbol)
        return self._sources[Category.LINEAR, symbol]

    def _of(self, category: Category, symbol: str) -> TickedSeries:
        try:
            return self._series[category, symbol]
        except KeyError:
            raise UnknownSymbol(f"{category} {symbol}") from None
