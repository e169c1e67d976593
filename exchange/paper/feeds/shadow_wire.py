"""Bybit's public rows as values: what a shadow market reads from the streams and REST answers of the real one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from domain.candle import Timeframe, from_ms
from domain.market import Category, Instrument, Side
from exchange.paper.feed import Bar

Row = Mapping[str, Any]
Name = tuple[Category, str]

CODES = {
    Timeframe.M1: "1",
    Timeframe.M15: "15",
    Timeframe.H1: "60",
    Timeframe.H4: "240",
    Timeframe.D1: "D",
    Timeframe.W1: "W",
}
STAMP_PERIODS = {
    minutes * 60_000: name
    for minutes, name in ((5, "5min"), (15, "15min"), (30, "30min"), (60, "1h"), (240, "4h"), (1440, "1d"))
}
_ZERO = Decimal(0)


class UpstreamTrade(NamedTuple):
    """A public trade as the real exchange stamped it."""

    name: Name
    trade_id: str
    traded_ms: int
    price: Decimal
    qty: Decimal
    side: Side


def stream_trade(category: Category, row: Row) -> UpstreamTrade:
    """A row of the ``publicTrade`` topic."""
    name = category, str(row["s"])
    return UpstreamTrade(name, str(row["i"]), int(row["T"]), Decimal(row["p"]), Decimal(row["v"]), Side(row["S"]))


def listed_trade(category: Category, row: Row) -> UpstreamTrade:
    """A row of ``market/recent-trade``."""
    name = category, str(row["symbol"])
    price, qty = Decimal(row["price"]), Decimal(row["size"])
    return UpstreamTrade(name, str(row["execId"]), int(row["time"]), price, qty, Side(row["side"]))


def instrument(category: Category, row: Row) -> Instrument:
    """A row of ``market/instruments-info``."""
    lots = row["lotSizeFilter"]
    linear = category is Category.LINEAR
    largest = lots.get("maxMktOrderQty" if linear else "maxMarketOrderQty") or lots["maxOrderQty"]
    return Instrument(
        category=category,
        symbol=row["symbol"],
        base_coin=row["baseCoin"],
        quote_coin=row["quoteCoin"],
        tick_size=Decimal(row["priceFilter"]["tickSize"]),
        qty_step=Decimal(lots["qtyStep" if linear else "basePrecision"]),
        min_order_qty=Decimal(lots["minOrderQty"]),
        min_order_amount=Decimal(lots.get("minNotionalValue" if linear else "minOrderAmt") or "5"),
        max_market_qty=Decimal(largest),
        tradable=row["status"] == "Trading",
    )


def candle(row: list[str], *, confirmed: bool) -> Bar:
    """A row of ``market/kline`` or of a reference price's, which has no volume."""
    opening, high, low, close = map(Decimal, row[1:5])
    volume, turnover = (Decimal(row[5]), Decimal(row[6])) if len(row) > 5 else (_ZERO, _ZERO)
    return Bar(from_ms(int(row[0])), opening, high, low, close, volume, turnover, confirmed)


@dataclass(frozen=True, slots=True)
class Book:
    """One symbol's order book, levels by price. A new one for every message: another thread may be reading the last."""

    bids: dict[Decimal, Decimal]
    asks: dict[Decimal, Decimal]

    @classmethod
    def empty(cls) -> Book:
        return cls({}, {})

    def after(self, data: Row) -> Book:
        """The book with the levels of a snapshot or delta in it; those of quantity 0 gone."""
        return Book(_with(self.bids, data["b"]), _with(self.asks, data["a"]))


def _with(side: dict[Decimal, Decimal], levels: Iterable[list[str]]) -> dict[Decimal, Decimal]:
    told = {Decimal(price): Decimal(qty) for price, qty in levels}
    return {price: qty for price, qty in {**side, **told}.items() if qty}
