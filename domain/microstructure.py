"""Microstructure on bars: what takers did, how accounts stand, what funding cost; NaN where it is not known."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe

Floats = npt.NDArray[np.float64]
Instants = npt.NDArray[np.int64]

UNSTAMPED: Final = frozenset({Timeframe.M1, Timeframe.W1})
"""Timeframes for which the exchange stamps neither open interest nor the ratio of accounts."""

TOLERANCE = 0.01
"""By how much of a candle's volume both sides together may miss it."""

FUNDING_INTERVAL: Final = timedelta(hours=8)
"""What rates are given for. Perpetuals settle at its multiples, some in between too."""
_FUNDING_MS = FUNDING_INTERVAL // timedelta(milliseconds=1)


def funding_bars(timeframe: Timeframe) -> int:
    """How many of the last bars the newest funding is told from: enough for three settlements, which say how often the
    perpetual settles (see ``funding_at``)."""
    return 1 - (-2 * FUNDING_INTERVAL // timeframe.duration)


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


def long_short_ratio(long_share: Floats) -> Floats:
    """Accounts long for each one short, from the share (0 to 1) that is long; NaN where none is short."""
    known = (long_share >= 0) & (long_share < 1)
    return np.divide(long_share, 1 - long_share, out=np.full(long_share.shape, np.nan), where=known)


def funding_at(settled_at: Instants, rates: Floats, closes: Instants) -> Floats:
    """What longs paid in the eight hours up to each of ``closes`` (fraction of the position), shape (len(closes),).

    ``settled_at`` (ms, rising) and ``rates`` are one perpetual's settlements. That is the newest rate where it settles
    every eight hours, the sum of several where it does more often. How often it does is the shorter time between the
    last three before the close (one alone: eight hours). NaN where one of them is missing, the newest above all.
    """
    if len(settled_at) == 0:
        return np.full(len(closes), np.nan)
    first = np.searchsorted(settled_at, closes - _FUNDING_MS, side="right")
    end = np.searchsorted(settled_at, closes, side="right")
    spans = np.stack([first, end], axis=1).ravel()
    sums = np.add.reduceat(np.append(rates, 0.0), spans)[::2] if len(spans) else np.zeros(0)
    newest, before, earlier = (settled_at[np.maximum(end - place, 0)] for place in (1, 2, 3))
    apart = np.where(end >= 2, np.minimum(newest - before, _FUNDING_MS), _FUNDING_MS)
    apart = np.where(end >= 3, np.minimum(apart, before - earlier), apart)
    whole = (end > first) & (closes - newest < apart) & ((end - first) * apart == _FUNDING_MS)
    return np.where(whole, sums, np.nan)
