"""The prices of a tape of trades, as reference prices need them. See ``PriceSeries``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import numpy as np

from domain.candle import Timeframe, from_ms, to_ms
from exchange.paper.feeds.candle_sums import Prices
from exchange.paper.feeds.trade_tape import TradeTape


class TapePrices:
    """``unit`` is what all of the tape's prices are multiples of; nothing is told before ``begin``."""

    timeframe: Timeframe = Timeframe.M1

    def __init__(self, tape: TradeTape, unit: Decimal, begin: datetime) -> None:
        opening = tape.opening.normalize()
        self.unit: Decimal = min(unit, Decimal(1).scaleb(int(opening.as_tuple().exponent)))
        self._tape = tape
        self._begin_ms = to_ms(begin)

    def price(self, now: datetime) -> Decimal:
        return self._tape.price_at(now)

    def prices(self, timeframe: Timeframe, start_ms: int, end_ms: int, now: datetime) -> Prices:
        """Candles before the first trade stand at the opening price, and cost nothing to tell."""
        step = timeframe.milliseconds
        first = timeframe.ceil_ms(max(start_ms, self._begin_ms))
        last = timeframe.floor_ms(min(end_ms, to_ms(now)))
        traded = self._tape.first_at
        lively = last if traded is None else timeframe.floor_ms(to_ms(traded))
        closed = timeframe.floor_ms(to_ms(now)) - step
        flat = np.arange(first, max(min(lively - step, last, closed) + step, first), step, dtype=np.int64)
        rows = [(ms, *[int(self._tape.opening / self.unit)] * 4) for ms in flat.tolist()]
        for ms in range(first + len(flat) * step, last + 1, step):
            bar = self._tape.bar(from_ms(ms), timeframe.duration, now)
            if bar is not None:
                values = (bar.open, bar.high, bar.low, bar.close)
                rows.append((ms, *(int(value / self.unit) for value in values)))
        return Prices(*np.array(rows, np.int64).reshape(-1, 5).T)
