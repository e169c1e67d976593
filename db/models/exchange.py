"""What the exchange is found to hold beside what is ours, what was looked for there, and how we stand with it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import UNLOGGED, Base


class OrderEvidence(Base):
    """One look for an order in doubt: where (``source``), whether it was found, and what it said. Insert-only; wall.

    ``source`` is ``query`` (realtime, then history), ``executions``, ``stream``, ``resend`` or ``cancel``.
    """

    __tablename__ = "order_evidence"
    __table_args__ = (Index("ix_order_evidence_order_link_id", "order_link_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    order_link_id: Mapped[str] = mapped_column(ForeignKey("orders.order_link_id"))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    source: Mapped[str]
    found: Mapped[bool]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class ForeignOrder(Base):
    """An open order at the exchange that none of ours explains. Seen, shown, never touched. Wall times.

    ``gone_at`` is when it was first not found open any more (None: it is there).
    """

    __tablename__ = "foreign_orders"

    category: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str]
    order_link_id: Mapped[str]
    side: Mapped[str]
    order_type: Mapped[str]
    status: Mapped[str]
    qty: Mapped[Decimal]
    cum_exec_qty: Mapped[Decimal]
    price: Mapped[Decimal | None]
    trigger_price: Mapped[Decimal | None]
    stop_order_type: Mapped[str]
    reduce_only: Mapped[bool]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    gone_at: Mapped[datetime | None]


class ForeignPosition(Base):
    """The part of a linear position at the exchange that is none of ours. ``size`` in base coin; wall times."""

    __tablename__ = "foreign_positions"

    category: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    side: Mapped[str]
    size: Mapped[Decimal]
    avg_price: Mapped[Decimal | None]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    gone_at: Mapped[datetime | None]


class BalanceCheck(Base):
    """A coin's balance as last reconciled: ``balance`` at the market instant ``as_of``, by which the next is judged.

    Rows named ``linear <symbol>`` are signed contracts that were there before any execution we know of.
    """

    __tablename__ = "balance_checks"

    epoch: Mapped[str] = mapped_column(primary_key=True)
    coin: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[Decimal]
    as_of: Mapped[datetime]
    checked_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class RateLimit(Base):
    """One endpoint class of a process's gateway, written about once a second: requests a second, and who waits."""

    __tablename__ = "rate_limits"
    __table_args__ = UNLOGGED

    name: Mapped[str] = mapped_column(primary_key=True)
    process: Mapped[str] = mapped_column(primary_key=True)
    per_second: Mapped[float]
    available: Mapped[float]
    waiting: Mapped[int]
    refused: Mapped[int]
    """How often the exchange itself said 10006."""
    updated_at: Mapped[datetime]


class ExchangeLink(Base):
    """How a process stands with the exchange: the protocol clock's offset (exchange ahead of us: above 0)."""

    __tablename__ = "exchange_links"
    __table_args__ = UNLOGGED

    process: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str]
    order_entry: Mapped[str]
    """``rest`` or ``websocket``: how orders go out now."""
    clock_offset_ms: Mapped[float | None]
    measured_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
