"""What is stored of a market's microstructure, on the bars of a panel; NaN where nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.panels import bars_on
from domain.candle import Timeframe, from_ms
from domain.market import Category
from domain.microstructure import FUNDING_INTERVAL, funding_at, long_short_ratio, taker_buy_share
from domain.strategies.contract import Floats, Needs, Panel

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


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Whose it is looked at, and on how many of the last bars. What is not looked at is not known."""

    symbols: Sequence[str]
    bars: int


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the values go: rows of the panel by symbol, and the last bars of it."""

    timeframe: Timeframe
    place: dict[str, int]
    shape: tuple[int, int]
    opens: npt.NDArray[np.int64]

    @property
    def first(self) -> datetime:
        return from_ms(int(self.opens[0]))

    @property
    def last(self) -> datetime:
        return from_ms(int(self.opens[-1]))

    def empty(self) -> Floats:
        return np.full(self.shape, np.nan)

    def tail(self, values: Floats) -> Floats:
        """The bars looked at, of an array of the panel's shape."""
        return values[:, self.shape[1] - len(self.opens) :]


async def with_microstructure(
    session: AsyncSession, panel: Panel, category: Category, needs: Needs, looked_at: LookedAt
) -> Panel:
    """``panel`` with the kinds of microstructure that ``needs`` names, the others None."""
    bars = min(looked_at.bars, len(panel.open_time))
    chosen = set(looked_at.symbols)
    place = {symbol: row for row, symbol in enumerate(panel.symbols) if symbol in chosen}
    opens = panel.open_time[len(panel.open_time) - bars :]
    grid = _Grid(panel.timeframe, place, panel.close.shape, opens)
    known = bool(place) and bars > 0
    found: dict[str, Floats] = {}
    if needs.taker_volume:
        found["taker_buy_share"] = await _takers(session, category, grid, panel.volume) if known else grid.empty()
    if needs.open_interest:
        found["open_interest"] = await _stamped(session, _INTEREST, grid) if known else grid.empty()
    if needs.long_short_ratio:
        share = await _stamped(session, _LONG_SHARE, grid) if known else grid.empty()
        found["long_short_ratio"] = long_short_ratio(share)
    if needs.funding_rate:
        found["funding_rate"] = await _funding(session, grid) if known else grid.empty()
    return replace(panel, **found)


async def _takers(session: AsyncSession, category: Category, grid: _Grid, volume: Floats) -> Floats:
    shape = grid.shape[0], len(grid.opens)
    bought, sold = np.full(shape, np.nan), np.full(shape, np.nan)
    rows = list(grid.place.values())
    bought[rows], sold[rows] = 0.0, 0.0
    wanted = {
        "category": category,
        "symbols": list(grid.place),
        "length": grid.timeframe.duration,
        "first": grid.first,
        "until": grid.last + grid.timeframe.duration,
    }
    for row in await session.execute(_TAKEN, wanted):
        at = grid.place[row.symbol], (row.open - int(grid.opens[0])) // grid.timeframe.milliseconds
        bought[at], sold[at] = row.bought, row.sold
    values = grid.empty()
    grid.tail(values)[:] = taker_buy_share(bought, sold, grid.tail(volume))
    return values


async def _stamped(session: AsyncSession, series: TextClause, grid: _Grid) -> Floats:
    """A perpetual's series as stamped for each bar's open."""
    values = grid.empty()
    tail = grid.tail(values)
    wanted = {"timeframe": grid.timeframe, "symbols": list(grid.place), "first": grid.first, "last": grid.last}
    for symbol, stamps, found in await session.execute(series, wanted):
        at = np.asarray(stamps, dtype=np.int64)
        on_grid = (at - grid.opens[0]) % grid.timeframe.milliseconds == 0
        tail[grid.place[symbol], bars_on(grid.opens, at[on_grid], grid.timeframe)] = np.asarray(found)[on_grid]
    return values


async def _funding(session: AsyncSession, grid: _Grid) -> Floats:
    """Funding as settled by each bar's close."""
    values = grid.empty()
    tail = grid.tail(values)
    closes = grid.opens + grid.timeframe.milliseconds
    wanted = {
        "symbols": list(grid.place),
        "after": from_ms(int(closes[0])) - FUNDING_INTERVAL,
        "until": from_ms(int(closes[-1])),
    }
    for symbol, settled_at, found in await session.execute(_FUNDING, wanted):
        settled = np.asarray(settled_at, dtype=np.int64)
        tail[grid.place[symbol]] = funding_at(settled, np.asarray(found), closes)
    return values
