"""Index and mark price of a perpetual, their candles, and its funding rate: what follows from prices alone.

The index is the spot price where the market has the symbol there, else the perpetual's own. The mark is the index plus
the basis of the last closed quarter hour (the perpetual's close less the index's, at most 1 % of the index),
on the perpetual's tick. Where candles are longer than a quarter hour, the basis is of the last closed one of them. So
candles of both follow from candles: within one the basis stands still, and the mark's extremes are the index's. Markets
that have recorded series of either use those.

Funding is Bybit's: F = P + clamp(0.01 % - P, -0.05 %, 0.05 %), at most 0.5 % either way, with P the mean premium over
the index of the basis candles closed in the eight hours before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Protocol

import numpy as np

from domain.candle import Timeframe, from_ms, to_ms
from exchange.paper.feed import Bar, PriceKind
from exchange.paper.feeds.candle_sums import Prices, group_opens, sum_prices
from exchange.paper.feeds.tick_path import Ints

FUNDING_INTERVAL = timedelta(hours=8)
INTEREST_RATE = 0.0001
_CLAMP = 0.0005
_FUNDING_LIMIT = 0.005
_RATE_DIGITS = Decimal("0.00000001")
_MOST_BASIS = 100  # the index's hundredth part
_UP_TO_WHOLE_MS = timedelta(microseconds=999)
_ZERO = Decimal(0)


class PriceSeries(Protocol):
    """A price in time: ``timeframe`` is that of its base candles, ``unit`` what its whole numbers count."""

    unit: Decimal
    timeframe: Timeframe

    def price(self, now: datetime) -> Decimal: ...

    def prices(self, timeframe: Timeframe, start_ms: int, end_ms: int, now: datetime) -> Prices:
        """Candles that open in [start_ms, end_ms] as known at ``now``; the last may be forming."""
        ...


def funding_rate(premium: float) -> Decimal:
    """Bybit's rate of a mean premium (0.001 is 0.1 %), to eight decimals."""
    rate = premium + min(max(INTEREST_RATE - premium, -_CLAMP), _CLAMP)
    bounded = min(max(rate, -_FUNDING_LIMIT), _FUNDING_LIMIT)
    return Decimal(bounded).quantize(_RATE_DIGITS).normalize() + _ZERO


