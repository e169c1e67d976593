"""The account's state: what must be known to decide, and nothing of what is only history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Protocol

from domain.market import Category, Instrument, Side
from exchange.paper.core.model import ZERO, Order, OrderStatus, Position
from exchange.paper.core.refusal import params_error
from exchange.paper.core.resting import RestingOrders
from exchange.paper.feed import Liquidity

DEFAULT_LEVERAGE = Decimal(1)


class Market(Protocol):
    """The market as the account sees it. Deterministic: the same question has the same answer."""

    def instrument(self, category: Category, symbol: str) -> Instrument | None: ...
    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal: ...

    def mark_price(self, symbol: str, now: datetime) -> Decimal:
        """By which a perpetual is valued and liquidated."""
        ...

    def index_price(self, symbol: str, now: datetime) -> Decimal: ...

    def funding_rate(self, symbol: str, at: datetime) -> Decimal:
        """The rate settled at the funding instant ``at``; longs pay a positive one."""
        ...

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity: ...


def tradable_instrument(market: Market, category: Category, symbol: str) -> Instrument:
    """The instrument, or Refusal 10001."""
    instrument = market.instrument(category, symbol)
    if instrument is None:
        raise params_error(f"symbol invalid {symbol}")
    if not instrument.tradable:
        raise params_error(f"symbol {symbol} is not trading")
    return instrument


@dataclass
class AccountState:
    """Balances, positions, open orders and the orderLinkIds ever used.

    Final orders, executions and the log are history: they leave by events and are not kept here, so that the state
    stays small however long the account lives. ``id_seed`` makes identifiers unique to this account.
    """

    id_seed: str
    counter: int = 0
    balances: dict[str, Decimal] = field(default_factory=dict)
    funding_balances: dict[str, Decimal] = field(default_factory=dict)  # the FUND account, moved by transfers alone
    transfers: set[str] = field(default_factory=set)  # ids of transfers done
    realised: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    leverages: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    used_links: set[tuple[Category, str]] = field(default_factory=set)
    # which open orders a tick of (category, symbol) may trigger; derived from ``orders``
    watched: dict[tuple[Category, str], dict[str, Order]] = field(default_factory=dict, compare=False, repr=False)
    # limit orders in the books; derived from ``orders``
    resting: dict[tuple[Category, str], RestingOrders] = field(default_factory=dict, compare=False, repr=False)
    # what takers on a side took (base coin) since the symbol's last trade; a restart forgets it
    taken: dict[tuple[Category, str, Side], Decimal] = field(default_factory=dict, compare=False, repr=False)

    def next_number(self) -> int:
        self.counter += 1
        return self.counter

    def make_id(self, category: str, number: int) -> str:
        """An identifier nobody can confuse with another account's: a UUID on linear, 19 digits on spot, as Bybit's."""
        digest = sha256(f"{self.id_seed}/{number}".encode()).hexdigest()
        if category == Category.SPOT:
            return str(10**18 + int(digest[:14], 16))
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"

    def balance(self, coin: str) -> Decimal:
        return self.balances.get(coin, ZERO)

    def leverage(self, symbol: str) -> Decimal:
        return self.leverages.get(symbol, DEFAULT_LEVERAGE)

    def position(self, symbol: str) -> Position:
        """The symbol's position, a flat one (not yet part of the state) if it never had any."""
        return self.positions.get(symbol) or Position(symbol)

    def find(self, category: Category, order_id: str, link_id: str) -> Order | None:
        """An open order by either id."""
        if order_id:
            order = self.orders.get(order_id)
            return order if order is not None and order.category is category else None
        return next((o for o in self.orders.values() if o.link_id == link_id and o.category is category), None)

    def add_open(self, order: Order) -> None:
        """Take in an open order, or one whose trigger was set. One whose ``trigger_by`` or ``price`` changes is dropped
        before."""
        self.orders[order.order_id] = order
        if order.status is not OrderStatus.UNTRIGGERED:
            self.resting.setdefault((order.category, order.symbol), RestingOrders()).add(order)
        elif order.trigger_price is not None:
            for category in _moving(order):
                self.watched.setdefault((category, order.symbol), {})[order.order_id] = order

    def drop_open(self, order: Order) -> None:
        self.orders.pop(order.order_id, None)
        book = self.resting.get((order.category, order.symbol))
        if book is not None:
            book.remove(order.order_id)
            if not book:
                del self.resting[(order.category, order.symbol)]
        for category in _moving(order):
            watching = self.watched.get((category, order.symbol))
            if watching is not None:
                watching.pop(order.order_id, None)
                if not watching:
                    del self.watched[(category, order.symbol)]

    def copy(self) -> AccountState:
        """A state that shares nothing mutable with this one."""
        made = replace(
            self,
            balances=dict(self.balances),
            funding_balances=dict(self.funding_balances),
            transfers=set(self.transfers),
            realised=dict(self.realised),
            positions={s: replace(p) for s, p in self.positions.items()},
            leverages=dict(self.leverages),
            orders={},
            used_links=set(self.used_links),
            watched={},
            resting={},
            taken=dict(self.taken),
        )
        for order in self.orders.values():
            made.add_open(order.snapshot())
        return made


def _moving(order: Order) -> tuple[Category, ...]:
    """Whose trades move the price that triggers an order: mark and index price follow the spot market too."""
    return (order.category,) if order.trigger_by == "LastPrice" else tuple(Category)
