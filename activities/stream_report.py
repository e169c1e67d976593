"""How a process's streams stand, written where every surface can read it."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

from db.repositories.streams import write_stream_status
from db.session import Database
from exchange.protocol import Exchange

PROCESS = f"{socket.gethostname()}:{os.getpid()}"


async def report_streams(database: Database, exchange: Exchange) -> None:
    """Write the freshness of every stream of this process's exchange client."""
    now = datetime.now(UTC)
    rows = [
        {
            "name": stream.stream,
            "connected": stream.connected,
            "last_message_at": None if stream.age_seconds is None else now - timedelta(seconds=stream.age_seconds),
            "reconnects": stream.reconnects,
        }
        for stream in exchange.freshness()
    ]
    async with database.session() as session:
        await write_stream_status(session, PROCESS, rows, now)
