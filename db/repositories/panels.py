"""Closed candles as arrays on a grid of symbols and bars, NaN where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.candle import Timeframe, to_ms
from domain.market import Category
from domain.strategies.contract import CANDLE_COLUMNS, Panel

# A symbol's rows as bytes in the server's own format of numbers: 80,000 candles would be half a million Python objects.
_CANDLES = text(
    """
    SELECT series.place, stored.rows
    FROM unnest(CAST(:symbols AS text[])) WITH ORDINALITY AS series (symbol, place)
    CROSS JOIN LATERAL (
        SELECT string_agg(
            timestamptz_send(open_time) || float8send(open) || float8send(high) || float8send(low) || float8send(close)
            || float8send(volume), ''::bytea
        ) AS rows
        FROM candles
        WHERE category = :category AND timeframe = :timeframe AND candles.symbol = series.symbol
          AND open_time BETWEEN :first AND :last
    ) AS stored
    WHERE stored.rows IS NOT NULL
    """
)
_ROW: Final = np.dtype([("open_time", ">i8"), *((name, ">f8") for name in CANDLE_COLUMNS)])
_POSTGRES_EPOCH_MS: Final = 946_684_800_000  # 2000-01-01T00:00Z; its instants are microseconds since then


async def load_panel(
    session: AsyncSession,
    category: Category,
    timeframe: Timeframe,
    symbols: Sequence[str],
    first: datetime,
    last: datetime,
) -> Panel:
    """The panel of ``symbols`` (in this order) over the bars with open times from ``first`` to ``last``."""
    grid = np.arange(to_ms(first), to_ms(last) + 1, timeframe.milliseconds, dtype=np.int64)
    columns = {name: np.full((len(symbols), len(grid)), np.nan) for name in CANDLE_COLUMNS}
    wanted = {"category": category, "timeframe": timeframe, "symbols": list(symbols), "first": first, "last": last}
    for place, packed in await session.execute(_CANDLES, wanted):
        rows = np.frombuffer(packed, _ROW)
        bars = bars_on(grid, rows["open_time"] // 1000 + _POSTGRES_EPOCH_MS, timeframe)
        for name, column in columns.items():
            column[place - 1, bars] = rows[name]
    return Panel(timeframe, tuple(symbols), grid, **columns)


def bars_on(grid: npt.NDArray[np.int64], opens: npt.ArrayLike, timeframe: Timeframe) -> npt.NDArray[np.int64]:
    """Places on ``grid`` (rising open times in ms) of bars with these open times (ms)."""
    return (np.asarray(opens, dtype=np.int64) - grid[0]) // timeframe.milliseconds
