"""What holds for every strategy in any market."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.history import STORED_TIMEFRAMES
from domain.strategies import STRATEGIES, UnknownStrategy, strategy_named, validate_parameters
from domain.strategies.conditions import Condition, watchlist_score
from tests.domain.strategy_cases import (
    COLUMNS,
    PRICES,
    QUICK,
    cut,
    evaluate,
    markets_of,
    own_panel,
    random_market,
    random_panel,
    results,
    rows_of,
    strategies_in_markets,
)
from tests.domain.strategy_rules import RULES, counts, holds
from tests.domain.strategy_windows import MICROSTRUCTURE

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
cases = strategies_in_markets()

RANKED = {"growth_potential": {"entry", "score", "strength_rank"}}
"""What depends on a symbol's neighbours, by strategy."""


@each_strategy
@settings(max_examples=25)
@given(data=st.data())
def test_appending_bars_never_changes_earlier_ones(strategy, data):
    market = data.draw(markets_of(strategy))
    bars = data.draw(st.integers(0, len(own_panel(market).open_time)))
    whole, earlier = results(evaluate(strategy, market)), results(evaluate(strategy, cut(market, bars)))
    for name, values in earlier.items():
        np.testing.assert_array_equal(values, whole[name][:, :bars], err_msg=name)


@each_strategy
def test_a_strategys_file_says_how_it_leaves_and_how_long_it_takes_to_settle(strategy):
    told = inspect.getdoc(inspect.getmodule(type(strategy)))
    assert told is not None
    assert "Entry" in told
    assert "Exit" in told
    assert "Warm-up" in told
    if strategy.needs(strategy.parameters(), strategy.timeframe).microstructure:
        assert "of candles alone" in told
        assert "judged by gates on the signal's bar" in " ".join(told.split())


@given(cases)
def test_a_symbols_result_does_not_depend_on_its_neighbours(case):
    """But for its rank among them, where a strategy ranks; the benchmark, by which strength is told, stays."""
    strategy, market = case
    together = results(evaluate(strategy, market))
    kept = (0,) if strategy.needs(QUICK[strategy.name], strategy.timeframe).benchmark else ()
    for row in range(len(own_panel(market).symbols)):
        rows = sorted({*kept, row})
        alone = {timeframe: rows_of(panel, rows) for timeframe, panel in market.items()}
        for name, values in results(evaluate(strategy, alone)).items():
            if name not in RANKED.get(strategy.name, ()):
                np.testing.assert_array_equal(values, together[name][rows], err_msg=name)


@given(cases, st.sampled_from([2.0**-30, 2.0**-6, 2.0**12]))
def test_the_unit_of_price_does_not_matter(case, unit):
    strategy, market = case
    other = {
        timeframe: replace(panel, **{name: getattr(panel, name) * unit for name in PRICES})
        for timeframe, panel in market.items()
    }
    was, now = evaluate(strategy, market), evaluate(strategy, other)
    np.testing.assert_array_equal(was.entry, now.entry)
    np.testing.assert_array_equal(was.exit, now.exit)
    np.testing.assert_allclose(was.score, now.score, rtol=0, atol=1e-6)


@given(cases)
def test_an_entry_is_an_edge_of_a_rule_in_a_regime_in_which_it_counts(case):
    strategy, market = case
    evaluation = evaluate(strategy, market)
    entering = np.zeros(evaluation.entry.shape, np.bool_)
    for rule in RULES[strategy.name]:
        held = holds(strategy.name, rule, evaluation)
        edge = np.zeros(held.shape, np.bool_)
        edge[:, 1:] = (held[:, 1:] == 1) & (held[:, :-1] == 0)
        edge &= counts(rule, own_panel(market))
        if rule.flag is not None:
            np.testing.assert_array_equal(evaluation.evidence[rule.flag], edge)
        entering |= edge
    np.testing.assert_array_equal(evaluation.entry, entering)


@given(cases)
def test_a_score_is_finite_from_0_to_100_and_over_60_only_where_a_rule_holds(case):
    strategy, market = case
    evaluation = evaluate(strategy, market)
    score = evaluation.score
    assert score.shape == own_panel(market).close.shape
    assert np.isfinite(score).all()
    assert ((score >= 0) & (score <= 100)).all()
    answers = [
        np.where(counts(rule, own_panel(market)), holds(strategy.name, rule, evaluation), -1)
        for rule in RULES[strategy.name]
    ]
    best = np.maximum.reduce(answers)
    assert (score[best == 1] >= 60).all()
    assert (score[best == 0] <= 60).all()
    assert (score[best == -1] == 0).all()


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5), st.data())
def test_a_score_never_falls_when_a_condition_gets_better(reached, data):
    better = list(reached)
    better[data.draw(st.integers(0, len(reached) - 1))] += data.draw(st.floats(0, 3))
    assert _score(better) >= _score(reached) - 1e-9


def _score(reached: list[float]) -> float:
    conditions = [Condition(met=np.array([[value > 0]]), reached=np.array([[value]])) for value in reached]
    return float(watchlist_score(conditions)[0, 0])


SILENT = {
    "growth_potential": 3,
    "momentum": 6,
    "mean_reversion": 4,
    "btc_trend": 6,
    "trend_breakdown": 6,
    "momentum_short": 6,
    "mean_reversion_short": 4,
    "btc_trend_short": 6,
    "range_fade_long": 6,
    "range_fade_short": 6,
    "btc_swing": 4,
}
"""Bars from a missing candle of its own timeframe on for which a strategy with quick parameters knows nothing."""

