"""The market clock's cursor and the scans it leads through: each close once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import MarketClockCursor, Scan, StrategyScan
from domain.candle import Timeframe
from observability.tracing import current_trace_id

RUNNING = "running"
DONE = "done"


async def cursor_of(session: AsyncSession, epoch: str, now: datetime) -> MarketClockCursor:
    """The market's cursor; at first sight it begins at the close and the hour that ``now`` has just passed."""
    await session.execute(
        insert(MarketClockCursor)
        .values(
            epoch=epoch,
            began_at=now,
            scanned_until=Timeframe.M15.floor(now),
            snapshot_until=Timeframe.H1.floor(now),
        )
        .on_conflict_do_nothing(index_elements=["epoch"])
    )
    row = await session.get(MarketClockCursor, epoch, populate_existing=True)
    assert row is not None
    return row


async def raise_scanned(session: AsyncSession, epoch: str, close_at: datetime) -> None:
    """Every close up to ``close_at`` is scanned. The cursor never goes back."""
    await session.execute(
        update(MarketClockCursor)
        .where(MarketClockCursor.epoch == epoch)
        .values(scanned_until=func.greatest(MarketClockCursor.scanned_until, close_at))
    )


async def begin_scan(
    session: AsyncSession, epoch: str, close_at: datetime, timeframes: Sequence[str], settings_version: int
) -> Scan:
    """The scan's row, made unless it is there."""
    await session.execute(
        insert(Scan)
        .values(
            epoch=epoch,
            close_at=close_at,
            timeframes=list(timeframes),
            state=RUNNING,
            settings_version=settings_version,
            trace_id=current_trace_id(),
        )
        .on_conflict_do_nothing(index_elements=["epoch", "close_at"])
    )
    return await lock_scan(session, epoch, close_at)


async def decision_of(session: AsyncSession, epoch: str, close_at: datetime, strategy: str) -> StrategyScan | None:
    """What a strategy decided on at a close; None if it did not decide, or raised."""
    return await session.get(StrategyScan, (epoch, close_at, strategy))


async def lock_scan(session: AsyncSession, epoch: str, close_at: datetime) -> Scan:
    """The scan's row, locked to the end of the transaction. Raises LookupError."""
    row = await session.get(Scan, (epoch, close_at), with_for_update=True, populate_existing=True)
    if row is None:
        raise LookupError(f"no scan of {close_at:%Y-%m-%d %H:%M} in {epoch}")
    return row


async def finish_scan(session: AsyncSession, scan: Scan, exits: int) -> None:
    """Close a locked scan's books and raise the cursor past its close, in one transaction."""
    scan.state, scan.exits = DONE, exits
    scan.finished_wall = func.clock_timestamp()
    await raise_scanned(session, scan.epoch, scan.close_at)
