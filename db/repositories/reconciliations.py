"""Reconciliation: what rows say is under way, and the record of each comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import InstrumentRow, LotRow, Order, OrderExecution, Position, Reconciliation, SystemEvent
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


@dataclass
class Counts:
    """What one comparison looked at and found, as its row tells it."""

    workflows_started: int = 0
    executions_fetched: int = 0
    orders_compared: int = 0
    positions_compared: int = 0
    balances_compared: int = 0
    foreign_orders: int = 0
    foreign_positions: int = 0
    stops_repaired: int = 0


@dataclass(frozen=True)
class Held:
    """A position that holds something, with its instrument and what its lots say it holds."""

    row: Position
    instrument: InstrumentRow
    lots: Decimal = field(default=Decimal(0))


_REST_OPEN = (OrderState.NEW, OrderState.PARTIALLY_FILLED, OrderState.UNTRIGGERED, OrderState.TRIGGERED)


async def orders_open_here(session: AsyncSession) -> Sequence[Order]:
    """Orders that the exchange said are open, and nothing later. Those in doubt have somebody who looks for them."""
    rows = await session.scalars(select(Order).where(Order.state.in_(_REST_OPEN)).order_by(Order.created_at))
    return rows.all()


async def positions_held(session: AsyncSession, epoch: str) -> list[Held]:
    """Positions of a market that hold something, or whose lots do, in whatever state they are."""
    lots = (
        select(LotRow.position_id, func.sum(LotRow.qty_left).label("qty"))
        .where(LotRow.qty_left > 0)
        .group_by(LotRow.position_id)
        .subquery()
    )
    rows = await session.execute(
        select(Position, InstrumentRow, func.coalesce(lots.c.qty, 0))
        .join(InstrumentRow, (InstrumentRow.category == Position.category) & (InstrumentRow.symbol == Position.symbol))
        .outerjoin(lots, lots.c.position_id == Position.position_id)
        .where(Position.market_epoch == epoch, (Position.qty != 0) | (lots.c.qty > 0))
        .order_by(Position.created_wall)
    )
    return [Held(position, instrument, Decimal(qty)) for position, instrument, qty in rows]


async def positions_taken(session: AsyncSession) -> Sequence[str]:
    """Open positions of which something was closed and nothing that could be sold is left."""
    rows = await session.scalars(
        select(Position.position_id)
        .join(InstrumentRow, (InstrumentRow.category == Position.category) & (InstrumentRow.symbol == Position.symbol))
        .where(Position.state == PositionState.OPEN, Position.qty < Position.entry_qty)
        .where(Position.qty < InstrumentRow.min_order_qty)
    )
    return rows.all()


async def entry_stops(session: AsyncSession, position_ids: Iterable[str]) -> dict[str, Decimal]:
    """The stop that came with the entry order, of those positions that have one."""
    rows = await session.execute(
        select(Order.position_id, Order.stop_loss)
        .where(Order.position_id.in_(sorted(position_ids)), Order.stop_loss.is_not(None))
        .order_by(Order.created_at)
    )
    return {position_id: stop for position_id, stop in rows if stop is not None}


async def newest_event(session: AsyncSession, kind: str, subject: str) -> int:
    """Id of the newest audit row of a kind about ``subject``; 0 if there is none."""
    query = select(func.max(SystemEvent.id)).where(SystemEvent.subject == subject, SystemEvent.kind == kind)
    return await session.scalar(query) or 0


async def newest_reconciliation(session: AsyncSession) -> Reconciliation | None:
    return await session.scalar(select(Reconciliation).order_by(Reconciliation.id.desc()).limit(1))


async def find_reconciliation(session: AsyncSession, identity: int) -> Reconciliation | None:
    return await session.get(Reconciliation, identity)


async def list_reconciliations(session: AsyncSession, *, before: int | None, limit: int) -> Sequence[Reconciliation]:
    """Newest first, those with an id under ``before``."""
    query = select(Reconciliation).order_by(Reconciliation.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Reconciliation.id < before)
    return (await session.scalars(query)).all()


def record_reconciliation(
    session: AsyncSession,
    started_at: datetime,
    counts: Counts,
    *,
    drift: Sequence[dict[str, Any]],
    halted: bool,
    detail: dict[str, Any],
) -> Reconciliation:
    """Add the row of a comparison. ``drift`` is all that stands unexplained after it, new or not."""
    row = Reconciliation(
        started_at=started_at,
        **asdict(counts),
        drift=list(drift),
        halted=halted,
        detail=detail,
        trace_id=current_trace_id(),
    )
    session.add(row)
    return row
