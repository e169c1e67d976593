"""What the tests against the paper exchange share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any

from domain.market import Category, Side
from exchange.bybit import BybitExchange
from exchange.protocol import OrderReport, OrderRequest
from tests.support.paper import PaperExchange
from tests.support.waiting import eventually

LINEAR, SPOT = Category.LINEAR, Category.SPOT
MANY = [f"C{number}USDT=10" for number in range(25)]
SYMBOLS = ("--manual", "--symbols", "BTCUSDT=60000", "ETHUSDT=3000", *MANY)

_numbers = count(1)


@asynccontextmanager
async def gateway(paper: PaperExchange, **options: Any) -> AsyncIterator[BybitExchange]:
    made = BybitExchange("paper", paper.key, paper.secret, paper.url, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def market_order(category: Category = LINEAR, side: Side = Side.BUY, qty: str = "0.01", **more: Any) -> OrderRequest:
    number = next(_numbers)
    return OrderRequest(
        category=category, symbol="BTCUSDT", side=side, qty=Decimal(qty), order_link_id=f"GW{number:06}-E1", **more
    )


async def found(exchange: BybitExchange, request: OrderRequest) -> OrderReport:
    report = await exchange.find_order(request.category, request.symbol, request.order_link_id)
    assert report is not None
    return report


async def until(condition: Callable[[], object]) -> None:
    async def asked() -> bool:
        return bool(condition())

    await eventually(asked, "the condition of the test", every=0.005)


def tick(price: str, category: Category = LINEAR, symbol: str = "BTCUSDT") -> dict[str, str]:
    return {"category": category.value, "symbol": symbol, "price": price, "qty": "0.5"}
