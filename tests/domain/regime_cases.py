"""Markets for tests of the regime: 4h candles and the daily ones they add up to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe, to_ms
from domain.regime_score import Bars

START_MS = to_ms(datetime(2022, 1, 1, tzinfo=UTC))
A_DAY = 6
"""4h candles in a day."""


@dataclass(frozen=True)
class Market:
    """Candles of whole days from ``START_MS`` on."""

    daily: Bars
    four_hourly: Bars

    @property
    def closes(self) -> npt.NDArray[np.int64]:
        """Every 4h close."""
        return self.four_hourly.open_time + Timeframe.H4.milliseconds

    @property
    def end(self) -> int:
        """The last 4h close, which is a day's too."""
        return int(self.closes[-1])

    def until(self, close_ms: int) -> Market:
        """What had closed then."""
        days = self.daily.open_time + Timeframe.D1.milliseconds <= close_ms
        return Market(cut(self.daily, days), cut(self.four_hourly, self.closes <= close_ms))


def cut(bars: Bars, kept: npt.NDArray[np.bool_] | slice) -> Bars:
    return Bars(bars.open_time[kept], bars.high[kept], bars.low[kept], bars.close[kept])


def without(bars: Bars, place: int) -> Bars:
    """The same with no candle at ``place``."""
    columns = {name: getattr(bars, name).copy() for name in ("high", "low", "close")}
    for column in columns.values():
        column[place] = np.nan
    return replace(bars, **columns)


def market_of(close: npt.NDArray[np.float64], spread: float = 0.0) -> Market:
    """A market of these 4h closes (whole days); highs and lows are ``spread`` beyond open and close."""
    opened = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(opened, close) * (1 + spread), np.minimum(opened, close) * (1 - spread)
    at = START_MS + np.arange(len(close), dtype=np.int64) * Timeframe.H4.milliseconds
    days = Bars(
        at[::A_DAY],
        high.reshape(-1, A_DAY).max(axis=1),
        low.reshape(-1, A_DAY).min(axis=1),
        close[A_DAY - 1 :: A_DAY],
    )
    return Market(days, Bars(at, high, low, close))


def walking(days: int, seed: int, deviation: float = 0.012, drift: float = 0.0) -> Market:
    """A random walk with this deviation and drift of its logarithm in 4 hours."""
    steps = np.random.default_rng(seed).normal(drift, deviation, days * A_DAY)
    return market_of(30_000 * np.exp(np.cumsum(steps)), spread=0.002)


def growing(days: int, percent_a_day: float) -> Market:
    """A market that goes one way at one pace."""
    return market_of(30_000 * (1 + percent_a_day / 100) ** (np.arange(days * A_DAY) / A_DAY))
