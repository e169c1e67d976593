"""The position-level stop loss, kept as an order of the exchange's own, and the firing of conditional orders."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category, Side
from exchange.paper.core.events import Event, OrderChanged, PositionChanged
from exchange.paper.core.model import ZERO, Order, OrderFilter, OrderStatus, Position
from exchange.paper.core.refusal import params_error
from exchange.paper.core.state import AccountState, Market
from exchange.paper.core.wallet import mark_price


def check_stop_side(side: Side, stop_loss: Decimal, last: Decimal) -> None:
    """Refuse a stop loss that a position on ``side`` would already have crossed."""
    if side is Side.BUY and stop_loss >= last:
        raise params_error(f"StopLoss:{stop_loss} set for Buy position should be lower than base_price:{last}")
    if side is Side.SELL and stop_loss <= last:
        raise params_error(f"StopLoss:{stop_loss} set for Sell position should be higher than base_price:{last}")


def sync_position_stop(state: AccountState, market: Market, symbol: str, now: datetime) -> list[Event]:
    """Make the stop order follow the position: made, resized, moved, or deactivated when nothing is left to protect."""
    position = state.positions[symbol]
    if not position.size:
        position.stop_loss = None
    order = state.orders.get(position.stop_order_id)
    if position.stop_loss is None:
        position.stop_order_id = ""
        return [] if order is None else [deactivate(state, order, "CancelByTpSlTsClear", now)]
    if order is not None and order.side is position.side:  # the position turned: its old stop protects nothing
        position.stop_order_id = ""
        return [deactivate(state, order, "CancelByTpSlTsClear", now), *sync_position_stop(state, market, symbol, now)]
    if order is None:
        order = _make_stop(state, position, position.stop_loss, mark_price(market, symbol, now), now)
        position.stop_order_id = order.order_id
        state.add_open(order)
        return [OrderChanged(order.snapshot())]
    if order.qty == position.size and order.trigger_price == position.stop_loss:
        return []
    order.qty, order.trigger_price, order.updated_at = position.size, position.stop_loss, now
    return [OrderChanged(order.snapshot())]


def _make_stop(state: AccountState, position: Position, stop_loss: Decimal, last: Decimal, now: datetime) -> Order:
    assert position.side is not None
    number = state.next_number()
    return Order(
        order_id=state.make_id(Category.LINEAR, number),
        link_id="",
        category=Category.LINEAR,
        symbol=position.symbol,
        side=position.side.opposite,
        order_type="Market",
        qty=position.size,
        market_unit="",
        time_in_force="IOC",
        status=OrderStatus.UNTRIGGERED,
        created_at=now,
        updated_at=now,
        sequence=number,
        last_price_on_created=last,
        create_type="CreateByStopLoss",
        order_filter=OrderFilter.STOP_ORDER,
        stop_order_type="StopLoss",
        trigger_price=stop_loss,
        trigger_rises=position.side is Side.SELL,
        reduce_only=True,
        close_on_trigger=True,
    )


def deactivate(state: AccountState, order: Order, cancel_type: str, now: datetime) -> Event:
    """Take away an open order: Deactivated when it waited for its trigger, Cancelled otherwise."""
    waited = order.status is OrderStatus.UNTRIGGERED
    order.status = OrderStatus.DEACTIVATED if waited else OrderStatus.CANCELLED
    order.cancel_type = cancel_type
    order.updated_at = now
    state.drop_open(order)
    return OrderChanged(order.snapshot())


def crossed(order: Order, price: Decimal) -> bool:
    """Whether a last price triggers a waiting order."""
    trigger = order.trigger_price
    if order.status is not OrderStatus.UNTRIGGERED or trigger is None:
        return False
    return price >= trigger if order.trigger_rises else price <= trigger


def position_event(state: AccountState, market: Market, symbol: str, now: datetime) -> Event:
    position = state.position(symbol)
    copied = Position(**{name: getattr(position, name) for name in Position.__dataclass_fields__})
    return PositionChanged(copied, mark_price(market, symbol, now), state.leverage(symbol))


def clip_to_position(state: AccountState, order: Order) -> Decimal:
    """The quantity a reduce-only order may still have: nothing that would open or turn the position."""
    position = state.position(order.symbol)
    return min(order.qty, position.size) if position.side is order.side.opposite else ZERO
