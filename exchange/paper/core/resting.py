"""Limit orders that rest in one symbol's book, and which of them a public trade reaches."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from domain.market import Side
from exchange.paper.core.model import Order


class RestingOrders:
    """The account's orders in one book. A trade that reaches none of them costs two comparisons.

    An order's price must not change while it is in here.
    """

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._highest_buy: Decimal | None = None
        self._lowest_sell: Decimal | None = None

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def add(self, order: Order) -> None:
        self._orders[order.order_id] = order
        self._find_best()

    def remove(self, order_id: str) -> None:
        if self._orders.pop(order_id, None) is not None:
            self._find_best()

    def reached(self, price: Decimal) -> list[Order]:
        """Orders that a trade at ``price`` went strictly through, best price first, then oldest.

        A trade at the very price of an order fills nothing: it stands at the end of the queue there.
        """
        buys = self._highest_buy is not None and price < self._highest_buy
        sells = self._lowest_sell is not None and price > self._lowest_sell
        if not (buys or sells):
            return []
        found = [order for order in self._orders.values() if _through(order, price)]
        return sorted(found, key=lambda o: (-_limit(o) if o.side is Side.BUY else _limit(o), o.sequence))

    def _find_best(self) -> None:
        orders = self._orders.values()
        self._highest_buy = max((_limit(o) for o in orders if o.side is Side.BUY), default=None)
        self._lowest_sell = min((_limit(o) for o in orders if o.side is Side.SELL), default=None)


def _limit(order: Order) -> Decimal:
    assert order.price is not None
    return order.price


def _through(order: Order, price: Decimal) -> bool:
    return price < _limit(order) if order.side is Side.BUY else price > _limit(order)
