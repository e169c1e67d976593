"""Hand-made series: each strategy fires at the bar it should, and not when any one condition is just missed."""

from __future__ import annotations

import numpy as np
import pytest

from domain.candle import Timeframe
from domain.strategies import strategy_named
from domain.strategies.contract import Evaluation
from domain.strategies.momentum import Momentum, MomentumParameters
from domain.strategies.trend_breakdown import TrendBreakdown, TrendBreakdownParameters
from tests.domain.strategy_cases import evaluate, panel_of

WAVE = [100 + (0, 1, 0, -1)[i % 4] for i in range(100)]
RISE = [*WAVE, *(100 * 1.01**k for k in range(1, 31))]
FALL = [*WAVE, *(100 * 0.99**k for k in range(1, 31))]
HAIR = 1e-9

momentum, breakdown = Momentum(), TrendBreakdown()


def fired(evaluation: Evaluation) -> list[int]:
    return np.flatnonzero(evaluation.entry[0]).tolist()


def at(evaluation: Evaluation, name: str, bar: int) -> float:
    return float(evaluation.evidence[name][0, bar])


def level_where_averages_meet(evaluation: Evaluation, bar: int, fast: int = 20, slow: int = 50) -> float:
    """The close after ``bar`` at which both averages are equal: ema + 2 / (bars + 1) * (close - ema)."""
    f, s, kf, ks = at(evaluation, "ema_fast", bar), at(evaluation, "ema_slow", bar), 2 / (fast + 1), 2 / (slow + 1)
    return (s * (1 - ks) - f * (1 - kf)) / (kf - ks)


def test_momentum_fires_once_when_a_rise_out_of_a_quiet_market_has_become_directed():
    evaluation = evaluate(momentum, panel_of(RISE), MomentumParameters())
    assert fired(evaluation) == [109]
    assert at(evaluation, "adx", 108) < 25 < at(evaluation, "adx", 109)
    assert not evaluation.exit[0, 100:].any()
    assert evaluation.score[0, 109] > 60 > evaluation.score[0, 108] > evaluation.score[0, 100]


def test_momentum_does_not_fire_in_a_fall_or_a_quiet_market():
    for closes in (FALL, WAVE):
        assert fired(evaluate(momentum, panel_of(closes), MomentumParameters())) == []


@pytest.mark.parametrize(("parameter", "indicator"), [("roc_over_pct", "roc_pct"), ("adx_over", "adx")])
def test_momentum_just_short_of_a_threshold_does_not_fire(parameter, indicator):
    panel = panel_of(RISE)
    value = at(evaluate(momentum, panel, MomentumParameters()), indicator, 109)
    reached = MomentumParameters.model_validate({parameter: value})
    passed = MomentumParameters.model_validate({parameter: value * (1 - HAIR)})
    assert 109 not in fired(evaluate(momentum, panel, reached))
    assert 109 in fired(evaluate(momentum, panel, passed))


@pytest.mark.parametrize(("side", "bars"), [(-1, []), (1, [131])])
def test_momentum_wants_the_close_over_the_fast_average(side, bars):
    # With this close the average stays where it is: the new close is as far from it as from the average before.
    easy = MomentumParameters(roc_over_pct=0.01, adx_over=1)
    dipped = [*RISE, RISE[-1] * 0.9]
    level = at(evaluate(momentum, panel_of(dipped), easy), "ema_fast", 130)
    evaluation = evaluate(momentum, panel_of([*dipped, level * (1 + side * HAIR)]), easy)
    assert [bar for bar in fired(evaluation) if bar > 120] == bars
    assert at(evaluation, "roc_pct", 131) > 0.01
    assert at(evaluation, "ema_fast", 131) > at(evaluation, "ema_slow", 131)


@pytest.mark.parametrize(("side", "bars"), [(-1, []), (1, [130])])
def test_momentum_wants_the_fast_average_over_the_slow_one(side, bars):
    level = level_where_averages_meet(evaluate(momentum, panel_of(FALL), MomentumParameters()), 129)
    evaluation = evaluate(momentum, panel_of([*FALL, level * (1 + side * HAIR)]), MomentumParameters())
    assert fired(evaluation) == bars
    assert at(evaluation, "roc_pct", 130) > 4
    assert at(evaluation, "adx", 130) > 25
    assert at(evaluation, "close", 130) > at(evaluation, "ema_fast", 130)


@pytest.mark.parametrize(("share", "met"), [(0.52, False), (0.5201, True), (np.nan, False)])
def test_momentum_asks_for_more_than_its_share_of_takers_buying_in_the_bar_itself(share, met):
    shares = np.full(len(RISE), 1 - float(met))
    shares[109] = share
    evaluation = evaluate(momentum, panel_of(RISE, share=shares), MomentumParameters())
    (need,) = evaluation.requirements
    assert (need.name, need.threshold, bool(need.met[0, 109])) == ("taker_buy_share", "over 0.52", met)
    np.testing.assert_equal(need.value[0, 109], share)
    assert fired(evaluation) == [109]


