"""Where a symbol stands among those it is compared with, bar by bar."""

from __future__ import annotations

import numpy as np

from domain.strategies.contract import Floats


def rank_among(values: Floats, least: int) -> Floats:
    """Percent of the symbols known at a bar that are no stronger: 100 for the strongest, shape (symbols, bars).

    Of n symbols the k-th strongest has 100 * (n - k + 1) / n, equals share the better place. NaN where a symbol's value
    isn't known, and at bars at which fewer than ``least`` symbols are.
    """
    if not len(values):
        return values.copy()
    order = np.argsort(-values, axis=0, kind="stable")  # what isn't known comes last
    falling = np.take_along_axis(values, order, axis=0)
    first_of_equals = np.ones(values.shape, np.bool_)
    first_of_equals[1:] = falling[1:] != falling[:-1]
    places = np.arange(len(values))[:, None]
    stronger = np.empty(values.shape, np.int64)
    np.put_along_axis(stronger, order, np.maximum.accumulate(np.where(first_of_equals, places, 0), axis=0), axis=0)
    known = np.isfinite(values)
    ranked = known.sum(axis=0)
    rank = (ranked - stronger) * 100 / np.maximum(ranked, 1)
    return np.where(known & (ranked >= least), rank, np.nan)
