"""The synthetic market's arithmetic: weeks of 15-minute returns with what real ones have.

One common factor drives all symbols. It has regimes that last about ten days (rising, falling, quiet, turbulent),
stochastic volatility (its logarithm is the sum of two AR(1) processes, after Taylor, 1986: one of days, and bursts of
about an hour), a daily rhythm and Student-t shocks. A symbol's return is its beta times the factor plus shocks of its
own of the same kind. Highs and lows are the extremes of a Brownian bridge between open and close. A weak pull towards
the level of the beginning keeps a market that runs for years at plausible prices.

A week follows from the one before it and the seed alone. What is carried on is rounded to whole billionths, so that
the last bit of a machine's exp and log does not grow into another market.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from exchange.paper.feeds.tick_path import Floats, Ints
from exchange.paper.feeds.weekly_series import BILLION, billionths, persistent

BARS_PER_DAY = 96
BARS_PER_WEEK = 7 * BARS_PER_DAY
_BAR_DEVIATION = 0.0019  # about 37 % a year, before regimes and volatility of volatility
_MEMORY = math.exp(-1 / (2.5 * BARS_PER_DAY))
_VOLATILITY_SPREAD = 0.33  # standard deviation of the logarithm of volatility, of days
_BURST_MEMORY = math.exp(-1 / 5)
_BURST_SPREAD = 0.48  # the same, of bursts
_OWN_BURSTS = 0.58
_VOLUME_NOISE = 0.3
_DAY_MEMORY = math.exp(-1 / (0.6 * BARS_PER_DAY))
_DAY_SPREAD = 0.25  # of the logarithm of volume, of the interest of a day
_PULL_PER_WEEK = 0.006
_STAY = 0.9
_DRIFT_PER_DAY = np.array([0.007, -0.006, 0.0, -0.003])
_VOLATILITY = np.array([0.95, 1.1, 0.7, 1.5])
_DEGREES, _OWN_DEGREES = 7.0, 4.5  # of freedom of the factor's shocks and of a symbol's own


@dataclass(frozen=True, slots=True)
class FactorWeek:
    """A week of the common factor. ``level``, ``log_volatility``, ``burst`` (billionths) and ``regime`` are its end."""

    returns: Floats
    deviation: Floats
    activity: Floats
    level: int
    log_volatility: int
    burst: int
    regime: int


@dataclass(frozen=True, slots=True)
class SymbolTraits:
    """What tells one symbol from another.

    ``own`` is the deviation of its own shocks as a share of the factor's, ``volume`` quote coins a quarter of an hour.
    """

    beta: float
    own: float
    volume: float

    @property
    def scale(self) -> float:
        """How much larger its returns are than the factor's."""
        return math.hypot(self.beta, self.own)


