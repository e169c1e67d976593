"""Long/short account ratio of the synthetic market: small accounts are mostly long, and buy what has fallen.

Its logit falls with the returns of the last two days and has two moods of its own, of two weeks and of half a day; the
share of long accounts stays within (0.2, 0.8). A stamp knows the candles before it. Recorded every 4 hours, 2021 to
2025: 0.59 to 0.73 on average with a deviation of 0.08 to 0.13, against the last three days' return -0.15 to -0.32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from exchange.paper.feeds.interest_model import STAMPS_PER_BAR, STAMPS_PER_WEEK
from exchange.paper.feeds.market_model import BARS_PER_DAY, BARS_PER_WEEK, Floats, generator
from exchange.paper.feeds.tick_path import BarBlock
from exchange.paper.feeds.weekly_series import BILLION, before, billionths, persistent, smoothed

_DIGITS = Decimal("0.0001")
_RETURN_MEMORY = math.exp(-1 / (2 * BARS_PER_DAY))
_SLOW_MEMORY = math.exp(-1 / (14 * BARS_PER_DAY))
_FAST_MEMORY = math.exp(-1 / (BARS_PER_DAY / 2))
_USUAL_RETURN = 0.003 * math.sqrt((1 - _RETURN_MEMORY) / (1 + _RETURN_MEMORY))
_MIDDLE = 1.1
_AGAINST, _SLOW, _FAST, _WITHIN_BAR = 0.25, 0.75, 0.18, 0.02
_MOST = 3.0  # usual returns that still count


@dataclass(frozen=True, slots=True)
class _State:
    """Where a week ends, in billionths."""

    returns: int = 0
    slow: int = 0
    fast: int = 0


class RatioWeeks:
    """Shares of long accounts of one symbol, week by week; ``block`` gives a week's candles."""

    def __init__(self, seed: int, symbol: str, scale: float, block: Callable[[int], BarBlock]) -> None:
        self._seed = seed
        self._symbol = symbol
        self._scale = scale
        self._block = block
        self._weeks: list[Floats] = []
        self._state = _State()

    def at(self, stamp: int) -> Decimal:
        """The share at the five-minute stamp of this number, counted from the origin, to four decimals."""
        week, place = divmod(stamp, STAMPS_PER_WEEK)
        while len(self._weeks) <= week:
            self._weeks.append(self._next())
        share = 0.2 + 0.6 / (1 + math.exp(-self._weeks[week][place]))
        return min(max(Decimal(share).quantize(_DIGITS), Decimal("0.2001")), Decimal("0.7999"))

    def _next(self) -> Floats:
        number, was = len(self._weeks), self._state
        bars = self._block(number)
        rng = generator(self._seed, "ratio", self._symbol, number)
        made = np.log(bars.close / bars.open) / self._scale
        returns = smoothed(made, _RETURN_MEMORY, was.returns / BILLION)
        slow, fast = (
            persistent(rng, BARS_PER_WEEK, memory, 1.0, start)
            for memory, start in ((_SLOW_MEMORY, was.slow), (_FAST_MEMORY, was.fast))
        )
        known = np.clip(before(returns, was.returns / BILLION) / _USUAL_RETURN, -_MOST, _MOST)
        moods = _SLOW * before(slow, was.slow / BILLION) + _FAST * before(fast, was.fast / BILLION)
        within = _WITHIN_BAR * rng.standard_normal((BARS_PER_WEEK, STAMPS_PER_BAR))
        within[:, 0] = 0.0
        self._state = _State(*(billionths(column[-1]) for column in (returns, slow, fast)))
        return ((_MIDDLE - _AGAINST * known + moods)[:, None] + within).ravel()
