"""Hand-made series of BTC: each setup fires at the bar and in the regimes it should, and not when it is just missed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.indicators import bollinger, percentile_rank
from domain.regime import NO_REGIME
from domain.strategies import validate_parameters
from domain.strategies.btc_trend import BtcTrend, BtcTrendLongParameters
from domain.strategies.btc_trend_short import BtcTrendShort, BtcTrendShortParameters
from domain.strategies.contract import Evaluation, Panel
from domain.strategies.squeeze import SqueezeParameters, squeeze_rank
from tests.domain.strategy_cases import evaluate, panel_of
from tests.domain.test_strategies_signals import FALL, HAIR, RISE

trend, short = BtcTrend(), BtcTrendShort()

SWINGS = [100 + 4 * np.sin(bar * np.pi / 8) for bar in range(160)]
SQUEEZED = [*SWINGS, *(100 + 0.5 * np.sin(bar * np.pi / 8) for bar in range(24))]
WIDENING = [100 + (1 + bar / 50) * np.sin(bar * np.pi / 8) for bar in range(184)]
DIPPED = [*RISE, *(RISE[-1] * 0.982**bar for bar in range(1, 9))]
PULLED_BACK = [*DIPPED, *(DIPPED[-1] * 1.018**bar for bar in range(1, 5))]
RALLIED = [*FALL, *(FALL[-1] * 1.018**bar for bar in range(1, 9))]
REJECTED = [*RALLIED, RALLIED[-1] * 0.985]
ALL_LEVELS = (-2, -1, 0, 1, 2, NO_REGIME)


def in_regime(panel: Panel, level: int | list[int]) -> Panel:
    return replace(panel, regime=np.broadcast_to(np.array(level, np.int8), len(panel.open_time)).copy())


def bought(closes: list[float] | Panel, level: int | list[int] = 1, /, **parameters: Any) -> Evaluation:
    panel = closes if isinstance(closes, Panel) else panel_of(closes)
    return evaluate(trend, in_regime(panel, level), BtcTrendLongParameters.model_validate(parameters))


def sold(closes: list[float] | Panel, level: int | list[int] = -1, /, **parameters: Any) -> Evaluation:
    panel = closes if isinstance(closes, Panel) else panel_of(closes)
    return evaluate(short, in_regime(panel, level), BtcTrendShortParameters.model_validate(parameters))


def fired(evaluation: Evaluation, setup: str, after: int = 130) -> list[int]:
    """Bars after ``after`` at which the setup fired; every one of them is an entry."""
    flags = evaluation.evidence[setup][0] == 1
    assert not (flags & ~evaluation.entry[0]).any()
    return [bar for bar in np.flatnonzero(flags).tolist() if bar > after]


def at(evaluation: Evaluation, name: str, bar: int) -> float:
    return float(evaluation.evidence[name][0, bar])


def loud(closes: list[float], bar: int, volume: float) -> Panel:
    """10 coins are traded on every bar but one."""
    panel = panel_of(closes)
    volumes = panel.volume.copy()
    volumes[0, bar] = volume
    return replace(panel, volume=volumes)


@pytest.mark.parametrize("level", ALL_LEVELS)
def test_a_pullback_is_bought_in_a_bull_market_alone_when_the_price_is_back_over_its_fast_average(level):
    evaluation = bought(PULLED_BACK, level)
    assert fired(evaluation, "pullback") == ([140] if level in (1, 2) else [])
    assert at(evaluation, "close", 139) < at(evaluation, "ema_fast", 139)
    assert at(evaluation, "close", 140) > at(evaluation, "ema_fast", 140)
    assert fired(evaluation, "breakout") == []


@pytest.mark.parametrize(
    ("touched", "bars"), [({}, []), ({137: 1 + HAIR}, []), ({137: 1 - HAIR}, [140]), ({135: 0.99}, [140])]
)
def test_a_pullback_has_touched_the_slow_average_within_six_bars(touched, bars):
    slow = bought(PULLED_BACK).evidence["ema_slow"][0]
    low = np.where(np.arange(len(slow)) > 120, slow * 1.001, 50.0)
    for bar, to_slow in touched.items():
        low[bar] = slow[bar] * to_slow
    assert fired(bought(panel_of(PULLED_BACK, low=low)), "pullback") == bars


def test_a_touch_seven_bars_ago_is_too_long_ago():
    slow = bought(PULLED_BACK).evidence["ema_slow"][0]
    low = slow * 1.001
    low[134] = slow[134] * 0.99
    assert fired(bought(panel_of(PULLED_BACK, low=low)), "pullback") == []
    assert fired(bought(panel_of(PULLED_BACK, low=low), touch_within_bars=7), "pullback") == [140]


@pytest.mark.parametrize(("side", "bars"), [(-1, []), (1, [140])])
def test_a_pullback_closes_over_the_fast_average(side, bars):
    # With this close the average stays where it is: the new close is as far from it as from the average before.
    level = at(bought(PULLED_BACK), "ema_fast", 139)
    assert fired(bought([*PULLED_BACK[:140], level * (1 + side * HAIR)]), "pullback") == bars


@pytest.mark.parametrize(
    ("bound", "just_in"), [("rsi_from", 1 - HAIR), ("rsi_to", 1 + HAIR)], ids=["not too weak", "not too strong"]
)
def test_a_pullback_has_an_rsi_inside_its_band(bound, just_in):
    closes = PULLED_BACK[:141]
    value = at(bought(closes), "rsi", 140)
    assert 40 < value < 65
    assert fired(bought(closes, 1, **{bound: value}), "pullback") == []
    assert fired(bought(closes, 1, **{bound: value * just_in}), "pullback") == [140]


@pytest.mark.parametrize("before", [0, -1, NO_REGIME])
def test_a_regime_that_turns_bull_while_the_conditions_stand_is_no_entry(before):
    panel = panel_of([*PULLED_BACK, PULLED_BACK[-1], PULLED_BACK[-1]])
    standing = bought(panel)
    assert (standing.score[0, 140:143] > 60).all()
    turning = bought(panel, [before] * 141 + [1] * (len(panel.open_time) - 141))
    assert fired(turning, "pullback", 100) == []
    assert not turning.entry[0, 141:].any()
    assert fired(bought(panel, [before] * 140 + [1] * (len(panel.open_time) - 140)), "pullback") == [140]


@pytest.mark.parametrize("level", ALL_LEVELS)
def test_a_breakout_is_bought_in_a_neutral_market_alone(level):
    evaluation = bought(loud([*SQUEEZED, 101.5], 184, 16), level)
    assert fired(evaluation, "breakout") == ([184] if level == 0 else [])
    assert evaluation.entry[0, 184] == (level == 0)
    assert at(evaluation, "donchian_high", 184) == pytest.approx(max(SQUEEZED[164:]) * 1.001)


@pytest.mark.parametrize(("volume", "bars"), [(15.0, []), (15.0001, [184])])
def test_a_breakout_trades_more_than_half_as_much_again_as_the_bars_before_it(volume, bars):
    assert fired(bought(loud([*SQUEEZED, 101.5], 184, volume), 0), "breakout") == bars


@pytest.mark.parametrize(("side", "bars"), [(-1, []), (1, [184])])
def test_a_breakout_closes_over_the_highest_high_before_it(side, bars):
    ceiling = at(bought([*SQUEEZED, 101.5], 0), "donchian_high", 184)
    assert fired(bought(loud([*SQUEEZED, ceiling * (1 + side * HAIR)], 184, 30), 0), "breakout") == bars


def test_a_breakout_out_of_an_ordinary_market_is_none():
    closes = [*WIDENING, 106.0]
    evaluation = bought(loud(closes, 184, 30), 0)
    assert at(evaluation, "close", 184) > at(evaluation, "donchian_high", 184)
    assert at(evaluation, "squeeze_rank", 184) > 25
    assert fired(evaluation, "breakout") == []
    assert fired(bought(loud(closes, 184, 30), 0, squeeze_under_pct=99), "breakout") == [184]


def test_the_squeeze_of_a_bar_is_that_of_the_six_bars_before_it():
    close = panel_of([*WIDENING, *SQUEEZED]).close
    middle, upper, lower = bollinger(close, 20, 2)
    ranks = percentile_rank((upper - lower) / middle, 120)[0]
    found = squeeze_rank(close, SqueezeParameters())[0]
    assert np.isnan(found[:145]).all()
    assert found[145:].tolist() == [min(ranks[bar - 6 : bar]) for bar in range(145, len(found))]


def test_a_long_position_is_left_when_both_averages_are_lost():
    evaluation = bought([*RISE, 120.0, 108.0])
    assert at(evaluation, "ema_slow", 130) < 120 < at(evaluation, "ema_fast", 130)
    assert at(evaluation, "ema_slow", 131) > 108
    assert evaluation.exit[0, 129:].tolist() == [False, False, True]


@pytest.mark.parametrize("level", ALL_LEVELS)
def test_a_failed_rally_is_sold_in_a_bear_market_alone(level):
    evaluation = sold(_with_high(REJECTED, 90.0), level)
    assert fired(evaluation, "bear_pullback_short") == ([138] if level in (-1, -2) else [])
    assert fired(evaluation, "breakdown_short") == []


@pytest.mark.parametrize(("side", "bars"), [(-1, []), (1, [138])])
def test_a_rally_fails_from_over_the_slow_average(side, bars):
    slow = at(sold(REJECTED), "ema_slow", 138)
    assert fired(sold(_with_high(REJECTED, slow * (1 + side * HAIR))), "bear_pullback_short") == bars


@pytest.mark.parametrize(("side", "bars"), [(1, []), (-1, [138])])
def test_a_failed_rally_closes_under_the_slow_average(side, bars):
    level = at(sold(RALLIED), "ema_slow", 137)
    closes = [*RALLIED, level * (1 + side * HAIR)]
    assert fired(sold(_with_high(closes, 90.0), rsi_to=80), "bear_pullback_short") == bars


@pytest.mark.parametrize(("bound", "just_in"), [("rsi_from", 1 - HAIR), ("rsi_to", 1 + HAIR)])
def test_a_failed_rally_has_an_rsi_inside_its_band(bound, just_in):
    panel = _with_high(REJECTED, 90.0)
    value = at(sold(panel), "rsi", 138)
    assert 35 < value < 60
    assert fired(sold(panel, -1, **{bound: value}), "bear_pullback_short") == []
    assert fired(sold(panel, -1, **{bound: value * just_in}), "bear_pullback_short") == [138]


@pytest.mark.parametrize("level", ALL_LEVELS)
def test_a_floor_that_breaks_out_of_a_squeeze_is_sold_in_a_bear_market_alone(level):
    evaluation = sold([*SQUEEZED, 98.5], level)
    assert fired(evaluation, "breakdown_short", 183) == ([184] if level in (-1, -2) else [])
    assert (evaluation.score[0, 184] > 60) == (level in (-1, -2))
    assert at(evaluation, "donchian_low", 184) == pytest.approx(min(SQUEEZED[164:]) * 0.999)


@pytest.mark.parametrize(("side", "bars"), [(1, []), (-1, [184])])
def test_a_broken_floor_closes_under_the_lowest_low_before_it(side, bars):
    floor = at(sold([*SQUEEZED, 98.5]), "donchian_low", 184)
    assert fired(sold([*SQUEEZED, floor * (1 + side * HAIR)]), "breakdown_short", 183) == bars


def test_a_floor_that_breaks_in_an_ordinary_market_is_not_sold():
    closes = [*WIDENING, 94.0]
    assert fired(sold(closes), "breakdown_short", 183) == []
    assert fired(sold(closes, squeeze_under_pct=99), "breakdown_short", 183) == [184]


def test_a_short_position_is_left_when_both_averages_are_regained():
    evaluation = sold([*FALL, 83.0, 95.0])
    assert at(evaluation, "ema_fast", 130) < 83 < at(evaluation, "ema_slow", 130)
    assert at(evaluation, "ema_slow", 131) < 95
    assert evaluation.exit[0, 129:].tolist() == [False, False, True]


def test_both_ask_for_the_regime_and_trade_one_symbol():
    for strategy in (trend, short):
        needs = strategy.needs(strategy.parameters(), strategy.timeframe)
        assert needs.regime
        assert needs.only == {"BTCUSDT"}
        assert needs.benchmark is None


@pytest.mark.parametrize("name", ["btc_trend", "btc_trend_short"])
@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"rsi_from": 61, "rsi_to": 60}, "rsi_from 61 must be below rsi_to 60"),
        ({"ema_fast_bars": 50}, "ema_fast_bars 50 must be below ema_slow_bars 50"),
        ({"squeeze_rank_bars": 1}, "squeeze_rank_bars\n.*greater than or equal to 2"),
        ({"roc_bars": 3}, "roc_bars\n.*not permitted"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_and_rule(name, parameters, rule):
    with pytest.raises(ValueError, match=rule):
        validate_parameters(name, parameters)


def _with_high(closes: list[float], high: float) -> Panel:
    """The last bar's high."""
    panel = panel_of(closes)
    highs = panel.high.copy()
    highs[0, -1] = high
    return replace(panel, high=highs)
