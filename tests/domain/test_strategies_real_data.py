"""Strategies on recorded candles: signals exist, and a live window decides as the whole history does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest

from domain.candle import Timeframe
from domain.strategies import STRATEGIES
from domain.strategies.contract import Evaluation
from tests.domain.golden_recorded import DATA, recorded_panel, recorded_regimes
from tests.domain.strategy_cases import Market, cut, own_panel, results
from tests.domain.strategy_windows import SETTLED, assert_same_at_last, window

MAJORS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
RANKED = (*MAJORS, "AAVEUSDT", "ADAUSDT", "LINKUSDT", "LTCUSDT", "MNTUSDT")
LAST = datetime(2025, 6, 29, tzinfo=UTC)  # a Sunday: with its last bar a week closes
FIRST = {
    Timeframe.H1: datetime(2024, 7, 1, tzinfo=UTC),
    Timeframe.H4: datetime(2023, 6, 5, tzinfo=UTC),
    Timeframe.D1: datetime(2022, 6, 6, tzinfo=UTC),
}
LOOKED_AT = 40
"""Bars at which a window is held against the whole history."""

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not all((DATA / "ohlcv" / f"{symbol}_4h.parquet").exists() for symbol in MAJORS),
        reason=f"no recorded market data in {DATA}",
    ),
    pytest.mark.parametrize("name", STRATEGIES),
]


panel_of = cache(recorded_panel)


@cache
def recorded(name: str) -> Market:
    """A market as long as was recorded, at most some years of it, with the windows of longer timeframes before."""
    strategy = STRATEGIES[name]
    needs = strategy.needs(strategy.parameters(), strategy.timeframe)
    symbols = MAJORS if needs.only is None else tuple(sorted(needs.only))
    market = {}
    for timeframe, bars in needs.candles.items():
        begin = FIRST[strategy.timeframe]
        if timeframe is not strategy.timeframe:
            begin = timeframe.floor(begin) - (bars + 20) * timeframe.duration
        last = timeframe.floor(LAST + timedelta(days=1)) - timeframe.duration
        chosen = symbols if needs.benchmark is None else RANKED
        market[timeframe] = panel_of(chosen, timeframe, pd.Timestamp(begin), pd.Timestamp(last))
    if needs.regime:
        own = market[strategy.timeframe]
        market[strategy.timeframe] = replace(own, regime=recorded_regimes(own))
    return market


@cache
def whole(name: str) -> Evaluation:
    return evaluate(name, recorded(name))


def evaluate(name: str, market: Market) -> Evaluation:
    strategy = STRATEGIES[name]
    return strategy.evaluate(market, strategy.timeframe, strategy.parameters())


def test_some_bars_give_signals_and_most_give_none(name):
    entries = whole(name).entry.sum(axis=1)
    assert entries.sum() >= 2, entries
    assert whole(name).entry.mean() < 0.05
    assert whole(name).exit.any()
    assert not (whole(name).entry & whole(name).exit).any()


def test_recorded_microstructure_meets_and_fails_the_requirements(name):
    for need in whole(name).requirements:
        if np.isfinite(need.value).any():
            assert need.met.any()
            assert (~need.met & np.isfinite(need.value)).any()
        else:
            assert not need.met.any()


def test_the_window_that_is_needed_decides_as_the_whole_history_does(name):
    strategy, market = STRATEGIES[name], recorded(name)
    needs = strategy.needs(strategy.parameters(), strategy.timeframe).candles
    bars = len(own_panel(market).open_time)
    entered = np.flatnonzero(whole(name).entry.any(axis=0))
    spread = np.linspace(needs[strategy.timeframe], bars, LOOKED_AT // 2, dtype=int)
    chosen = entered[entered >= needs[strategy.timeframe]][-LOOKED_AT // 2 :] + 1
    for end in sorted({*spread.tolist(), *chosen.tolist()}):
        seen = window(cut(market, end), needs)
        assert_same_at_last(evaluate(name, seen), whole(name), end - 1, SETTLED.get(name))


def test_the_future_changes_nothing(name):
    market = recorded(name)
    bars = len(own_panel(market).open_time)
    for end in (0, 1, 53, bars // 3, bars - 7, bars - 1):
        for column, values in results(evaluate(name, cut(market, end))).items():
            np.testing.assert_array_equal(values, results(whole(name))[column][:, :end], err_msg=column)
