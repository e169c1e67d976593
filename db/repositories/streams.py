"""How the streams of this installation stand, as their readers last said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import StreamCursor, StreamStatus

_KEPT = timedelta(hours=1)


async def write_stream_status(
    session: AsyncSession, process: str, rows: Sequence[dict[str, Any]], at: datetime
) -> None:
    """Replace what ``process`` said of its streams: rows of name, connected, last_message_at, reconnects."""
    names = [row["name"] for row in rows]
    await session.execute(delete(StreamStatus).where(StreamStatus.updated_at < at - _KEPT))  # of processes long gone
    await session.execute(delete(StreamStatus).where(StreamStatus.process == process, StreamStatus.name.not_in(names)))
    if not rows:
        return
    statement = insert(StreamStatus).values([{**row, "process": process, "updated_at": at} for row in rows])
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["name", "process"],
            set_={key: statement.excluded[key] for key in ("connected", "last_message_at", "reconnects", "updated_at")},
        )
    )


async def read_cursor(session: AsyncSession, name: str) -> datetime | None:
    """Market time up to which the stream ``name`` is complete in the database; None: never read."""
    row = await session.get(StreamCursor, name)
    return row.complete_until if row else None


async def advance_cursor(session: AsyncSession, name: str, complete_until: datetime) -> None:
    """Move the cursor forward; it never goes back."""
    statement = insert(StreamCursor).values(name=name, complete_until=complete_until)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "complete_until": func.greatest(StreamCursor.complete_until, statement.excluded.complete_until),
                "updated_at": func.now(),
            },
        )
    )
