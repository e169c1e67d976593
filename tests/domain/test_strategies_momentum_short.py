"""Momentum, short: hand-made falls on which every rule is met, and just missed one at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domain.candle import Timeframe
from domain.strategies.contract import Evaluation
from domain.strategies.momentum import Momentum, MomentumParameters
from domain.strategies.momentum_short import MomentumShort, MomentumShortParameters
from tests.domain.mirrored import mirrored
from tests.domain.strategy_cases import evaluate, panel_of

WAVE = [100.0 + (0, 1, 0, -1)[i % 4] for i in range(100)]
FALL = [*WAVE, *(100.0 - k for k in range(1, 31))]
RISE = [200 - close for close in FALL]
SIGNAL = 108
HAIR = 1e-9

short = MomentumShort()


def sold(closes: list[float], **parameters: float) -> Evaluation:
    return evaluate(short, panel_of(closes), MomentumShortParameters.model_validate(parameters))


def fired(evaluation: Evaluation) -> list[int]:
    return np.flatnonzero(evaluation.entry[0]).tolist()


def at(evaluation: Evaluation, name: str, bar: int) -> float:
    return float(evaluation.evidence[name][0, bar])


def test_it_fires_once_when_a_fall_out_of_a_quiet_market_has_become_directed():
    evaluation = sold(FALL)
    assert fired(evaluation) == [SIGNAL]
    assert at(evaluation, "adx", SIGNAL - 1) < 25 < at(evaluation, "adx", SIGNAL)
    assert not evaluation.exit[0, 101:].any()
    assert evaluation.score[0, SIGNAL] > 60 > evaluation.score[0, SIGNAL - 1] > evaluation.score[0, 100]


def test_it_fires_where_momentum_buys_the_mirror_image():
    # A change in percent has no mirror image: its threshold is so low that the sign alone counts.
    down = sold(FALL, roc_under_pct=-0.01)
    up = evaluate(Momentum(), mirrored(panel_of(FALL), 100.0), MomentumParameters(roc_over_pct=0.01))
    assert fired(down) == fired(up) == [SIGNAL]
    np.testing.assert_array_equal(down.exit, up.exit)
    np.testing.assert_allclose(down.evidence["adx"], up.evidence["adx"])


def test_it_does_not_fire_in_a_rise_or_a_quiet_market():
    assert fired(sold(RISE)) == fired(sold(WAVE)) == []


def test_a_fall_just_too_small_does_not_fire():
    value = at(sold(FALL), "roc_pct", SIGNAL)
    assert value < -4
    assert SIGNAL not in fired(sold(FALL, roc_under_pct=value))
    assert SIGNAL in fired(sold(FALL, roc_under_pct=value * (1 - HAIR)))


def test_a_fall_just_not_directed_enough_does_not_fire():
    value = at(sold(FALL), "adx", SIGNAL)
    assert SIGNAL not in fired(sold(FALL, adx_over=value))
    assert SIGNAL in fired(sold(FALL, adx_over=value * (1 - HAIR)))


@pytest.mark.parametrize(("side", "bars"), [(1, []), (-1, [131])])
def test_it_wants_the_close_under_the_fast_average(side, bars):
    # With this close the average stays where it is: the new close is as far from it as from the average before.
    easy = {"roc_under_pct": -0.01, "adx_over": 1}
    bounced = [*FALL, FALL[-1] * 1.2]
    level = at(sold(bounced, **easy), "ema_fast", 130)
    evaluation = sold([*bounced, level * (1 + side * HAIR)], **easy)
    assert [bar for bar in fired(evaluation) if bar > 120] == bars
    assert at(evaluation, "roc_pct", 131) < -0.01
    assert at(evaluation, "ema_fast", 131) < at(evaluation, "ema_slow", 131)


@pytest.mark.parametrize(("side", "bars"), [(1, []), (-1, [109])])
def test_it_wants_the_fast_average_under_the_slow_one(side, bars):
    risen = sold(RISE[:109])
    fast, slow, k_fast, k_slow = at(risen, "ema_fast", 108), at(risen, "ema_slow", 108), 2 / 21, 2 / 51
    level = (slow * (1 - k_slow) - fast * (1 - k_fast)) / (k_fast - k_slow)  # the close at which both are equal
    evaluation = sold([*RISE[:109], level * (1 + side * HAIR)])
    assert fired(evaluation) == bars
    assert at(evaluation, "roc_pct", 109) < -4
    assert at(evaluation, "adx", 109) > 25
    assert at(evaluation, "close", 109) < at(evaluation, "ema_fast", 109)


@pytest.mark.parametrize(("share", "met"), [(0.48, False), (0.4799, True), (np.nan, False)])
def test_it_asks_for_takers_that_sell_in_the_bar_itself(share, met):
    shares = np.full(len(FALL), float(met))
    shares[SIGNAL] = share
    evaluation = evaluate(short, panel_of(FALL, share=shares), MomentumShortParameters())
    need, _ = evaluation.requirements
    assert (need.name, need.threshold, bool(need.met[0, SIGNAL])) == ("taker_buy_share", "under 0.48", met)
    np.testing.assert_equal(need.value[0, SIGNAL], share)
    assert fired(evaluation) == [SIGNAL]


@pytest.mark.parametrize(
    ("rate", "value", "met"),
    [(-0.0003, -0.03, True), (-0.00030001, -0.030001, False), (0.0001, 0.01, True), (np.nan, np.nan, False)],
)
def test_it_asks_for_funding_at_which_shorts_are_not_crowded(rate, value, met):
    panel = panel_of(FALL)
    rates = np.full(panel.close.shape, -float(met))
    rates[0, SIGNAL] = rate
    evaluation = evaluate(short, replace(panel, funding_rate=rates), MomentumShortParameters())
    _, need = evaluation.requirements
    assert (need.name, need.threshold, bool(need.met[0, SIGNAL])) == ("funding_rate_pct", "not under -0.03 %", met)
    np.testing.assert_equal(need.value[0, SIGNAL], value)
    assert fired(evaluation) == [SIGNAL]


@pytest.mark.parametrize("hundredths", range(-400, 1, 7))
def test_a_rate_that_equals_its_threshold_is_not_under_it(hundredths):
    panel = panel_of(FALL)
    rates = np.full(panel.close.shape, hundredths / 10_000)
    parameters = MomentumShortParameters(funding_not_under_pct=hundredths / 100)
    assert evaluate(short, replace(panel, funding_rate=rates), parameters).requirements[1].met.all()


def test_it_leaves_when_the_close_rises_over_the_slow_average():
    evaluation = sold([*FALL, 80.0, 95.0])
    assert at(evaluation, "ema_slow", 130) > 80
    assert at(evaluation, "ema_slow", 131) < 95
    assert evaluation.exit[0, 130:].tolist() == [False, True]


def test_the_data_that_is_asked_for():
    needs = short.needs(MomentumShortParameters(), Timeframe.H4)
    assert needs.candles == {Timeframe.H4: 397}
    assert (needs.taker_volume, needs.funding_rate, needs.open_interest) == (True, True, False)
