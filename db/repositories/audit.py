"""The audit trail: ``system_events``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import SystemEvent
from observability.tracing import current_trace_id

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def record_event(
    session: AsyncSession,
    kind: str,
    subject: str,
    *,
    who: str,
    severity: str = "info",
    market_at: datetime | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Append an event. ``subject`` is the id of what it is about; ``detail`` must be JSON (Decimals as strings)."""
    session.add(
        SystemEvent(
            kind=kind,
            subject=subject,
            who=who,
            severity=severity,
            market_at=market_at,
            detail=detail or {},
            trace_id=current_trace_id(),
        )
    )


async def told_before(session: AsyncSession, kind: str, subject: str) -> bool:
    """Whether this very trace told it: an activity that is repeated because its answer was lost is one event.

    Without a trace, whether anybody told it. Who asks holds the event until the end of the transaction: an attempt
    that was given up may still be under way beside the one that repeats it.
    """
    await session.execute(_LOCK, {"name": f"{kind}/{subject}"})
    known = select(SystemEvent.id).where(SystemEvent.subject == subject, SystemEvent.kind == kind)
    if trace_id := current_trace_id():
        known = known.where(SystemEvent.trace_id == trace_id)
    return await session.scalar(known.limit(1)) is not None


async def told_ever(session: AsyncSession, kind: str, subject: str) -> bool:
    """Whether anybody told it, whatever the trace. Who asks holds the event as with ``told_before``."""
    await session.execute(_LOCK, {"name": f"{kind}/{subject}"})
    known = select(SystemEvent.id).where(SystemEvent.subject == subject, SystemEvent.kind == kind)
    return await session.scalar(known.limit(1)) is not None
