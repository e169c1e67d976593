"""A seeded market of several symbols without end, with two years of history before its start.

Base candles of 15 minutes are made by the week (see ``market_model``) when they are first asked for, and kept. The same
seed gives the same market, and a symbol's prices don't depend on which others are traded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe, to_ms
from domain.market import Category, Instrument
from exchange.paper.feed import PriceKind
from exchange.paper.feeds.bar_feed import BarFeed
from exchange.paper.feeds.basis_model import BasisWeek, basis_week
from exchange.paper.feeds.interest_model import STAMP_MS, InterestWeeks
from exchange.paper.feeds.market_model import (
    BARS_PER_DAY,
    BARS_PER_WEEK,
    FactorWeek,
    SymbolWeek,
    factor_week,
    symbol_week,
    traits_of,
)
from exchange.paper.feeds.ratio_model import RatioWeeks
from exchange.paper.feeds.tick_path import BarBlock, Ints
from exchange.paper.feeds.ticked_series import BarSource
from exchange.paper.instruments import make_instrument
from exchange.paper.options import TICKS_PER_MINUTE

HISTORY_WEEKS = 104
_SPOT_SHARE = 0.3
_FEWEST_UNITS = 100
_INTEREST_DAYS = 0.3  # with this share of the traits' volume, open interest is half of a usual day's


class FactorWeeks:
    """The common factor of a seed, week by week."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._weeks: list[FactorWeek] = []

    def week(self, number: int) -> FactorWeek:
        while len(self._weeks) <= number:
            before = self._weeks[-1] if self._weeks else None
            self._weeks.append(factor_week(self._seed, len(self._weeks), before))
        return self._weeks[number]


