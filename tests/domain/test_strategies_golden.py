"""Entries of every strategy on recorded and on made-up candles, each of them looked at on a plot of the stretch.

The plots are beside the plan that brought the strategies; ``plot.py`` there draws these stretches again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from domain.candle import CandleSeries, validate
from domain.regime import NO_REGIME
from domain.strategies import STRATEGIES
from tests.domain.golden_cases import RECORDED, judge_recorded, judge_synthetic
from tests.domain.golden_recorded import DATA

Entries = Mapping[str, Mapping[str, list[str]]]
"""Open times (UTC) by strategy and symbol."""

RECORDED_ENTRIES: Entries = {
    "growth_potential": {
        "ETHUSDT": ["2024-11-07 20:00"],
        "SOLUSDT": ["2024-11-11 04:00", "2024-11-12 08:00", "2024-11-13 12:00"],
        "XRPUSDT": [
            "2024-11-14 20:00",
            "2024-11-15 20:00",
            "2024-11-16 20:00",
            "2024-11-23 20:00",
            "2024-11-24 20:00",
            "2024-11-26 00:00",
            "2024-11-27 04:00",
            "2024-12-06 16:00",
        ],
    },
    "momentum": {
        "BTCUSDT": [
            "2024-01-27 20:00",
            "2024-01-30 16:00",
            "2024-02-08 16:00",
            "2024-02-12 12:00",
            "2024-02-14 08:00",
            "2024-02-14 16:00",
            "2024-02-15 00:00",
            "2024-02-15 08:00",
            "2024-02-27 04:00",
        ],
    },
    "mean_reversion": {
        "SOLUSDT": ["2024-08-27 11:00", "2024-08-29 19:00", "2024-08-29 22:00", "2024-09-04 01:00", "2024-09-06 21:00"],
    },
    "btc_trend": {
        "BTCUSDT": [
            "2023-09-27 08:00",
            "2023-09-28 12:00",
            "2023-10-01 20:00",
            "2023-10-15 20:00",
            "2023-10-16 04:00",
            "2023-10-16 12:00",
            "2023-10-20 00:00",
            "2023-10-20 08:00",
            "2023-11-03 12:00",
            "2023-11-03 20:00",
            "2023-11-05 20:00",
            "2023-11-07 16:00",
        ],
    },
    "trend_breakdown": {
        "ETHUSDT": [
            "2022-05-06 08:00",
            "2022-05-08 00:00",
            "2022-05-09 00:00",
            "2022-05-09 08:00",
            "2022-05-09 16:00",
            "2022-05-11 16:00",
            "2022-06-11 08:00",
            "2022-06-12 00:00",
            "2022-06-13 00:00",
            "2022-06-18 04:00",
            "2022-06-18 16:00",
        ],
    },
    "momentum_short": {
        "ETHUSDT": [
            "2025-02-25 08:00",
            "2025-02-27 16:00",
            "2025-02-28 20:00",
            "2025-03-01 04:00",
            "2025-03-03 16:00",
            "2025-03-04 00:00",
            "2025-03-05 12:00",
            "2025-03-07 20:00",
            "2025-03-10 16:00",
            "2025-03-13 16:00",
            "2025-03-28 08:00",
            "2025-03-30 20:00",
            "2025-04-03 12:00",
            "2025-04-04 08:00",
            "2025-04-06 16:00",
            "2025-04-09 12:00",
        ],
    },
    "mean_reversion_short": {
        "BTCUSDT": [
            "2024-05-20 20:00",
            "2024-05-27 16:00",
            "2024-05-27 18:00",
            "2024-05-30 19:00",
            "2024-06-03 07:00",
            "2024-06-03 09:00",
            "2024-06-04 17:00",
        ],
    },
    "btc_trend_short": {
        "BTCUSDT": [
            "2022-04-18 04:00",
            "2022-04-18 16:00",
            "2022-04-19 00:00",
            "2022-04-25 04:00",
            "2022-04-26 12:00",
            "2022-04-28 08:00",
            "2022-04-29 00:00",
            "2022-04-30 20:00",
            "2022-05-02 04:00",
            "2022-05-05 12:00",
            "2022-05-15 20:00",
            "2022-05-18 12:00",
            "2022-05-18 20:00",
            "2022-05-19 12:00",
            "2022-05-20 12:00",
            "2022-05-22 08:00",
            "2022-05-23 16:00",
            "2022-05-25 04:00",
            "2022-05-26 04:00",
            "2022-05-26 16:00",
            "2022-05-29 12:00",
        ],
    },
    "range_fade_long": {
        "SOLUSDT": [
            "2023-10-04 02:00",
            "2023-10-05 16:00",
            "2023-10-05 19:00",
            "2023-10-06 00:00",
            "2023-10-11 18:00",
            "2023-10-18 22:00",
            "2023-10-19 03:00",
        ],
    },
    "range_fade_short": {
        "BTCUSDT": [
            "2024-11-15 22:00",
            "2024-11-17 10:00",
            "2024-11-18 09:00",
            "2024-11-19 13:00",
            "2024-11-19 20:00",
            "2024-11-20 22:00",
            "2024-11-21 01:00",
            "2024-12-04 10:00",
        ],
    },
    "btc_swing": {
        "BTCUSDT": [
            "2023-01-17 00:00",
            "2023-02-16 00:00",
            "2023-03-14 00:00",
            "2023-05-23 00:00",
            "2023-05-28 00:00",
            "2023-06-03 00:00",
            "2023-06-07 00:00",
            "2023-06-21 00:00",
            "2023-08-02 00:00",
            "2023-08-08 00:00",
            "2023-08-14 00:00",
            "2023-10-22 00:00",
        ],
    },
}

SYNTHETIC_ENTRIES: Entries = {
    "growth_potential": {
        "GAINUSDT": [
            "2026-03-15 20:00",
            "2026-03-23 00:00",
            "2026-03-23 20:00",
            "2026-03-27 12:00",
            "2026-03-27 20:00",
        ],
        "ROCKUSDT": ["2026-04-03 20:00"],
    },
    "momentum": {
        "BTCUSDT": [
            "2025-03-19 20:00",
            "2025-03-20 16:00",
            "2025-03-22 20:00",
            "2025-03-25 00:00",
            "2025-04-01 00:00",
            "2025-04-09 04:00",
        ],
    },
    "mean_reversion": {
        "BTCUSDT": ["2025-01-29 03:00"],
    },
    "btc_trend": {
        "BTCUSDT": ["2025-03-18 20:00", "2025-03-31 00:00", "2025-04-08 08:00"],
    },
    "trend_breakdown": {
        "BTCUSDT": [
            "2025-04-23 16:00",
            "2025-04-26 20:00",
            "2025-04-27 12:00",
            "2025-04-27 20:00",
            "2025-04-28 08:00",
            "2025-04-28 16:00",
            "2025-04-29 12:00",
            "2025-05-06 12:00",
            "2025-05-07 00:00",
            "2025-05-08 00:00",
            "2025-05-08 20:00",
            "2025-05-28 16:00",
            "2025-05-29 00:00",
            "2025-05-31 00:00",
            "2025-05-31 20:00",
            "2025-06-01 04:00",
        ],
    },
    "momentum_short": {
        "BTCUSDT": [
            "2025-04-23 16:00",
            "2025-04-24 08:00",
            "2025-04-27 12:00",
            "2025-05-07 00:00",
            "2025-05-28 16:00",
            "2025-06-01 04:00",
        ],
    },
    "mean_reversion_short": {
        "BTCUSDT": ["2025-01-27 00:00"],
    },
    "btc_trend_short": {
        "BTCUSDT": ["2025-05-04 08:00", "2025-05-05 16:00", "2025-05-27 00:00", "2025-05-27 16:00", "2025-05-27 20:00"],
    },
    "range_fade_long": {
        "BTCUSDT": [
            "2025-01-18 19:00",
            "2025-01-20 07:00",
            "2025-01-21 02:00",
            "2025-01-21 18:00",
            "2025-01-22 13:00",
            "2025-01-22 15:00",
            "2025-01-28 02:00",
            "2025-01-28 04:00",
        ],
    },
    "range_fade_short": {
        "BTCUSDT": ["2025-01-20 16:00", "2025-01-21 10:00", "2025-01-30 03:00", "2025-01-30 06:00"],
    },
    "btc_swing": {
        "BTCUSDT": ["2027-03-22 00:00", "2027-06-15 00:00"],
    },
}


each_strategy = pytest.mark.parametrize("name", list(STRATEGIES))


def recorded(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that reads recorded candles."""
    there = pytest.mark.skipif(not (DATA / "derivs").exists(), reason=f"no recorded market data in {DATA}")
    return pytest.mark.real_data(there(test))


