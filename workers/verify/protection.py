"""What the positions came to, and how long any of them was without a guard or without any protection."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Position
from domain.position import ACTIVE_STATES, PositionState
from workers.verify.verdict import Figures, Finding, Kind


async def measure_positions(session: AsyncSession, figures: Figures) -> None:
    """Fill in the positions' figures."""
    closed = await session.execute(
        select(Position.exit_reason, func.count())
        .where(Position.state == PositionState.CLOSED)
        .group_by(Position.exit_reason)
    )
    figures.exits = dict(sorted((str(reason), count) for reason, count in closed))
    figures.positions_closed = sum(figures.exits.values())
    opened = select(func.count()).where(Position.opened_at.is_not(None))
    active = select(func.count()).where(Position.state.in_(ACTIVE_STATES))
    figures.positions_opened = await session.scalar(opened) or 0
    figures.positions_active = await session.scalar(active) or 0
    longest = select(func.max(Position.unprotected_seconds), func.max(Position.unwatched_seconds))
    unprotected, unwatched = (await session.execute(longest)).one()
    figures.unprotected_seconds_max = round(unprotected or 0.0, 3)
    figures.unwatched_seconds_max = round(unwatched or 0.0, 3)


async def judge_protection(session: AsyncSession, most: float) -> list[Finding]:
    """Closed positions that were without any protection for more than ``most`` seconds (wall)."""
    rows = await session.scalars(select(Position).where(Position.unprotected_seconds > most))
    return [
        Finding(
            Kind.UNPROTECTED,
            row.position_id,
            f"position {row.position_id} ({row.symbol}) was without any protection for {row.unprotected_seconds:.1f} s",
        )
        for row in rows
    ]
