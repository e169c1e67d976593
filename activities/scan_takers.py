"""What takers did in the quarter hour just closed: waited for at a scan, since nobody can ask for it later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from activities.due_strategies import MicrostructureWanted
from db.repositories.panel_microstructure import LookedAt, with_microstructure
from db.repositories.panels import load_panel
from db.repositories.settings import current_settings
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from domain.strategies.contract import Needs
from exchange.protocol import Exchange

_TAKERS = Needs(candles={Timeframe.M15: 1}, taker_volume=True)
_POLL_SECONDS = 0.02
_STEP_PATIENCE_SECONDS = 2.0


async def takers_counted(
    database: Database, exchange: Exchange, asked: Sequence[MicrostructureWanted], close_at: datetime
) -> None:
    """Wait until the trades of the quarter hour that ended at ``close_at`` are summed for those who ask for them.

    For the grace at most (market time, but a second at least: sums are written once a second). What was missed before
    can't be waited for: a bar that isn't known is a gate's matter.
    """
    wanted: dict[Category, set[str]] = {}
    for one in asked:
        if one.needs.taker_volume:
            wanted.setdefault(one.window.category, set()).update(one.window.symbols)
    if not wanted:
        return
    ends = await _patience_ends(database, exchange, close_at)
    while True:
        async with database.session() as session:
            behind = [
                symbol
                for category, symbols in wanted.items()
                for symbol in await uncounted(session, category, sorted(symbols), close_at)
            ]
        if not behind or time.monotonic() > ends:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def uncounted(session: AsyncSession, category: Category, symbols: Sequence[str], close_at: datetime) -> list[str]:
    """Symbols with a candle of the quarter hour that ended at ``close_at`` whose takers don't add up to it (yet)."""
    quarter = Timeframe.M15.floor(close_at) - Timeframe.M15.duration
    candles = await load_panel(session, category, Timeframe.M15, symbols, quarter, quarter)
    panel = await with_microstructure(session, candles, category, _TAKERS, LookedAt(symbols, 1))
    assert panel.taker_buy_share is not None
    told = panel.volume[:, 0] > 0
    known = panel.taker_buy_share[:, 0] >= 0
    return [symbol for symbol, behind in zip(symbols, told & ~known, strict=True) if behind]


async def _patience_ends(database: Database, exchange: Exchange, close_at: datetime) -> float:
    """Until when (monotonic) sums may still come."""
    clock = await exchange.market_clock()
    if clock.step or clock.speed <= 0:
        return time.monotonic() + _STEP_PATIENCE_SECONDS
    async with database.session() as session:
        grace = timedelta(seconds=float((await current_settings(session))["scan_grace_seconds"]))
    left = clock.wall_until(close_at + grace).total_seconds()
    late = clock.now - close_at > 2 * Timeframe.M15.duration
    return time.monotonic() + (0.0 if late else max(left, 1.2))