def test_momentum_leaves_when_the_close_falls_under_the_slow_average():
    evaluation = evaluate(momentum, panel_of([*RISE, 116.0, 112.0]), MomentumParameters())
    slow = [at(evaluation, "ema_slow", bar) for bar in (130, 131)]
    assert slow[0] < 116
    assert slow[1] > 112
    assert evaluation.exit[0, 130:].tolist() == [False, True]


def test_a_breakdown_fires_once_when_a_fall_out_of_a_quiet_market_has_become_directed():
    evaluation = evaluate(breakdown, panel_of(FALL), TrendBreakdownParameters())
    assert fired(evaluation) == [108]
    assert at(evaluation, "adx", 107) < 25 < at(evaluation, "adx", 108)
    assert at(evaluation, "donchian_low", 108) == pytest.approx(min(FALL[88:108]) * 0.999)
    assert not evaluation.exit[0, 101:].any()


def test_a_breakdown_does_not_fire_in_a_rise_or_a_quiet_market():
    for closes in (RISE, WAVE):
        assert fired(evaluate(breakdown, panel_of(closes), TrendBreakdownParameters())) == []


def test_a_breakdown_just_short_of_its_directedness_does_not_fire():
    panel = panel_of(FALL)
    value = at(evaluate(breakdown, panel, TrendBreakdownParameters()), "adx", 108)
    assert 108 not in fired(evaluate(breakdown, panel, TrendBreakdownParameters(adx_over=value)))
    assert 108 in fired(evaluate(breakdown, panel, TrendBreakdownParameters(adx_over=value * (1 - HAIR))))


@pytest.mark.parametrize(("under", "bars"), [(0.0, []), (HAIR, [108])])
def test_a_breakdown_wants_the_close_under_the_lowest_of_the_bars_before(under, bars):
    eased = TrendBreakdownParameters(adx_over=23)
    floor = at(evaluate(breakdown, panel_of(FALL), eased), "donchian_low", 108)
    evaluation = evaluate(breakdown, panel_of([*FALL[:108], floor * (1 - under)]), eased)
    assert at(evaluation, "adx", 107) < 23 < at(evaluation, "adx", 108)
    assert fired(evaluation) == bars


@pytest.mark.parametrize(("side", "bars"), [(1, []), (-1, [109])])
def test_a_breakdown_wants_the_fast_average_under_the_slow_one(side, bars):
    risen, defaults = RISE[:109], TrendBreakdownParameters()
    level = level_where_averages_meet(evaluate(breakdown, panel_of(risen), defaults), 108)
    evaluation = evaluate(breakdown, panel_of([*risen, level * (1 + side * HAIR)]), defaults)
    assert at(evaluation, "close", 109) < at(evaluation, "donchian_low", 109)
    assert at(evaluation, "adx", 109) > 25
    assert fired(evaluation) == bars


@pytest.mark.parametrize(
    ("timeframe", "back"), [(Timeframe.M15, 96), (Timeframe.H1, 24), (Timeframe.H4, 6), (Timeframe.D1, 1)]
)
@pytest.mark.parametrize(("then", "met"), [(999.9, True), (1000.0, False), (1000.1, False), (np.nan, False)])
def test_a_breakdown_asks_for_open_interest_over_that_of_a_day_before(timeframe, back, then, met):
    interest = np.full(len(FALL), np.nan)
    interest[108], interest[108 - back] = 1000.0, then
    evaluation = evaluate(breakdown, panel_of(FALL, interest=interest, timeframe=timeframe), TrendBreakdownParameters())
    (need,) = evaluation.requirements
    assert (need.name, need.threshold, bool(need.met[0, 108])) == ("open_interest_change_24h", "rising", met)
    np.testing.assert_equal(need.value[0, 108], 1000.0 - then)
    assert fired(evaluation) == [108]


def test_open_interest_of_a_week_looks_one_bar_back():
    evaluation = evaluate(breakdown, panel_of(FALL, timeframe=Timeframe.W1), TrendBreakdownParameters())
    assert evaluation.requirements[0].value[0, 1:].tolist() == [1.0] * (len(FALL) - 1)


def test_a_breakdown_leaves_when_the_close_rises_over_the_slow_average():
    evaluation = evaluate(breakdown, panel_of([*FALL, 85.0, 95.0]), TrendBreakdownParameters())
    assert at(evaluation, "ema_slow", 130) > 85
    assert at(evaluation, "ema_slow", 131) < 95
    assert evaluation.exit[0, 130:].tolist() == [False, True]


@pytest.mark.parametrize(("name", "closes"), [("momentum", RISE), ("trend_breakdown", FALL)])
def test_the_score_rises_with_every_step_towards_the_signal(name, closes):
    strategy = strategy_named(name)
    score = evaluate(strategy, panel_of(closes), strategy.parameters()).score[0]
    assert (np.diff(score[101:110]) > 0).all()
