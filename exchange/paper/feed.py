"""What the paper exchange needs of a market: instruments, history, and the trades of a stretch of market time.

A feed is deterministic: the same feed asked twice for the same stretch gives the same ticks, whatever happened between.
That is what lets a restarted exchange go on in the middle of a bar, and candles be the sum of the ticks that made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from domain.market import Category, Instrument, Side


@dataclass(frozen=True, slots=True)
class Tick:
    """One public trade. ``at`` is market time; ``sequence`` is unique and rising per (category, symbol)."""

    category: Category
    symbol: str
    at: datetime
    price: Decimal
    qty: Decimal
    side: Side
    sequence: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle, named by its open time. ``confirmed`` is False while it is still forming."""

    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Liquidity:
    """The book around the price: half spread, and quantity resting per basis point away from it on each side."""

    half_spread_bps: float
    qty_per_bp: float


@dataclass(frozen=True, slots=True)
class Interest:
    """Open interest (base coin) of a perpetual, stamped with the market instant at which it was known."""

    at: datetime
    value: Decimal


class PriceKind(StrEnum):
    """Price series of a perpetual besides its trades."""

    MARK = "mark"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class AccountRatio:
    """Shares of accounts that are long and short (their sum is 1), stamped with when it was known."""

    at: datetime
    long: Decimal
    short: Decimal


class Feed(Protocol):
    """A market. All times are market time, aware UTC.

    ``epoch`` names this market: same kind, files, seed and start give the same epoch, anything else another.
    ``start`` is where a fresh exchange begins; history before it is there at once. ``end`` is where the data stops
    (None: never).
    """

    epoch: str
    start: datetime
    end: datetime | None

    def instruments(self) -> list[Instrument]: ...

    def ticks(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """Trades with ``after < at <= until`` of every symbol, in order of (at, category, symbol, sequence)."""
        ...

    def trades(self, category: Category, symbol: str, after: datetime, until: datetime) -> Iterator[Tick]:
        """The ticks of one symbol with ``after < at <= until``, made as they are taken."""
        ...

    def recent_ticks(self, category: Category, symbol: str, now: datetime, limit: int) -> list[Tick]:
        """The last ``limit`` trades at or before ``now``, oldest first."""
        ...

    def bars(
        self, category: Category, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        """Bars with open time in [start, end] as known at ``now``, oldest first; the last may be unconfirmed."""
        ...

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal: ...

    def open_interest(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[Interest]:
        """The newest ``limit`` stamps of a perpetual in [start, end] as known at ``now``, oldest first.

        Stamps are whole multiples of ``interval_ms`` (itself of 5 minutes) since 1970; [] where the market has none.
        """
        ...

    def mark_price(self, symbol: str, now: datetime) -> Decimal:
        """By which a perpetual is valued: index and basis of the last closed quarter hour, or a recorded one."""
        ...

    def index_price(self, symbol: str, now: datetime) -> Decimal:
        """The spot price where the market has the symbol there, else the perpetual's last price; or a recorded one."""
        ...

    def price_bars(
        self, kind: PriceKind, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        """Bars of a perpetual's mark or index price, as ``bars``; volume and turnover are 0."""
        ...

    def funding_rate(self, symbol: str, at: datetime, now: datetime | None = None) -> Decimal:
        """The rate settled at the funding instant ``at`` (00, 08, 16 h), from what was known before it.

        With a ``now`` before ``at`` it is the prediction: from the quarter hours closed by ``now``.
        """
        ...

    def account_ratio(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[AccountRatio]:
        """Long/short account ratios, stamped and paged as ``open_interest``; [] where the market has none."""
        ...

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity: ...
