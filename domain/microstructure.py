"""What takers did in a bar: shares from sums of public trades, known only where nothing was missed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.int64]

TOLERANCE = 0.01
"""By how much of a candle's volume both sides together may miss it."""


def taker_buy_share(bought: Floats, sold: Floats, volume: Floats, tolerance: float = TOLERANCE) -> Floats:
    """Share (0 to 1) of what takers traded that they bought; arrays of one shape, base coin.

    NaN where both sides together differ from the confirmed candle's ``volume`` by more than ``tolerance`` of it (trades
    were missed, or counted twice), and where there was no volume: what nobody saw is not known.
    """
    total = bought + sold
    whole = np.isfinite(total) & np.isfinite(volume) & (volume > 0) & (total > 0) & (bought >= 0) & (sold >= 0)
    missed = np.abs(np.subtract(total, volume, out=np.full(total.shape, np.inf), where=whole))
    whole &= missed <= tolerance * volume
    return np.divide(bought, total, out=np.full(total.shape, np.nan), where=whole)


def sum_onto_bars(open_time: Instants, values: Floats, bars: Instants, timeframe: Timeframe) -> Floats:
    """Sum rows of a quarter of an hour onto bars: shape (len(bars),), 0 where a bar has no row.

    ``open_time`` (ms, any order) and ``values`` are one symbol's rows, ``bars`` the rising open times (ms) of bars of
    ``timeframe``; rows outside them are left out. A quarter without a row adds nothing: whether that was a quiet one
    or a missed one shows when the sum is held against the bar's volume. Raises ValueError under a quarter of an hour.
    """
    if timeframe.milliseconds < Timeframe.M15.milliseconds:
        raise ValueError(f"timeframe {timeframe} is shorter than the quarters of an hour that are kept")
    sums = np.zeros(len(bars))
    if len(bars) == 0 or len(open_time) == 0:
        return sums
    belongs_to = open_time - (open_time - timeframe.origin_ms) % timeframe.milliseconds
    place = np.minimum(np.searchsorted(bars, belongs_to), len(bars) - 1)
    within = bars[place] == belongs_to
    np.add.at(sums, place[within], values[within])
    return sums
