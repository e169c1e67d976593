"""The market's regime as it was known: the current row, and every one there ever was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Identity, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class BtcMarketState(Base):
    """Which row of the history is the newest of a market. Written in the transaction that adds it."""

    __tablename__ = "btc_market_state"

    epoch: Mapped[str] = mapped_column(primary_key=True)
    history_id: Mapped[int] = mapped_column(ForeignKey("btc_market_state_history.id"))
    valid_from: Mapped[datetime]
    state: Mapped[str]
    effective: Mapped[str | None]
    confirmed: Mapped[bool]
    score: Mapped[float] = mapped_column(Double)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), onupdate=func.clock_timestamp())


class BtcMarketStateHistory(Base):
    """The regime from a 4h close on (``valid_from``, market time), as computed at ``recorded_at`` (wall). Insert-only.

    ``effective`` is what decisions go by: the last confirmed state, None before the first one. ``streak`` counts closes
    in ``state``; ``pending`` is the state that this close called for without being it yet. ``components`` are the
    score's terms by name (see ``domain.regime``), ``inputs`` the windows of candles behind them. ``source`` is scan, or
    rebuild for a past that nobody computed when it was present.
    """

    __tablename__ = "btc_market_state_history"
    __table_args__ = (UniqueConstraint("epoch", "valid_from"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    epoch: Mapped[str]
    valid_from: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    state: Mapped[str]
    effective: Mapped[str | None]
    confirmed: Mapped[bool]
    streak: Mapped[int]
    pending: Mapped[str | None]
    score: Mapped[float] = mapped_column(Double)
    components: Mapped[dict[str, Any]] = mapped_column(JSONB)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    source: Mapped[str]
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))
