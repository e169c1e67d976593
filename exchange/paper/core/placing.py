"""Placing an order: what may be refused is checked first, then it waits for its trigger or meets the book."""

from __future__ import annotations

from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.bands import price_in_band
from exchange.paper.core.checks import (
    check_exits,
    check_open_orders,
    check_price,
    check_quantity,
    check_trigger_by,
    check_trigger_direction,
    reducible,
)
from exchange.paper.core.commands import PlaceOrder
from exchange.paper.core.events import Event, OrderChanged, WalletChanged
from exchange.paper.core.funds import affordable, lockable
from exchange.paper.core.locks import lock_of
from exchange.paper.core.matching import match, takes_of
from exchange.paper.core.model import Order, OrderFilter, OrderStatus
from exchange.paper.core.pricing import limit_price
from exchange.paper.core.refusal import Refusal, duplicate_link_id, insufficient_funds, params_error
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.wallet import view_wallet

LINK_ID_LENGTH = 36
LIMIT_TIMES = frozenset({"GTC", "IOC", "FOK", "PostOnly"})
CONDITIONAL = frozenset({OrderFilter.STOP_ORDER, OrderFilter.TPSL_ORDER})


def place(state: AccountState, market: Market, command: PlaceOrder) -> tuple[Order, list[Event]]:
    """The order as accepted and what came of it. Raises Refusal, then nothing has changed."""
    instrument = tradable_instrument(market, command.category, command.symbol)
    _check_request(state, command)
    order = _draft(state, market, command, limit_price(state, market, instrument, command))
    _check(state, market, order, instrument)
    if order.status is OrderStatus.UNTRIGGERED:
        return order, _wait(state, market, order)
    if order.reduce_only:
        order.qty = reducible(state, order)
    takes = takes_of(state, market, order, instrument, command.at)
    if not affordable(state, market, order, instrument, takes, command.at):
        raise insufficient_funds(command.category)
    _enter(state, order)
    return order, match(state, market, order, instrument, command.at)


def _check_request(state: AccountState, command: PlaceOrder) -> None:
    if command.order_type not in ("Market", "Limit"):
        raise params_error(f"orderType {command.order_type!r} invalid: Market or Limit")
    priced = command.price is not None or command.book_price is not None
    if (command.order_type == "Limit") != priced:
        raise params_error("price is required for a Limit order, and for no other")
    if command.time_in_force and command.time_in_force not in LIMIT_TIMES:
        raise params_error(f"timeInForce {command.time_in_force!r} invalid: GTC, IOC, FOK or PostOnly")
    if len(command.link_id) > LINK_ID_LENGTH:
        raise params_error(f"orderLinkId is longer than {LINK_ID_LENGTH} characters")
    if command.link_id and (command.category, command.link_id) in state.used_links:
        raise duplicate_link_id(command.category)
    if command.tpsl_mode not in ("", "Full", "Partial"):
        raise params_error(f"tpslMode {command.tpsl_mode!r} invalid: Full or Partial")
    _check_category(command)


def _check_category(command: PlaceOrder) -> None:
    if command.market_unit not in ("", "baseCoin", "quoteCoin"):
        raise params_error(f"marketUnit {command.market_unit!r} invalid: baseCoin or quoteCoin")
    if command.category is Category.SPOT:
        if command.reduce_only:
            raise params_error("reduceOnly is not for spot")
        if (command.order_filter in CONDITIONAL) != (command.trigger_price is not None):
            raise params_error("a spot conditional order needs orderFilter (StopOrder, tpslOrder) and triggerPrice")
    elif command.market_unit == "quoteCoin":
        raise params_error("marketUnit quoteCoin is for spot market orders")


