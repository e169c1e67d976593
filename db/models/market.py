"""Market tables: instruments, candles, and the live price cache."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Double, func
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
