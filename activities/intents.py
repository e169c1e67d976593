"""The orders a position makes of its own: what leaves it, and the stop that rests for it on spot."""

from __future__ import annotations

from decimal import Decimal

from activities.order_placing import OrderIntent
from db.models import Order, Position
from domain.exits import ExitPolicy, stop_price_for
from domain.ids import OrderRole, order_link_id
from domain.market import Category, Instrument, PositionSide, Side
from domain.sizing import disaster_trigger, exit_qty, stop_qty


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


def stop_intent(
    position: Position, instrument: Instrument, guard_stop: Decimal | None = None, number: int = 1
) -> OrderIntent | None:
    """The spot stop order: what is held net of the fee, beyond the guard's stop; None when that is too little.

    ``guard_stop`` None: the guard's first one at the price really paid. The first stop is tried however small its
    amount: the entry was planned so that it can be sold.
    """
    assert position.entry_price is not None
    side = PositionSide(position.side)
    if guard_stop is None:
        guard_stop = stop_price_for(side, position.entry_price, ExitPolicy.model_validate(position.policy))
    trigger = disaster_trigger(instrument, side, guard_stop, position.disaster_buffer_pct)
    qty = exit_qty(instrument, position.qty)[0] if number == 1 else stop_qty(instrument, position.qty, trigger)
    if qty == 0:
        return None
    return OrderIntent(
        order_link_id=order_link_id(position.position_id, OrderRole.STOP, number),
        position_id=position.position_id,
        role=OrderRole.STOP,
        category=instrument.category,
        symbol=position.symbol,
        side=side.exit_side,
        qty=qty,
        trigger_price=trigger,
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
