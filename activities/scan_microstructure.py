"""Microstructure for a scan: of all kinds, of those that somebody wants to enter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from activities.due_strategies import MicrostructureWanted
from activities.scan_funding import fetch_funding
from activities.scan_stamps import fetch_stamps
from activities.scan_takers import takers_counted
from db.session import Database
from exchange.protocol import Exchange

_AT_ONCE = 8
"""Queries under way at a time: the rest of the exchange's rate limit is for trading."""


async def complete_microstructure(
    database: Database, exchange: Exchange, wanted: Sequence[MicrostructureWanted], close_at: datetime
) -> None:
    """Have everything stored that can be known by ``close_at``; the rest is a gate's matter. Raises the exchange's
    errors only for its clock.

    Of candidates alone: the exchange tells it symbol by symbol, and a whole market would take seconds to ask.
    """
    room = asyncio.Semaphore(_AT_ONCE)
    await takers_counted(database, exchange, wanted, close_at)
    await fetch_stamps(database, exchange, wanted, room)
    await fetch_funding(database, exchange, wanted, close_at, room)
