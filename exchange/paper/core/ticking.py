"""What a public trade does to an account: resting orders fill, trailing stops move, triggers fire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.bands import price_in_band
from exchange.paper.core.checks import reducible
from exchange.paper.core.events import Event, OrderChanged
from exchange.paper.core.funds import affordable
from exchange.paper.core.matching import fill_resting, match, takes_of
from exchange.paper.core.model import Order, OrderStatus
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import clip_to_position, crossed, deactivate, follow_trailing
from exchange.paper.feed import Tick


def apply_tick(state: AccountState, market: Market, tick: Tick) -> list[Event]:
    """What a public trade causes. ``market.last_price`` must already answer with this tick's price."""
    key = (tick.category, tick.symbol)
    if state.taken:
        for side in Side:
            state.taken.pop((*key, side), None)
    events: list[Event] = []
    book = state.resting.get(key)
    if book is not None and (reached := book.reached(tick.price)):
        events += _fill_through(state, market, reached, tick)
    position = state.positions.get(tick.symbol)
    if position is not None and position.trailing_order_id:
        events += follow_trailing(state, market, tick)
    watching = state.watched.get(key)
    if watching:
        due = [order for order in watching.values() if crossed(order, market, tick)]
        for order in sorted(due, key=lambda o: o.sequence):
            # an earlier one may have ended this one, or closed the position and taken it along
            if order.order_id in state.orders:
                events += _trigger(state, market, order, tick.at)
    return events


def _fill_through(state: AccountState, market: Market, reached: list[Order], tick: Tick) -> list[Event]:
    """Fill orders that the trade went through, together by no more than it traded."""
    instrument = tradable_instrument(market, tick.category, tick.symbol)
    events: list[Event] = []
    left = instrument.floor_qty(tick.qty)
    for order in reached:
        if not left:
            break
        if order.order_id not in state.orders:  # an earlier fill closed the position this one was to reduce
            continue
        qty = min(left, order.left)
        if order.reduce_only:
            qty = min(qty, reducible(state, order))
        if not _has_coins(state, order, instrument, qty):
            events.append(deactivate(state, order, "CancelByCannotAffordOrderCost", tick.at))
            continue
        events += fill_resting(state, market, order, instrument, qty, tick.at)
        left -= qty
    return events


def _has_coins(state: AccountState, order: Order, instrument: Instrument, qty: Decimal) -> bool:
    """Whether a spot order still finds what it locked: losses of positions are paid from the same coin."""
    if order.category is Category.LINEAR:
        return True
    if order.side is Side.SELL:
        return qty <= state.balance(instrument.base_coin)
    assert order.price is not None
    return qty * order.price <= state.balance(instrument.quote_coin)


def _trigger(state: AccountState, market: Market, order: Order, now: datetime) -> list[Event]:
    instrument = tradable_instrument(market, order.category, order.symbol)
    state.drop_open(order)
    order.status = OrderStatus.TRIGGERED
    order.updated_at = now
    events: list[Event] = [OrderChanged(order.snapshot())]
    partner = state.orders.get(order.pair_id) if order.pair_id else None
    if partner is not None:
        events.append(deactivate(state, partner, "CancelByTpSlTsClear", now))
    if order.category is Category.LINEAR and (order.reduce_only or order.close_on_trigger):
        order.qty = order.qty or state.position(order.symbol).size
        qty = clip_to_position(state, order)
        if not qty:
            return [*events, deactivate(state, order, "CancelByReduceOnly", now)]
        order.qty = qty
    if order.category is Category.LINEAR and order.price is not None:
        order.price = price_in_band(market, instrument, order.side, order.price, now)
    takes = takes_of(state, market, order, instrument, now)
    if not affordable(state, market, order, instrument, takes, now):
        return [*events, *_reject(state, market, order, now)]
    return events + match(state, market, order, instrument, now)


def _reject(state: AccountState, market: Market, order: Order, now: datetime) -> list[Event]:
    order.status = OrderStatus.REJECTED
    order.reject_reason = "EC_Others"
    return [OrderChanged(order.snapshot())]