@dataclass(frozen=True, slots=True)
class SymbolWeek:
    """A week of one symbol: logarithms relative to the beginning, and quote volume.

    ``level`` and those that follow (billionths) are its end state.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    level: int
    own_level: int
    own_volatility: int
    own_burst: int
    interest: int


_KNOWN_TRAITS = {
    "BTCUSDT": SymbolTraits(1.0, 0.12, 9e7),
    "ETHUSDT": SymbolTraits(1.08, 0.85, 5e7),
    "SOLUSDT": SymbolTraits(1.36, 1.2, 2.5e7),
    "XRPUSDT": SymbolTraits(1.0, 1.45, 1.5e7),
    "DOGEUSDT": SymbolTraits(1.35, 1.2, 1.2e7),
    "LINKUSDT": SymbolTraits(1.3, 1.15, 6e6),
}


def traits_of(symbol: str) -> SymbolTraits:
    """Traits of a symbol; one that is not well known gets plausible ones from its name."""
    known = _KNOWN_TRAITS.get(symbol)
    if known:
        return known
    draw = np.random.Generator(np.random.Philox(key=_key(0, "traits", symbol, 0))).random(3)
    return SymbolTraits(1.0 + 0.4 * draw[0], 1.0 + 0.5 * draw[1], 2e6 + 6e6 * draw[2])


def factor_week(seed: int, number: int, before: FactorWeek | None) -> FactorWeek:
    """Week ``number`` of the common factor; ``before`` is the previous one (None at the beginning)."""
    rng = generator(seed, "factor", "", number)
    regimes = _regimes(rng, 2 if before is None else before.regime)
    by_bar = np.repeat(regimes, BARS_PER_DAY)
    log_volatility = _walk(rng, before.log_volatility if before else 0, _MEMORY, _VOLATILITY_SPREAD)
    burst = _walk(rng, before.burst if before else 0, _BURST_MEMORY, _BURST_SPREAD)
    rhythm = 1 + 0.35 * np.sin(2 * np.pi * (np.arange(BARS_PER_WEEK) % BARS_PER_DAY / BARS_PER_DAY - 0.35))
    weekend = np.where(np.arange(BARS_PER_WEEK) >= 5 * BARS_PER_DAY, 0.75, 1.0)
    activity = np.exp(log_volatility + burst) * rhythm * weekend * _VOLATILITY[by_bar]
    deviation = _BAR_DEVIATION * activity
    level = before.level if before else 0
    drift = _DRIFT_PER_DAY[by_bar] / BARS_PER_DAY - _PULL_PER_WEEK * level / BILLION / BARS_PER_WEEK
    returns = drift + deviation * _shocks(rng, _DEGREES)
    end = level + int(np.rint(returns * BILLION).astype(np.int64).sum())
    ends = billionths(log_volatility[-1]), billionths(burst[-1])
    return FactorWeek(returns, deviation, activity, end, *ends, int(regimes[-1]))


def symbol_week(
    seed: int, symbol: str, traits: SymbolTraits, number: int, factor: FactorWeek, before: SymbolWeek | None
) -> SymbolWeek:
    """Week ``number`` of a symbol over that week's factor; ``before`` is its previous one."""
    rng = generator(seed, "symbol", symbol, number)
    own_volatility = _walk(rng, before.own_volatility if before else 0, _MEMORY, _VOLATILITY_SPREAD)
    own_burst = _walk(rng, before.own_burst if before else 0, _BURST_MEMORY, _OWN_BURSTS)
    own_deviation = traits.own * np.sqrt(factor.deviation * _BAR_DEVIATION) * np.exp(own_volatility + own_burst)
    pull = _PULL_PER_WEEK * (before.own_level if before else 0) / BILLION / BARS_PER_WEEK
    own = own_deviation * _shocks(rng, _OWN_DEGREES) - pull
    steps = np.rint((traits.beta * factor.returns + own) * BILLION).astype(np.int64)
    close = (before.level if before else 0) + np.cumsum(steps)
    opening = close - steps
    deviation = 0.8 * np.hypot(traits.beta * factor.deviation, own_deviation)
    above, below = _bridge_extremes(rng, steps / BILLION, deviation)
    surprise = np.abs(steps / BILLION) / np.hypot(traits.beta * factor.deviation, own_deviation)
    interest = _walk(rng, before.interest if before else 0, _DAY_MEMORY, _DAY_SPREAD)
    lively = 0.42 * (np.log(factor.activity) + own_volatility + own_burst) + interest
    mood = np.exp(lively) * (0.4 + 0.8 * np.minimum(surprise, 8.0))
    return SymbolWeek(
        open=opening / BILLION,
        high=opening / BILLION + above,
        low=opening / BILLION + below,
        close=close / BILLION,
        volume=traits.volume * mood * np.exp(_VOLUME_NOISE * rng.standard_normal(BARS_PER_WEEK)),
        level=int(close[-1]),
        own_level=(before.own_level if before else 0) + int(np.rint(own * BILLION).astype(np.int64).sum()),
        own_volatility=billionths(own_volatility[-1]),
        own_burst=billionths(own_burst[-1]),
        interest=billionths(interest[-1]),
    )


def _regimes(rng: np.random.Generator, before: int) -> Ints:
    """Seven days of regimes: stay with 0.9, else any of the others."""
    days: list[int] = []
    for stays, other in zip(rng.random(7), rng.integers(1, len(_VOLATILITY), 7), strict=True):
        before = before if stays < _STAY else (before + int(other)) % len(_VOLATILITY)
        days.append(before)
    return np.array(days, np.int64)


def _shocks(rng: np.random.Generator, degrees: float) -> Floats:
    """Student-t shocks of variance 1, cut at 12 deviations."""
    raw = rng.standard_t(degrees, BARS_PER_WEEK) * math.sqrt((degrees - 2) / degrees)
    return np.clip(raw, -12.0, 12.0)


def _walk(rng: np.random.Generator, start: int, memory: float, spread: float) -> Floats:
    return persistent(rng, BARS_PER_WEEK, memory, spread, start)


def _bridge_extremes(rng: np.random.Generator, change: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """(highest, lowest) of Brownian bridges from 0 to ``change``: the law of their maximum, inverted."""
    draw = -2.0 * np.square(deviation) * np.log1p(-rng.random((2, BARS_PER_WEEK)))
    return (change + np.sqrt(np.square(change) + draw[0])) / 2, (change - np.sqrt(np.square(change) + draw[1])) / 2


def _key(seed: int, kind: str, symbol: str, number: int) -> int:
    digest = hashlib.sha256(f"{seed}/{kind}/{symbol}/{number}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def generator(seed: int, kind: str, symbol: str, number: int) -> np.random.Generator:
    """Random numbers of one week of one thing: always the same, whatever was drawn before."""
    return np.random.Generator(np.random.Philox(key=_key(seed, kind, symbol, number)))
