"""A live window decides as the whole history does: how far back a strategy has to look has a bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.history import STORED_TIMEFRAMES
from domain.strategies import STRATEGIES
from domain.strategies.warm_up import SEED_WEIGHT, adx_bars, ema_bars, rsi_bars
from tests.domain.strategy_cases import cut, evaluate, own_panel, random_market
from tests.domain.strategy_windows import SETTLED, assert_same_at_last, live_window, window

LATER = 60
ENTERED = 12


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
@pytest.mark.parametrize(("seed", "swing"), [(1, 0.003), (2, 0.01)])
def test_a_window_as_long_as_is_needed_decides_as_the_whole_history_does(strategy, seed, swing):
    parameters = strategy.parameters()
    needs = strategy.needs(parameters, strategy.timeframe)
    first = needs.candles[strategy.timeframe]
    earlier = max(needs.candles.values()) + LATER
    market = random_market(strategy, seed, 6, first + LATER, swing=swing, parameters=parameters, earlier=earlier)
    whole = evaluate(strategy, market, parameters)
    entered = (np.flatnonzero(whole.entry[:, first:].any(axis=0)) + first + 1).tolist()
    for end in sorted({*entered[:ENTERED], *range(first, first + LATER + 1, 15)}):
        seen = evaluate(strategy, live_window(cut(market, end), needs), parameters)
        assert_same_at_last(seen, whole, end - 1, SETTLED.get(strategy.name))


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_no_strategy_looks_back_without_bound(strategy):
    for timeframe in STORED_TIMEFRAMES:
        needs = strategy.needs(strategy.parameters(), timeframe).candles
        assert timeframe in needs
        assert all(2 <= bars <= 700 for bars in needs.values())


@given(st.integers(2, 400))
def test_a_seed_has_lost_its_weight_when_an_average_has_settled(length):
    of_ema, of_rsi = 1 - 2 / (length + 1), 1 - 1 / length
    assert of_ema ** (ema_bars(length) - length) <= SEED_WEIGHT < of_ema ** (ema_bars(length) - length - 1)
    assert of_rsi ** (rsi_bars(length) - length - 1) <= SEED_WEIGHT
    later = adx_bars(length) - 2 * length
    assert of_rsi**later * (1 + later / length) <= SEED_WEIGHT
    assert ema_bars(length, 1e-3) < ema_bars(length)


def test_a_shorter_window_would_not_do():
    strategy = STRATEGIES["momentum"]
    parameters = strategy.parameters()
    market = random_market(strategy, 1, 6, 400, swing=0.03, parameters=parameters)
    whole, bars = evaluate(strategy, market, parameters), {strategy.timeframe: 100}
    seen = evaluate(strategy, window(market, bars), parameters)
    with pytest.raises(AssertionError, match=r"adx|ema_slow|score"):
        assert_same_at_last(seen, whole, len(own_panel(market).open_time) - 1)