class SymbolWeeks:
    """One symbol's weeks over the common factor, scaled so that it stands at ``price`` when candle ``start`` opens."""

    def __init__(self, seed: int, symbol: str, price: Decimal, factor: FactorWeeks, start: int) -> None:
        self.instruments = {category: make_instrument(category, symbol, price) for category in Category}
        self._symbol = symbol
        self._price = price
        self._start = start
        self._seed = seed
        self._factor = factor
        self._traits = traits_of(symbol)
        self._last: SymbolWeek | None = None
        self._blocks: dict[Category, list[BarBlock]] = {category: [] for category in Category}
        self._beginning: float | None = None  # price at the beginning of history
        unit = float(price) * float(self.instruments[Category.LINEAR].qty_step)
        level = _INTEREST_DAYS * BARS_PER_DAY * self._traits.volume / unit
        # both follow the spot price, because the perpetual's own follows from open interest
        self.interest = InterestWeeks(seed, symbol, level, lambda week: self.block(Category.SPOT, week))
        self.ratio = RatioWeeks(seed, symbol, self._traits.scale, lambda week: self.block(Category.SPOT, week))
        self._basis: BasisWeek | None = None

    def block(self, category: Category, week: int) -> BarBlock:
        """The 672 candles of a week in whole units of the instrument's tick and quantity step."""
        while len(self._blocks[Category.LINEAR]) <= week and len(self._blocks[category]) <= week:
            self._make(len(self._blocks[Category.LINEAR]))
        return self._blocks[category][week]

    def _make(self, number: int) -> None:
        """The next week: the spot's first, then the open interest over it, then the perpetual's."""
        made = self._last = self._week(number, self._last)
        spot, linear = self._blocks[Category.SPOT], self._blocks[Category.LINEAR]
        spot.append(self._in_units(Category.SPOT, number, made, np.zeros(BARS_PER_WEEK), spot))
        interest = self.interest.levels(number)
        returns = made.close - made.open
        self._basis = basis_week(self._seed, self._symbol, number, returns, interest, self._traits.scale, self._basis)
        linear.append(self._in_units(Category.LINEAR, number, made, self._basis.basis, linear))

    def _week(self, number: int, before: SymbolWeek | None) -> SymbolWeek:
        return symbol_week(self._seed, self._symbol, self._traits, number, self._factor.week(number), before)

    def _price_at_beginning(self) -> float:
        """The price that leads to the wanted one at the start: the way there is walked once to know."""
        if self._beginning is None:
            week: SymbolWeek | None = None
            for number in range(self._start // BARS_PER_WEEK + 1):
                week = self._week(number, week)
            level = float(week.open[self._start % BARS_PER_WEEK]) if week is not None else 0.0
            self._beginning = float(self._price) * float(np.exp(-level))
        return self._beginning

    def _in_units(
        self,
        category: Category,
        number: int,
        week: SymbolWeek,
        basis: npt.NDArray[np.float64],
        made: Sequence[BarBlock],
    ) -> BarBlock:
        instrument = self.instruments[category]
        linear = category is Category.LINEAR
        price = self._price_at_beginning()
        scale = price / float(instrument.tick_size) * np.exp(basis)
        close = np.maximum(_whole(np.exp(week.close) * scale), 1)
        first = made[-1].close[-1] if made else close[0]
        opening = np.concatenate([[first], close[:-1]])
        quote = week.volume if linear else week.volume * _SPOT_SHARE
        units = quote / (np.exp(week.close) * price * float(instrument.qty_step))
        return BarBlock(
            number=np.arange(number * BARS_PER_WEEK, (number + 1) * BARS_PER_WEEK),
            open=opening,
            high=np.maximum(_whole(np.exp(week.high) * scale), np.maximum(opening, close)),
            low=np.maximum(np.minimum(_whole(np.exp(week.low) * scale), np.minimum(opening, close)), 1),
            close=close,
            volume=np.maximum(_whole(units), _FEWEST_UNITS),
        )


class SyntheticSource:
    """One instrument of the synthetic market. See ``BarSource``."""

    timeframe: Timeframe = Timeframe.M15
    count: int | None = None

    def __init__(self, weeks: SymbolWeeks, instrument: Instrument, origin_ms: int) -> None:
        self.instrument: Instrument = instrument
        self.origin_ms = origin_ms
        self.price_unit = instrument.tick_size
        self.qty_unit = instrument.qty_step
        self._weeks = weeks

    def block(self, first: int, last: int) -> BarBlock:
        weeks = range(first // BARS_PER_WEEK, max(last - 1, first) // BARS_PER_WEEK + 1)
        parts = [self._weeks.block(self.instrument.category, week) for week in weeks]
        begin = first - weeks.start * BARS_PER_WEEK
        chosen = slice(begin, begin + last - first)
        if len(parts) == 1:
            joined = [_column(parts[0], name)[chosen] for name in _COLUMNS]
        else:
            joined = [np.concatenate([_column(part, name) for part in parts])[chosen] for name in _COLUMNS]
        return BarBlock(*joined)

    def known_turnover(self, first: int, last: int) -> npt.NDArray[np.float64] | None:
        return None

    def open_interest(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[tuple[int, Decimal]]:
        interest = self._weeks.interest
        return [
            (ms, interest.at((ms - self.origin_ms) // STAMP_MS) * self.qty_unit)
            for ms in self._stamps(interval_ms, first_ms, last_ms, limit)
        ]

    def account_ratio(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[tuple[int, Decimal]]:
        ratio = self._weeks.ratio
        stamps = self._stamps(interval_ms, first_ms, last_ms, limit)
        return [(ms, ratio.at((ms - self.origin_ms) // STAMP_MS)) for ms in stamps]

    def _stamps(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> range:
        last = last_ms - last_ms % interval_ms
        first = max(first_ms, self.origin_ms, last - (limit - 1) * interval_ms)
        return range(first + -first % interval_ms, last + 1, interval_ms)

    def known_funding(self, at_ms: int) -> Decimal | None:
        return None

    def reference(self, kind: PriceKind) -> BarSource | None:
        return None


_COLUMNS = ("number", "open", "high", "low", "close", "volume")


def _column(block: BarBlock, name: str) -> Ints:
    return getattr(block, name)


def _whole(values: npt.NDArray[np.float64]) -> Ints:
    return np.rint(values).astype(np.int64)


def synthetic_feed(
    opening: Mapping[str, Decimal], *, seed: int, start: datetime, ticks_per_minute: float = TICKS_PER_MINUTE
) -> BarFeed:
    """The market of ``seed`` whose symbols stand at ``opening`` (quote coins) at ``start``.

    ``start`` is floored to 15 minutes; history reaches 104 weeks further back.
    """
    begin = Timeframe.M15.floor(start)
    origin_ms = Timeframe.W1.floor_ms(to_ms(begin)) - HISTORY_WEEKS * Timeframe.W1.milliseconds
    factor = FactorWeeks(seed)
    sources: list[SyntheticSource] = []
    for symbol, price in opening.items():
        weeks = SymbolWeeks(seed, symbol, price, factor, (to_ms(begin) - origin_ms) // Timeframe.M15.milliseconds)
        sources += [SyntheticSource(weeks, instrument, origin_ms) for instrument in weeks.instruments.values()]
    told = (
        f"{seed} {begin.isoformat()} {sorted((name, str(price)) for name, price in opening.items())} {ticks_per_minute}"
    )
    epoch = f"synthetic-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    return BarFeed(sources, epoch=epoch, start=begin, end=None, seed=seed, ticks_per_minute=ticks_per_minute)
