"""The only place where balances change: each change is a transaction-log row, so the log adds up to the wallet."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category
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
        type="LIQUIDATION" if fill.exec_type == "BustTrade" else "TRADE",
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


def post_funding(state: AccountState, settlement: Execution, coin: str, size: Decimal) -> Event:
    """Book a funding settlement. The log tells it as received: above 0 it came in, below 0 it was paid."""
    received = -settlement.fee
    return _post(
        state,
        coin,
        received,
        settlement.at,
        type="SETTLEMENT",
        category=settlement.category.value,
        symbol=settlement.symbol,
        side=settlement.side.value,
        qty=settlement.qty,
        size=size,
        price=settlement.price,
        funding=received,
        fee_rate=settlement.fee_rate,
        trade_id=settlement.exec_id,
        order_id=settlement.order_id,
    )


def post_deposit(state: AccountState, coin: str, amount: Decimal, at: datetime) -> Event:
    """Book money that came from outside."""
    return _post(state, coin, amount, at, type="TRANSFER_IN", cash_flow=amount, qty=amount)


def post_transfer(state: AccountState, coin: str, amount: Decimal, at: datetime, transfer_id: str) -> Event:
    """Book money that came from (above 0) or went to (below 0) the funding account."""
    kind = "TRANSFER_IN" if amount > 0 else "TRANSFER_OUT"
    return _post(state, coin, amount, at, type=kind, cash_flow=amount, qty=abs(amount), order_id=transfer_id)


def post_insurance(state: AccountState, coin: str, amount: Decimal, at: datetime) -> Event:
    """Book what the insurance pays of a loss the account could not."""
    category = Category.LINEAR.value
    return _post(state, coin, amount, at, type="LIQUIDATION", category=category, cash_flow=amount, qty=amount)


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
    funding: Decimal = ZERO,
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
            funding=funding,
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
