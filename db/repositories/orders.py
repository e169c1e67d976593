"""Orders: intent, transitions by evidence, and the fence that lets an exit out once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Order, OrderTransition, Position
from db.repositories.order_versions import versions_of_targets
from domain.order import FINAL_STATES, OrderState, apply_report, is_final, transition
from domain.position import PositionState
from observability.tracing import current_trace_id

_RESTING = (OrderState.NEW, OrderState.UNTRIGGERED)


class UnknownOrder(LookupError):
    """No order of ours has this id."""


async def insert_intent(session: AsyncSession, state: OrderState, **fields: Any) -> bool:
    """Write an order ahead in ``state``. False, and nothing written, if its id exists."""
    statement = (
        insert(Order)
        .values(state=state, trace_id=current_trace_id(), **fields)
        .on_conflict_do_nothing(index_elements=["order_link_id"])
        .returning(Order.order_link_id)
    )
    inserted = (await session.execute(statement)).scalar_one_or_none() is not None
    if inserted:
        _add_transition(session, fields["order_link_id"], None, state, "intent")
    return inserted


async def find_order(session: AsyncSession, order_link_id: str) -> Order | None:
    return await session.get(Order, order_link_id)


async def lock_order(session: AsyncSession, order_link_id: str) -> Order:
    """The order's row, locked to the end of the transaction. Raises UnknownOrder."""
    row = await session.get(Order, order_link_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise UnknownOrder(order_link_id)
    return row


def move(session: AsyncSession, order: Order, new: OrderState, evidence: str) -> None:
    """Move a locked order by our own act. Raises IllegalTransition; moving to the state it is in only if SENT again."""
    current = OrderState(order.state)
    state = transition(current, new)
    if state is OrderState.SENT:
        order.sent_at = func.clock_timestamp()
    if state is not current:
        _enter(session, order, current, state, evidence)


def learn(session: AsyncSession, order: Order, reported: OrderState, evidence: str) -> bool:
    """Apply the exchange's report to a locked order; True if it moved. Stale reports change nothing."""
    current = OrderState(order.state)
    state = apply_report(current, reported)
    if state is current:
        return False
    _enter(session, order, current, state, evidence)
    return True


def _enter(session: AsyncSession, order: Order, current: OrderState, state: OrderState, evidence: str) -> None:
    order.state = state
    if state in _RESTING and order.resting_at is None:
        order.resting_at = func.clock_timestamp()
    if is_final(state):
        order.final_at = func.clock_timestamp()
    _add_transition(session, order.order_link_id, current, state, evidence)


def _add_transition(
    session: AsyncSession, order_link_id: str, current: OrderState | None, state: OrderState, evidence: str
) -> None:
    session.add(
        OrderTransition(
            order_link_id=order_link_id,
            from_state=current,
            to_state=state,
            evidence=evidence,
            trace_id=current_trace_id(),
        )
    )


async def fire_exit(
    session: AsyncSession, order_link_id: str, *, guard_epoch: int, target_version: int, exit_reason: str
) -> bool:
    """The fence: PREPARED -> SENT, only while the position's epoch and target version are those given.

    The position's row is locked first, so that a takeover or new targets and a firing order one after the other. The
    position must be open and still hold what the order sells (the stop at the exchange may have been quicker). False
    means: not mine to fire any more. Exactly one caller ever gets True for an id.
    """
    order = await find_order(session, order_link_id)
    if order is None:
        return False
    position = await session.get(Position, order.position_id, with_for_update=True, populate_existing=True)
    if position is None or position.guard_epoch != guard_epoch or position.target_version != target_version:
        return False
    order = await lock_order(session, order_link_id)
    if order.state != OrderState.PREPARED or position.state != PositionState.OPEN or position.qty < order.qty:
        return False
    order.exit_reason = exit_reason
    order.fired_epoch = guard_epoch
    order.fired_target_version = target_version
    (await versions_of_targets(session, position, target_version)).write(order)
    move(session, order, OrderState.SENT, f"fired by guard {guard_epoch}: {exit_reason}")
    return True


async def orders_of(session: AsyncSession, position_id: str) -> Sequence[Order]:
    """Every order of a position, oldest first."""
    rows = await session.scalars(
        select(Order).where(Order.position_id == position_id).order_by(Order.created_at, Order.order_link_id)
    )
    return rows.all()


async def orders_not_final(session: AsyncSession) -> Sequence[Order]:
    """Orders let out and not yet final: what a catch-up must ask the exchange about."""
    settled = [*FINAL_STATES, OrderState.PREPARED]
    rows = await session.scalars(select(Order).where(Order.state.not_in(settled)).order_by(Order.created_at))
    return rows.all()
