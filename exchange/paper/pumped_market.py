"""The feed as the account sees it: instruments at hand, last prices kept as ticks go by."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category, Instrument
from exchange.paper.feed import Feed, Liquidity, Tick


class PumpedMarket:
    """Answers what the feed would, without asking it for what the last tick told."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._instruments = {(i.category, i.symbol): i for i in feed.instruments()}
        self._last: dict[tuple[Category, str], Decimal] = {}

    def note(self, tick: Tick) -> None:
        """A tick went by: it is the last price now."""
        self._last[(tick.category, tick.symbol)] = tick.price

    def instrument(self, category: Category, symbol: str) -> Instrument | None:
        return self._instruments.get((category, symbol))

    def symbols(self, category: Category) -> list[str]:
        return [symbol for known, symbol in self._instruments if known is category]

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal:
        known = self._last.get((category, symbol))
        return self._feed.last_price(category, symbol, now) if known is None else known

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        return self._feed.liquidity(category, symbol, now)
