"""Indicators against plain recomputations from their definitions, and kept apart over gaps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.indicators import (
    adx,
    bars_ago,
    bollinger,
    change,
    ema,
    highest,
    highest_before,
    lowest,
    lowest_before,
    mean,
    percentile_rank,
    rate_of_change,
    ratio,
    rsi,
)
from tests.domain.strategy_cases import random_panel

NAN = math.nan
seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(2, 30)


def plain_ema(values: list[float], bars: int) -> list[float]:
    result = [NAN] * len(values)
    for i in range(bars - 1, len(values)):
        if i == bars - 1:
            result[i] = sum(values[:bars]) / bars
        else:
            result[i] = result[i - 1] + 2 / (bars + 1) * (values[i] - result[i - 1])
    return result


def plain_rate_of_change(values: list[float], bars: int) -> list[float]:
    return [NAN if i < bars else (values[i] / values[i - bars] - 1) * 100 for i in range(len(values))]


def plain_lowest_before(values: list[float], bars: int) -> list[float]:
    return [NAN if i < bars else min(values[i - bars : i]) for i in range(len(values))]


def plain_rsi(values: list[float], bars: int) -> list[float]:
    """Wilder, New Concepts in Technical Trading Systems (1978): means of rises and of falls, smoothed by their n-th."""
    moves = [now - then for then, now in pairwise(values)]
    result, up, down = [NAN] * len(values), 0.0, 0.0
    for i, move in enumerate(moves, start=1):
        kept = 1 - 1 / bars if i > bars else 1
        up, down = up * kept + max(move, 0) / bars, down * kept + max(-move, 0) / bars
        if i >= bars:
            result[i] = 100 * up / (up + down) if up + down else 0.0
    return result


def plain_window(values: list[float], bars: int, of: Callable[[list[float]], float]) -> list[float]:
    return [NAN if i < bars - 1 else of(values[i - bars + 1 : i + 1]) for i in range(len(values))]


def plain_rank(values: list[float], bars: int) -> list[float]:
    before = [values[max(i - bars, 0) : i] for i in range(len(values))]
    return [
        NAN if i < bars else 100 * sum(other < value for other in before[i]) / bars for i, value in enumerate(values)
    ]


def plain_adx(high: list[float], low: list[float], close: list[float], bars: int) -> list[float]:
    """Wilder, New Concepts in Technical Trading Systems (1978): sums smoothed by their own n-th part."""
    up = down = true_range = 0.0
    directed: list[float] = []
    result = [NAN] * len(close)
    for i in range(1, len(close)):
        rise, fall = high[i] - high[i - 1], low[i - 1] - low[i]
        span = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        kept = 1 - 1 / bars if i >= bars else 1
        up = up * kept + (rise if rise > fall and rise > 0 else 0)
        down = down * kept + (fall if fall > rise and fall > 0 else 0)
        true_range = true_range * kept + span
        if i < bars:
            continue
        plus, minus = 100 * up / true_range, 100 * down / true_range
        directed.append(100 * abs(plus - minus) / (plus + minus) if plus + minus else 0.0)
        if len(directed) == bars:
            result[i] = sum(directed) / bars
        elif len(directed) > bars:
            result[i] = (result[i - 1] * (bars - 1) + directed[-1]) / bars
    return result


@given(seeds, lengths)
def test_indicators_equal_their_plain_definitions(seed, bars):
    panel = random_panel(seed, 1, 120)
    high, low, close = (column[0].tolist() for column in (panel.high, panel.low, panel.close))
    for found, expected in (
        (ema(panel.close, bars), plain_ema(close, bars)),
        (rate_of_change(panel.close, bars), plain_rate_of_change(close, bars)),
        (lowest_before(panel.low, bars), plain_lowest_before(low, bars)),
        (adx(panel.high, panel.low, panel.close, bars), plain_adx(high, low, close, bars)),
        (rsi(panel.close, bars), plain_rsi(close, bars)),
        (mean(panel.close, bars), plain_window(close, bars, statistics.fmean)),
        (highest(panel.high, bars), plain_window(high, bars, max)),
        (lowest(panel.low, bars), plain_window(low, bars, min)),
        (highest_before(panel.high, bars), [NAN, *plain_window(high, bars, max)[:-1]]),
        (percentile_rank(panel.close, bars), plain_rank(close, bars)),
        (bars_ago(panel.close, bars), [*[NAN] * bars, *close[:-bars]]),
    ):
        assert not np.isnan(found[0, 2 * bars :]).any()
        np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-9)


@given(seeds, lengths, st.sampled_from([0.5, 2.0]))
def test_bollingers_bands_are_so_many_deviations_off_the_mean(seed, bars, deviations):
    panel = random_panel(seed, 1, 120)
    middle, upper, lower = bollinger(panel.close, bars, deviations)
    close = panel.close[0].tolist()
    off = np.array(plain_window(close, bars, np.std)) * deviations
    np.testing.assert_allclose(middle[0], plain_window(close, bars, statistics.fmean), rtol=1e-9)
    np.testing.assert_allclose(upper[0] - middle[0], off, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(middle[0] - lower[0], off, rtol=1e-4, atol=1e-6)


def test_a_ratio_to_nothing_is_not_known():
    np.testing.assert_array_equal(ratio(np.array([[6.0, 1.0, NAN]]), np.array([[3.0, 0.0, 2.0]])), [[2.0, NAN, NAN]])


def test_a_rank_is_among_the_values_before_and_equals_are_not_under():
    found = percentile_rank(np.array([[1.0, 2.0, 2.0, 3.0, 0.0, NAN, 1.0, 5.0]]), 2)
    np.testing.assert_array_equal(found, [[NAN, NAN, 50.0, 100.0, 0.0, NAN, NAN, NAN]])


@given(seeds, lengths, st.integers(0, 119))
def test_each_side_of_a_gap_is_computed_as_if_the_other_were_not_there(seed, bars, hole):
    panel = random_panel(seed, 1, 120)
    high, low, close = panel.high, panel.low, panel.close.copy()
    close[0, hole] = np.nan
    for found, alone in (
        (ema(close, bars), lambda part: ema(close[:, part], bars)),
        (adx(high, low, close, bars), lambda part: adx(high[:, part], low[:, part], close[:, part], bars)),
        (rate_of_change(close, bars), lambda part: rate_of_change(close[:, part], bars)),
        (rsi(close, bars), lambda part: rsi(close[:, part], bars)),
        (percentile_rank(close, bars), lambda part: percentile_rank(close[:, part], bars)),
        (bollinger(close, bars, 2)[1], lambda part: bollinger(close[:, part], bars, 2)[1]),
        (highest_before(close, bars), lambda part: highest_before(close[:, part], bars)),
        (lowest(close, bars), lambda part: lowest(close[:, part], bars)),
    ):
        assert np.isnan(found[0, hole])
        for part in (slice(0, hole), slice(hole + 1, 120)):
            np.testing.assert_array_equal(found[:, part], alone(part))


@given(seeds, lengths)
def test_directed_movement_is_the_same_up_as_down(seed, bars):
    panel = random_panel(seed, 1, 120)
    mirror = panel.high.max() + panel.low.min()
    down = adx(mirror - panel.low, mirror - panel.high, mirror - panel.close, bars)
    np.testing.assert_allclose(adx(panel.high, panel.low, panel.close, bars), down, rtol=1e-7, atol=1e-7)


def test_the_lowest_before_leaves_out_the_bar_itself():
    found = lowest_before(np.array([[5.0, 4.0, 6.0, 1.0, 9.0, 9.0, 9.0]]), 2)
    np.testing.assert_array_equal(found, [[NAN, NAN, 4.0, 4.0, 1.0, 1.0, 9.0]])


@pytest.mark.parametrize(("bars", "expected"), [(1, [NAN, 2.0, NAN, NAN]), (2, [NAN, NAN, NAN, 4.0]), (9, [NAN] * 4)])
def test_a_change_needs_only_its_two_ends(bars, expected):
    np.testing.assert_array_equal(change(np.array([[1.0, 3.0, NAN, 7.0]]), bars), [expected])
