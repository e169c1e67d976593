"""Placing an order: everything that may be refused is checked first, then it waits for its trigger or executes."""

from __future__ import annotations

from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.commands import PlaceOrder
from exchange.paper.core.depth import Take
from exchange.paper.core.events import Event, OrderChanged, WalletChanged
from exchange.paper.core.fills import affordable, execute, takes_of
from exchange.paper.core.model import ZERO, Order, OrderFilter, OrderStatus
from exchange.paper.core.refusal import (
    Refusal,
    by_category,
    duplicate_link_id,
    insufficient_funds,
    params_error,
)
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import check_stop_side, clip_to_position, position_event, sync_position_stop
from exchange.paper.core.wallet import view_wallet

LINK_ID_LENGTH = 36


def place(state: AccountState, market: Market, command: PlaceOrder) -> tuple[Order, list[Event]]:
    """The order as accepted and what came of it. Raises Refusal, then nothing has changed."""
    instrument = tradable_instrument(market, command.category, command.symbol)
    _check_request(state, command)
    last = market.last_price(command.category, command.symbol, command.at)
    order = _draft(state, command, last)
    _check_trigger(command, instrument, last)
    _check_quantity(order, instrument, last)
    if command.stop_loss is not None:
        _check_attached_stop(command, instrument, last)
    if order.reduce_only and not _reduces(state, order):
        raise Refusal(110017, "current position is zero, cannot fix reduce-only order qty")
    if order.trigger_price is not None:
        return order, _wait(state, order)
    if order.reduce_only:
        order.qty = clip_to_position(state, order)
    takes = takes_of(market, order, instrument, command.at)
    if not affordable(state, market, order, instrument, takes, command.at):
        raise insufficient_funds(command.category)
    _enter(state, order)
    return order, execute_now(state, market, order, instrument, takes)


def execute_now(
    state: AccountState, market: Market, order: Order, instrument: Instrument, takes: list[Take]
) -> list[Event]:
    """Execute and tell it as Bybit does: executions first, then order, position and wallet."""
    now = order.updated_at
    events = execute(state, market, order, instrument, takes, now)
    state.drop_open(order)
    events.append(OrderChanged(order.snapshot()))
    if order.category is Category.LINEAR and takes:
        position = state.positions[order.symbol]
        if order.stop_loss is not None and position.side is order.side:
            position.stop_loss = order.stop_loss
        elif position.stop_order_id and position.side is not None:
            _forget_stop_of_turned_position(state, order)
        events += sync_position_stop(state, market, order.symbol, now)
        events.append(position_event(state, market, order.symbol, now))
    if takes:
        events.append(WalletChanged(view_wallet(state, market, now)))
    return events


def _forget_stop_of_turned_position(state: AccountState, order: Order) -> None:
    position = state.positions[order.symbol]
    stop = state.orders.get(position.stop_order_id)
    if stop is not None and stop.side is position.side:
        position.stop_loss = None


def _check_request(state: AccountState, command: PlaceOrder) -> None:
    if command.order_type == "Limit":
        raise params_error("orderType Limit is not supported by this exchange yet: send Market")
    if command.order_type != "Market":
        raise params_error(f"orderType {command.order_type!r} invalid: Market")
    if len(command.link_id) > LINK_ID_LENGTH:
        raise params_error(f"orderLinkId is longer than {LINK_ID_LENGTH} characters")
    if command.link_id and (command.category, command.link_id) in state.used_links:
        raise duplicate_link_id(command.category)
    if command.market_unit not in ("", "baseCoin", "quoteCoin"):
        raise params_error(f"marketUnit {command.market_unit!r} invalid: baseCoin or quoteCoin")
    if command.order_filter is OrderFilter.TPSL_ORDER:
        raise params_error("orderFilter tpslOrder is not supported by this exchange yet: send StopOrder")
    if command.category is Category.SPOT:
        if command.reduce_only or command.stop_loss is not None:
            raise params_error("reduceOnly and stopLoss are not supported on spot: send a StopOrder")
        if (command.order_filter is OrderFilter.STOP_ORDER) != (command.trigger_price is not None):
            raise params_error("a spot conditional order needs both orderFilter=StopOrder and triggerPrice")


def _check_trigger(command: PlaceOrder, instrument: Instrument, last: Decimal) -> None:
    trigger = command.trigger_price
    if trigger is None:
        return
    _check_price(instrument, "triggerPrice", trigger)
    if command.category is Category.SPOT:
        return
    if command.trigger_direction not in (1, 2):
        raise params_error("triggerDirection invalid: 1 (rises to) or 2 (falls to) is required with triggerPrice")
    if command.trigger_direction == 1 and trigger <= last:
        raise Refusal(110092, f"expect Rising, but trigger_price[{trigger}] <= current[{last}]")
    if command.trigger_direction == 2 and trigger >= last:
        raise Refusal(110093, f"expect Falling, but trigger_price[{trigger}] >= current[{last}]")


