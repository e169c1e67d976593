"""Candles and files that the market-side tests build markets from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from domain.candle import Timeframe
from exchange.paper.feed import Bar, Tick

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday


def candle_frame(
    count: int, timeframe: Timeframe = Timeframe.M15, *, symbol: str = "BTCUSDT", seed: int = 3
) -> pd.DataFrame:
    """``count`` candles of a random walk on a 0.1 grid, with volumes of three decimals."""
    rng = np.random.default_rng(seed)
    close = 400_000 + rng.normal(0, 300, count).cumsum().astype(np.int64)
    opening = np.concatenate([[400_000], close[:-1]])
    wicks = rng.integers(0, 200, (2, count))
    return pd.DataFrame(
        {
            "symbol": symbol,
            "timeframe": str(timeframe),
            "open_time": pd.date_range(BEGIN, periods=count, freq=timeframe.duration),
            "open": opening / 10,
            "high": (np.maximum(opening, close) + wicks[0]) / 10,
            "low": (np.minimum(opening, close) - wicks[1]) / 10,
            "close": close / 10,
            "volume": rng.integers(50, 2_000_000, count) / 1000,
        }
    )


def candle_file(folder: Path, count: int, timeframe: Timeframe = Timeframe.M15, **options: str | int) -> Path:
    """A Parquet file of ``candle_frame``."""
    frame = candle_frame(count, timeframe, **options)  # type: ignore[arg-type]
    path = folder / f"{frame['symbol'].iloc[0]}_{timeframe}.parquet"
    frame.to_parquet(path)
    return path


def sum_of(ticks: list[Tick], open_time: datetime, *, confirmed: bool) -> Bar:
    """The candle that ``ticks`` make."""
    prices = [tick.price for tick in ticks]
    return Bar(
        open_time=open_time,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=sum((tick.qty for tick in ticks), Decimal(0)),
        turnover=sum((tick.price * tick.qty for tick in ticks), Decimal(0)),
        confirmed=confirmed,
    )
