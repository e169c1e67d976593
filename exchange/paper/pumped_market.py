"""The feed as the account sees it: instruments at hand, last prices kept as ticks go by."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from domain.market import Category, Instrument
from exchange.paper.faults import BOOK_LEFT
from exchange.paper.feed import Feed, Liquidity, Tick


class PumpedMarket:
    """Answers what the feed would, without asking it for what the last tick told."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._instruments = {(i.category, i.symbol): i for i in feed.instruments()}
        self._last: dict[tuple[Category, str], Decimal] = {}
        # of the instant at which they were last asked for: what happens at one instant asks many times
        self._marks: dict[str, tuple[datetime, Decimal]] = {}
        self._indices: dict[str, tuple[datetime, Decimal]] = {}

    def note(self, tick: Tick) -> None:
        """A tick went by: it is the last price now."""
        self._last[(tick.category, tick.symbol)] = tick.price
        self._marks.pop(tick.symbol, None)
        self._indices.pop(tick.symbol, None)

    def instrument(self, category: Category, symbol: str) -> Instrument | None:
        return self._instruments.get((category, symbol))

    def symbols(self, category: Category) -> list[str]:
        return [symbol for known, symbol in self._instruments if known is category]

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal:
        known = self._last.get((category, symbol))
        return self._feed.last_price(category, symbol, now) if known is None else known

    def mark_price(self, symbol: str, now: datetime) -> Decimal:
        known = self._marks.get(symbol)
        if known is None or known[0] != now:
            known = self._marks[symbol] = now, self._feed.mark_price(symbol, now)
        return known[1]

    def index_price(self, symbol: str, now: datetime) -> Decimal:
        known = self._indices.get(symbol)
        if known is None or known[0] != now:
            known = self._indices[symbol] = now, self._feed.index_price(symbol, now)
        return known[1]

    def funding_rate(self, symbol: str, at: datetime) -> Decimal:
        return self._feed.funding_rate(symbol, at)

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        """The market's, or what a fault leaves of it to the request in hand."""
        whole, left = self._feed.liquidity(category, symbol, now), BOOK_LEFT.get()
        return whole if left == 1 else replace(whole, qty_per_bp=whole.qty_per_bp * left)