def _check_price(instrument: Instrument, field: str, price: Decimal) -> None:
    if price <= 0 or price % instrument.tick_size:
        raise by_category(
            instrument.category,
            spot=(170134, f"{field} {price} is not a positive multiple of the tick size {instrument.tick_size}."),
            linear=(10001, f"{field} invalid: {price} is not a positive multiple of {instrument.tick_size}"),
        )


def _check_attached_stop(command: PlaceOrder, instrument: Instrument, last: Decimal) -> None:
    assert command.stop_loss is not None
    if command.reduce_only:
        raise params_error("a reduce-only order can't carry a stopLoss")
    _check_price(instrument, "stopLoss", command.stop_loss)
    check_stop_side(command.side, command.stop_loss, command.trigger_price or last)


def _check_quantity(order: Order, instrument: Instrument, last: Decimal) -> None:
    category = order.category
    if order.in_quote:
        if order.qty < instrument.min_order_amount:
            raise Refusal(170140, f"Order value {order.qty} is under the lower limit {instrument.min_order_amount}.")
        if instrument.floor_qty(order.qty / last) < instrument.min_order_qty:
            raise Refusal(170136, f"Order quantity is under the lower limit {instrument.min_order_qty}.")
        return
    low, high, step = instrument.min_order_qty, instrument.max_market_qty, instrument.qty_step
    if order.qty < low:
        text = f"Order quantity {order.qty} is under the lower limit {low}."
        raise by_category(category, spot=(170136, text), linear=(10001, f"Qty invalid: {text}"))
    if order.qty % step:
        text = f"Order quantity {order.qty} is not a multiple of {step}."
        raise by_category(category, spot=(170137, text), linear=(10001, f"Qty invalid: {text}"))
    if order.qty > high:
        text = f"Order quantity {order.qty} is over the upper limit {high}."
        raise by_category(category, spot=(170135, text), linear=(10001, f"Qty invalid: {text}"))
    # an order that only closes may be as small as what is left of the position
    if not order.reduce_only and order.qty * (order.trigger_price or last) < instrument.min_order_amount:
        text = f"Order value is under the lower limit {instrument.min_order_amount}."
        raise by_category(category, spot=(170140, text), linear=(110094, text))


def _reduces(state: AccountState, order: Order) -> bool:
    return order.category is Category.LINEAR and clip_to_position(state, order) > ZERO


def _draft(state: AccountState, command: PlaceOrder, last: Decimal) -> Order:
    """The order as it would be, with the number it would get; the state doesn't know it yet."""
    number = state.counter + 1
    conditional = command.trigger_price is not None
    unit = command.market_unit
    if command.category is Category.SPOT and not unit:
        unit = "quoteCoin" if command.side is Side.BUY else "baseCoin"
    if command.category is Category.LINEAR or (command.side is Side.SELL and unit == "quoteCoin"):
        if unit == "quoteCoin":
            raise params_error("marketUnit quoteCoin is for spot market buys")
        unit = ""
    rises = None
    if command.trigger_price is not None:
        rises = command.trigger_price > last if command.category is Category.SPOT else command.trigger_direction == 1
    return Order(
        order_id=state.make_id(command.category, number),
        link_id=command.link_id,
        category=command.category,
        symbol=command.symbol,
        side=command.side,
        order_type=command.order_type,
        qty=command.qty,
        market_unit=unit,
        time_in_force="IOC",
        status=OrderStatus.UNTRIGGERED if conditional else OrderStatus.NEW,
        created_at=command.at,
        updated_at=command.at,
        sequence=number,
        last_price_on_created=last,
        order_filter=OrderFilter.STOP_ORDER if conditional else OrderFilter.ORDER,
        stop_order_type="Stop" if conditional else "",
        trigger_price=command.trigger_price,
        trigger_rises=rises,
        reduce_only=command.reduce_only,
        close_on_trigger=command.close_on_trigger,
        stop_loss=command.stop_loss,
        received_wall_ms=command.received_wall_ms,
    )


def _enter(state: AccountState, order: Order) -> None:
    number = state.next_number()
    assert number == order.sequence
    if order.link_id:
        state.used_links.add((order.category, order.link_id))


def _wait(state: AccountState, order: Order) -> list[Event]:
    _enter(state, order)
    state.add_open(order)
    return [OrderChanged(order.snapshot())]
