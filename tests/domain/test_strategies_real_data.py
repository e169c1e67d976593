"""Strategies on recorded candles: signals exist, and a live window decides as the whole history does."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domain.candle import Timeframe
from domain.strategies import STRATEGIES
from domain.strategies.contract import Panel
from tests.domain.strategy_cases import bars_of, results

DATA = Path(__file__).parents[3] / "shared" / "data" / "derivs"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not all((DATA / f"{symbol}_4h.parquet").exists() for symbol in SYMBOLS),
        reason=f"no recorded market data in {DATA}",
    ),
    pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES)),
]


@cache
def recorded() -> Panel:
    frames = [pd.read_parquet(DATA / f"{symbol}_4h.parquet").set_index("open_time") for symbol in SYMBOLS]
    opens = frames[0].index
    assert all(frame.index.equals(opens) for frame in frames)
    columns = ("open", "high", "low", "close", "volume", "open_interest")
    stacked = {name: np.stack([frame[name].to_numpy(np.float64) for frame in frames]) for name in columns}
    open_time = pd.DatetimeIndex(opens).tz_convert(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    assert (np.diff(open_time) == Timeframe.H4.milliseconds).all()
    return Panel(timeframe=Timeframe.H4, symbols=SYMBOLS, open_time=open_time, **stacked)


def evaluate(strategy, panel):
    return strategy.evaluate({Timeframe.H4: panel}, Timeframe.H4, strategy.parameters())


def test_every_symbol_gives_signals_and_most_bars_give_none(strategy):
    evaluation = evaluate(strategy, recorded())
    entries = evaluation.entry.sum(axis=1)
    assert (entries >= 20).all(), dict(zip(SYMBOLS, entries.tolist(), strict=True))
    assert evaluation.entry.mean() < 0.05
    assert not (evaluation.entry & evaluation.exit).any()


def test_recorded_open_interest_meets_and_fails_the_requirement_of_a_breakdown(strategy):
    evaluation = evaluate(strategy, recorded())
    (need,) = evaluation.requirements
    if strategy.name == "trend_breakdown":
        assert (evaluation.entry & need.met).any(axis=1).all()
        assert (evaluation.entry & ~need.met & np.isfinite(need.value)).any(axis=1).all()
    else:
        assert np.isnan(need.value).all()  # nobody recorded what takers bought


def test_the_window_that_is_needed_decides_as_the_whole_history_does(strategy):
    panel = recorded()
    whole = evaluate(strategy, panel)
    bars = strategy.needs(strategy.parameters(), Timeframe.H4).candles[Timeframe.H4]
    looked_at = np.flatnonzero(whole.entry[:, bars:].any(axis=0)) + bars
    for bar in {*looked_at.tolist(), *range(bars, panel.close.shape[1], 97)}:
        window = evaluate(strategy, bars_of(panel, slice(bar - bars + 1, bar + 1)))
        np.testing.assert_array_equal(window.entry[:, -1], whole.entry[:, bar])
        np.testing.assert_allclose(window.score[:, -1], whole.score[:, bar], atol=0.5)


def test_the_future_changes_nothing(strategy):
    panel = recorded()
    whole = results(evaluate(strategy, panel))
    for cut in (0, 49, 50, 51, 1000, 5003, 8001):
        for name, values in results(evaluate(strategy, bars_of(panel, slice(cut)))).items():
            np.testing.assert_array_equal(values, whole[name][:, :cut], err_msg=name)
