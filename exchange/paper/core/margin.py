"""What linear positions and orders hold of the account, and where it is liquidated: cross margin, regular mode.

A position's initial margin is its entry value by the leverage, its maintenance margin its value at the mark price by
the symbol's one risk tier; each with the fee of closing it set aside, as Bybit counts them for a unified account.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from domain.costs import BYBIT_BASE_FEES
from domain.market import Category, Side
from exchange.paper.core.model import ZERO, Order, OrderStatus, Position
from exchange.paper.core.state import AccountState, Market
from exchange.paper.instruments import risk_tier

SETTLE_COIN = "USDT"
DOLLARS = frozenset({"USDT", "USDC", "USD"})

_RESTING = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})


def initial_margin(value: Decimal, leverage: Decimal) -> Decimal:
    """Margin a position of this entry value holds, with the fee of closing it set aside."""
    return value / leverage + value * BYBIT_BASE_FEES[Category.LINEAR].taker


def position_margin(state: AccountState, position: Position) -> Decimal:
    return initial_margin(position.cost, state.leverage(position.symbol)) if position.size else ZERO


def maintenance_rate(symbol: str) -> Decimal:
    """Maintenance margin of one quote coin of position value."""
    return risk_tier(symbol).maintenance_rate + BYBIT_BASE_FEES[Category.LINEAR].taker


def maintenance_margin(position: Position, mark: Decimal) -> Decimal:
    """What must be left of the account for this position not to be closed by force."""
    return mark * position.size * maintenance_rate(position.symbol)


def order_margin(state: AccountState, market: Market, now: datetime) -> Decimal:
    """What open linear orders hold: of each symbol the larger side, net of what only reduces its position."""
    if not state.orders:
        return ZERO
    resting: defaultdict[str, list[Order]] = defaultdict(list)
    for order in state.orders.values():
        if order.category is Category.LINEAR and order.status in _RESTING and not order.reduce_only:
            resting[order.symbol].append(order)
    return sum(
        (max(_side_margin(state, market, orders, side, now) for side in Side) for orders in resting.values()),
        ZERO,
    )


def _side_margin(state: AccountState, market: Market, orders: list[Order], side: Side, now: datetime) -> Decimal:
    """Margin of one symbol's orders on ``side``, those first to fill reducing first, and the fee of their fills."""
    mine = [order for order in orders if order.side is side]
    if not mine:
        return ZERO
    position = state.position(mine[0].symbol)
    reduces = position.size if position.side is side.opposite else ZERO
    opens = ZERO
    for price, qty in sorted(((_price(market, order, now), order.left) for order in mine), reverse=side is Side.BUY):
        clipped = min(reduces, qty)
        reduces -= clipped
        opens += (qty - clipped) * price
    fee = opens * BYBIT_BASE_FEES[Category.LINEAR].taker
    return initial_margin(opens, state.leverage(mine[0].symbol)) + fee


def _price(market: Market, order: Order, now: datetime) -> Decimal:
    return market.last_price(order.category, order.symbol, now) if order.price is None else order.price


def usd_price(market: Market, coin: str, now: datetime) -> Decimal:
    """Price of a coin in USD by the market's own symbols: the index, or the spot price; 0 when none prices it."""
    if coin in DOLLARS:
        return Decimal(1)
    symbol = f"{coin}{SETTLE_COIN}"
    if market.instrument(Category.LINEAR, symbol) is not None:
        return market.index_price(symbol, now)
    if market.instrument(Category.SPOT, symbol) is not None:
        return market.last_price(Category.SPOT, symbol, now)
    return ZERO


def margin_balance(state: AccountState, market: Market, now: datetime) -> Decimal:
    """What stands behind the positions, in USD: every coin at its full value, and unrealised profit and loss.

    Bybit takes a haircut on most coins; here a coin counts for what it is worth.
    """
    coins = sum((held * usd_price(market, coin, now) for coin, held in state.balances.items() if held), ZERO)
    return coins + sum(
        (p.unrealised(market.mark_price(p.symbol, now)) for p in state.positions.values() if p.size), ZERO
    )


def total_maintenance(state: AccountState, market: Market, now: datetime) -> Decimal:
    return sum(
        (maintenance_margin(p, market.mark_price(p.symbol, now)) for p in state.positions.values() if p.size), ZERO
    )


def liquidation_price(state: AccountState, market: Market, position: Position, now: datetime) -> Decimal | None:
    """The mark price at which this position alone would bring the account down to its maintenance margin.

    It is where ``behind + sign * (P * size - cost) = P * size * rate``, with ``behind`` what the account has besides
    this position after the maintenance of its others, and the others and all coins held at their present prices:
    ``P = (sign * cost - behind) / (size * (sign - rate))``. Derived from the condition that Bybit's help centre gives
    for a unified account under cross margin (its maintenance margin rate reaches 100 %). None: no price above 0 does.
    """
    if not position.size:
        return None
    mark = market.mark_price(position.symbol, now)
    behind = (
        margin_balance(state, market, now)
        - position.unrealised(mark)
        - total_maintenance(state, market, now)
        + maintenance_margin(position, mark)
    )
    rate = maintenance_rate(position.symbol)
    price = (position.sign * position.cost - behind) / (position.size * (position.sign - rate))
    return price if price > 0 else None
