"""Filters an order must pass: prices on the grid, triggers and exits on the right side, quantities and amounts."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category, Instrument
from exchange.paper.core.model import ZERO, Exit, Order, OrderStatus
from exchange.paper.core.refusal import Refusal, by_category, params_error
from exchange.paper.core.state import AccountState, Market
from exchange.paper.core.stops import check_profit_side, check_stop_side, reference_price
from exchange.paper.instruments import max_order_amount, max_order_qty, max_price

TRIGGER_PRICES = frozenset({"LastPrice", "MarkPrice", "IndexPrice"})
MAX_OPEN_ORDERS = 500


def check_price(instrument: Instrument, field: str, price: Decimal) -> None:
    """Refuse a price that is off the tick grid or that no price can be."""
    if price <= 0 or price % instrument.tick_size:
        raise by_category(
            instrument.category,
            spot=(170134, f"{field} {price} is not a positive multiple of the tick size {instrument.tick_size}."),
            linear=(10001, f"{field} invalid: {price} is not a positive multiple of {instrument.tick_size}"),
        )
    if price > max_price(instrument):
        raise by_category(
            instrument.category,
            spot=(170132, f"Order price {price} is too high."),
            linear=(110003, f"{field} {price} is out of permissible range"),
        )


def check_trigger_by(field: str, name: str) -> None:
    if name not in TRIGGER_PRICES:
        raise params_error(f"{field} {name!r} invalid: LastPrice, MarkPrice or IndexPrice")


def check_trigger_direction(market: Market, order: Order, now: datetime) -> None:
    """Refuse a linear trigger that the price it waits for has already passed."""
    if order.category is Category.SPOT or order.trigger_price is None:
        return
    current = reference_price(market, order.category, order.symbol, order.trigger_by, now)
    if order.trigger_rises and order.trigger_price <= current:
        raise Refusal(110092, f"expect Rising, but trigger_price[{order.trigger_price}] <= current[{current}]")
    if not order.trigger_rises and order.trigger_price >= current:
        raise Refusal(110093, f"expect Falling, but trigger_price[{order.trigger_price}] >= current[{current}]")


def check_exits(order: Order, instrument: Instrument, last: Decimal) -> None:
    """Refuse attached exits that the order can't carry, or that its own price has already passed."""
    if order.take_profit is None and order.stop_loss is None:
        return
    if order.category is Category.SPOT:
        if order.order_type != "Limit" or order.trigger_price is not None:
            raise params_error("takeProfit and stopLoss on spot are for limit orders without a trigger")
    elif order.reduce_only:
        raise params_error("a reduce-only order can't carry takeProfit or stopLoss")
    base = order.price or order.trigger_price or last
    for name, wanted in (("takeProfit", order.take_profit), ("stopLoss", order.stop_loss)):
        if wanted is not None:
            _check_exit(name, wanted, order, instrument)
    if order.take_profit is not None:
        check_profit_side(order.side, order.take_profit.trigger_price, base)
    if order.stop_loss is not None:
        check_stop_side(order.side, order.stop_loss.trigger_price, base)


def _check_exit(name: str, wanted: Exit, order: Order, instrument: Instrument) -> None:
    check_price(instrument, name, wanted.trigger_price)
    check_trigger_by(f"{name} trigger", wanted.trigger_by)
    if wanted.limit_price is None:
        return
    if order.tpsl_mode == "Full":
        raise params_error(f"{name} limit price is for tpslMode Partial")
    check_price(instrument, f"{name} limit price", wanted.limit_price)


def check_quantity(order: Order, instrument: Instrument, last: Decimal) -> None:
    """Refuse too little, too much, or what is off the quantity grid."""
    price = order.price or order.trigger_price or last
    if order.in_quote:
        _check_quote_quantity(order, instrument, price)
        return
    low, step = instrument.min_order_qty, instrument.qty_step
    high = max_order_qty(instrument, order.order_type, order.time_in_force)
    if order.qty < low:
        raise _quantity(order, 170136, f"Order quantity {order.qty} is under the lower limit {low}.")
    if order.qty % step:
        raise _quantity(order, 170137, f"Order quantity {order.qty} is not a multiple of {step}.")
    if order.qty > high:
        raise _quantity(order, 170135, f"Order quantity {order.qty} is over the upper limit {high}.")
    _check_value(order, instrument, order.qty * price)


def _check_value(order: Order, instrument: Instrument, value: Decimal) -> None:
    # an order that only closes may be as small as what is left of the position
    if not order.reduce_only and value < instrument.min_order_amount:
        text = f"Order value is under the lower limit {instrument.min_order_amount}."
        raise by_category(order.category, spot=(170140, text), linear=(110094, text))
    if order.category is Category.SPOT and order.price is not None and value > max_order_amount():
        raise Refusal(170124, f"Order amount {value} is over the upper limit {max_order_amount()}.")


def _check_quote_quantity(order: Order, instrument: Instrument, price: Decimal) -> None:
    if order.qty < instrument.min_order_amount:
        raise Refusal(170140, f"Order value {order.qty} is under the lower limit {instrument.min_order_amount}.")
    base = instrument.floor_qty(order.qty / price)
    if base < instrument.min_order_qty:
        raise Refusal(170136, f"Order value {order.qty} buys less than {instrument.min_order_qty}.")
    if base > instrument.max_market_qty:
        raise Refusal(170135, f"Order value {order.qty} buys more than {instrument.max_market_qty}.")


def _quantity(order: Order, spot_code: int, text: str) -> Refusal:
    return by_category(order.category, spot=(spot_code, text), linear=(10001, f"Qty invalid: {text}"))


def check_open_orders(state: AccountState, order: Order) -> None:
    """Refuse one open order more than a symbol may have: on linear active and conditional ones count apart."""
    key = (order.category, order.symbol)
    active = len(state.resting.get(key, ()))
    waiting = sum(o.category is order.category for o in state.watched.get(key, {}).values())
    if order.category is Category.SPOT:
        if active + waiting >= MAX_OPEN_ORDERS:
            raise Refusal(170810, f"Cannot exceed maximum of {MAX_OPEN_ORDERS} conditional, TP/SL and active orders.")
    elif order.status is OrderStatus.UNTRIGGERED and waiting >= MAX_OPEN_ORDERS:
        raise Refusal(110009, f"The number of stop orders exceeds the maximum of {MAX_OPEN_ORDERS}")
    elif order.status is not OrderStatus.UNTRIGGERED and order.price is not None and active >= MAX_OPEN_ORDERS:
        raise Refusal(110020, f"Not allowed to have more than {MAX_OPEN_ORDERS} active orders")


def reducible(state: AccountState, order: Order) -> Decimal:
    """What of a reduce-only linear order could reduce the position now."""
    position = state.position(order.symbol)
    return min(order.left, position.size) if position.side is order.side.opposite else ZERO