LEAVES_BY_A_LONGER_TIMEFRAME = {"growth_potential", "btc_swing"}


@given(cases, st.data())
def test_after_a_missing_candle_nothing_is_known_until_the_averages_have_settled_again(case, data):
    strategy, market = case
    own = own_panel(market)
    hole = data.draw(st.integers(0, len(own.open_time) - 1))
    name = data.draw(st.sampled_from(COLUMNS))
    holed = getattr(own, name).copy()
    holed[0, hole] = np.nan
    evaluation = evaluate(strategy, {**market, own.timeframe: replace(own, **{name: holed})})
    silent = slice(hole, hole + SILENT[strategy.name])
    assert not evaluation.entry[0, silent].any()
    assert not evaluation.score[0, silent].any()
    if strategy.name not in LEAVES_BY_A_LONGER_TIMEFRAME:
        assert not evaluation.exit[0, silent].any()


@each_strategy
def test_random_walks_make_signals_of_both_kinds(strategy):
    market = random_market(strategy, 1, 3, 400)
    evaluation = evaluate(strategy, market)
    entered = evaluation.entry.any(axis=1).tolist()
    assert entered == [not _is_benchmark(strategy, symbol) for symbol in own_panel(market).symbols]
    assert evaluation.exit.any(axis=1).all()
    assert not (evaluation.entry & evaluation.exit).any()
    for rule in RULES[strategy.name]:
        assert rule.flag is None or evaluation.evidence[rule.flag].any()


def _is_benchmark(strategy, symbol: str) -> bool:
    return symbol == strategy.needs(QUICK[strategy.name], strategy.timeframe).benchmark


@each_strategy
@given(seed=st.integers(0, 2**32 - 1))
def test_microstructure_decides_nothing_but_the_requirements(strategy, seed):
    market = random_market(strategy, seed, 4, 60)
    own = own_panel(market)
    unknown = {**market, own.timeframe: replace(own, **dict.fromkeys(MICROSTRUCTURE))}
    with_it, without = evaluate(strategy, market), evaluate(strategy, unknown)
    requirements = {f"{each.name}.{part}" for each in with_it.requirements for part in ("value", "met")}
    known = results(with_it)
    for name, values in results(without).items():
        if name not in requirements:
            np.testing.assert_array_equal(values, known[name], name)
    assert all(not each.met.any() and np.isnan(each.value).all() for each in without.requirements)
    assert bool(with_it.requirements) == strategy.needs(QUICK[strategy.name], own.timeframe).microstructure


@each_strategy
@pytest.mark.parametrize("shape", [(0, 50), (2, 0), (2, 1)])
def test_a_panel_without_symbols_or_bars_makes_no_signal(strategy, shape):
    evaluation = evaluate(strategy, random_panel(1, *shape, timeframe=strategy.timeframe))
    assert evaluation.entry.shape == evaluation.exit.shape == evaluation.score.shape == shape
    assert not evaluation.entry.any()


@each_strategy
def test_a_symbol_without_any_candle_is_silent(strategy):
    market = random_market(strategy, 5, 2, 100)
    nothing = {
        timeframe: replace(panel, **dict.fromkeys(COLUMNS, np.full(panel.close.shape, np.nan)))
        for timeframe, panel in market.items()
    }
    evaluation = evaluate(strategy, nothing)
    assert not evaluation.entry.any()
    assert not evaluation.exit.any()
    assert not evaluation.score.any()


@each_strategy
def test_what_nobody_asked_for_is_not_known_and_not_met(strategy):
    market = dict(random_market(strategy, 2, 2, 60))
    own = own_panel(market)
    market[own.timeframe] = replace(
        own, taker_buy_share=None, open_interest=None, long_short_ratio=None, funding_rate=None, regime=None
    )
    evaluation = evaluate(strategy, market)
    for need in evaluation.requirements:
        assert np.isnan(need.value).all()
        assert not need.met.any()
    if strategy.needs(QUICK[strategy.name], own.timeframe).regime:
        assert not evaluation.entry.any()
        assert not evaluation.score.any()


@each_strategy
@pytest.mark.parametrize("timeframe", STORED_TIMEFRAMES)
def test_the_window_a_strategy_needs_is_enough_to_know_everything_on_its_last_two_bars(strategy, timeframe):
    parameters = strategy.parameters()
    needs = strategy.needs(parameters, timeframe)
    end = Timeframe.W1.floor_ms(random_panel(1, 1, 1).open_time[0])  # where every timeframe closes
    # a week's last but one close, where a longer timeframe is one bar behind, is the harder of both ends
    market = {
        each: random_panel(1, 8, bars, timeframe=each, start=end - bars * each.milliseconds)
        for each, bars in {timeframe: needs.candles[timeframe], **needs.candles}.items()
    }
    evaluation = evaluate(strategy, market, parameters)
    tradable = [row for row, symbol in enumerate(own_panel(market).symbols) if not _is_benchmark(strategy, symbol)]
    for name, values in results(evaluation).items():
        at_last = values[tradable, -2:] if name in evaluation.evidence else values[tradable, -1:]
        assert np.isfinite(at_last.astype(float)).all(), name


def test_a_strategy_is_found_by_its_name_and_an_unknown_one_is_told_the_known_ones():
    assert [strategy_named(name).name for name in STRATEGIES] == list(STRATEGIES)
    with pytest.raises(UnknownStrategy, match=r"no strategy 'hope': known are btc_swing, btc_trend, .*momentum_short"):
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
