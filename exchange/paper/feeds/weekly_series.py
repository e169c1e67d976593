"""Recursions over a week of base candles, whose state goes on into the next week in whole billionths.

Rounding what is carried on keeps a machine's last bit of exp and log from growing into another series.
"""

from __future__ import annotations

import math

import numpy as np

from exchange.paper.feeds.tick_path import Floats

BILLION = 10**9


def decaying_sum(values: Floats, memory: float, start: float) -> Floats:
    """``y[i] = memory * y[i - 1] + values[i]``, with ``start`` before the first."""
    decay = memory ** np.arange(1, len(values) + 1)
    return decay * (start + np.cumsum(values / decay))


def smoothed(values: Floats, memory: float, start: float) -> Floats:
    """The exponential average of ``values``, with ``start`` before the first."""
    return decaying_sum((1 - memory) * values, memory, start)


def before(values: Floats, start: float) -> Floats:
    """What each candle knows at its open: the value at the end of the one before it."""
    return np.concatenate([[start], values[:-1]])


def billionths(value: float) -> int:
    return round(float(value) * BILLION)


def persistent(rng: np.random.Generator, count: int, memory: float, spread: float, start: int) -> Floats:
    """``count`` values of an AR(1) process of deviation ``spread`` that goes on from ``start`` (billionths)."""
    shocks = rng.standard_normal(count) * (spread * math.sqrt(1 - memory * memory))
    return decaying_sum(shocks, memory, start / BILLION)
