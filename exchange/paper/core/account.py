"""The account as a function: a command or a tick goes in, the events that came of it come out.

The state given is changed in place. ``apply`` either returns its events or raises ``Refusal`` with the state as it was;
the same state, market and input always give the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from domain.market import Category
from exchange.paper.core.commands import (
    CancelAll,
    CancelOrder,
    Command,
    Deposit,
    PlaceOrder,
    SetLeverage,
    SetStopLoss,
)
from exchange.paper.core.events import Event, OrderChanged, WalletChanged
from exchange.paper.core.fills import affordable, takes_of
from exchange.paper.core.ledger import post_transfer
from exchange.paper.core.model import Order, OrderStatus
from exchange.paper.core.placing import execute_now, place
from exchange.paper.core.refusal import Refusal, params_error, unknown_order
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import (
    check_stop_side,
    clip_to_position,
    crossed,
    deactivate,
    position_event,
    sync_position_stop,
)
from exchange.paper.core.wallet import mark_price, view_wallet
from exchange.paper.feed import Tick

MAX_LEVERAGE = Decimal(100)


@dataclass(frozen=True)
class Applied:
    """What a command did. ``orders`` are the orders it was about, as accepted or cancelled."""

    events: list[Event]
    orders: list[Order] = field(default_factory=list)


def apply(state: AccountState, market: Market, command: Command) -> Applied:
    """Do one command. Raises Refusal, and then nothing has changed."""
    match command:
        case PlaceOrder():
            order, events = place(state, market, command)
            return Applied(events, [order.snapshot()])
        case CancelOrder():
            return _cancel(state, market, command)
        case CancelAll():
            return _cancel_all(state, market, command)
        case SetLeverage():
            return _set_leverage(state, market, command)
        case SetStopLoss():
            return _set_stop_loss(state, market, command)
        case Deposit():
            if command.amount <= 0:
                raise params_error(f"amount {command.amount} must be above 0")
            logged = post_transfer(state, command.coin, command.amount, command.at)
            return Applied([logged, WalletChanged(view_wallet(state, market, command.at))])


def apply_tick(state: AccountState, market: Market, tick: Tick) -> list[Event]:
    """What a public trade triggers. ``market.last_price`` must already answer with this tick's price."""
    watching = state.watched.get((tick.category, tick.symbol))
    if not watching:
        return []
    events: list[Event] = []
    for order in sorted((o for o in watching.values() if crossed(o, tick.price)), key=lambda o: o.sequence):
        if order.order_id in state.orders:  # an earlier one may have closed the position and taken this with it
            events += _trigger(state, market, order, tick.at)
    return events


def _trigger(state: AccountState, market: Market, order: Order, now: datetime) -> list[Event]:
    instrument = tradable_instrument(market, order.category, order.symbol)
    order.status = OrderStatus.TRIGGERED
    order.updated_at = now
    events: list[Event] = [OrderChanged(order.snapshot())]
    if order.reduce_only:
        qty = clip_to_position(state, order)
        if not qty:
            return [*events, deactivate(state, order, "CancelByReduceOnly", now)]
        order.qty = qty
    takes = takes_of(market, order, instrument, now)
    if not affordable(state, market, order, instrument, takes, now):
        order.status = OrderStatus.REJECTED
        order.reject_reason = "EC_Others"
        state.drop_open(order)
        return [*events, OrderChanged(order.snapshot())]
    return events + execute_now(state, market, order, instrument, takes)


def _cancel(state: AccountState, market: Market, command: CancelOrder) -> Applied:
    tradable_instrument(market, command.category, command.symbol)
    if not command.order_id and not command.link_id:
        raise params_error("orderId or orderLinkId is required")
    order = state.find(command.category, command.order_id, command.link_id)
    wrong_kind = order is not None and command.order_filter not in (None, order.order_filter)
    if order is None or order.symbol != command.symbol or wrong_kind:
        raise unknown_order(command.category)
    events = _cancel_one(state, market, order, command.at)
    return Applied(events, [order.snapshot()])


def _cancel_one(state: AccountState, market: Market, order: Order, now: datetime) -> list[Event]:
    events = [deactivate(state, order, "CancelByUser", now)]
    if order.stop_order_type == "StopLoss":
        position = state.positions[order.symbol]
        position.stop_loss, position.stop_order_id = None, ""
        events.append(position_event(state, market, order.symbol, now))
    return events


def _cancel_all(state: AccountState, market: Market, command: CancelAll) -> Applied:
    if command.symbol is not None:
        tradable_instrument(market, command.category, command.symbol)
    chosen = [
        order
        for order in state.orders.values()
        if order.category is command.category
        and command.symbol in (None, order.symbol)
        and command.order_filter in (None, order.order_filter)
    ]
    events: list[Event] = []
    for order in chosen:
        events += _cancel_one(state, market, order, command.at)
    return Applied(events, [order.snapshot() for order in chosen])


def _set_leverage(state: AccountState, market: Market, command: SetLeverage) -> Applied:
    tradable_instrument(market, Category.LINEAR, command.symbol)
    if not 1 <= command.leverage <= MAX_LEVERAGE:
        raise Refusal(110013, f"cannot set leverage {command.leverage}: between 1 and {MAX_LEVERAGE} by risk limit")
    if command.leverage == state.leverage(command.symbol):
        raise Refusal(110043, "leverage not modified")
    state.leverages[command.symbol] = command.leverage
    events = [position_event(state, market, command.symbol, command.at)]
    return Applied([*events, WalletChanged(view_wallet(state, market, command.at))])


def _set_stop_loss(state: AccountState, market: Market, command: SetStopLoss) -> Applied:
    instrument = tradable_instrument(market, Category.LINEAR, command.symbol)
    position = state.position(command.symbol)
    if position.side is None:
        raise params_error("can not set tp/sl/ts for zero position")
    wanted = command.stop_loss or None
    if wanted == position.stop_loss:
        raise Refusal(34040, "not modified")
    if wanted is not None:
        if wanted < 0 or wanted % instrument.tick_size:
            raise params_error(f"stopLoss invalid: {wanted} is not a positive multiple of {instrument.tick_size}")
        check_stop_side(position.side, wanted, mark_price(market, command.symbol, command.at))
    position.stop_loss = wanted
    position.updated_at = command.at
    events = sync_position_stop(state, market, command.symbol, command.at)
    return Applied([*events, position_event(state, market, command.symbol, command.at)])
