"""The wallet as seen at an instant: balances valued at the market, and what is free for new orders."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category
from exchange.paper.core.events import CoinView, WalletView
from exchange.paper.core.fees import FEE_RATES
from exchange.paper.core.model import ZERO, Position
from exchange.paper.core.state import AccountState, Market

SETTLE_COIN = "USDT"
DOLLARS = frozenset({"USDT", "USDC", "USD"})
MAINTENANCE_MARGIN_RATE = Decimal("0.005")


def mark_price(market: Market, symbol: str, now: datetime) -> Decimal:
    return market.last_price(Category.LINEAR, symbol, now)


def initial_margin(value: Decimal, leverage: Decimal) -> Decimal:
    """Margin a position of this entry value holds, with the fee of closing it set aside."""
    return value / leverage + value * FEE_RATES[Category.LINEAR].taker


def position_margin(state: AccountState, position: Position) -> Decimal:
    return initial_margin(position.cost, state.leverage(position.symbol)) if position.size else ZERO


def available(state: AccountState, market: Market, coin: str, now: datetime) -> Decimal:
    """What of ``coin`` new orders may use. In the settle coin, losses and margins of positions are taken off.

    Unrealised profit counts for margin of positions but can't be spent, so it is left out here.
    """
    free = state.balance(coin)
    if coin != SETTLE_COIN:
        return free
    for position in state.positions.values():
        if position.size:
            unrealised = position.unrealised(mark_price(market, position.symbol, now))
            free += min(unrealised, ZERO) - position_margin(state, position)
    return free


def usd_price(market: Market, coin: str, now: datetime) -> Decimal:
    """Price of a coin in USD by the market's own symbols; 0 when none prices it."""
    if coin in DOLLARS:
        return Decimal(1)
    for category in Category:
        if market.instrument(category, f"{coin}{SETTLE_COIN}") is not None:
            return market.last_price(category, f"{coin}{SETTLE_COIN}", now)
    return ZERO


def view_wallet(state: AccountState, market: Market, now: datetime) -> WalletView:
    """The whole wallet at ``now``."""
    held = [p for p in state.positions.values() if p.size]
    marks = {p.symbol: mark_price(market, p.symbol, now) for p in held}
    unrealised = sum((p.unrealised(marks[p.symbol]) for p in held), ZERO)
    margin = sum((position_margin(state, p) for p in held), ZERO)
    coins = tuple(
        CoinView(
            coin=coin,
            balance=balance,
            equity=balance + (unrealised if coin == SETTLE_COIN else ZERO),
            usd_value=(balance + (unrealised if coin == SETTLE_COIN else ZERO)) * usd_price(market, coin, now),
            unrealised=unrealised if coin == SETTLE_COIN else ZERO,
            realised=state.realised.get(coin, ZERO),
            locked=ZERO,
            position_margin=margin if coin == SETTLE_COIN else ZERO,
        )
        for coin, balance in state.balances.items()
    )
    return WalletView(
        at=now,
        coins=coins,
        equity=sum((c.usd_value for c in coins), ZERO),
        balance=sum((c.balance * usd_price(market, c.coin, now) for c in coins), ZERO),
        available=max(available(state, market, SETTLE_COIN, now), ZERO),
        position_margin=margin,
        maintenance_margin=sum((marks[p.symbol] * p.size for p in held), ZERO) * MAINTENANCE_MARGIN_RATE,
        unrealised=unrealised,
    )
