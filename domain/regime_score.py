"""The score of the market's regime at a 4h close: -100 (falling) to 100 (rising), from the candles of BTC.

Six terms of daily candles, each clipped to [-1, 1] and weighted; their sum is halved while the 4h candles disagree with
its sign. A score is that of a bounded window, which is part of the result: an EMA carries its seed for a long time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import talib

from domain.candle import Timeframe, from_ms

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.int64]

DAYS_LEAST: Final = 250
DAYS_MOST: Final = 1000
FOUR_HOURS: Final = 250
"""Candles of a score: daily ones without a hole, as many as there are within these bounds, and so many of 4h."""

_SLOW, _FAST, _SLOPE, _MOMENTUM, _STRUCTURE = 200, 50, 10, 30, 90

_WEIGHTS: Final[Mapping[str, float]] = {
    "close_over_ema_200": 25.0,
    "ema_50_over_ema_200": 20.0,
    "ema_50_slope": 15.0,
    "momentum_30d": 20.0,
    "drawdown_90d": 10.0,
    "height_90d": 10.0,
}


@dataclass(frozen=True, slots=True)
class Bars:
    """Closed candles of one timeframe, shape (bars,): open times in ms on its grid without a gap, NaN for no candle."""

    open_time: Instants
    high: Floats
    low: Floats
    close: Floats

    def __post_init__(self) -> None:
        if not len(self.open_time) == len(self.high) == len(self.low) == len(self.close):
            raise ValueError("columns of unequal length")


@dataclass(frozen=True, slots=True)
class Component:
    """``value`` in percent as measured, ``term`` what it counts for in [-1, 1], ``weight`` in points of the score."""

    value: float
    term: float
    weight: float


@dataclass(frozen=True, slots=True)
class Span:
    """The candles behind a score: so many, with open times (ms) from ``first`` to ``last``."""

    first: int
    last: int
    bars: int


@dataclass(frozen=True, slots=True)
class RegimeScore:
    """``score`` in [-100, 100]: the sum of the components, times ``factor``.

    ``confirmation`` is how far (percent) the 4h close is over its EMA-50; ``factor`` is 0.5 while that disagrees with
    the sum's sign and 1 otherwise.
    """

    score: float
    components: Mapping[str, Component]
    confirmation: float
    factor: float
    daily: Span
    four_hourly: Span

    def told_components(self) -> dict[str, Any]:
        """The score's terms as JSON, by name."""
        terms = {
            name: {"value": each.value, "term": each.term, "weight": each.weight}
            for name, each in self.components.items()
        }
        return {**terms, "confirmation_4h": {"value": self.confirmation, "factor": self.factor}}

    def told_inputs(self) -> dict[str, Any]:
        """The windows as JSON, by timeframe."""
        spans = {Timeframe.D1.value: self.daily, Timeframe.H4.value: self.four_hourly}
        return {
            timeframe: {
                "first_open": from_ms(span.first).isoformat(),
                "last_open": from_ms(span.last).isoformat(),
                "bars": span.bars,
            }
            for timeframe, span in spans.items()
        }


def score_at(daily: Bars, four_hourly: Bars, close_ms: int) -> RegimeScore | None:
    """The score at the 4h close ``close_ms``: nothing that closes later is looked at.

    None with fewer than ``DAYS_LEAST`` daily candles in a row up to the last one that had closed, or one of the last
    ``FOUR_HOURS`` 4h candles missing.
    """
    return score_series(daily, four_hourly, [close_ms])[0]


def score_series(daily: Bars, four_hourly: Bars, closes_ms: Sequence[int] | Instants) -> list[RegimeScore | None]:
    """``score_at`` of each of these 4h closes. The daily part is computed once a day."""
    days: dict[int, _Days | None] = {}
    found: list[RegimeScore | None] = []
    for close_ms in map(int, closes_ms):
        day = Timeframe.D1.floor_ms(close_ms)
        if day not in days:
            days[day] = _days(daily, day)
        found.append(_score(days[day], four_hourly, close_ms))
    return found


@dataclass(frozen=True, slots=True)
class _Days:
    components: Mapping[str, Component]
    span: Span


def _days(daily: Bars, until_ms: int) -> _Days | None:
    """The terms of the daily candles that had closed at ``until_ms``."""
    found = _window(daily, Timeframe.D1, until_ms, DAYS_LEAST, DAYS_MOST)
    if found is None:
        return None
    at, span = found
    high, low, close = daily.high[at], daily.low[at], np.ascontiguousarray(daily.close[at])
    slow, fast = talib.EMA(close, _SLOW)[-1], talib.EMA(close, _FAST)
    drawdown = _over(close[-1], high[-_STRUCTURE:].max())
    height = _over(close[-1], low[-_STRUCTURE:].min())
    terms = {
        "close_over_ema_200": _term(_over(close[-1], slow), 20.0),
        "ema_50_over_ema_200": _term(_over(fast[-1], slow), 10.0),
        "ema_50_slope": _term(_over(fast[-1], fast[-1 - _SLOPE]), 5.0),
        "momentum_30d": _term(_over(close[-1], close[-1 - _MOMENTUM]), 25.0),
        "drawdown_90d": (drawdown, _clipped(1.0 + 2.0 * drawdown / 30.0)),
        # far over its low a market is as likely to fall back as to go on: what is beyond the range counts half
        "height_90d": (height, 0.5 if height > 40.0 else _clipped(2.0 * height / 40.0 - 1.0)),
    }
    return _Days({name: Component(*terms[name], weight) for name, weight in _WEIGHTS.items()}, span)


def _score(days: _Days | None, four_hourly: Bars, close_ms: int) -> RegimeScore | None:
    found = _window(four_hourly, Timeframe.H4, close_ms, FOUR_HOURS, FOUR_HOURS)
    if days is None or found is None:
        return None
    at, span = found
    close = np.ascontiguousarray(four_hourly.close[at])
    confirmation = _over(close[-1], talib.EMA(close, _FAST)[-1])
    raw = sum(each.term * each.weight for each in days.components.values())
    factor = 0.5 if raw * confirmation < 0 else 1.0
    return RegimeScore(raw * factor, days.components, confirmation, factor, days.span, span)


def _window(bars: Bars, timeframe: Timeframe, until_ms: int, least: int, most: int) -> tuple[slice, Span] | None:
    """The candles up to the one that closed at ``until_ms``, as far back as none is missing and ``most`` at most."""
    if not len(bars.open_time):
        return None
    end = (until_ms - int(bars.open_time[0])) // timeframe.milliseconds
    if not 0 < end <= len(bars.open_time):
        return None
    first = max(end - most, 0)
    unknown = np.flatnonzero(~(np.isfinite(bars.close[first:end]) & (bars.low[first:end] > 0)))
    if len(unknown):
        first += int(unknown[-1]) + 1
    if end - first < least:
        return None
    at = slice(first, end)
    return at, Span(int(bars.open_time[first]), int(bars.open_time[end - 1]), end - first)


def _over(value: float, base: float) -> float:
    """By how many percent ``value`` is over ``base``."""
    return float(value / base - 1.0) * 100.0


def _term(value: float, full: float) -> tuple[float, float]:
    """A measure with what it counts for: all of it from ``full`` percent on, in either direction."""
    return value, _clipped(value / full)


def _clipped(term: float) -> float:
    return min(max(term, -1.0), 1.0)
