"""Candles as columns of whole units, and their sums into longer ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe
from exchange.paper.feeds.tick_path import BarBlock, Ints


class Prices(NamedTuple):
    """Candles without volume, oldest first; prices are whole numbers of the series' unit."""

    open_ms: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints


class Sums(NamedTuple):
    """Candles as columns in whole units; ``turnover`` holds Python ints (price unit x quantity unit)."""

    open_ms: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    turnover: npt.NDArray[Any]


def columns(bars: BarBlock) -> tuple[Ints, Ints, Ints, Ints]:
    """The price columns of base candles."""
    return bars.open, bars.high, bars.low, bars.close


def group_opens(open_ms: Ints, timeframe: Timeframe) -> Ints:
    """For each instant the open time of the ``timeframe`` candle that holds it."""
    return open_ms - (open_ms - timeframe.origin_ms) % timeframe.milliseconds


def sum_prices(opens: Ints, rows: Prices) -> Prices:
    """``rows`` (in time order) summed into one candle per distinct value of ``opens``."""
    if len(opens) == 0:
        return Prices(opens, *rows[1:])
    starts = _starts(opens)
    return Prices(
        opens[starts],
        rows.open[starts],
        np.maximum.reduceat(rows.high, starts),
        np.minimum.reduceat(rows.low, starts),
        rows.close[np.append(starts[1:], len(opens)) - 1],
    )


def sum_by(opens: Ints, rows: Sums) -> Sums:
    """As ``sum_prices``, with volume and turnover."""
    if len(opens) == 0:
        return Sums(opens, *rows[1:])
    starts = _starts(opens)
    return Sums(
        *sum_prices(opens, Prices(*rows[:5])),
        np.add.reduceat(rows.volume, starts),
        np.add.reduceat(rows.turnover, starts),
    )


def _starts(opens: Ints) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
