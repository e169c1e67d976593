"""An account core under test, with the market it trades on."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from domain.market import Category, Side
from exchange.paper.core.account import Applied, apply, apply_tick
from exchange.paper.core.commands import AmendOrder, Command, Deposit, PlaceOrder
from exchange.paper.core.events import Event
from exchange.paper.core.model import Order
from exchange.paper.core.state import AccountState
from exchange.paper.feed import Tick
from tests.exchange.paper.account_market import START, FixedMarket

D = Decimal


class Account:
    """An account with 100,000 USDT, and its market."""

    def __init__(self) -> None:
        self.market = FixedMarket()
        self.state = AccountState(id_seed="test")
        self.now = START
        self.events: list[Event] = self._do(Deposit(START, "USDT", D(100_000))).events

    def _do(self, command: Command) -> Applied:
        applied = apply(self.state, self.market, command)
        self.events = applied.events
        return applied

    def place(self, category: Category, side: Side, qty: str, **more: Any) -> Order:
        """Place a market order for base coin; the order as accepted."""
        unit = "baseCoin" if category is Category.SPOT and side is Side.BUY else ""
        fields: dict[str, Any] = {"market_unit": unit, "order_type": "Market", "symbol": "BTCUSDT"} | more
        return self._do(PlaceOrder(at=self.now, category=category, side=side, qty=D(qty), **fields)).orders[0]

    def limit(self, category: Category, side: Side, qty: str, price: str, **more: Any) -> Order:
        """Place a limit order; the order as accepted, with what it took at once."""
        return self.place(category, side, qty, order_type="Limit", market_unit="", price=D(price), **more)

    def amend(self, order: Order, **changes: Any) -> Order:
        """Amend an open order; the order as amended."""
        command = AmendOrder(self.now, order.category, order.symbol, order_id=order.order_id, **changes)
        return self._do(command).orders[0]

    def do(self, command: Command) -> list[Event]:
        return self._do(command).events

    def tick(self, category: Category, price: str, qty: str = "1") -> list[Event]:
        """``qty`` coins trade at the price; what that caused."""
        self.now += timedelta(seconds=1)
        self.market.set_price(category, "BTCUSDT", D(price))
        tick = Tick(category, "BTCUSDT", self.now, D(price), D(qty), Side.BUY, 1)
        self.events = apply_tick(self.state, self.market, tick)
        return self.events
