"""Timeframes side by side: nothing is known before it has closed, and what is missing is not made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.history import STORED_TIMEFRAMES
from domain.strategies.conditions import Condition, between, either
from domain.strategies.contract import Panel
from domain.strategies.timeframes import bars_back, bars_of, onto
from tests.domain.strategy_cases import T0, random_panel
from tests.domain.strategy_cases import bars_of as bars_of_panel

NAN = float("nan")
timeframes = st.sampled_from(STORED_TIMEFRAMES)


def closes(panel: Panel) -> np.ndarray:
    return panel.open_time + panel.timeframe.milliseconds


@given(timeframes, timeframes, st.integers(1, 60), st.integers(0, 60), st.integers(-90, 20))
def test_a_bar_sees_the_last_bar_of_the_other_timeframe_that_has_closed_with_it(own, other, bars, others, ahead):
    mine = random_panel(1, 2, bars, timeframe=own)
    theirs = random_panel(2, 2, others, timeframe=other, start=T0 + ahead * other.milliseconds)
    found = onto(theirs.close, theirs, mine)
    for bar, now in enumerate(closes(mine).tolist()):
        closed = np.flatnonzero(closes(theirs) <= now)
        current = len(closed) > 0 and now - closes(theirs)[closed[-1]] < other.milliseconds
        expected = theirs.close[:, closed[-1]] if current else np.full(2, NAN)
        np.testing.assert_array_equal(found[:, bar], expected)


def test_a_week_counts_from_monday_midnight_on():
    days = random_panel(1, 1, 14, timeframe=Timeframe.D1)  # from Wednesday on
    weeks = random_panel(2, 1, 3, timeframe=Timeframe.W1, start=T0 - Timeframe.W1.milliseconds)
    found = onto(weeks.close, weeks, days)[0]
    assert found.tolist() == [*[weeks.close[0, 0]] * 4, *[weeks.close[0, 1]] * 7, *[weeks.close[0, 2]] * 3]


def test_an_older_bar_never_stands_in_for_one_that_is_missing():
    days = random_panel(1, 1, 14, timeframe=Timeframe.D1)
    weeks = random_panel(2, 1, 3, timeframe=Timeframe.W1, start=T0 - Timeframe.W1.milliseconds)
    ended = bars_of_panel(weeks, slice(1))
    assert np.isfinite(onto(ended.close, ended, days)[0]).tolist() == [True] * 4 + [False] * 10
    holed = weeks.close.copy()
    holed[0, 1] = NAN
    assert np.isfinite(onto(holed, weeks, days)[0]).tolist() == [True] * 4 + [False] * 7 + [True] * 3


def test_panels_of_other_symbols_are_refused():
    days, weeks = random_panel(1, 2, 9, timeframe=Timeframe.D1), random_panel(2, 2, 3, timeframe=Timeframe.W1)
    turned = replace(weeks, symbols=weeks.symbols[::-1])
    with pytest.raises(ValueError, match="panels of 1w and 1d must hold the same symbols, in one order"):
        onto(turned.close, turned, days)


@given(timeframes, timeframes, st.integers(1, 50))
def test_so_many_bars_back_is_far_enough(own, other, bars):
    assert bars_back(own, other, bars) * other.milliseconds >= bars * own.milliseconds
    assert (bars_back(own, other, bars) - 1) * other.milliseconds < bars * own.milliseconds


@pytest.mark.parametrize(
    ("timeframe", "bars"), [(Timeframe.H4, 42), (Timeframe.D1, 7), (Timeframe.W1, 1), (Timeframe.M15, 672)]
)
def test_seven_days_in_bars(timeframe, bars):
    assert bars_of(timedelta(days=7), timeframe) == bars


def test_a_span_shorter_than_a_bar_is_one_bar():
    assert bars_of(timedelta(hours=1), Timeframe.D1) == 1


@given(st.floats(0, 100))
def test_between_holds_strictly_inside_and_best_in_the_middle(value):
    found = between(np.array([[value]]), 40, 65)
    assert bool(found.met[0, 0]) == (40 < value < 65)
    assert found.reached[0, 0] <= 1
    assert (found.reached[0, 0] > 0) == bool(found.met[0, 0])
    assert between(np.array([[52.5]]), 40, 65).reached[0, 0] == 1


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_either_of_two_conditions_is_as_far_off_as_the_nearer_and_needs_both_to_be_known(one, other):
    found = either(_condition(one), _condition(other))
    assert bool(found.met[0, 0]) == (one > 0 or other > 0)
    assert found.reached[0, 0] == max(one, other)
    half_known = either(_condition(one), _condition(NAN))
    assert not half_known.met[0, 0]
    assert np.isnan(half_known.reached[0, 0])


def _condition(reached: float) -> Condition:
    return Condition(met=np.array([[reached > 0]]), reached=np.array([[reached]]))