def _check(state: AccountState, market: Market, order: Order, instrument: Instrument) -> None:
    now = order.created_at
    if order.trigger_price is not None:
        check_price(instrument, "triggerPrice", order.trigger_price)
        check_trigger_by("triggerBy", order.trigger_by)
        check_trigger_direction(market, order, now)
    if order.price is not None:
        check_price(instrument, "price", order.price)
        if order.trigger_price is None and order.order_type == "Limit":
            order.price = price_in_band(market, instrument, order.side, order.price, now)
    if order.reduce_only and order.close_on_trigger and not order.qty:
        order.qty = state.position(order.symbol).size  # 0 closes the whole position
    check_quantity(order, instrument, order.last_price_on_created)
    check_exits(order, instrument, order.last_price_on_created)
    if order.reduce_only and not reducible(state, order):
        raise Refusal(110017, "current position is zero, cannot fix reduce-only order qty")
    check_open_orders(state, order)


def _draft(state: AccountState, market: Market, command: PlaceOrder, price: Decimal | None) -> Order:
    """The order as it would be, with the number it would get; the state doesn't know it yet."""
    number = state.counter + 1
    last = market.last_price(command.category, command.symbol, command.at)
    conditional = command.trigger_price is not None
    order_filter = OrderFilter.STOP_ORDER if conditional else OrderFilter.ORDER
    if conditional and command.category is Category.SPOT:
        order_filter = command.order_filter
    carries = command.take_profit is not None or command.stop_loss is not None
    return Order(
        order_id=state.make_id(command.category, number),
        link_id=command.link_id,
        category=command.category,
        symbol=command.symbol,
        side=command.side,
        order_type=command.order_type,
        qty=command.qty,
        market_unit=_market_unit(command),
        time_in_force=_time_in_force(command),
        status=OrderStatus.UNTRIGGERED if conditional else OrderStatus.NEW,
        created_at=command.at,
        updated_at=command.at,
        sequence=number,
        last_price_on_created=last,
        order_filter=order_filter,
        stop_order_type=_stop_order_type(order_filter),
        trigger_price=command.trigger_price,
        trigger_rises=_trigger_rises(market, command),
        trigger_by="LastPrice" if command.category is Category.SPOT else command.trigger_by,
        reduce_only=command.reduce_only,
        close_on_trigger=command.close_on_trigger,
        price=price,
        take_profit=command.take_profit,
        stop_loss=command.stop_loss,
        tpsl_mode=(command.tpsl_mode or "Full") if carries and command.category is Category.LINEAR else "",
        received_wall_ms=command.received_wall_ms,
    )


def _market_unit(command: PlaceOrder) -> str:
    if command.category is Category.LINEAR or command.order_type == "Limit":
        return ""
    return command.market_unit or ("quoteCoin" if command.side is Side.BUY else "baseCoin")


def _time_in_force(command: PlaceOrder) -> str:
    """A market order never rests: whatever it asks for besides all or nothing is immediate or cancel."""
    if command.order_type == "Market":
        return "FOK" if command.time_in_force == "FOK" else "IOC"
    return command.time_in_force or "GTC"


def _stop_order_type(order_filter: OrderFilter) -> str:
    return {OrderFilter.ORDER: "", OrderFilter.STOP_ORDER: "Stop", OrderFilter.TPSL_ORDER: "tpslOrder"}[order_filter]


def _trigger_rises(market: Market, command: PlaceOrder) -> bool | None:
    if command.trigger_price is None:
        return None
    if command.category is Category.SPOT:
        return command.trigger_price > market.last_price(command.category, command.symbol, command.at)
    if command.trigger_direction not in (1, 2):
        raise params_error("triggerDirection invalid: 1 (rises to) or 2 (falls to) is required with triggerPrice")
    return command.trigger_direction == 1


def _enter(state: AccountState, order: Order) -> None:
    number = state.next_number()
    assert number == order.sequence
    if order.link_id:
        state.used_links.add((order.category, order.link_id))


def _wait(state: AccountState, market: Market, order: Order) -> list[Event]:
    if not lockable(state, market, order, order.created_at):
        raise insufficient_funds(order.category)
    _enter(state, order)
    state.add_open(order)
    events: list[Event] = [OrderChanged(order.snapshot())]
    if lock_of(order) is not None:
        events.append(WalletChanged(view_wallet(state, market, order.created_at)))
    return events
