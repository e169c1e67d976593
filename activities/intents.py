"""The orders a position makes of its own: what leaves it, and the stop that rests for it on spot."""

from __future__ import annotations

from activities.order_placing import OrderIntent
from db.models import Order, Position
from domain.entry import resting_stop
from domain.exits import ExitPolicy
from domain.ids import OrderRole, order_link_id
from domain.market import Category, Instrument, PositionSide, Side
from domain.sizing import exit_qty


def exit_intent(position: Position, instrument: Instrument, number: int) -> OrderIntent | None:
    """The exit for what the position holds, or None when that is too little to be ordered."""
    qty, _ = exit_qty(instrument, position.qty)
    if qty == 0:
        return None
    return OrderIntent(
        order_link_id=order_link_id(position.position_id, OrderRole.EXIT, number),
        position_id=position.position_id,
        role=OrderRole.EXIT,
        category=instrument.category,
        symbol=position.symbol,
        side=PositionSide(position.side).exit_side,
        qty=qty,
        reduce_only=instrument.category is Category.LINEAR,
    )


def stop_intent(position: Position, instrument: Instrument) -> OrderIntent | None:
    """The spot stop order: what is held net of the fee, beyond the guard's first stop at the price really paid."""
    assert position.entry_price is not None
    qty, _ = exit_qty(instrument, position.qty)
    if qty == 0:
        return None
    side, policy = PositionSide(position.side), ExitPolicy.model_validate(position.policy)
    return OrderIntent(
        order_link_id=order_link_id(position.position_id, OrderRole.STOP),
        position_id=position.position_id,
        role=OrderRole.STOP,
        category=instrument.category,
        symbol=position.symbol,
        side=side.exit_side,
        qty=qty,
        trigger_price=resting_stop(instrument, side, position.entry_price, policy, position.disaster_buffer_pct),
        trigger_rises=side is PositionSide.SHORT,
    )


def intent_of(order: Order) -> OrderIntent:
    return OrderIntent(
        order_link_id=order.order_link_id,
        position_id=order.position_id,
        role=OrderRole(order.role),
        category=Category(order.category),
        symbol=order.symbol,
        side=Side(order.side),
        qty=order.qty,
        trigger_price=order.trigger_price,
        trigger_rises=order.trigger_rises,
        reduce_only=order.reduce_only,
        stop_loss=order.stop_loss,
    )
