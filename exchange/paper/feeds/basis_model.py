"""How far a synthetic perpetual trades from its spot: crowded when the market has risen and much is open.

Crowding is a mean of a month's trend, of open interest over its level, and of a mood of its own with a memory of twelve
days. A crowd that buys lifts the perpetual from somewhat under its spot to over it; on top there is noise of hours and
of minutes. So funding, which follows from it, is persistent, mostly slightly positive, and highest in rising markets.
What it is in a candle follows from candles before it and from the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from exchange.paper.feeds.market_model import BARS_PER_DAY, BARS_PER_WEEK, Floats, generator
from exchange.paper.feeds.weekly_series import BILLION, before, billionths, persistent, smoothed

_TREND_MEMORY = math.exp(-1 / (15 * BARS_PER_DAY))
_MOOD_MEMORY = math.exp(-1 / (12 * BARS_PER_DAY))
_HOURS_MEMORY = math.exp(-1 / (0.6 * BARS_PER_DAY))
_USUAL_RETURN = 0.0028  # of a quarter hour, for a beta of 1
_USUAL_TREND = _USUAL_RETURN * math.sqrt((1 - _TREND_MEMORY) / (1 + _TREND_MEMORY))
_USUAL_INTEREST = 0.15
_TREND, _INTEREST, _MOOD = 0.6, 0.35, 0.7  # shares of crowding; their squares sum to about 1
_UNCROWDED = -0.00046
_LIFT = 0.0014
_STEEPNESS, _MIDDLE = 3.0, 1.15
_HOURS_SPREAD, _MINUTES_SPREAD = 0.00012, 0.00006
_MOST = 0.008


@dataclass(frozen=True, slots=True)
class BasisWeek:
    """A week's basis (logarithm of perpetual over spot) at each close, and its end state in billionths."""

    basis: Floats
    trend: int
    mood: int
    hours: int


def basis_week(
    seed: int, symbol: str, number: int, returns: Floats, interest: Floats, scale: float, last: BasisWeek | None
) -> BasisWeek:
    """Week ``number``'s basis over its spot ``returns`` and the ``interest`` (logarithm over its level) at each open.

    ``scale`` is how much larger than the usual return the symbol's are; ``last`` is the week before.
    """
    rng = generator(seed, "basis", symbol, number)
    was = last or BasisWeek(np.zeros(1), 0, 0, 0)
    trend = smoothed(returns / scale, _TREND_MEMORY, was.trend / BILLION)
    mood = persistent(rng, BARS_PER_WEEK, _MOOD_MEMORY, 1.0, was.mood)
    hours = persistent(rng, BARS_PER_WEEK, _HOURS_MEMORY, 1.0, was.hours)
    known = before(trend, was.trend / BILLION) / _USUAL_TREND
    crowding = _TREND * known + _INTEREST * interest / _USUAL_INTEREST + _MOOD * mood
    lift = _LIFT / (1 + np.exp(-_STEEPNESS * (crowding - _MIDDLE)))
    noise = _HOURS_SPREAD * hours + _MINUTES_SPREAD * rng.standard_normal(BARS_PER_WEEK)
    basis = np.clip(_UNCROWDED + lift + noise, -_MOST, _MOST)
    return BasisWeek(basis, *(billionths(column[-1]) for column in (trend, mood, hours)))
