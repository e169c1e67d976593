"""Executing takes of the book against an order: executions, log rows, the position or the coins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.depth import Take, take_base, take_quote
from exchange.paper.core.events import Event, Executed
from exchange.paper.core.fees import FEE_RATES
from exchange.paper.core.ledger import post_trade
from exchange.paper.core.model import ZERO, Execution, Order, OrderStatus, Position
from exchange.paper.core.state import AccountState, Market
from exchange.paper.core.wallet import available, initial_margin

COST_QUANTUM = Decimal("1E-10")


def takes_of(market: Market, order: Order, instrument: Instrument, now: datetime) -> list[Take]:
    """What ``order`` would take of the book now."""
    last = market.last_price(order.category, order.symbol, now)
    liquidity = market.liquidity(order.category, order.symbol, now)
    take = take_quote if order.in_quote else take_base
    return take(instrument, order.side, order.qty, last, liquidity)


def affordable(
    state: AccountState, market: Market, order: Order, instrument: Instrument, takes: Sequence[Take], now: datetime
) -> bool:
    """Whether the account can pay for ``takes``: coins on spot, initial margin of what opens on linear."""
    value = sum((t.price * t.qty for t in takes), ZERO)
    if order.category is Category.SPOT:
        if order.side is Side.SELL:
            return sum((t.qty for t in takes), ZERO) <= available(state, market, instrument.base_coin, now)
        return value <= available(state, market, instrument.quote_coin, now)
    qty = sum((t.qty for t in takes), ZERO)
    position = state.position(order.symbol)
    closes = position.size if position.side is order.side.opposite else ZERO
    if qty <= closes:
        return True
    opening_share = (qty - closes) / qty
    fee = value * FEE_RATES[Category.LINEAR].taker
    needed = initial_margin(value * opening_share, state.leverage(order.symbol)) + fee
    freed = initial_margin(position.cost, state.leverage(order.symbol)) if closes else ZERO
    return needed <= available(state, market, instrument.quote_coin, now) + freed


def execute(
    state: AccountState, market: Market, order: Order, instrument: Instrument, takes: Sequence[Take], now: datetime
) -> list[Event]:
    """Fill ``order`` with ``takes`` and set its status: Filled, or what is left is cancelled (it is a market order)."""
    events: list[Event] = []
    mark = market.last_price(order.category, order.symbol, now)
    for take in takes:
        order.filled_qty += take.qty
        order.filled_value += take.price * take.qty
        book = _book_spot if order.category is Category.SPOT else _book_linear
        events += book(state, order, instrument, take, mark, now)
    _finish(order, instrument, takes, now)
    return events


def _finish(order: Order, instrument: Instrument, takes: Sequence[Take], now: datetime) -> None:
    order.updated_at = now
    if order.in_quote:
        # a rest that doesn't pay for one more step at the last price is no rest
        left = order.qty - order.filled_value
        complete = bool(takes) and left < takes[-1].price * instrument.qty_step
    else:
        complete = order.filled_qty == order.qty
    if complete:
        order.status = OrderStatus.FILLED
        return
    partly = order.category is Category.SPOT and order.filled_qty > 0
    order.status = OrderStatus.PARTIALLY_FILLED_CANCELED if partly else OrderStatus.CANCELLED
    order.reject_reason = "EC_NoImmediateQtyToFill"


def _book_spot(
    state: AccountState, order: Order, instrument: Instrument, take: Take, mark: Decimal, now: datetime
) -> list[Event]:
    buys = order.side is Side.BUY
    rate = FEE_RATES[Category.SPOT].taker
    value = take.price * take.qty
    coin = instrument.base_coin if buys else instrument.quote_coin
    fee = (take.qty if buys else value) * rate
    fill = _execution(state, order, take, now, mark=mark, fee=fee, coin=coin, rate=rate)
    base = post_trade(state, fill, instrument.base_coin, take.qty if buys else -take.qty, fee if buys else ZERO)
    quote = post_trade(state, fill, instrument.quote_coin, -value if buys else value, ZERO if buys else fee)
    return [Executed(fill), base, quote]


def _book_linear(
    state: AccountState, order: Order, instrument: Instrument, take: Take, mark: Decimal, now: datetime
) -> list[Event]:
    position = state.positions.setdefault(order.symbol, Position(order.symbol))
    closed, pnl = net(position, order.side, take.qty, take.price, now)
    rate = FEE_RATES[Category.LINEAR].taker
    fee = take.price * take.qty * rate
    coin = instrument.quote_coin
    fill = _execution(state, order, take, now, mark=mark, fee=fee, coin=coin, rate=rate, closed=closed, pnl=pnl)
    order.closed_pnl += pnl
    position.realised += pnl - fee
    position.sequence = fill.sequence
    state.realised[coin] = state.realised.get(coin, ZERO) + pnl - fee
    return [Executed(fill), post_trade(state, fill, coin, pnl, fee, position.sign * position.size)]


def net(position: Position, side: Side, qty: Decimal, price: Decimal, now: datetime) -> tuple[Decimal, Decimal]:
    """Put a fill into a one-way position: (size it closed, profit before fees). What is left over opens."""
    closed = min(qty, position.size) if position.side is side.opposite else ZERO
    pnl = ZERO
    if closed:
        whole = closed == position.size
        released = position.cost if whole else _share(position.cost, closed, position.size)
        pnl = position.sign * (price * closed - released)
        position.size -= closed
        position.cost -= released
        if whole:
            position.side = None
    opened = qty - closed
    if opened:
        if position.side is None:
            position.created_at = now
        position.side = side
        position.size += opened
        position.cost += price * opened
    position.updated_at = now
    return closed, pnl


def _share(cost: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return (cost * part / whole).quantize(COST_QUANTUM, ROUND_HALF_EVEN)


def _execution(
    state: AccountState,
    order: Order,
    take: Take,
    now: datetime,
    *,
    mark: Decimal,
    fee: Decimal,
    coin: str,
    rate: Decimal,
    closed: Decimal = ZERO,
    pnl: Decimal = ZERO,
) -> Execution:
    number = state.next_number()
    order.fees[coin] = order.fees.get(coin, ZERO) + fee
    return Execution(
        sequence=number,
        exec_id=state.make_id(order.category, number),
        order_id=order.order_id,
        link_id=order.link_id,
        category=order.category,
        symbol=order.symbol,
        side=order.side,
        qty=take.qty,
        price=take.price,
        fee=fee,
        fee_coin=coin,
        fee_rate=rate,
        exec_type="Trade",
        order_type=order.order_type,
        order_qty=order.qty,
        leaves_qty=ZERO if order.in_quote else order.qty - order.filled_qty,
        stop_order_type=order.stop_order_type,
        create_type=order.create_type,
        market_unit=order.market_unit,
        is_maker=False,
        closed_size=closed,
        pnl=pnl,
        mark_price=mark,
        at=now,
    )
