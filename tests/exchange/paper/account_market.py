"""A market whose prices the test sets, for tests of the account side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.feed import AccountRatio, Bar, Interest, Liquidity, PriceKind, Tick

START = datetime(2024, 3, 1, tzinfo=UTC)
D = Decimal


def instrument(category: Category, symbol: str = "BTCUSDT") -> Instrument:
    """Filters like the exchange's own, of a coin priced in the tens of thousands."""
    spot = category is Category.SPOT
    return Instrument(
        category=category,
        symbol=symbol,
        base_coin=symbol.removesuffix("USDT"),
        quote_coin="USDT",
        tick_size=D("0.01") if spot else D("0.1"),
        qty_step=D("0.000001") if spot else D("0.001"),
        min_order_qty=D("0.000048") if spot else D("0.001"),
        min_order_amount=D(5),
        max_market_qty=D(83) if spot else D(100),
    )


class FixedMarket:
    """Prices stay until ``set_price``; the half spread is one basis point, one basis point holds ``per_bp`` coins."""

    def __init__(self, symbols: Iterable[str] = ("BTCUSDT", "ETHUSDT"), per_bp: float = 2.0) -> None:
        self._instruments = {(c, s): instrument(c, s) for c in Category for s in symbols}
        self._prices = {key: D(50_000) for key in self._instruments}
        self._liquidity = Liquidity(half_spread_bps=1.0, qty_per_bp=per_bp)
        self.marks: dict[str, Decimal] = {}  # where the mark is not the last price
        self.rate = D(0)  # of every funding

    def set_price(self, category: Category, symbol: str, price: Decimal) -> None:
        self._prices[(category, symbol)] = price

    def set_depth(self, per_bp: float) -> None:
        self._liquidity = Liquidity(half_spread_bps=1.0, qty_per_bp=per_bp)

    def instrument(self, category: Category, symbol: str) -> Instrument | None:
        return self._instruments.get((category, symbol))

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal:
        return self._prices[(category, symbol)]

    def mark_price(self, symbol: str, now: datetime) -> Decimal:
        return self.marks.get(symbol, self._prices[(Category.LINEAR, symbol)])

    def index_price(self, symbol: str, now: datetime) -> Decimal:
        return self._prices[(Category.SPOT, symbol)]

    def funding_rate(self, symbol: str, at: datetime) -> Decimal:
        return self.rate

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        return self._liquidity


class ListedFeed:
    """A feed that tells the ticks it was given, one per entry of ``prices``: every symbol at that offset from START.

    Perpetuals mark at their last price, the index is the spot price, and ``rate`` is that of every funding.
    """

    end: datetime | None = None
    start = START
    rate = D(0)

    def __init__(self, prices: Iterable[tuple[timedelta, Decimal]] = (), epoch: str = "listed-1") -> None:
        self.epoch = epoch
        self._market = FixedMarket()
        self._ticks = [
            Tick(c, s, START + offset, price, D("0.1"), Side.BUY, number)
            for number, (offset, price) in enumerate(prices)
            for c, s in sorted(self._market._instruments)
        ]

    def instruments(self) -> list[Instrument]:
        return list(self._market._instruments.values())

    def ticks(self, after: datetime, until: datetime) -> Iterator[Tick]:
        return (tick for tick in self._ticks if after < tick.at <= until)

    def trades(self, category: Category, symbol: str, after: datetime, until: datetime) -> Iterator[Tick]:
        return (t for t in self.ticks(after, until) if (t.category, t.symbol) == (category, symbol))

    def recent_ticks(self, category: Category, symbol: str, now: datetime, limit: int) -> list[Tick]:
        known = [t for t in self._ticks if t.at <= now and (t.category, t.symbol) == (category, symbol)]
        return known[-limit:]

    def bars(
        self, category: Category, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        return []

    def open_interest(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[Interest]:
        return []

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal:
        known = self.recent_ticks(category, symbol, now, 1)
        return known[0].price if known else D(50_000)

    def mark_price(self, symbol: str, now: datetime) -> Decimal:
        return self.last_price(Category.LINEAR, symbol, now)

    def index_price(self, symbol: str, now: datetime) -> Decimal:
        return self.last_price(Category.SPOT, symbol, now)

    def price_bars(
        self, kind: PriceKind, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        return []

    def funding_rate(self, symbol: str, at: datetime, now: datetime | None = None) -> Decimal:
        return self.rate

    def account_ratio(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[AccountRatio]:
        return []

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        return self._market.liquidity(category, symbol, now)
