"""What guards write: leases (who watched from when to when) and evaluations (what they saw that mattered)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import GuardLease, Position, PositionEvaluation


@dataclass(frozen=True, slots=True)
class Alive:
    """What a guard says: it is alive, and how long it has watched without a break (wall; None: it sees no prices)."""

    position_id: str
    guard_epoch: int
    watched_seconds: float | None


@dataclass(frozen=True, slots=True)
class Beat:
    """What the database says to a guard that says it is alive; ``qty`` is what its position holds."""

    position_id: str
    guard_epoch: int
    target_version: int
    acknowledged_version: int
    qty: Decimal
    disaster_stop: Decimal | None


# A stretch goes on if its last beat came after the guard joined and not too long ago. Else a new one begins: where the
# guard joined, or now if that is longer ago than a beat may be late (it may have been frozen since).
_BEAT = text(
    """
    WITH clock AS (
        SELECT clock_timestamp() AS now
    ), alive AS (
        SELECT p.position_id, p.guard_epoch, p.target_version, p.acknowledged_version, p.qty, p.disaster_stop,
               mine.watched
        FROM positions p
        JOIN unnest(CAST(:ids AS text[]), CAST(:epochs AS int[]), CAST(:watched AS float8[]))
          AS mine(position_id, guard_epoch, watched)
          ON mine.position_id = p.position_id AND mine.guard_epoch = p.guard_epoch
    ), stretch AS (
        SELECT a.position_id, a.guard_epoch, a.watched, coalesce(l.segment, 0) AS segment,
               coalesce(l.last_seen_at >= now - make_interval(secs => least(a.watched, :tolerance)), false) AS goes_on
        FROM clock, alive a
        LEFT JOIN LATERAL (
            SELECT segment, last_seen_at FROM guard_leases
            WHERE position_id = a.position_id AND guard_epoch = a.guard_epoch
            ORDER BY segment DESC LIMIT 1
        ) l ON true
        WHERE a.watched IS NOT NULL
    ), beat AS (
        INSERT INTO guard_leases (position_id, guard_epoch, segment, worker, watching_from, last_seen_at)
        SELECT position_id, guard_epoch, CASE WHEN goes_on THEN segment ELSE segment + 1 END, :worker,
               now - make_interval(secs => CASE WHEN watched <= :tolerance THEN watched ELSE 0 END), now
        FROM stretch, clock
        ON CONFLICT (position_id, guard_epoch, segment) DO UPDATE
        SET last_seen_at = greatest(guard_leases.last_seen_at, excluded.last_seen_at)
    )
    SELECT position_id, guard_epoch, target_version, acknowledged_version, qty, disaster_stop FROM alive
    """
)

BEAT_TOLERANCE_SECONDS = 2.5
"""Two beats further apart than this were a guard that did not watch in between."""


async def beat(session: AsyncSession, guards: Sequence[Alive], worker: str) -> list[Beat]:
    """Write down that these guards are alive, in the lease of each that watches.

    Returns the guards whose epoch is still valid, with the target versions; one that is missing has been taken over.
    """
    if not guards:
        return []
    rows = await session.execute(
        _BEAT,
        {
            "ids": [guard.position_id for guard in guards],
            "epochs": [guard.guard_epoch for guard in guards],
            "watched": [guard.watched_seconds for guard in guards],
            "worker": worker,
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
        select(GuardLease).where(GuardLease.position_id == position_id).order_by(GuardLease.watching_from)
    )
    return rows.all()
