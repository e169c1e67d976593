"""Booking fills: executions, log rows, the position or the coins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from domain.costs import BYBIT_BASE_FEES, fee_of
from domain.market import Category, Instrument, Side
from exchange.paper.core.closing import book_linear
from exchange.paper.core.depth import Take
from exchange.paper.core.events import Event, Executed
from exchange.paper.core.executions import make_execution
from exchange.paper.core.ledger import post_trade
from exchange.paper.core.model import ZERO, Order
from exchange.paper.core.state import AccountState, Market


def fill(
    state: AccountState,
    market: Market,
    order: Order,
    instrument: Instrument,
    takes: Iterable[Take],
    now: datetime,
    *,
    is_maker: bool,
    exec_type: str = "Trade",
) -> list[Event]:
    """Book ``takes`` against ``order``; its status is the caller's to set."""
    events: list[Event] = []
    mark = _mark(market, order, now)
    for take in takes:
        order.filled_qty += take.qty
        order.filled_value += take.price * take.qty
        if order.category is Category.SPOT:
            events += _book_spot(state, order, instrument, take, mark, is_maker, now)
        else:
            events += book_linear(state, order, instrument, take, mark, is_maker, now, exec_type)
    return events


def _mark(market: Market, order: Order, now: datetime) -> Decimal:
    if order.category is Category.LINEAR:
        return market.mark_price(order.symbol, now)
    return market.last_price(order.category, order.symbol, now)


def _book_spot(
    state: AccountState, order: Order, instrument: Instrument, take: Take, mark: Decimal, is_maker: bool, now: datetime
) -> list[Event]:
    buys = order.side is Side.BUY
    rate = BYBIT_BASE_FEES[Category.SPOT].rate(is_maker)
    value = take.price * take.qty
    fee, in_base = fee_of(Category.SPOT, order.side, take.qty, take.price, rate)
    coin = instrument.base_coin if in_base else instrument.quote_coin
    done = make_execution(state, order, take, now, mark=mark, fee=fee, coin=coin, rate=rate, is_maker=is_maker)
    base = post_trade(state, done, instrument.base_coin, take.qty if buys else -take.qty, fee if in_base else ZERO)
    quote = post_trade(state, done, instrument.quote_coin, -value if buys else value, ZERO if in_base else fee)
    return [Executed(done), base, quote]
