"""The wallet as seen at an instant: balances valued at the market, and what is free for new orders."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from exchange.paper.core.events import CoinView, WalletView
from exchange.paper.core.locks import locked
from exchange.paper.core.margin import (
    SETTLE_COIN,
    initial_margin,
    maintenance_margin,
    order_margin,
    position_margin,
    usd_price,
)
from exchange.paper.core.model import ZERO
from exchange.paper.core.state import AccountState, Market

__all__ = ["SETTLE_COIN", "available", "initial_margin", "view_wallet"]


def available(state: AccountState, market: Market, coin: str, now: datetime) -> Decimal:
    """What of ``coin`` new orders may use: not what open spot orders hold; and of the settle coin, not the losses of
    positions and not what positions and open linear orders hold.

    Unrealised profit counts for margin of positions but can't be spent, so it is left out here.
    """
    free = state.balance(coin) - locked(state, coin)
    if coin != SETTLE_COIN:
        return free
    for position in state.positions.values():
        if position.size:
            unrealised = position.unrealised(market.mark_price(position.symbol, now))
            free += min(unrealised, ZERO) - position_margin(state, position)
    return free - order_margin(state, market, now)


def view_wallet(state: AccountState, market: Market, now: datetime) -> WalletView:
    """The whole wallet at ``now``."""
    held = [p for p in state.positions.values() if p.size]
    marks = {p.symbol: market.mark_price(p.symbol, now) for p in held}
    unrealised = sum((p.unrealised(marks[p.symbol]) for p in held), ZERO)
    margin = sum((position_margin(state, p) for p in held), ZERO)
    maintenance = sum((maintenance_margin(p, marks[p.symbol]) for p in held), ZERO)
    ordered = order_margin(state, market, now)
    prices = {coin: usd_price(market, coin, now) for coin in state.balances}
    coins: list[CoinView] = []
    for coin, balance in state.balances.items():
        settles = coin == SETTLE_COIN
        equity = balance + (unrealised if settles else ZERO)
        coins.append(
            CoinView(
                coin=coin,
                balance=balance,
                equity=equity,
                usd_value=equity * prices[coin],
                unrealised=unrealised if settles else ZERO,
                realised=state.realised.get(coin, ZERO),
                locked=locked(state, coin),
                position_margin=margin if settles else ZERO,
                order_margin=ordered if settles else ZERO,
                maintenance_margin=maintenance if settles else ZERO,
            )
        )
    return WalletView(
        at=now,
        coins=tuple(coins),
        equity=sum((c.usd_value for c in coins), ZERO),
        balance=sum((c.balance * prices[c.coin] for c in coins), ZERO),
        available=max(available(state, market, SETTLE_COIN, now), ZERO),
        position_margin=margin,
        order_margin=ordered,
        maintenance_margin=maintenance,
        unrealised=unrealised,
    )
