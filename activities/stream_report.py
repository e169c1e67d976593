"""How a process's streams stand, and how it stands with the exchange, written where every surface can read it."""

from __future__ import annotations

import math
import os
import socket
import time
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

from db.repositories.links import write_link, write_rates
from db.repositories.streams import write_stream_status
from db.session import Database
from exchange.protocol import Exchange

PROCESS = f"{socket.gethostname()}:{os.getpid()}"

_AT_MOST_EVERY_SECONDS = 0.5
_reported: WeakKeyDictionary[Exchange, float] = WeakKeyDictionary()
"""When each client's standing was last written (monotonic)."""


async def report_streams(database: Database, exchange: Exchange) -> None:
    """Write the freshness of every stream of this process's exchange client, its clock's offset and its rates.

    Whoever in the process needs it told calls this every second; what was just written isn't written again.
    """
    before = _reported.get(exchange, -math.inf)
    if time.monotonic() - before < _AT_MOST_EVERY_SECONDS:
        return
    _reported[exchange] = time.monotonic()
    try:
        await _write(database, exchange)
    except BaseException:
        _reported[exchange] = before
        raise


async def _write(database: Database, exchange: Exchange) -> None:
    now = datetime.now(UTC)
    rows = [
        {
            "name": stream.stream,
            "connected": stream.connected,
            "last_message_at": None if stream.age_seconds is None else now - timedelta(seconds=stream.age_seconds),
            "reconnects": stream.reconnects,
        }
        for stream in sorted(exchange.freshness(), key=lambda stream: stream.stream)  # one lock order for all writers
    ]
    offset = exchange.clock_offset()
    link = {
        "mode": exchange.mode,
        "order_entry": exchange.order_entry,
        "clock_offset_ms": None if offset is None else offset.offset_ms,
        "measured_at": None if offset is None else offset.measured_at,
    }
    async with database.session() as session:
        await write_stream_status(session, PROCESS, rows, now)
        await write_link(session, PROCESS, link, now)
        await write_rates(session, PROCESS, [usage.model_dump() for usage in exchange.rate_usage()], now)
