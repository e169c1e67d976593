"""Decision tables: the market clock's cursor, scans, signals, what blocked them, watchlist scores."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class MarketClockCursor(Base):
    """How far market time has been worked off, by market. Raised in the transaction that finishes the work.

    ``scanned_until`` is the last candle close scanned, ``snapshot_until`` the last hour snapshotted: what comes after
    them is due. A new market (epoch) begins at the close and hour that its first reading has just passed.
    """

    __tablename__ = "market_clock"

    epoch: Mapped[str] = mapped_column(primary_key=True)
    began_at: Mapped[datetime]
    scanned_until: Mapped[datetime]
    snapshot_until: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.clock_timestamp())


class Scan(Base):
    """One scan of one candle close. ``state`` is running or done; market times unless a name says wall."""

    __tablename__ = "scans"
    __table_args__ = (Index("ix_scans_close_at", "close_at"),)

    epoch: Mapped[str] = mapped_column(primary_key=True)
    close_at: Mapped[datetime] = mapped_column(primary_key=True)
    timeframes: Mapped[list[str]] = mapped_column(JSONB)
    state: Mapped[str]
    decided_at: Mapped[datetime | None]
    symbols: Mapped[int] = mapped_column(server_default=text("0"))
    incomplete: Mapped[int] = mapped_column(server_default=text("0"))
    candidates: Mapped[int] = mapped_column(server_default=text("0"))
    accepted: Mapped[int] = mapped_column(server_default=text("0"))
    blocked: Mapped[int] = mapped_column(server_default=text("0"))
    exits: Mapped[int] = mapped_column(server_default=text("0"))
    settings_version: Mapped[int]
    started_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_wall: Mapped[datetime | None]
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))


class Signal(Base):
    """A strategy's wish to enter, and every gate's verdict on it. Insert-only.

    ``signal_id`` is the id of the position it would open. ``verdicts`` lists every gate that was evaluated, in order,
    as {gate, passed, value, threshold, detail}; ``blocked_by`` is the first that did not pass. ``inputs`` names what it
    was decided on: {timeframe: {first_open, last_open, bars}} of the candles, microstructure stamps, price. ``facts``
    is everything the gates looked at (see ``domain.gate_facts.GateFacts``), enough to ask them again; ``regime_id`` the
    row of ``btc_market_state_history`` in force.
    """

    __tablename__ = "signals"
    __table_args__ = (
        Index("ix_signals_close_at", "close_at", "signal_id"),
        Index("ix_signals_strategy_symbol", "strategy", "symbol"),
    )

    signal_id: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[str]
    close_at: Mapped[datetime]
    strategy: Mapped[str]
    category: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    timeframe: Mapped[str]
    score: Mapped[float] = mapped_column(Double)
    price: Mapped[Decimal | None]
    evidence: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    regime_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("btc_market_state_history.id"))
    verdicts: Mapped[list[Any]] = mapped_column(JSONB)
    blocked_by: Mapped[str | None]
    config_version: Mapped[int]
    settings_version: Mapped[int]
    decided_at: Mapped[datetime]
    decided_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))


class StrategyScan(Base):
    """What one strategy decided on at one close: enough to load the very same panels again. Insert-only.

    ``windows`` are {timeframe: {first_open, last_open, bars}}, ``symbols`` the rows of the panels in their order; those
    ``observed`` were there to be looked at only, and could not be entered. ``digests`` are {timeframe: {symbol: {part:
    digest}}} of every number of the symbol's row in the panel (see ``domain.digests``), by which a later look tells
    which input changed. ``candidates`` counts its entries, ``missing`` the bars that were not there, by symbol, where
    there were any. ``held`` is {symbol: {exit, evidence}} of the symbols it had positions in: whether it let them go.
    None of a decision from before that was kept.
    """

    __tablename__ = "strategy_scans"

    epoch: Mapped[str] = mapped_column(primary_key=True)
    close_at: Mapped[datetime] = mapped_column(primary_key=True)
    strategy: Mapped[str] = mapped_column(primary_key=True)
    category: Mapped[str]
    timeframe: Mapped[str]
    config_version: Mapped[int]
    settings_version: Mapped[int]
    regime_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("btc_market_state_history.id"))
    windows: Mapped[dict[str, Any]]
    symbols: Mapped[list[str]] = mapped_column(JSONB)
    observed: Mapped[list[str]] = mapped_column(JSONB)
    digests: Mapped[dict[str, Any]]
    missing: Mapped[dict[str, Any]]
    held: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    candidates: Mapped[int]
    recorded_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class BlockedSignal(Base):
    """A gate that did not let a signal pass. Insert-only.

    ``place`` is the gate's in the chain (0 for the one that counts as the reason); ``stage`` is ``decision`` (the scan)
    or ``reservation`` (the cap was used up between the decision and the reservation).
    """

    __tablename__ = "blocked_signals"
    __table_args__ = (
        Index("ix_blocked_signals_signal_id", "signal_id"),
        Index("ix_blocked_signals_gate", "gate", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    signal_id: Mapped[str] = mapped_column(ForeignKey("signals.signal_id"))
    stage: Mapped[str]
    place: Mapped[int]
    gate: Mapped[str]
    value: Mapped[str]
    threshold: Mapped[str]
    detail: Mapped[str]
    at: Mapped[datetime]
    wall_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WatchlistScore(Base):
    """How interesting a symbol is to a strategy, 0 to 100, at the last close scanned, with the evidence behind it."""

    __tablename__ = "watchlist"

    strategy: Mapped[str] = mapped_column(primary_key=True)
    category: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float] = mapped_column(Double)
    evidence: Mapped[dict[str, Any]]
    close_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WatchlistEntry(Base):
    """A place on the watchlist of one close: the first ``rank`` is 1. Insert-only, history and present in one table.

    ``composite`` (0 to 100) says how interesting the symbol was to the strategies of one ``side`` together, ``scores``
    is {strategy: score} behind it (see ``domain.watchlist``).
    """

    __tablename__ = "watchlist_history"
    __table_args__ = (Index("ix_watchlist_history_symbol", "epoch", "symbol", "close_at"),)

    epoch: Mapped[str] = mapped_column(primary_key=True)
    close_at: Mapped[datetime] = mapped_column(primary_key=True)
    side: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    rank: Mapped[int]
    composite: Mapped[float] = mapped_column(Double)
    scores: Mapped[dict[str, Any]]
    recorded_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class BacktestRun(Base):
    """A backtest of one version of a strategy's configuration. ``state`` is running, completed or failed."""

    __tablename__ = "backtest_runs"
    __table_args__ = (Index("ix_backtest_runs_strategy", "strategy", "config_version"),)

    run_id: Mapped[str] = mapped_column(primary_key=True)
    strategy: Mapped[str]
    config_version: Mapped[int]
    state: Mapped[str]
    started_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    completed_wall: Mapped[datetime | None]
