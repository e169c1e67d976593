"""Orders meeting the book, and what follows from a fill: the position, its exits, the wallet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.depth import Take, ladder, take_base, take_quote, within
from exchange.paper.core.events import Event, Executed, OrderChanged, WalletChanged
from exchange.paper.core.fills import fill
from exchange.paper.core.model import ZERO, Order, OrderStatus, Position
from exchange.paper.core.spot_exits import protect
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import (
    add_partial_exits,
    deactivate,
    open_partials,
    position_event,
    sync_position_exits,
)
from exchange.paper.core.wallet import view_wallet

RESTING_TIMES = frozenset({"GTC", "PostOnly"})


def takes_of(state: AccountState, market: Market, order: Order, instrument: Instrument, now: datetime) -> list[Take]:
    """What ``order`` would take of the book now, no worse than its limit price."""
    last = market.last_price(order.category, order.symbol, now)
    liquidity = market.liquidity(order.category, order.symbol, now)
    taken = state.taken.get((order.category, order.symbol, order.side), ZERO)
    levels = within(ladder(instrument, order.side, last, liquidity, taken), order.side, order.price)
    if order.in_quote:
        return take_quote(instrument, levels, order.qty - order.filled_value)
    return take_base(levels, order.left)


def execute_market(
    state: AccountState, market: Market, order: Order, now: datetime, exec_type: str = "Trade"
) -> list[Event]:
    """Execute a market order of the exchange's own (a liquidation), whether or not it waited among the open ones."""
    state.drop_open(order)
    return match(state, market, order, tradable_instrument(market, order.category, order.symbol), now, exec_type)


def match(
    state: AccountState, market: Market, order: Order, instrument: Instrument, now: datetime, exec_type: str = "Trade"
) -> list[Event]:
    """Take what the book offers; what is left rests or is cancelled. The order must not be among the open ones.

    Told as Bybit does: executions first, then order, position and wallet.
    """
    takes = takes_of(state, market, order, instrument, now)
    order.updated_at = now
    if order.time_in_force == "PostOnly" and takes:
        return [_refuse_to_take(order)]
    if order.time_in_force == "FOK" and not _completes(order, instrument, takes):
        takes = []
    side_before = state.position(order.symbol).side
    events = fill(state, market, order, instrument, takes, now, is_maker=False, exec_type=exec_type)
    if takes:
        key = (order.category, order.symbol, order.side)
        state.taken[key] = state.taken.get(key, ZERO) + sum((t.qty for t in takes), ZERO)
    _settle(order, instrument, takes)
    if order.is_open:
        state.add_open(order)
    return [*events, OrderChanged(order.snapshot()), *follow_up(state, market, order, events, side_before, now)]


def fill_resting(
    state: AccountState, market: Market, order: Order, instrument: Instrument, qty: Decimal, now: datetime
) -> list[Event]:
    """Fill ``qty`` of an order in the book as maker, at its own price."""
    assert order.price is not None
    side_before = state.position(order.symbol).side
    events = fill(state, market, order, instrument, [Take(order.price, qty)], now, is_maker=True)
    order.updated_at = now
    order.status = OrderStatus.PARTIALLY_FILLED
    if not order.left:
        order.status = OrderStatus.FILLED
        state.drop_open(order)
    return [*events, OrderChanged(order.snapshot()), *follow_up(state, market, order, events, side_before, now)]


def follow_up(
    state: AccountState, market: Market, order: Order, events: Sequence[Event], side_before: Side | None, now: datetime
) -> list[Event]:
    """What follows from an order that took its place or filled by ``events``."""
    fills = [e.execution for e in events if isinstance(e, Executed)]
    told: list[Event] = []
    if fills and order.category is Category.LINEAR:
        position = state.positions[order.symbol]
        if position.side is not side_before:
            _forget_exits(position)
        filled = sum((f.qty for f in fills), ZERO)
        told += _attach(state, market, order, filled, now)
        told += sync_position_exits(state, market, order.symbol, now)
        told += _drop_idle_reducers(state, order.symbol, now)
        told.append(position_event(state, market, order.symbol, now))
    elif fills and (order.take_profit or order.stop_loss):
        instrument = tradable_instrument(market, order.category, order.symbol)
        told += protect(state, market, order, instrument, fills, now)
    if fills or order.is_open:
        told.append(WalletChanged(view_wallet(state, market, now)))
    return told


