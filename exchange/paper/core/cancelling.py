"""Cancelling open orders, one by one or by what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.market import Category
from exchange.paper.core.commands import CancelAll, CancelOrder
from exchange.paper.core.events import Event, WalletChanged
from exchange.paper.core.locks import lock_of
from exchange.paper.core.model import Order, OrderFilter, OrderStatus
from exchange.paper.core.refusal import params_error, unknown_order
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import deactivate, forget_exit, position_event
from exchange.paper.core.wallet import view_wallet


def cancel(state: AccountState, market: Market, command: CancelOrder) -> tuple[Order, list[Event]]:
    """The order as cancelled. Raises Refusal when it is not open, or of another kind than asked for."""
    tradable_instrument(market, command.category, command.symbol)
    if not command.order_id and not command.link_id:
        raise params_error("orderId or orderLinkId is required")
    order = state.find(command.category, command.order_id, command.link_id)
    if order is None or order.symbol != command.symbol or not _of_kind(order, command.order_filter):
        raise unknown_order(command.category)
    return order, _end(state, market, [order], command.at)


def cancel_all(state: AccountState, market: Market, command: CancelAll) -> tuple[list[Order], list[Event]]:
    """Every open order in the command's scope, as cancelled, oldest first."""
    if command.symbol is not None:
        tradable_instrument(market, command.category, command.symbol)
    chosen = sorted((o for o in state.orders.values() if _in_scope(market, o, command)), key=lambda o: o.sequence)
    return chosen, _end(state, market, chosen, command.at)


def _end(state: AccountState, market: Market, orders: Sequence[Order], now: datetime) -> list[Event]:
    events: list[Event] = []
    freed = False
    for order in orders:
        freed = freed or order.status is not OrderStatus.UNTRIGGERED or lock_of(order) is not None
        events.append(deactivate(state, order, "CancelByUser", now))
        if forget_exit(state, order):
            events.append(position_event(state, market, order.symbol, now))
    if freed:
        events.append(WalletChanged(view_wallet(state, market, now)))
    return events


def _of_kind(order: Order, wanted: OrderFilter | None) -> bool:
    """Whether an order is of a kind. What has triggered counts as a plain order too: it rests as one."""
    if wanted in (None, order.order_filter):
        return True
    return wanted is OrderFilter.ORDER and order.status is not OrderStatus.UNTRIGGERED


def _in_scope(market: Market, order: Order, command: CancelAll) -> bool:
    if order.category is not command.category or not _of_kind(order, command.order_filter):
        return False
    if command.stop_order_type and order.stop_order_type != command.stop_order_type:
        return False
    if command.symbol is not None:
        return order.symbol == command.symbol
    instrument = market.instrument(order.category, order.symbol)
    assert instrument is not None
    if command.base_coin:
        return instrument.base_coin == command.base_coin
    settled = command.settle_coin and command.category is Category.LINEAR
    return not settled or instrument.quote_coin == command.settle_coin
