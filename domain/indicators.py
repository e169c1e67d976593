"""Indicators of TA-Lib over panels, with gaps kept apart.

Every function takes arrays of shape (symbols, bars) and gives one of the same shape, NaN where the indicator isn't
known. Each row is cut into runs of bars that are all there, and each run is computed on its own, as if nothing came
before it: TA-Lib carries a NaN along in one indicator, forgets it in the next and never tells. A run's values depend on
its earlier bars alone, so appending bars changes nothing that was computed before.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import talib

Floats = npt.NDArray[np.float64]


def ema(values: Floats, bars: int) -> Floats:
    """Exponential moving average, seeded with the mean of a run's first ``bars`` values."""
    return _by_run(lambda run: talib.EMA(run, bars), values)


def rate_of_change(values: Floats, bars: int) -> Floats:
    """Change against ``bars`` bars before, in percent."""
    return _by_run(lambda run: talib.ROC(run, bars), values)


def adx(high: Floats, low: Floats, close: Floats, bars: int) -> Floats:
    """Wilder's average directional index, 0 to 100: how directed the movement is, whichever way it goes."""
    return _by_run(lambda h, lo, c: talib.ADX(h, lo, c, bars), high, low, close)


def lowest_before(low: Floats, bars: int) -> Floats:
    """The lowest of the ``bars`` bars before each bar, itself not included: the lower Donchian channel."""
    return _by_run(lambda run: _delayed(talib.MIN(run, bars)), low)


def change(values: Floats, bars: int) -> Floats:
    """Value less the value ``bars`` bars before; only these two need to be known."""
    changed = np.full(values.shape, np.nan)
    changed[:, bars:] = values[:, bars:] - values[:, : values.shape[1] - bars]
    return changed


def _delayed(run: Floats) -> Floats:
    return np.concatenate(([np.nan], run[:-1]))


def _by_run(indicator: Callable[..., Floats], *columns: Floats) -> Floats:
    """``indicator`` of each row's unbroken runs of finite values."""
    result = np.full(columns[0].shape, np.nan)
    known = np.logical_and.reduce([np.isfinite(column) for column in columns])
    for row in range(len(result)):
        for start, end in _runs(known[row]):
            result[row, start:end] = indicator(
                *(np.ascontiguousarray(column[row, start:end], np.float64) for column in columns)
            )
    return result


def _runs(known: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, end) of each stretch of True."""
    steps = np.diff(known.astype(np.int8), prepend=0, append=0)
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))