@recorded
@each_strategy
def test_the_entries_on_recorded_candles_are_those_that_were_looked_at(name):
    assert judge_recorded(name).entries() == RECORDED_ENTRIES[name]


@each_strategy
def test_the_entries_on_made_up_candles_are_those_that_were_looked_at(name):
    assert judge_synthetic(name).entries() == SYNTHETIC_ENTRIES[name]


@recorded
def test_open_interest_that_falls_while_a_floor_breaks_is_told():
    failing = judge_recorded("trend_breakdown").failing("open_interest_change_24h")
    assert failing == {
        "ETHUSDT": ["2022-05-08 00:00", "2022-05-09 08:00", "2022-05-09 16:00", "2022-05-11 16:00"],
    }


@recorded
@pytest.mark.parametrize("name", ["btc_trend", "btc_trend_short", "btc_swing"])
def test_the_regime_of_a_recorded_stretch_is_known_at_every_bar_and_is_not_always_the_same(name):
    judged = judge_recorded(name)
    assert judged.panel.regime is not None
    shown = judged.panel.regime[judged.shown :]
    assert (shown != NO_REGIME).all()
    assert len(np.unique(shown)) > 2


@each_strategy
def test_the_made_up_candles_are_such_as_a_market_can_make(name):
    panel = judge_synthetic(name).panel
    for row in range(len(panel.symbols)):
        columns = (getattr(panel, each)[row] for each in ("open", "high", "low", "close", "volume"))
        validate(CandleSeries(panel.open_time, *columns), panel.timeframe)


def test_no_strategy_is_without_stretches():
    assert RECORDED.keys() == RECORDED_ENTRIES.keys() == SYNTHETIC_ENTRIES.keys() == STRATEGIES.keys()
    assert all(RECORDED_ENTRIES.values())
    assert all(SYNTHETIC_ENTRIES.values())