def _refuse_to_take(order: Order) -> Event:
    order.reject_reason = "EC_PostOnlyWillTakeLiquidity"
    order.status = OrderStatus.CANCELLED
    if order.category is Category.SPOT:
        order.status = OrderStatus.PARTIALLY_FILLED_CANCELED if order.filled_qty else OrderStatus.REJECTED
    return OrderChanged(order.snapshot())


def _completes(order: Order, instrument: Instrument, takes: Sequence[Take]) -> bool:
    if not order.in_quote:
        return sum((t.qty for t in takes), ZERO) == order.left
    # a rest that doesn't pay for one more step at the last price is no rest
    left = order.qty - order.filled_value - sum((t.price * t.qty for t in takes), ZERO)
    return bool(takes) and left < takes[-1].price * instrument.qty_step


def _settle(order: Order, instrument: Instrument, takes: Sequence[Take]) -> None:
    """Set the status of an order that has just taken ``takes``."""
    if order.in_quote:
        left = order.qty - order.filled_value
        complete = bool(takes) and left < takes[-1].price * instrument.qty_step
    else:
        complete = not order.left
    if complete:
        order.status = OrderStatus.FILLED
    elif order.price is not None and order.time_in_force in RESTING_TIMES:
        order.status = OrderStatus.PARTIALLY_FILLED if order.filled_qty else OrderStatus.NEW
    else:
        partly = order.category is Category.SPOT and order.filled_qty > 0
        order.status = OrderStatus.PARTIALLY_FILLED_CANCELED if partly else OrderStatus.CANCELLED
        order.reject_reason = "EC_NoImmediateQtyToFill"


def _forget_exits(position: Position) -> None:
    """The position ended or turned: its exits were not meant for what it is now."""
    position.take_profit = position.stop_loss = None
    position.trailing_stop = position.active_price = None


def _attach(state: AccountState, market: Market, order: Order, filled: Decimal, now: datetime) -> list[Event]:
    """Put the order's attached exits into force for what it opened."""
    position = state.positions[order.symbol]
    if position.side is not order.side or not (order.take_profit or order.stop_loss):
        return []
    if order.tpsl_mode == "Partial":
        return _attach_partial(state, market, order, min(filled, position.size), now)
    # later fills of the same order don't undo what was set in between
    first = order.filled_qty == filled
    if order.take_profit is not None and (first or position.take_profit is None):
        position.take_profit = order.take_profit
    if order.stop_loss is not None and (first or position.stop_loss is None):
        position.stop_loss = order.stop_loss
    return []


def _attach_partial(state: AccountState, market: Market, order: Order, qty: Decimal, now: datetime) -> list[Event]:
    waiting = [
        o
        for o in open_partials(state, order.symbol)
        if o.parent_id == order.order_id and o.status is OrderStatus.UNTRIGGERED
    ]
    for exit_order in waiting:
        exit_order.qty += qty
        exit_order.updated_at = now
    if waiting:
        return [OrderChanged(o.snapshot()) for o in waiting]
    take_profit = order.take_profit and replace(order.take_profit, qty=qty)
    stop_loss = order.stop_loss and replace(order.stop_loss, qty=qty)
    return add_partial_exits(state, market, order.symbol, take_profit, stop_loss, now, parent_id=order.order_id)


def _drop_idle_reducers(state: AccountState, symbol: str, now: datetime) -> list[Event]:
    """Cancel reduce-only orders in the book that have nothing left to reduce."""
    book = state.resting.get((Category.LINEAR, symbol))
    if book is None:
        return []
    side = state.position(symbol).side
    idle = [o for o in book if o.reduce_only and (side is None or o.side is side)]
    return [deactivate(state, order, "CancelByReduceOnly", now) for order in idle]
