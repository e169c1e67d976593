"""Closing the books of a position: why it ended, its dust, and how long it was without guard or protection."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Dust, LotMatchRow, LotRow, Order, OrderExecution, OrderTransition, Position
from db.repositories import orders as order_rows
from db.repositories import positions as position_rows
from db.repositories.audit import record_event
from db.repositories.guards import leases_of
from db.repositories.market import find_instrument
from db.repositories.stops import stop_gaps
from domain.exits import ExitReason
from domain.ids import OrderRole
from domain.market import Category
from domain.order import OrderState
from domain.position import PositionState
from domain.protection import Interval, held_from, interrupted, uncovered_seconds

_BY_EXCHANGE = {"StopLoss": ExitReason.DISASTER_STOP, "": ExitReason.FOREIGN_CLOSE}
_LIQUIDATED = "BustTrade"


async def settle(session: AsyncSession, position: Position) -> None:
    """Close a locked position whose exits are final: OPEN or EXITING -> CLOSED."""
    orders = list(await order_rows.orders_of(session, position.position_id))
    for order in orders:
        if order.state == OrderState.PREPARED:  # an exit written ahead that nobody needed
            order_rows.move(session, order, OrderState.DENIED, "the position is closed")
    last = await _last_closing(session, position.position_id)
    position.exit_reason = await _exit_reason(session, position, orders, last)
    position.closed_at = last.executed_at if last else position.opened_at
    position.closed_wall = last.recorded_at if last else func.clock_timestamp()
    await _sweep_dust(session, position)
    position_rows.step(position, PositionState.CLOSED)
    await session.flush()
    await session.refresh(position)
    await _measure(session, position, orders)
    record_event(
        session,
        "position_closed",
        position.position_id,
        who="position",
        market_at=position.closed_at,
        detail={
            "exit_reason": position.exit_reason,
            "realised_pnl": str(position.realised_pnl),
            "unprotected_seconds": position.unprotected_seconds,
            "unwatched_seconds": position.unwatched_seconds,
        },
    )


async def _last_closing(session: AsyncSession, position_id: str) -> OrderExecution | None:
    return await session.scalar(
        select(OrderExecution)
        .join(LotMatchRow, LotMatchRow.close_exec_id == OrderExecution.exec_id)
        .where(LotMatchRow.position_id == position_id)
        .order_by(OrderExecution.executed_at.desc(), OrderExecution.exec_id.desc())
        .limit(1)
    )


async def _exit_reason(
    session: AsyncSession, position: Position, orders: list[Order], last: OrderExecution | None
) -> str:
    """What the closing fill was: the reason its exit order carries, or the exchange's own stop."""
    if last is None:
        return position.exit_reason or ExitReason.FOREIGN_CLOSE
    order = next((order for order in orders if order.order_link_id == last.order_link_id), None)
    if order is None and last.exec_type == _LIQUIDATED:
        return ExitReason.LIQUIDATION
    if order is None:
        return _BY_EXCHANGE.get(last.stop_order_type, ExitReason.FOREIGN_CLOSE)
    if order.role == OrderRole.STOP:
        return ExitReason.DISASTER_STOP
    return order.exit_reason or ExitReason.MANUAL_CLOSE


async def _sweep_dust(session: AsyncSession, position: Position) -> None:
    """What is left under the lot step goes to the dust ledger at its cost, and out of the lots."""
    lots = (await session.scalars(select(LotRow).where(LotRow.position_id == position.position_id))).all()
    left = sum((lot.qty_left for lot in lots), Decimal(0))
    if left == 0:
        return
    instrument = await find_instrument(session, Category(position.category), position.symbol)
    assert instrument is not None
    cost = sum((lot.qty_left * lot.price + lot.fee_left for lot in lots), Decimal(0))
    session.add(Dust(position_id=position.position_id, coin=instrument.base_coin, qty=left, cost=cost))
    for lot in lots:
        lot.qty_left = lot.fee_left = Decimal(0)
    position.qty = Decimal(0)


async def _measure(session: AsyncSession, position: Position, orders: list[Order]) -> None:
    """``unwatched_seconds`` and ``unprotected_seconds`` from the leases and the resting stop's own times (wall)."""
    if position.opened_wall is None or position.closed_wall is None:
        return
    held_since = held_from(position.opened_wall, await _entry_sent_at(session, orders))
    span = Interval(held_since, _left_at(position.closed_wall, orders))
    leases = await leases_of(session, position.position_id)
    watched = [Interval(lease.watching_from, lease.last_seen_at) for lease in leases]
    position.unwatched_seconds = uncovered_seconds(span, watched)
    if position.category == Category.LINEAR:  # the stop is part of the entry order: in force with the first fill
        missing = await stop_gaps(session, position.position_id)
        resting = interrupted(span, [Interval(since, until or span.end) for since, until in missing])
    else:
        stops = (order for order in orders if order.role == OrderRole.STOP and order.resting_at is not None)
        resting = [Interval(order.resting_at, order.final_at or span.end) for order in stops if order.resting_at]
    position.unprotected_seconds = uncovered_seconds(span, [*resting, *watched])


async def _entry_sent_at(session: AsyncSession, orders: list[Order]) -> datetime | None:
    """When the entry order first went out (wall): one in doubt may have been sent again."""
    entries = [order.order_link_id for order in orders if order.role == OrderRole.ENTRY]
    return await session.scalar(
        select(func.min(OrderTransition.at)).where(
            OrderTransition.order_link_id.in_(entries), OrderTransition.to_state == OrderState.SENT
        )
    )


def _left_at(closed: datetime, orders: list[Order]) -> datetime:
    """When leaving began: an exit that executed something needed no guard from its sending on."""
    exits = (order for order in orders if order.role == OrderRole.EXIT and order.cum_exec_qty > 0)
    return min([closed, *(order.sent_at for order in exits if order.sent_at is not None)])
