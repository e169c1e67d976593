"""Timeframes side by side: what was known of another timeframe when each bar of a strategy's own timeframe closed."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe
from domain.strategies.contract import Floats, Panel


def onto(values: Floats, other: Panel, own: Panel) -> Floats:
    """``values`` of the panel ``other`` (symbols, its bars) on the bars of ``own``: those of the last bar of ``other``
    that had closed when the bar of ``own`` did.

    NaN where that bar isn't in ``other``: an earlier one never stands in for it. Both panels hold the same symbols in
    the same order; raises ValueError unless they do.
    """
    if other.symbols != own.symbols:
        raise ValueError(f"panels of {other.timeframe} and {own.timeframe} must hold the same symbols, in one order")
    closed = _last_closed(other, own)
    there = (closed >= 0) & (closed < values.shape[1])
    aligned = np.full((values.shape[0], len(closed)), np.nan)
    aligned[:, there] = values[:, closed[there]]
    return aligned


def bars_back(own: Timeframe, other: Timeframe, bars: int) -> int:
    """How many bars of ``other`` further back than at the last bar of ``own`` one has to look ``bars`` bars earlier."""
    return -(-bars * own.milliseconds // other.milliseconds)


def bars_of(span: timedelta, timeframe: Timeframe) -> int:
    """Whole bars of ``timeframe`` in ``span``, one at least."""
    return max(span // timeframe.duration, 1)


def _last_closed(other: Panel, own: Panel) -> npt.NDArray[np.int64]:
    """Index in ``other`` of the last bar closed at or before each close of ``own``, inside of ``other`` or not."""
    length = other.timeframe.milliseconds
    closes = own.open_time + own.timeframe.milliseconds
    first_open = int(other.open_time[0]) if len(other.open_time) else other.timeframe.origin_ms
    newest_open = closes - (closes - other.timeframe.origin_ms) % length - length
    return (newest_open - first_open) // length
