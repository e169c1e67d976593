"""The regime of recorded BTC: the years everybody remembers are told as what they were."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domain.candle import Timeframe, to_ms
from domain.regime import Regime
from domain.regime_score import Bars, score_series
from domain.regime_state import RegimeState, walk

DATA = Path(__file__).parents[3] / "shared" / "data" / "ohlcv"
FILES = {timeframe: DATA / f"BTCUSDT_{timeframe}.parquet" for timeframe in (Timeframe.D1, Timeframe.H4)}
LONG = {Regime.BULL, Regime.STRONG_BULL}
SHORT = {Regime.BEAR, Regime.STRONG_BEAR}

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not all(each.exists() for each in FILES.values()), reason=f"no recorded market data in {DATA}"),
]


def at(year: int, month: int) -> int:
    return to_ms(datetime(year, month, 1, tzinfo=UTC))


def recorded(timeframe: Timeframe) -> Bars:
    frame = pd.read_parquet(FILES[timeframe])
    opens = pd.DatetimeIndex(frame["open_time"]).tz_convert(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    assert (np.diff(opens) == timeframe.milliseconds).all()
    return Bars(opens, *(frame[name].to_numpy(np.float64) for name in ("high", "low", "close")))


@cache
def regimes() -> list[tuple[int, RegimeState]]:
    """From November 2021 to the end of June 2025, by close."""
    daily, four_hourly = recorded(Timeframe.D1), recorded(Timeframe.H4)
    closes = four_hourly.open_time + Timeframe.H4.milliseconds
    closes = closes[(closes >= at(2021, 10)) & (closes <= at(2025, 7))]
    scores = score_series(daily, four_hourly, closes)
    states = walk(None, [score.score if score else None for score in scores])
    return [
        (int(close), state)
        for close, state in zip(closes, states, strict=True)
        if close >= at(2021, 11) and state is not None
    ]


def counted(start: int, end: int) -> Counter[Regime | None]:
    return Counter(state.effective for close, state in regimes() if start <= close < end)


def share(start: int, end: int, wanted: set[Regime]) -> float:
    counts = counted(start, end)
    return sum(counts[each] for each in wanted) / counts.total()


def test_every_close_has_a_regime_and_every_regime_is_seen() -> None:
    states = [state for _, state in regimes()]
    assert len(states) == (at(2025, 7) - at(2021, 11)) // Timeframe.H4.milliseconds + 1
    assert {state.effective for state in states} == set(Regime)
    changes = sum(one.effective != other.effective for one, other in itertools.pairwise(states))
    assert 50 < changes < 300, "it moves every few days, not every few closes"


def test_2022_is_the_bear_that_it_was() -> None:
    assert share(at(2022, 1), at(2023, 1), SHORT) > 0.8
    assert share(at(2022, 5), at(2023, 1), SHORT) > 0.9
    assert share(at(2022, 1), at(2023, 1), LONG) < 0.05


def test_the_bull_from_late_2023_to_spring_2024_is_seen() -> None:
    assert share(at(2023, 11), at(2024, 4), LONG) > 0.85
    assert share(at(2023, 11), at(2024, 4), {Regime.STRONG_BULL}) > 0.5
    assert share(at(2023, 11), at(2024, 4), SHORT) == 0
