"""The only place where balances change: each change is a transaction-log row, so the log adds up to the wallet."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from exchange.paper.core.events import Event, Logged
from exchange.paper.core.model import ZERO, Execution, LogRow
from exchange.paper.core.state import AccountState


def post_trade(
    state: AccountState, fill: Execution, coin: str, cash_flow: Decimal, fee: Decimal, size: Decimal = ZERO
) -> Event:
    """Book one coin's part of an execution; ``size`` is the position's signed size after it (linear)."""
    change = cash_flow - fee
    return _post(
        state,
        coin,
        change,
        fill.at,
        type="TRADE",
        category=fill.category.value,
        symbol=fill.symbol,
        side=fill.side.value,
        qty=fill.qty,
        size=size,
        price=fill.price,
        cash_flow=cash_flow,
        fee=fee,
        fee_rate=fill.fee_rate if fee else ZERO,
        trade_id=fill.exec_id,
        order_id=fill.order_id,
        link_id=fill.link_id,
    )


def post_transfer(state: AccountState, coin: str, amount: Decimal, at: datetime) -> Event:
    """Book money that came from outside."""
    return _post(state, coin, amount, at, type="TRANSFER_IN", cash_flow=amount, qty=amount)


def _post(
    state: AccountState,
    coin: str,
    change: Decimal,
    at: datetime,
    *,
    type: str,
    category: str = "",
    symbol: str = "",
    side: str = "None",
    qty: Decimal = ZERO,
    size: Decimal = ZERO,
    price: Decimal = ZERO,
    cash_flow: Decimal = ZERO,
    fee: Decimal = ZERO,
    fee_rate: Decimal = ZERO,
    trade_id: str = "",
    order_id: str = "",
    link_id: str = "",
) -> Event:
    number = state.next_number()
    balance = state.balance(coin) + change
    state.balances[coin] = balance
    return Logged(
        LogRow(
            sequence=number,
            row_id=f"{state.make_id('log', number)}_{coin}",
            coin=coin,
            type=type,
            category=category,
            symbol=symbol,
            side=side,
            qty=qty,
            size=size,
            price=price,
            cash_flow=cash_flow,
            funding=ZERO,
            fee=fee,
            fee_rate=fee_rate,
            change=change,
            cash_balance=balance,
            trade_id=trade_id,
            order_id=order_id,
            link_id=link_id,
            at=at,
        )
    )
