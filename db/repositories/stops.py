"""The stop that rests at the exchange for a position: which order it is, where it was confirmed, who may move it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Order, OrderTransition, Position, SystemEvent
from domain.ids import OrderRole, parse_order_link_id
from observability.tracing import current_trace_id

STOP_MISSING = "stop_missing"
STOP_RESTORED = "stop_restored"
STOP_REPAIRED = "stop_repaired"
STOP_MOVED = "stop_moved"
STOP_TOO_SMALL = "stop_too_small"
_CONFIRMED = (STOP_RESTORED, STOP_REPAIRED, STOP_MOVED)
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")


async def try_lock_stop(session: AsyncSession, position_id: str) -> bool:
    """To the end of this transaction nobody else moves the position's stop; False: somebody does just now."""
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '20s'"))  # a frozen process lets go
    return bool(await session.scalar(_TRY_LOCK, {"name": f"stop/{position_id}"}))


async def newest_stop(session: AsyncSession, position_id: str) -> Order | None:
    """The stop order with the highest number, resting or not."""
    rows = await session.scalars(
        select(Order)
        .where(Order.position_id == position_id, Order.role == OrderRole.STOP)
        .execution_options(populate_existing=True)
    )
    return max(rows.all(), key=stop_number, default=None)


def stop_number(order: Order) -> int:
    identity = parse_order_link_id(order.order_link_id)
    return identity.number if identity else 0


async def confirm_stop(session: AsyncSession, position_id: str, trigger: Decimal | None) -> None:
    """Write down where the stop rests by the exchange's own word (None: nowhere)."""
    await session.execute(update(Position).where(Position.position_id == position_id).values(disaster_stop=trigger))


def amend_stop(session: AsyncSession, order: Order, trigger: Decimal, qty: Decimal, why: str) -> None:
    """Give a locked stop order the trigger and quantity the exchange confirmed; its history says from what to what."""
    changes = [
        f"{name} {before} -> {after}"
        for name, before, after in (("trigger", order.trigger_price, trigger), ("qty", order.qty, qty))
        if before != after
    ]
    if not changes:
        return
    order.trigger_price, order.qty = trigger, qty
    session.add(
        OrderTransition(
            order_link_id=order.order_link_id,
            from_state=order.state,
            to_state=order.state,
            evidence=f"amended: {', '.join(changes)} ({why})",
            trace_id=current_trace_id(),
        )
    )


async def told_too_small(session: AsyncSession, position_id: str, order_link_id: str) -> bool:
    """Whether this stop order was taken away because what is left is too little for one."""
    told = select(SystemEvent.id).where(
        SystemEvent.kind == STOP_TOO_SMALL,
        SystemEvent.subject == position_id,
        SystemEvent.detail["order"].astext == order_link_id,
    )
    return await session.scalar(told.limit(1)) is not None


async def last_confirmed(session: AsyncSession, position_id: str) -> datetime | None:
    """When (wall) the stop of a position was last seen where it belongs, as far as it was written down."""
    return await session.scalar(
        select(func.max(SystemEvent.at)).where(SystemEvent.subject == position_id, SystemEvent.kind.in_(_CONFIRMED))
    )


async def stop_gaps(session: AsyncSession, position_id: str) -> list[tuple[datetime, datetime | None]]:
    """Stretches (wall) in which a position's stop was missing at the exchange; the end is None if it stayed so."""
    rows = await session.scalars(
        select(SystemEvent)
        .where(SystemEvent.subject == position_id, SystemEvent.kind.in_((STOP_MISSING, STOP_RESTORED)))
        .order_by(SystemEvent.id)
    )
    gaps: list[tuple[datetime, datetime | None]] = []
    for event in rows:
        if event.kind == STOP_MISSING:
            gaps.append((datetime.fromisoformat(event.detail["since"]), None))
        elif gaps and gaps[-1][1] is None:
            gaps[-1] = (gaps[-1][0], event.at)
    return gaps


async def stop_repairs(session: AsyncSession, since: datetime) -> int:
    """How many stops were set again or put right since (wall)."""
    kinds = (STOP_RESTORED, STOP_REPAIRED)
    found = await session.scalar(
        select(func.count()).select_from(SystemEvent).where(SystemEvent.kind.in_(kinds), SystemEvent.at >= since)
    )
    return found or 0