class ReferencePrices:
    """Reference prices of one perpetual whose trades are ``traded``; ``mark`` is given where it is recorded."""

    def __init__(
        self, traded: PriceSeries, index: PriceSeries, tick: Decimal, *, mark: PriceSeries | None = None
    ) -> None:
        self._traded = traded
        self._index = index
        self._mark = mark
        self._unit = _common_unit(traded.unit, index.unit, tick)
        self._tick = int(tick / self._unit)
        bases = (Timeframe.M15, traded.timeframe, index.timeframe)
        self._basis_of = max(bases, key=lambda timeframe: timeframe.milliseconds)
        self._last_basis: tuple[int, int] | None = None

    def index_price(self, now: datetime) -> Decimal:
        return self._index.price(now)

    def mark_price(self, now: datetime) -> Decimal:
        if self._mark is not None:
            return self._mark.price(now)
        index = int(self._index.price(now) / self._unit)
        marked = self._on_tick(np.array([index + self._basis_at(now)], np.int64))
        return int(marked[0]) * self._unit

    def bars(self, kind: PriceKind, timeframe: Timeframe, start: datetime, end: datetime, now: datetime) -> list[Bar]:
        """Candles with open time in [start, end] as known at ``now``, without volume."""
        first_ms, last_ms = to_ms(start + _UP_TO_WHOLE_MS), to_ms(end)
        if kind is PriceKind.INDEX:
            return _as_bars(self._index.prices(timeframe, first_ms, last_ms, now), self._index.unit, timeframe, now)
        if self._mark is not None:
            return _as_bars(self._mark.prices(timeframe, first_ms, last_ms, now), self._mark.unit, timeframe, now)
        return _as_bars(self._mark_prices(timeframe, first_ms, last_ms, now), self._unit, timeframe, now)

    def premium(self, at: datetime, now: datetime) -> float:
        """Mean premium of the perpetual over the index before the funding instant ``at``, from what ``now`` knows."""
        length = self._basis_of.milliseconds
        known = self._basis_of.floor(min(at, now))
        begin = min(to_ms(at - FUNDING_INTERVAL), to_ms(known) - length)
        _, traded, index = self._closes(begin, to_ms(known) - length, now)
        return float(np.mean((traded - index) / index)) if len(index) else 0.0

    def _mark_prices(self, timeframe: Timeframe, first_ms: int, last_ms: int, now: datetime) -> Prices:
        """The index's candles of the basis' length, or of ``timeframe`` if that is less, moved and summed up."""
        fine = min(timeframe, self._basis_of, key=lambda each: each.milliseconds)
        begin, end = timeframe.ceil_ms(first_ms), timeframe.floor_ms(last_ms) + timeframe.milliseconds
        index = self._index.prices(fine, begin, end - fine.milliseconds, now)
        if not len(index.open_ms):
            return index
        scale = self._scale(self._index)
        basis = self._basis_of_opens(index.open_ms, now)
        moved = Prices(index.open_ms, *(self._on_tick(column * scale + basis) for column in index[1:]))
        return sum_prices(group_opens(moved.open_ms, timeframe), moved)

    def _basis_of_opens(self, opens: Ints, now: datetime) -> Ints:
        """The basis in force in candles that open at ``opens``: of the basis candle before, 0 where there is none."""
        before = group_opens(opens, self._basis_of) - self._basis_of.milliseconds
        open_ms, traded, index = self._closes(int(before[0]), int(before[-1]), now)
        if not len(open_ms):
            return np.zeros(len(opens), np.int64)
        basis = np.clip(traded - index, -(index // _MOST_BASIS), index // _MOST_BASIS)
        place = np.searchsorted(open_ms, before, side="right") - 1
        return np.where(place >= 0, basis[np.maximum(place, 0)], 0)

    def _basis_at(self, now: datetime) -> int:
        forming = self._basis_of.floor_ms(to_ms(now))
        if self._last_basis is None or self._last_basis[0] != forming:
            basis = self._basis_of_opens(np.array([forming], np.int64), now)
            self._last_basis = forming, int(basis[0])
        return self._last_basis[1]

    def _closes(self, begin_ms: int, end_ms: int, now: datetime) -> tuple[Ints, Ints, Ints]:
        """(opens, perpetual's closes, index's) of the closed basis candles that open in [begin_ms, end_ms]."""
        closed = min(end_ms, self._basis_of.floor_ms(to_ms(now)) - self._basis_of.milliseconds)
        traded, index = (series.prices(self._basis_of, begin_ms, closed, now) for series in (self._traded, self._index))
        open_ms, of_traded, of_index = np.intersect1d(traded.open_ms, index.open_ms, return_indices=True)
        scales = self._scale(self._traded), self._scale(self._index)
        return open_ms, traded.close[of_traded] * scales[0], index.close[of_index] * scales[1]

    def _scale(self, series: PriceSeries) -> int:
        return int(series.unit / self._unit)

    def _on_tick(self, prices: Ints) -> Ints:
        return np.maximum((prices + self._tick // 2) // self._tick, 1) * self._tick


class ReferencedPerpetuals:
    """What a feed tells of its perpetuals' reference prices, made by ``_reference`` of a symbol; mixed into it."""

    _reference: Callable[[str], ReferencePrices]

    def index_price(self, symbol: str, now: datetime) -> Decimal:
        return self._reference(symbol).index_price(now)

    def mark_price(self, symbol: str, now: datetime) -> Decimal:
        return self._reference(symbol).mark_price(now)

    def price_bars(
        self, kind: PriceKind, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        return self._reference(symbol).bars(kind, Timeframe(timeframe), start, end, now)

    def funding_rate(self, symbol: str, at: datetime, now: datetime | None = None) -> Decimal:
        return funding_rate(self._reference(symbol).premium(at, at if now is None else now))


def _common_unit(*units: Decimal) -> Decimal:
    """The largest unit of which all are whole multiples."""
    places = max(max(-int(unit.normalize().as_tuple().exponent), 0) for unit in units)
    whole = [int(unit.scaleb(places)) for unit in units]
    return Decimal(reduce(math.gcd, whole)).scaleb(-places)


def _as_bars(prices: Prices, unit: Decimal, timeframe: Timeframe, now: datetime) -> list[Bar]:
    step, now_ms = timeframe.milliseconds, to_ms(now)
    return [
        Bar(from_ms(at), o * unit, hi * unit, lo * unit, c * unit, _ZERO, _ZERO, confirmed=at + step <= now_ms)
        for at, o, hi, lo, c in zip(*(column.tolist() for column in prices), strict=True)
    ]
