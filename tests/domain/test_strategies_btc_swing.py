"""Hand-made weeks and days: a swing begins with the turn of the regime that the week confirms, or with that week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from domain.candle import Timeframe, from_ms
from domain.regime import NO_REGIME
from domain.strategies.btc_swing import BtcSwing, BtcSwingParameters
from domain.strategies.contract import Evaluation, Panel
from tests.domain.strategy_cases import T0, Market, evaluate, own_panel, panel_of

swing = BtcSwing()

DAYS = 42
WEEKS_BEFORE = 40
RISING = [100 * 1.01**week for week in range(WEEKS_BEFORE + 6)]


def market(levels: Sequence[int], weeks: Sequence[float] = RISING, timeframe: Timeframe = Timeframe.D1) -> Market:
    """Days from 2025-01-01 (a Wednesday) on in these regimes; ``weeks`` are closes, the 40th that of 2024-12-30."""
    days = replace(panel_of([100.0] * len(levels), timeframe=timeframe), regime=np.array(levels, np.int8))
    weekly = panel_of(weeks, timeframe=Timeframe.W1)
    first = Timeframe.W1.floor_ms(T0) - (WEEKS_BEFORE - 1) * Timeframe.W1.milliseconds
    opens = first + np.arange(len(weeks), dtype=np.int64) * Timeframe.W1.milliseconds
    return {timeframe: days, Timeframe.W1: replace(weekly, open_time=opens)}


def swung(levels: Sequence[int], weeks: Sequence[float] = RISING) -> Evaluation:
    return evaluate(swing, market(levels, weeks), BtcSwingParameters())


def turned(day: int, *, before: int = 0, after: int = 1) -> list[int]:
    return [before] * day + [after] * (DAYS - day)


def fired(evaluation: Evaluation) -> list[int]:
    return np.flatnonzero(evaluation.entry[0]).tolist()


def closes_at(panel: Panel, bar: int) -> datetime:
    return from_ms(int(panel.open_time[bar]) + panel.timeframe.milliseconds)


@pytest.mark.parametrize("before", [-2, -1, 0])
@pytest.mark.parametrize("after", [1, 2])
def test_the_turn_itself_is_the_entry_while_the_week_stands_over_its_average(before, after):
    evaluation = swung(turned(12, before=before, after=after))
    assert fired(evaluation) == [12]
    assert evaluation.score[0, 12] > 60 > evaluation.score[0, 11]


@pytest.mark.parametrize("levels", [[1] * DAYS, [0] * DAYS, turned(12, after=-1), turned(12, before=1, after=2)])
def test_without_a_turn_to_bull_there_is_no_entry(levels):
    assert fired(swung(levels)) == []


def test_a_turn_below_the_weekly_average_is_no_entry_until_a_week_closes_over_it_within_seven_days():
    under = [100 * 0.99**week for week in range(WEEKS_BEFORE)]  # the week of 2025-01-05 closes low, the next one high
    weeks = [*under, 200.0, 201.0, 202.0, 203.0]
    # days 0 to 4 end that low week, so that the week which closes with day 11 is the first one over its average
    panel = own_panel(market(turned(9), weeks))
    assert closes_at(panel, 11).isoformat() == "2025-01-13T00:00:00+00:00"
    assert fired(swung(turned(4), weeks)) == []
    assert fired(swung(turned(5), weeks)) == [11]
    assert fired(swung(turned(9), weeks)) == [11]
    assert fired(swung(turned(11), weeks)) == [11]
    assert fired(swung(turned(12), weeks)) == [12]


def test_a_second_turn_is_a_second_entry():
    levels = [*([0] * 10), *([1] * 4), *([0] * 3), *([1] * 12)]
    assert fired(swung(levels)) == [10, 17]


def test_a_turn_from_an_unknown_regime_is_none_until_seven_days_are_known():
    assert fired(swung([NO_REGIME] * 12 + [1] * 20)) == []
    assert fired(swung([NO_REGIME] * 3 + [0] * 6 + [1] * 20)) == []
    assert fired(swung([NO_REGIME] * 3 + [0] * 8 + [1] * 20)) == [11]


def test_a_swing_is_left_when_a_week_has_closed_under_its_average():
    weeks = [*RISING[:WEEKS_BEFORE], *([90.0] * 6)]
    evaluation = swung(turned(3), weeks)
    assert fired(evaluation) == []  # seven days before the third are not known
    assert np.flatnonzero(evaluation.exit[0]).tolist() == list(range(11, DAYS))


def test_the_score_tells_how_far_the_market_is_from_a_turn():
    bull, neutral, bear = (swung([level] * DAYS).score[0, -1] for level in (1, 0, -1))
    assert bull == bear < neutral < 60


@pytest.mark.parametrize(("timeframe", "own"), [(Timeframe.H4, 44), (Timeframe.D1, 9), (Timeframe.W1, 91)])
def test_the_weeks_and_days_that_are_asked_for(timeframe, own):
    needs = swing.needs(BtcSwingParameters(), timeframe)
    assert dict(needs.candles) == {timeframe: own, Timeframe.W1: 91}
    assert needs.regime
    assert needs.only == {"BTCUSDT"}


def test_on_weeks_a_turn_is_that_of_the_week_before():
    weeks = [100 * 1.01**week for week in range(60)]
    panel = replace(panel_of(weeks, timeframe=Timeframe.W1), regime=np.array([0] * 50 + [1] * 10, np.int8))
    assert fired(evaluate(swing, {Timeframe.W1: panel}, BtcSwingParameters())) == [50]
