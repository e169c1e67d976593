"""Closed orders kept in memory for ``order/realtime``."""

from __future__ import annotations

from decimal import Decimal

from domain.market import Category, Side
from exchange.paper.closed_orders import KEPT, ClosedOrders
from exchange.paper.core.commands import CancelAll
from tests.exchange.paper.account_case import Account


def test_the_last_five_hundred_of_each_symbol_are_kept() -> None:
    account, closed = Account(), ClosedOrders()
    made = []
    for symbol, count in (("BTCUSDT", KEPT + 1), ("ETHUSDT", 2)):
        for _ in range(count):
            order = account.place(
                Category.LINEAR, Side.BUY, "0.001", symbol=symbol, price=Decimal(45_000), order_type="Limit"
            )
            closed.note(account.events)
            assert order.sequence not in closed.sequences(Category.LINEAR)
            account.do(CancelAll(account.now, Category.LINEAR))
            closed.note(account.events)
            made.append(order.sequence)
    assert closed.sequences(Category.LINEAR) == tuple(made[1:])
    assert closed.sequences(Category.SPOT) == ()
