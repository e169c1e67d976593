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


def rsi(values: Floats, bars: int) -> Floats:
    """Wilder's relative strength index, 0 to 100: what was gained over what was gained and lost; 0 without a change."""
    return _by_run(lambda run: talib.RSI(run, bars), values)


def bollinger(values: Floats, bars: int, deviations: float) -> tuple[Floats, Floats, Floats]:
    """Bollinger's bands: middle, upper and lower. The mean of ``bars`` values, and that many deviations off it.

    The deviation is that of the ``bars`` values themselves (divided by ``bars``), as Bollinger has it.
    """
    middle = _by_run(lambda run: talib.SMA(run, bars), values)
    width = _by_run(lambda run: talib.STDDEV(run, bars, deviations), values)
    return middle, middle + width, middle - width


def mean(values: Floats, bars: int) -> Floats:
    """The mean of the last ``bars`` values."""
    return _by_run(lambda run: talib.SMA(run, bars), values)


def lowest(values: Floats, bars: int) -> Floats:
    """The lowest of the last ``bars`` values, the bar's own included."""
    return _by_run(lambda run: talib.MIN(run, bars), values)


def lowest_before(low: Floats, bars: int) -> Floats:
    """The lowest of the ``bars`` bars before each bar, itself not included: the lower Donchian channel."""
    return _by_run(lambda run: _delayed(talib.MIN(run, bars)), low)


def highest(values: Floats, bars: int) -> Floats:
    """The highest of the last ``bars`` values, the bar's own included."""
    return _by_run(lambda run: talib.MAX(run, bars), values)


def highest_before(high: Floats, bars: int) -> Floats:
    """The highest of the ``bars`` bars before each bar, itself not included: the upper Donchian channel."""
    return _by_run(lambda run: _delayed(talib.MAX(run, bars)), high)


def percentile_rank(values: Floats, bars: int) -> Floats:
    """Percent of the ``bars`` values before each one that are under it: 0 the lowest of them all, 100 the highest."""
    return _by_run(lambda run: _rank_among_before(run, bars), values)


def ratio(values: Floats, to: Floats) -> Floats:
    """``values`` / ``to``; not known where ``to`` is 0."""
    return np.divide(values, to, out=np.full(values.shape, np.nan), where=to != 0)


def bars_ago(values: Floats, bars: int) -> Floats:
    """The value ``bars`` bars before."""
    earlier = np.full(values.shape, np.nan)
    earlier[:, bars:] = values[:, : max(values.shape[1] - bars, 0)]
    return earlier


def change(values: Floats, bars: int) -> Floats:
    """Value less the value ``bars`` bars before; only these two need to be known."""
    changed = np.full(values.shape, np.nan)
    changed[:, bars:] = values[:, bars:] - values[:, : values.shape[1] - bars]
    return changed


def _rank_among_before(run: Floats, bars: int) -> Floats:
    ranks = np.full(run.shape, np.nan)
    if len(run) > bars:
        before = np.lib.stride_tricks.sliding_window_view(run[:-1], bars)
        ranks[bars:] = np.count_nonzero(before < run[bars:, None], axis=1) * 100 / bars
    return ranks


def _delayed(run: Floats) -> Floats:
    return np.concatenate(([np.nan], run[:-1]))


def _by_run(indicator: Callable[..., Floats], *columns: Floats) -> Floats:
    """``indicator`` of each row's unbroken runs of finite values."""
    result = np.full(columns[0].shape, np.nan)
    known = np.logical_and.reduce([np.isfinite(column) for column in columns])
    whole = [np.ascontiguousarray(column, np.float64) for column in columns]
    for row, start, end in _runs(known):
        result[row, start:end] = indicator(*(column[row, start:end] for column in whole))
    return result


def _runs(known: npt.NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """(row, start, end) of each stretch of True, end not included."""
    bounded = np.zeros((known.shape[0], known.shape[1] + 2), np.int8)
    bounded[:, 1:-1] = known
    steps = np.diff(bounded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))
