"""Reconciliation: what rows say is under way, and the record of each comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import Order, OrderExecution, Position, Reconciliation
from domain.order import FINAL_STATES, OrderState
from domain.position import PositionState
from observability.tracing import current_trace_id

_OVER = (PositionState.CLOSED, PositionState.NOT_ENTERED)


async def orders_left_alone(session: AsyncSession, sent_before: datetime) -> Sequence[Order]:
    """Orders let out and not final that no position's process sees through any more.

    Those of positions that are over, and those sent before ``sent_before`` (wall): a younger one of a living position
    may just be on its way to a workflow of its own.
    """
    rows = await session.scalars(
        select(Order)
        .join(Position, Position.position_id == Order.position_id)
        .where(Order.state.not_in([*FINAL_STATES, OrderState.PREPARED]))
        .where(Position.state.in_(_OVER) | (Order.sent_at < sent_before))
        .order_by(Order.created_at)
    )
    return rows.all()


async def unknown_executions(session: AsyncSession, exec_ids: Iterable[str]) -> set[str]:
    """Those of ``exec_ids`` that no row records."""
    wanted = sorted(set(exec_ids))
    known: set[str] = set()
    for chunk in in_chunks(wanted):
        known |= set(await session.scalars(select(OrderExecution.exec_id).where(OrderExecution.exec_id.in_(chunk))))
    return set(wanted) - known


async def last_reconciled(session: AsyncSession) -> datetime | None:
    """When the newest recorded comparison was finished, wall time."""
    return await session.scalar(select(func.max(Reconciliation.finished_at)))


def record_reconciliation(
    session: AsyncSession,
    started_at: datetime,
    *,
    workflows_started: int,
    executions_fetched: int,
    detail: dict[str, Any],
) -> None:
    session.add(
        Reconciliation(
            started_at=started_at,
            workflows_started=workflows_started,
            executions_fetched=executions_fetched,
            detail=detail,
            trace_id=current_trace_id(),
        )
    )
