"""Panels of recorded candles with the regime that BTC's own candles gave, and no bar that closes after a stretch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from domain.candle import Timeframe, from_ms
from domain.regime import NO_REGIME
from domain.regime_score import Bars, score_series
from domain.regime_state import walk
from domain.strategies.contract import Panel, Regimes

DATA = Path(__file__).parents[3] / "shared" / "data"

Instants = npt.NDArray[np.int64]

_COLUMNS = ("open", "high", "low", "close", "volume")
_REGIME_RUN_UP = timedelta(days=60)


def recorded_panel(symbols: Sequence[str], timeframe: Timeframe, first: datetime, last: datetime) -> Panel:
    """Candles with open times from ``first`` to ``last`` (on the grid); NaN where a symbol has none.

    On 4h with the open interest, funding and long/short ratio of the symbols of which these were recorded.
    """
    opens = pd.date_range(first, last, freq=timeframe.duration)
    frames = [_candles(symbol, timeframe).reindex(opens) for symbol in symbols]
    columns = {name: np.stack([frame[name].to_numpy(np.float64) for frame in frames]) for name in _COLUMNS}
    if timeframe is Timeframe.H4:
        extra = [_microstructure(symbol).reindex(opens) for symbol in symbols]
        for name in ("open_interest", "funding_rate", "long_short_ratio"):
            columns[name] = np.stack([frame[name].to_numpy(np.float64) for frame in extra])
    return Panel(timeframe=timeframe, symbols=tuple(symbols), open_time=_ms(opens), **columns)


def recorded_regimes(panel: Panel) -> Regimes:
    """The effective regime as it was known at each bar's close, from 60 days before the panel's first bar on."""
    closes = panel.open_time + panel.timeframe.milliseconds
    first = Timeframe.H4.floor(from_ms(int(closes[0]))) - _REGIME_RUN_UP
    grid = _ms(pd.date_range(first, from_ms(int(closes[-1])), freq=Timeframe.H4.duration))
    scores = score_series(_btc(Timeframe.D1), _btc(Timeframe.H4), grid)
    states = walk(None, [score and score.score for score in scores])
    levels = [NO_REGIME if not state or not state.effective else state.effective.level for state in states]
    return np.array(levels, np.int8)[np.searchsorted(grid, closes, side="right") - 1]


@cache
def _btc(timeframe: Timeframe) -> Bars:
    frame = _candles("BTCUSDT", timeframe)
    high, low, close = (frame[name].to_numpy(np.float64) for name in ("high", "low", "close"))
    return Bars(open_time=_ms(pd.DatetimeIndex(frame.index)), high=high, low=low, close=close)


@cache
def _candles(symbol: str, timeframe: Timeframe) -> pd.DataFrame:
    path = DATA / "ohlcv" / f"{symbol}_{timeframe}.parquet"
    return _indexed(path, list(_COLUMNS))


@cache
def _microstructure(symbol: str) -> pd.DataFrame:
    names = ["open_interest", "funding_rate", "long_ratio", "short_ratio"]
    frame = _indexed(DATA / "derivs" / f"{symbol}_4h.parquet", names)
    return frame.assign(long_short_ratio=frame["long_ratio"] / frame["short_ratio"])


def _indexed(path: Path, columns: list[str]) -> pd.DataFrame:
    """The file's columns by open time; without rows if there is no such file."""
    if not path.exists():
        return pd.DataFrame(columns=columns, index=pd.DatetimeIndex([], tz="UTC"), dtype=np.float64)
    return pd.DataFrame(pd.read_parquet(path, columns=["open_time", *columns]).set_index("open_time"))


def _ms(opens: pd.DatetimeIndex) -> Instants:
    return opens.tz_convert(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
