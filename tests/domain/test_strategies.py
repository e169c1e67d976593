"""What holds for every strategy on any panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.strategies import STRATEGIES, UnknownStrategy, strategy_named, validate_parameters
from domain.strategies.conditions import Condition, watchlist_score
from tests.domain.strategy_cases import (
    COLUMNS,
    QUICK,
    bars_of,
    evaluate,
    every_strategy,
    panels,
    random_panel,
    results,
    row_of,
)

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))


@given(every_strategy, panels, st.data())
def test_appending_bars_never_changes_earlier_ones(strategy, panel, data):
    cut = data.draw(st.integers(0, panel.close.shape[1]))
    whole, earlier = results(evaluate(strategy, panel)), results(evaluate(strategy, bars_of(panel, slice(cut))))
    for name, values in earlier.items():
        np.testing.assert_array_equal(values, whole[name][:, :cut], err_msg=name)


@given(every_strategy, panels)
def test_a_symbols_result_does_not_depend_on_its_neighbours(strategy, panel):
    together = results(evaluate(strategy, panel))
    for row in range(len(panel.symbols)):
        for name, values in results(evaluate(strategy, row_of(panel, row))).items():
            np.testing.assert_array_equal(values[0], together[name][row], err_msg=name)


@given(every_strategy, panels, st.sampled_from([2.0**-6, 2.0**5]))
def test_the_unit_of_price_does_not_matter(strategy, panel, unit):
    other = replace(panel, **{name: getattr(panel, name) * unit for name in ("open", "high", "low", "close")})
    was, now = evaluate(strategy, panel), evaluate(strategy, other)
    np.testing.assert_array_equal(was.entry, now.entry)
    np.testing.assert_array_equal(was.exit, now.exit)
    np.testing.assert_allclose(was.score, now.score, rtol=0, atol=1e-6)


@given(every_strategy, panels)
def test_an_entry_is_an_edge_of_all_conditions(strategy, panel):
    evaluation = evaluate(strategy, panel)
    for row in range(len(panel.symbols)):
        held: bool | None = None
        for bar in range(panel.close.shape[1]):
            values = {name: float(column[row, bar]) for name, column in evaluation.evidence.items()}
            holds = None if any(value != value for value in values.values()) else _HOLDS[strategy.name](values)
            assert evaluation.entry[row, bar] == (holds is True and held is False), (row, bar)
            held = holds


def _momentum_holds(v: dict[str, float]) -> bool:
    p = QUICK["momentum"]
    return v["roc_pct"] > 0.5 and v["adx"] > p.adx_over and v["close"] > v["ema_fast"] > v["ema_slow"]


def _breakdown_holds(v: dict[str, float]) -> bool:
    p = QUICK["trend_breakdown"]
    return v["close"] < v["donchian_low"] and v["ema_fast"] < v["ema_slow"] and v["adx"] > p.adx_over


_HOLDS = {"momentum": _momentum_holds, "trend_breakdown": _breakdown_holds}


@given(every_strategy, panels)
def test_a_score_is_finite_from_0_to_100_and_at_least_60_where_a_signal_fires(strategy, panel):
    evaluation = evaluate(strategy, panel)
    assert evaluation.score.shape == panel.close.shape
    assert np.isfinite(evaluation.score).all()
    assert ((evaluation.score >= 0) & (evaluation.score <= 100)).all()
    assert (evaluation.score[evaluation.entry] >= 60).all()
    unknown = np.isnan(np.stack(list(evaluation.evidence.values()))).any(axis=0)
    assert (evaluation.score[unknown] == 0).all()


@each_strategy
def test_a_score_over_60_says_that_every_condition_holds(strategy):
    evaluation = evaluate(strategy, random_panel(3, 4, 500))
    for row, bar in np.argwhere(evaluation.score > 0):
        values = {name: float(column[row, bar]) for name, column in evaluation.evidence.items()}
        assert _HOLDS[strategy.name](values) == (evaluation.score[row, bar] > 60)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5), st.data())
def test_a_score_never_falls_when_a_condition_gets_better(reached, data):
    better = list(reached)
    better[data.draw(st.integers(0, len(reached) - 1))] += data.draw(st.floats(0, 3))
    assert _score(better) >= _score(reached) - 1e-9


def _score(reached: list[float]) -> float:
    conditions = [Condition(met=np.array([[value > 0]]), reached=np.array([[value]])) for value in reached]
    return float(watchlist_score(conditions)[0, 0])


@given(every_strategy, panels, st.data())
def test_after_a_missing_candle_nothing_is_known_until_the_averages_have_settled_again(strategy, panel, data):
    bars = panel.close.shape[1]
    hole = data.draw(st.integers(0, bars - 1))
    name = data.draw(st.sampled_from(COLUMNS))
    holed = getattr(panel, name).copy()
    holed[0, hole] = np.nan
    evaluation = evaluate(strategy, replace(panel, **{name: holed}))
    silent = slice(hole, hole + QUICK[strategy.name].ema_slow_bars)
    assert not evaluation.entry[0, silent].any()
    assert not evaluation.exit[0, silent].any()
    assert not evaluation.score[0, silent].any()


@each_strategy
def test_random_walks_make_signals_of_both_kinds(strategy):
    evaluation = evaluate(strategy, random_panel(1, 3, 400))
    assert evaluation.entry.any(axis=1).all()
    assert evaluation.exit.any(axis=1).all()
    assert not (evaluation.entry & evaluation.exit).any()


@each_strategy
@pytest.mark.parametrize("shape", [(0, 50), (2, 0), (2, 1)])
def test_a_panel_without_symbols_or_bars_makes_no_signal(strategy, shape):
    evaluation = evaluate(strategy, random_panel(1, *shape))
    assert evaluation.entry.shape == evaluation.exit.shape == evaluation.score.shape == shape
    assert not evaluation.entry.any()


@each_strategy
def test_a_symbol_without_any_candle_is_silent(strategy):
    panel = random_panel(5, 2, 100)
    nothing = np.full(panel.close.shape, np.nan)
    evaluation = evaluate(strategy, replace(panel, **dict.fromkeys(COLUMNS, nothing)))
    assert not evaluation.entry.any()
    assert not evaluation.score.any()


@each_strategy
def test_microstructure_nobody_asked_for_is_not_known_and_not_met(strategy):
    panel = replace(random_panel(2, 2, 60), taker_buy_share=None, open_interest=None)
    (need,) = evaluate(strategy, panel).requirements
    assert np.isnan(need.value).all()
    assert not need.met.any()


@given(every_strategy, st.sampled_from([Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1]))
def test_the_window_a_strategy_needs_is_enough_to_know_everything_on_its_last_two_bars(strategy, timeframe):
    parameters = strategy.parameters()
    needs = strategy.needs(parameters, timeframe)
    window = replace(random_panel(1, 2, needs.candles[timeframe]), timeframe=timeframe)
    evaluation = strategy.evaluate({timeframe: window}, timeframe, parameters)
    for name, values in results(evaluation).items():
        at_last = values[:, -2:] if name in evaluation.evidence else values[:, -1:]
        assert np.isfinite(at_last.astype(float)).all(), name
    assert needs.candles.keys() == {timeframe}
    assert needs.taker_volume or needs.open_interest


def test_a_strategy_is_found_by_its_name_and_an_unknown_one_is_told_the_known_ones():
    assert [strategy_named(name).name for name in STRATEGIES] == list(STRATEGIES) == ["momentum", "trend_breakdown"]
    with pytest.raises(UnknownStrategy, match=r"no strategy 'hope': known are momentum, trend_breakdown"):
        strategy_named("hope")
    assert issubclass(UnknownStrategy, KeyError)


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"roc_bars": 1}, "roc_bars\n.*greater than or equal to 2"),
        ({"adx_over": float("nan")}, "adx_over"),
        ({"ema_fast_bars": 50}, "ema_fast_bars 50 must be below ema_slow_bars 50"),
        ({"rsi_bars": 14}, "rsi_bars\n.*not permitted"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_and_rule(parameters, rule):
    with pytest.raises(ValueError, match=rule):
        validate_parameters("momentum", parameters)
