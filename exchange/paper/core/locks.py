"""What open spot orders hold of the account's coins until they fill or end."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import NamedTuple

from domain.market import Category, Side
from exchange.paper.core.model import ZERO, Order, OrderFilter, OrderStatus
from exchange.paper.core.state import AccountState
from exchange.paper.instruments import split_symbol

_coins_of = cache(split_symbol)


class Lock(NamedTuple):
    coin: str
    amount: Decimal


def locked(state: AccountState, coin: str) -> Decimal:
    """What open spot orders hold of ``coin``. Two orders of which one ends the other hold what the larger does."""
    total = ZERO
    for order in state.orders.values():
        held = lock_of(order)
        if held is not None and held.coin == coin and _counts(state, order, held):
            total += held.amount
    return total


def lock_of(order: Order) -> Lock | None:
    """What an open order holds by itself: None on linear, and for a conditional order, which waits without funds."""
    if order.category is not Category.SPOT:
        return None
    if order.status is OrderStatus.UNTRIGGERED and order.order_filter is not OrderFilter.TPSL_ORDER:
        return None
    base, quote = _coins_of(order.symbol)
    if order.in_quote:  # a market order: the trigger tells what a sale's quote coins are in base
        left = order.qty - order.filled_value
        return Lock(quote, left) if order.side is Side.BUY else Lock(base, left / _price(order))
    return Lock(base, order.left) if order.side is Side.SELL else Lock(quote, order.left * _price(order))


def _price(order: Order) -> Decimal:
    price = order.trigger_price if order.price is None else order.price
    assert price is not None, f"order {order.order_id} rests without a price"
    return price


def _counts(state: AccountState, order: Order, held: Lock) -> bool:
    partner = state.orders.get(order.pair_id) if order.pair_id else None
    other = lock_of(partner) if partner is not None else None
    if partner is None or other is None:
        return True
    return (held.amount, partner.sequence) > (other.amount, order.sequence)
