"""What guards write: leases (who watched when) and evaluations (what they saw that mattered)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import GuardLease, Position, PositionEvaluation


@dataclass(frozen=True, slots=True)
class Beat:
    """What the database says to a guard that says it is alive."""

    position_id: str
    guard_epoch: int
    target_version: int


async def open_lease(session: AsyncSession, position_id: str, guard_epoch: int, worker: str) -> None:
    """Begin a lease now. It starts to count as watching with its first beat."""
    now = func.clock_timestamp()
    session.add(
        GuardLease(position_id=position_id, guard_epoch=guard_epoch, worker=worker, watching_from=now, last_seen_at=now)
    )


_BEAT = text(
    """
    WITH alive AS (
        SELECT p.position_id, p.guard_epoch, p.target_version
        FROM positions p
        JOIN unnest(CAST(:ids AS text[]), CAST(:epochs AS int[])) AS mine(position_id, guard_epoch)
          ON mine.position_id = p.position_id AND mine.guard_epoch = p.guard_epoch
    ), beat AS (
        UPDATE guard_leases l
        SET lost_seconds = l.lost_seconds
              + greatest(0, extract(epoch FROM clock_timestamp() - l.last_seen_at) - :tolerance),
            last_seen_at = clock_timestamp()
        FROM alive a
        WHERE l.position_id = a.position_id AND l.guard_epoch = a.guard_epoch
          AND l.position_id = ANY(CAST(:watching AS text[]))
    )
    SELECT position_id, guard_epoch, target_version FROM alive
    """
)

BEAT_TOLERANCE_SECONDS = 2.5
"""Two beats further apart than this were a guard that did not watch in between."""


async def beat(session: AsyncSession, leases: Sequence[tuple[str, int]], watching: Sequence[str]) -> list[Beat]:
    """Say that the guards of ``leases`` (position id, epoch) are alive; those of ``watching`` see prices too.

    Returns the leases still valid with the target version in force; one that is missing has been taken over.
    """
    if not leases:
        return []
    rows = await session.execute(
        _BEAT,
        {
            "ids": [position_id for position_id, _ in leases],
            "epochs": [epoch for _, epoch in leases],
            "watching": list(watching),
            "tolerance": BEAT_TOLERANCE_SECONDS,
        },
    )
    return [Beat(*row) for row in rows]


async def acknowledge(session: AsyncSession, position_id: str, guard_epoch: int, version: int) -> bool:
    """Say that the guard of this epoch now works by this target version. False: the guard was taken over."""
    changed = await session.execute(
        update(Position)
        .where(Position.position_id == position_id, Position.guard_epoch == guard_epoch)
        .values(acknowledged_version=version)
        .returning(Position.position_id)
    )
    return changed.scalar_one_or_none() is not None


def record_evaluation(
    session: AsyncSession,
    *,
    position_id: str,
    guard_epoch: int,
    target_version: int,
    kind: str,
    market_at: datetime,
    price: Decimal,
    stop_price: float,
    state: dict[str, Any],
    reason: str | None = None,
) -> None:
    """Append an evaluation; ``state`` is the guard's whole state as JSON, enough to go on from."""
    session.add(
        PositionEvaluation(
            position_id=position_id,
            guard_epoch=guard_epoch,
            target_version=target_version,
            kind=kind,
            market_at=market_at,
            price=price,
            stop_price=stop_price,
            state=state,
            reason=reason,
        )
    )


async def last_evaluation(session: AsyncSession, position_id: str) -> PositionEvaluation | None:
    """The newest evaluation that carries a guard state."""
    return await session.scalar(
        select(PositionEvaluation)
        .where(PositionEvaluation.position_id == position_id)
        .order_by(PositionEvaluation.id.desc())
        .limit(1)
    )


async def leases_of(session: AsyncSession, position_id: str) -> Sequence[GuardLease]:
    rows = await session.scalars(
        select(GuardLease).where(GuardLease.position_id == position_id).order_by(GuardLease.guard_epoch)
    )
    return rows.all()
