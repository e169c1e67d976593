"""Market tables: instruments, candles, and the live price cache."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Double, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import UNLOGGED, Base


class InstrumentRow(Base):
    """A tradable symbol with its filters, as the exchange last told them."""

    __tablename__ = "instruments"

    category: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    base_coin: Mapped[str]
    quote_coin: Mapped[str]
    tick_size: Mapped[Decimal]
    qty_step: Mapped[Decimal]
    min_order_qty: Mapped[Decimal]
    min_order_amount: Mapped[Decimal]
    max_market_qty: Mapped[Decimal]
    tradable: Mapped[bool]
    launched_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CandleRow(Base):
    """A closed bar, named by its open time. float8: exchange decimals round-trip, and arithmetic on them is signals."""

    __tablename__ = "candles"

    category: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    open_time: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    close: Mapped[float] = mapped_column(Double)
    volume: Mapped[float] = mapped_column(Double)
    turnover: Mapped[float] = mapped_column(Double)


class LivePrice(Base):
    """Last known price of a symbol. Unlogged: after a crash it is empty, which is the truth about a cache."""

    __tablename__ = "live_prices"
    __table_args__ = UNLOGGED

    category: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[Decimal]
    bid: Mapped[Decimal | None]
    ask: Mapped[Decimal | None]
    market_at: Mapped[datetime]
    received_at: Mapped[datetime]


class TakerVolume(Base):
    """Base coin bought and sold by takers in a quarter of an hour, summed from the public trades seen.

    It counts as complete when both together are the confirmed candle's volume (see ``domain.microstructure``): what was
    missed while nobody listened can't be fetched later.
    """

    __tablename__ = "taker_volume"

    category: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    open_time: Mapped[datetime] = mapped_column(primary_key=True)
    bought: Mapped[float] = mapped_column(Double)
    sold: Mapped[float] = mapped_column(Double)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OpenInterestRow(Base):
    """Open interest of a linear symbol in base coin, as the exchange stamps it for an interval's beginning."""

    __tablename__ = "open_interest"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    interval: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(Double)


class LongShortRatioRow(Base):
    """Share of accounts that are long in a linear symbol (0 to 1), as the exchange stamps it for an interval."""

    __tablename__ = "long_short_ratio"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    interval: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    long_share: Mapped[float] = mapped_column(Double)


class FundingRateRow(Base):
    """A settled funding rate of a linear symbol: a fraction, above 0 longs pay shorts."""

    __tablename__ = "funding_rates"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    rate: Mapped[float] = mapped_column(Double)


class UniverseMember(Base):
    """Whether the system trades a listed symbol, and the rule that says so, as of the last choice.

    ``reason`` is the first rule it fails, or that by which it is one (see ``domain.universe.UniverseReason``).
    ``turnover_usd`` is of 24 h, ``spread_bps`` of the book's best prices; None: unknown.
    """

    __tablename__ = "universe_members"

    category: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    member: Mapped[bool]
    reason: Mapped[str]
    turnover_usd: Mapped[Decimal | None]
    spread_bps: Mapped[float | None] = mapped_column(Double)
    age_days: Mapped[float | None] = mapped_column(Double)
    rank: Mapped[int | None]
    chosen_at: Mapped[datetime]
    since: Mapped[datetime]


class Backfill(Base):
    """Where the backfill of a symbol and timeframe stands. ``state`` is running, done or failed.

    ``cursor`` is the open time up to which everything of ``start_at`` .. ``end_at`` is stored.
    """

    __tablename__ = "backfills"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    categories: Mapped[list[str]] = mapped_column(JSONB)
    start_at: Mapped[datetime]
    end_at: Mapped[datetime]
    cursor: Mapped[datetime | None]
    state: Mapped[str]
    pages: Mapped[int] = mapped_column(server_default=text("0"))
    candles: Mapped[int] = mapped_column(server_default=text("0"))
    error: Mapped[str | None]
    requested_by: Mapped[str]
    started_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
