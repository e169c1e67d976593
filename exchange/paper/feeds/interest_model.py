"""Open interest of the synthetic market: a series on five minutes that follows the symbol's own candles.

Its logarithm is pulled back to its level with a memory of twenty days. It rises with a candle that goes on where the
last hours went, the more the larger move and volume are (positions are opened), and falls with one that goes
against them (they are closed). What it is at an instant follows from candles that had closed by then and from the seed:
asking tells nothing of the future, and nothing depends on what else was asked. Recorded BTC (``open_interest`` every
4 hours, 2021 to 2025): its changes deviate by 0.023, and it is 0.45 of a day's volume.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exchange.paper.feeds.market_model import BARS_PER_DAY, BARS_PER_WEEK, Floats, generator
from exchange.paper.feeds.tick_path import BarBlock
from exchange.paper.feeds.weekly_series import BILLION, billionths, decaying_sum, smoothed

STAMP_MS = 300_000
STAMPS_PER_BAR = 3
STAMPS_PER_WEEK = STAMPS_PER_BAR * BARS_PER_WEEK
_MEMORY = math.exp(-1 / (20 * BARS_PER_DAY))
_TREND_MEMORY = math.exp(-1 / (BARS_PER_DAY / 4))
_USUAL_MEMORY = math.exp(-1 / BARS_PER_DAY)
_TREND_SPREAD = math.sqrt((1 - _TREND_MEMORY) / (1 + _TREND_MEMORY))
_DRIVEN = 0.0040
_BY_CHANCE = 0.0035
_WITHIN_BAR = 0.0015
_MOST = 4.0  # usual sizes of a move, or usual volumes, that still count


@dataclass(frozen=True, slots=True)
class _State:
    """Where a week ends, in billionths, so that a machine's last bit does not grow into another series."""

    level: int = 0
    trend: int = 0
    usual_move: int = 0
    usual_volume: int = 0


class InterestWeeks:
    """Open interest of one symbol, week by week; ``block`` gives a week's candles, ``level`` is in quantity steps."""

    def __init__(self, seed: int, symbol: str, level: float, block: Callable[[int], BarBlock]) -> None:
        self._seed = seed
        self._symbol = symbol
        self._level = level
        self._block = block
        self._weeks: list[Floats] = []
        self._state = _State()

    def at(self, stamp: int) -> int:
        """Quantity steps open at the five-minute stamp of this number, counted from the origin."""
        week, place = divmod(stamp, STAMPS_PER_WEEK)
        while len(self._weeks) <= week:
            self._weeks.append(self._next())
        return max(round(self._level * math.exp(self._weeks[week][place])), 1)

    def levels(self, week: int) -> Floats:
        """The logarithm's distance from its level at the open of each candle of a week."""
        self.at(week * STAMPS_PER_WEEK)
        return self._weeks[week][::STAMPS_PER_BAR]

    def _next(self) -> Floats:
        """The next week's logarithms. A stamp on a candle's open knows the candles before it."""
        number, before = len(self._weeks), self._state
        bars = self._block(number)
        rng = generator(self._seed, "interest", self._symbol, number)
        returns, volume = np.log(bars.close / bars.open), bars.volume.astype(np.float64)
        usual_move = smoothed(np.abs(returns), _USUAL_MEMORY, _start(before.usual_move, np.abs(returns)))
        usual_volume = smoothed(volume, _USUAL_MEMORY, _start(before.usual_volume, volume))
        move = np.clip(returns / np.maximum(usual_move, 1e-9), -_MOST, _MOST)
        trend = smoothed(move, _TREND_MEMORY, before.trend / BILLION)
        held = np.concatenate([[before.trend / BILLION], trend[:-1]])
        activity = np.sqrt(np.minimum(volume / np.maximum(usual_volume, 1e-9), _MOST))
        driven = _DRIVEN * np.tanh(held / _TREND_SPREAD) * move * activity
        change = driven + _BY_CHANCE * rng.standard_normal(BARS_PER_WEEK)
        level = decaying_sum(change, _MEMORY, before.level / BILLION)
        opening = np.concatenate([[before.level / BILLION], level[:-1]])
        within = _WITHIN_BAR * rng.standard_normal((BARS_PER_WEEK, STAMPS_PER_BAR))
        within[:, 0] = 0.0
        self._state = _State(*(billionths(x[-1]) for x in (level, trend, usual_move, usual_volume)))
        return (opening[:, None] + within).ravel()


def _start(kept: int, values: Floats) -> float:
    """What was usual before the week; its first day's mean at the beginning of time."""
    return kept / BILLION if kept else float(values[:BARS_PER_DAY].mean())
