"""How many bars an indicator that remembers everything needs before what it was seeded with no longer matters.

A recursive average starts from a seed and forgets a fixed part of it with every bar. After the bars told here the seed
weighs ``SEED_WEIGHT`` or less, so that a window of that length decides as the whole history does.
"""

from __future__ import annotations

import math
from typing import Final

SEED_WEIGHT: Final = 1e-6
"""What is left of the seed of an average that has settled."""


def ema_bars(length: int, seed_weight: float = SEED_WEIGHT) -> int:
    """Of an exponential average: seeded with a mean of ``length`` bars, of which 1 - 2 / (length + 1) stays a bar."""
    return length + _bars_to(seed_weight, 1 - 2 / (length + 1))


def rsi_bars(length: int) -> int:
    """Of Wilder's RSI: seeded with the mean of ``length`` changes, of which 1 - 1 / length stays a bar."""
    return length + 1 + _bars_to(SEED_WEIGHT, 1 - 1 / length)


def adx_bars(length: int) -> int:
    """Of Wilder's ADX: smoothed twice, so that 1 + bars / length times the seed of one smoothing is left."""
    return 2 * length + math.ceil(1.25 * _bars_to(SEED_WEIGHT, 1 - 1 / length))


def _bars_to(weight: float, kept: float) -> int:
    return math.ceil(math.log(weight) / math.log(kept))
