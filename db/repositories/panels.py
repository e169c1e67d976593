"""Closed candles and microstructure as arrays on a grid of symbols and bars, NaN where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.candle import Timeframe, from_ms, to_ms
from domain.market import Category
from domain.microstructure import FUNDING_INTERVAL, funding_at, long_short_ratio, taker_buy_share
from domain.strategies.contract import Floats, Panel

_CANDLES = text(
    """
    SELECT symbol, array_agg((extract(epoch FROM open_time) * 1000)::bigint) AS opens, array_agg(open) AS open,
           array_agg(high) AS high, array_agg(low) AS low, array_agg(close) AS close, array_agg(volume) AS volume
    FROM candles
    WHERE category = :category AND timeframe = :timeframe AND symbol = ANY(CAST(:symbols AS text[]))
      AND open_time BETWEEN :first AND :last
    GROUP BY symbol
    """
)
# Bars are counted from a Monday midnight, which every timeframe's grid has in common.
_TAKEN = text(
    """
    SELECT symbol, (extract(epoch FROM bar) * 1000)::bigint AS open, sum(bought) AS bought, sum(sold) AS sold
    FROM (
        SELECT symbol, bought, sold,
               date_bin(CAST(:length AS interval), open_time, TIMESTAMPTZ '1970-01-05 00:00:00+00') AS bar
        FROM taker_volume
        WHERE category = :category AND symbol = ANY(CAST(:symbols AS text[]))
          AND open_time >= :first AND open_time < :until
    ) quarters
    GROUP BY symbol, bar
    """
)
_STAMPED = """
    SELECT symbol, array_agg((extract(epoch FROM at) * 1000)::bigint), array_agg({value}) FROM {table}
    WHERE interval = :timeframe AND symbol = ANY(CAST(:symbols AS text[])) AND at BETWEEN :first AND :last
    GROUP BY symbol
"""
_INTEREST = text(_STAMPED.format(table="open_interest", value="value"))
_LONG_SHARE = text(_STAMPED.format(table="long_short_ratio", value="long_share"))
_FUNDING = text(
    """
    SELECT symbol, array_agg((extract(epoch FROM at) * 1000)::bigint ORDER BY at), array_agg(rate ORDER BY at)
    FROM funding_rates
    WHERE symbol = ANY(CAST(:symbols AS text[])) AND at > :after AND at <= :until
    GROUP BY symbol
    """
)


async def load_panel(
    session: AsyncSession,
    category: Category,
    timeframe: Timeframe,
    symbols: Sequence[str],
    first: datetime,
    last: datetime,
    *,
    taker_volume: bool = False,
    open_interest: bool = False,
    long_short: bool = False,
    funding: bool = False,
) -> Panel:
    """The panel of ``symbols`` (in this order) over the bars with open times from ``first`` to ``last``."""
    grid = np.arange(to_ms(first), to_ms(last) + 1, timeframe.milliseconds, dtype=np.int64)
    rows = (await session.execute(_CANDLES, _range(category, timeframe, symbols, first, last))).all()
    place = {symbol: row for row, symbol in enumerate(symbols)}
    columns = {name: np.full((len(symbols), len(grid)), np.nan) for name in ("open", "high", "low", "close", "volume")}
    for found in rows:
        bars = _bars(grid, found.opens, timeframe)
        for name, column in columns.items():
            column[place[found.symbol], bars] = getattr(found, name)
    share = interest = ratio = rates = None
    if taker_volume:
        share = await _taker_buy_share(session, category, timeframe, place, grid, columns["volume"])
    if open_interest:
        interest = await _stamped(session, _INTEREST, timeframe, place, grid)
    if long_short:
        ratio = long_short_ratio(await _stamped(session, _LONG_SHARE, timeframe, place, grid))
    if funding:
        rates = await _funding(session, timeframe, place, grid)
    return Panel(
        timeframe,
        tuple(symbols),
        grid,
        **columns,
        taker_buy_share=share,
        open_interest=interest,
        long_short_ratio=ratio,
        funding_rate=rates,
    )


async def _taker_buy_share(
    session: AsyncSession,
    category: Category,
    timeframe: Timeframe,
    place: dict[str, int],
    grid: npt.NDArray[np.int64],
    volume: Floats,
) -> Floats:
    bought, sold = np.zeros(volume.shape), np.zeros(volume.shape)
    until = from_ms(int(grid[-1]) + timeframe.milliseconds)
    wanted = {
        "category": category,
        "symbols": list(place),
        "length": timeframe.duration,
        "first": from_ms(int(grid[0])),
        "until": until,
    }
    for row in await session.execute(_TAKEN, wanted):
        at = place[row.symbol], (row.open - int(grid[0])) // timeframe.milliseconds
        bought[at], sold[at] = row.bought, row.sold
    return taker_buy_share(bought, sold, volume)


async def _stamped(
    session: AsyncSession, series: TextClause, timeframe: Timeframe, place: dict[str, int], grid: npt.NDArray[np.int64]
) -> Floats:
    """A perpetuals' series as stamped for each bar's open."""
    values = np.full((len(place), len(grid)), np.nan)
    wanted = _range(Category.LINEAR, timeframe, list(place), from_ms(int(grid[0])), from_ms(int(grid[-1])))
    del wanted["category"]
    for symbol, stamps, found in await session.execute(series, wanted):
        at = np.asarray(stamps, dtype=np.int64)
        on_grid = (at - grid[0]) % timeframe.milliseconds == 0
        values[place[symbol], _bars(grid, at[on_grid], timeframe)] = np.asarray(found)[on_grid]
    return values


async def _funding(
    session: AsyncSession, timeframe: Timeframe, place: dict[str, int], grid: npt.NDArray[np.int64]
) -> Floats:
    """Funding as settled by each bar's close."""
    values = np.full((len(place), len(grid)), np.nan)
    closes = grid + timeframe.milliseconds
    wanted = {
        "symbols": list(place),
        "after": from_ms(int(closes[0])) - FUNDING_INTERVAL,
        "until": from_ms(int(closes[-1])),
    }
    for symbol, settled_at, found in await session.execute(_FUNDING, wanted):
        values[place[symbol]] = funding_at(np.asarray(settled_at, dtype=np.int64), np.asarray(found), closes)
    return values


def _bars(grid: npt.NDArray[np.int64], opens: npt.ArrayLike, timeframe: Timeframe) -> npt.NDArray[np.int64]:
    return (np.asarray(opens, dtype=np.int64) - grid[0]) // timeframe.milliseconds


def _range(
    category: Category, timeframe: Timeframe, symbols: Sequence[str], first: datetime, last: datetime
) -> dict[str, object]:
    return {"category": category, "timeframe": timeframe, "symbols": list(symbols), "first": first, "last": last}
