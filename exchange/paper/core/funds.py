"""Whether an account can pay for an order: coins on spot, initial margin and fees of what opens on linear."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from domain.costs import BYBIT_BASE_FEES
from domain.market import Category, Instrument, Side
from exchange.paper.core.depth import Take
from exchange.paper.core.locks import lock_of
from exchange.paper.core.margin import initial_margin
from exchange.paper.core.model import ZERO, Order
from exchange.paper.core.state import AccountState, Market
from exchange.paper.core.wallet import available


def affordable(
    state: AccountState, market: Market, order: Order, instrument: Instrument, takes: Sequence[Take], now: datetime
) -> bool:
    """Whether the account can pay for ``takes`` and, of a limit order, for the rest at its price.

    The order itself must not be among the open ones: what it holds there would be asked for twice.
    """
    qty = sum((t.qty for t in takes), ZERO)
    value = sum((t.price * t.qty for t in takes), ZERO)
    if order.order_type == "Limit" and order.price is not None:
        value += (order.left - qty) * order.price
        qty = order.left
    if order.category is Category.LINEAR:
        return _margin_suffices(state, market, order, instrument, qty, value, now)
    if order.side is Side.SELL:
        return qty <= available(state, market, instrument.base_coin, now)
    return value <= available(state, market, instrument.quote_coin, now)


def lockable(state: AccountState, market: Market, order: Order, now: datetime) -> bool:
    """Whether what a waiting order holds is there to be held; True for one that holds nothing."""
    held = lock_of(order)
    return held is None or held.amount <= available(state, market, held.coin, now)


def _margin_suffices(
    state: AccountState,
    market: Market,
    order: Order,
    instrument: Instrument,
    qty: Decimal,
    value: Decimal,
    now: datetime,
) -> bool:
    position = state.position(order.symbol)
    closes = _closable(state, order)
    if qty <= closes:
        return True
    opening_share = (qty - closes) / qty
    fee = value * BYBIT_BASE_FEES[Category.LINEAR].taker
    needed = initial_margin(value * opening_share, state.leverage(order.symbol)) + fee
    # a market order that turns the position sets its margin free at once, one that may rest does not
    turns = closes and order.order_type == "Market"
    freed = initial_margin(position.cost, state.leverage(order.symbol)) if turns else ZERO
    return needed <= available(state, market, instrument.quote_coin, now) + freed


def _closable(state: AccountState, order: Order) -> Decimal:
    """What of the position the order can close: of a limit order, what those in the book don't close already."""
    position = state.position(order.symbol)
    if position.side is not order.side.opposite:
        return ZERO
    if order.reduce_only or order.order_type == "Market":
        return position.size
    book = state.resting.get((order.category, order.symbol), ())
    spoken_for = sum((o.left for o in book if o.side is order.side and not o.reduce_only), ZERO)
    return max(position.size - spoken_for, ZERO)
