"""Take profit and stop loss of a spot order: what it filled is protected by orders of the exchange's own.

They are a pair of ``tpslOrder`` s: both lock the same coins, and when one triggers the other ends.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.events import Event, OrderChanged
from exchange.paper.core.funds import lockable
from exchange.paper.core.model import ZERO, Execution, Exit, Order, OrderFilter, OrderStatus
from exchange.paper.core.state import AccountState, Market
from exchange.paper.core.wallet import available


def protect(
    state: AccountState, market: Market, order: Order, instrument: Instrument, fills: list[Execution], now: datetime
) -> list[Event]:
    """Put the order's attached exits into force for ``fills``: a new pair, or more quantity for the waiting one."""
    received = sum((f.qty - (f.fee if f.fee_coin == instrument.base_coin else ZERO) for f in fills), ZERO)
    qty = instrument.floor_qty(received)
    if not qty:
        return []
    waiting = [
        o for o in state.orders.values() if o.parent_id == order.order_id and o.status is OrderStatus.UNTRIGGERED
    ]
    if waiting:
        return _grow(state, market, waiting, instrument, qty, now)
    made = [
        _make(state, market, order, wanted, qty, rises=(order.side is Side.BUY) == profits, now=now)
        for wanted, profits in ((order.take_profit, True), (order.stop_loss, False))
        if wanted is not None
    ]
    if len(made) == 2:
        made[0].pair_id, made[1].pair_id = made[1].order_id, made[0].order_id
    return [_enter(state, market, exit_order, now) for exit_order in made]


def _grow(
    state: AccountState, market: Market, waiting: list[Order], instrument: Instrument, qty: Decimal, now: datetime
) -> list[Event]:
    """More for the waiting pair, as far as the coins are still there (they may have been sold meanwhile)."""
    if waiting[0].side is Side.SELL:
        qty = min(qty, instrument.floor_qty(max(available(state, market, instrument.base_coin, now), ZERO)))
    events: list[Event] = []
    for order in waiting if qty else []:
        order.qty += qty
        order.updated_at = now
        events.append(OrderChanged(order.snapshot()))
    return events


def _enter(state: AccountState, market: Market, order: Order, now: datetime) -> Event:
    partner = state.orders.get(order.pair_id)
    # the second of a pair holds what the first already does, or a little more
    if partner is None and not lockable(state, market, order, now):
        order.status, order.reject_reason = OrderStatus.REJECTED, "EC_Others"
        return OrderChanged(order.snapshot())
    state.add_open(order)
    return OrderChanged(order.snapshot())


def _make(
    state: AccountState, market: Market, parent: Order, wanted: Exit, qty: Decimal, *, rises: bool, now: datetime
) -> Order:
    number = state.next_number()
    market_order = wanted.limit_price is None
    return Order(
        order_id=state.make_id(Category.SPOT, number),
        link_id="",
        category=Category.SPOT,
        symbol=parent.symbol,
        side=parent.side.opposite,
        order_type="Market" if market_order else "Limit",
        qty=qty,
        market_unit="baseCoin" if market_order else "",
        time_in_force="IOC" if market_order else "GTC",
        status=OrderStatus.UNTRIGGERED,
        created_at=now,
        updated_at=now,
        sequence=number,
        last_price_on_created=market.last_price(Category.SPOT, parent.symbol, now),
        create_type="CreateByTakeProfit" if wanted is parent.take_profit else "CreateByStopLoss",
        order_filter=OrderFilter.TPSL_ORDER,
        stop_order_type="tpslOrder",
        trigger_price=wanted.trigger_price,
        trigger_rises=rises,
        price=wanted.limit_price,
        parent_id=parent.order_id,
    )
