"""Trading tables: positions and their targets, orders and their executions, lots, wallet."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base

_ACTIVE = "state IN ('reserved', 'entering', 'open', 'exiting')"


class Position(Base):
    """A position from its reservation on. Market times unless a name says wall; ``qty`` is what its lots still hold."""

    __tablename__ = "positions"
    __table_args__ = (
        Index(
            "uq_positions_active_spot",
            "strategy",
            "symbol",
            unique=True,
            postgresql_where=text(f"category = 'spot' AND {_ACTIVE}"),
        ),
        Index(
            "uq_positions_active_linear",
            "symbol",
            unique=True,
            postgresql_where=text(f"category = 'linear' AND {_ACTIVE}"),
        ),
        Index("ix_positions_state_created_wall", "state", "created_wall"),
    )

    position_id: Mapped[str] = mapped_column(primary_key=True)
    market_epoch: Mapped[str]
    strategy: Mapped[str]
    category: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    state: Mapped[str]
    policy: Mapped[dict[str, Any]]
    disaster_buffer_pct: Mapped[Decimal]
    disaster_stop: Mapped[Decimal | None]
    """Trigger of the stop that rests at the exchange, as last confirmed by it."""
    settings_version: Mapped[int]
    signal_id: Mapped[str | None]
    config_version: Mapped[int | None]
    planned_qty: Mapped[Decimal]
    reference_price: Mapped[Decimal]
    entry_qty: Mapped[Decimal | None]
    entry_price: Mapped[Decimal | None]
    qty: Mapped[Decimal] = mapped_column(server_default=text("0"))
    realised_pnl: Mapped[Decimal] = mapped_column(server_default=text("0"))
    exit_reason: Mapped[str | None]
    guard_epoch: Mapped[int] = mapped_column(server_default=text("0"))
    target_version: Mapped[int] = mapped_column(server_default=text("1"))
    acknowledged_version: Mapped[int] = mapped_column(server_default=text("0"))
    requested_by: Mapped[str]
    reason: Mapped[str]
    trace_id: Mapped[str]
    reserved_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    created_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    opened_wall: Mapped[datetime | None]
    closed_wall: Mapped[datetime | None]
    unprotected_seconds: Mapped[float | None] = mapped_column(Double)
    unwatched_seconds: Mapped[float | None] = mapped_column(Double)


class PositionTarget(Base):
    """A version of a position's exit policy. Insert-only; the newest is in force once the guard acknowledged it."""

    __tablename__ = "position_targets"

    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    policy: Mapped[dict[str, Any]]
    set_by: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class PositionEvaluation(Base):
    """A step of a guard worth keeping: start, ratchet, trigger, takeover. Insert-only; market times."""

    __tablename__ = "position_evaluations"
    __table_args__ = (Index("ix_position_evaluations_position_id", "position_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"))
    guard_epoch: Mapped[int]
    target_version: Mapped[int]
    kind: Mapped[str]
    market_at: Mapped[datetime]
    price: Mapped[Decimal]
    stop_price: Mapped[float] = mapped_column(Double)
    state: Mapped[dict[str, Any]]
    reason: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class GuardLease(Base):
    """A stretch of time (wall) in which an attempt of a guard watched a position without a break.

    From joining the market (or the first beat after a break) to its last beat. Every break begins a new ``segment``.
    """

    __tablename__ = "guard_leases"

    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"), primary_key=True)
    guard_epoch: Mapped[int] = mapped_column(primary_key=True)
    segment: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    worker: Mapped[str]
    watching_from: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class Order(Base):
    """An order of ours, from its intent on. Wall times; the exchange's own times are in the executions."""

    __tablename__ = "orders"
    __table_args__ = (
        Index("ix_orders_position_id", "position_id"),
        Index("ix_orders_state", "state"),
        Index("ix_orders_created_at", "created_at"),
    )

    order_link_id: Mapped[str] = mapped_column(primary_key=True)
    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"))
    role: Mapped[str]
    category: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    qty: Mapped[Decimal]
    trigger_price: Mapped[Decimal | None]
    trigger_rises: Mapped[bool | None]
    reduce_only: Mapped[bool]
    stop_loss: Mapped[Decimal | None]
    config_version: Mapped[int | None]
    """Version of the strategy's configuration it was decided by; None: by hand."""
    settings_version: Mapped[int | None]
    state: Mapped[str]
    exchange_order_id: Mapped[str | None]
    exit_reason: Mapped[str | None]
    fired_epoch: Mapped[int | None]
    fired_target_version: Mapped[int | None]
    error_code: Mapped[int | None]
    error: Mapped[str | None]
    cum_exec_qty: Mapped[Decimal] = mapped_column(server_default=text("0"))
    avg_price: Mapped[Decimal | None]
    trace_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    sent_at: Mapped[datetime | None]
    resting_at: Mapped[datetime | None]
    final_at: Mapped[datetime | None]


class OrderTransition(Base):
    """A change of an order's state with the evidence for it. Insert-only."""

    __tablename__ = "order_transitions"
    __table_args__ = (Index("ix_order_transitions_order_link_id", "order_link_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    order_link_id: Mapped[str] = mapped_column(ForeignKey("orders.order_link_id"))
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    evidence: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))


class OrderExecution(Base):
    """A fill as the exchange told it, ours or not. Insert-only: the only source of P&L."""

    __tablename__ = "order_executions"
    __table_args__ = (
        Index("ix_order_executions_order_link_id", "order_link_id"),
        Index("ix_order_executions_symbol", "category", "symbol", "executed_at"),
    )

    exec_id: Mapped[str] = mapped_column(primary_key=True)
    exchange_order_id: Mapped[str]
    order_link_id: Mapped[str]
    category: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    qty: Mapped[Decimal]
    price: Mapped[Decimal]
    value: Mapped[Decimal]
    fee: Mapped[Decimal]
    fee_coin: Mapped[str]
    exec_type: Mapped[str]
    stop_order_type: Mapped[str]
    is_maker: Mapped[bool]
    executed_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))


class ExecutionApplication(Base):
    """That an execution was booked, once, to a position. Insert-only; one without it is foreign or waiting."""

    __tablename__ = "execution_applications"
    __table_args__ = (Index("ix_execution_applications_position_id", "position_id"),)

    exec_id: Mapped[str] = mapped_column(ForeignKey("order_executions.exec_id"), primary_key=True)
    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"))
    unmatched_qty: Mapped[Decimal] = mapped_column(server_default=text("0"))
    applied_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class LotRow(Base):
    """What an opening execution brought. ``fee`` and ``fee_left`` in quote coin."""

    __tablename__ = "lots"
    __table_args__ = (Index("ix_lots_position_id", "position_id"),)

    exec_id: Mapped[str] = mapped_column(ForeignKey("order_executions.exec_id"), primary_key=True)
    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"))
    category: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    qty: Mapped[Decimal]
    qty_left: Mapped[Decimal]
    price: Mapped[Decimal]
    fee: Mapped[Decimal]
    fee_left: Mapped[Decimal]
    opened_at: Mapped[datetime]


class LotMatchRow(Base):
    """A closing execution matched LIFO against a lot. Quote coin; ``net`` = gross - both fees. Insert-only."""

    __tablename__ = "lot_matches"
    __table_args__ = (Index("ix_lot_matches_position_id", "position_id"),)

    open_exec_id: Mapped[str] = mapped_column(ForeignKey("lots.exec_id"), primary_key=True)
    close_exec_id: Mapped[str] = mapped_column(ForeignKey("order_executions.exec_id"), primary_key=True)
    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"))
    qty: Mapped[Decimal]
    gross: Mapped[Decimal]
    open_fee: Mapped[Decimal]
    close_fee: Mapped[Decimal]
    net: Mapped[Decimal]
    matched_at: Mapped[datetime]


class Dust(Base):
    """What a closed spot position left under the lot step, in base coin, at its cost. Insert-only."""

    __tablename__ = "dust"

    position_id: Mapped[str] = mapped_column(ForeignKey("positions.position_id"), primary_key=True)
    coin: Mapped[str]
    qty: Mapped[Decimal]
    cost: Mapped[Decimal]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class FundingPayment(Base):
    """One settlement of funding on a linear symbol, from the exchange's transaction log. Insert-only.

    ``amount`` is what the wallet got (negative: paid), in ``coin``; ``position_id`` the position that was open then,
    None where it was nobody's of ours. ``attributed`` is the position's part of it, by its part of ``size``: all of it,
    unless others held the symbol too. ``rate`` is a fraction; ``at`` market time.
    """

    __tablename__ = "funding_payments"
    __table_args__ = (Index("ix_funding_payments_position_id", "position_id"), Index("ix_funding_payments_at", "at"))

    log_id: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str]
    position_id: Mapped[str | None] = mapped_column(ForeignKey("positions.position_id"))
    coin: Mapped[str]
    amount: Mapped[Decimal]
    attributed: Mapped[Decimal] = mapped_column(server_default=text("0"))
    size: Mapped[Decimal]
    rate: Mapped[Decimal | None]
    at: Mapped[datetime]
    recorded_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class PortfolioHourlySnapshot(Base):
    """The portfolio at a full hour of market time, and what the hour before it brought. Written once, insert-only.

    ``hour`` is the instant; ``day`` the UTC day that the hour before it belongs to. USD (quote coin). ``equity`` is
    every coin's balance at the hour by the exchange's own log, at the hour's prices, plus what open linear positions
    were worth. ``realised_pnl`` is before fees; ``fees`` positive when paid, ``funding`` and ``transfers`` positive
    when received: all four of the hour. ``net_pnl_daily`` is the running sum of realised - fees + funding since 00:00
    UTC: never sum it, take a day's last. ``unexplained`` is the change of equity since the snapshot before it that
    realised, unrealised, fees, funding and transfers don't explain.
    """

    __tablename__ = "portfolio_hourly_snapshots"
    __table_args__ = (Index("ix_portfolio_hourly_snapshots_day", "epoch", "day", "hour"),)

    epoch: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    day: Mapped[date]
    equity: Mapped[Decimal]
    unified_balance: Mapped[Decimal]
    funding_balance: Mapped[Decimal | None]
    invested: Mapped[Decimal]
    unrealised_pnl: Mapped[Decimal]
    realised_pnl: Mapped[Decimal]
    fees: Mapped[Decimal]
    funding: Mapped[Decimal]
    transfers: Mapped[Decimal]
    bought: Mapped[Decimal]
    sold: Mapped[Decimal]
    net_pnl_daily: Mapped[Decimal]
    unexplained: Mapped[Decimal]
    open_positions: Mapped[int]
    detail: Mapped[dict[str, Any]]
    taken_at: Mapped[datetime]
    taken_wall: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))


class Reconciliation(Base):
    """One comparison of rows, workflows and the exchange. Insert-only; wall times."""

    __tablename__ = "reconciliations"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    workflows_started: Mapped[int]
    executions_fetched: Mapped[int]
    orders_compared: Mapped[int] = mapped_column(server_default=text("0"))
    positions_compared: Mapped[int] = mapped_column(server_default=text("0"))
    balances_compared: Mapped[int] = mapped_column(server_default=text("0"))
    foreign_orders: Mapped[int] = mapped_column(server_default=text("0"))
    foreign_positions: Mapped[int] = mapped_column(server_default=text("0"))
    stops_repaired: Mapped[int] = mapped_column(server_default=text("0"))
    drift: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    """What nothing explains: one document each, empty when everything is explained."""
    halted: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether this comparison halted entries."""
    detail: Mapped[dict[str, Any]]
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))


class WalletAccount(Base):
    """Equity of an account in USD as the exchange last told it."""

    __tablename__ = "wallet_accounts"

    account: Mapped[str] = mapped_column(primary_key=True)
    total_equity: Mapped[Decimal]
    updated_at: Mapped[datetime]


class WalletBalance(Base):
    """A coin of an account as the exchange last told it. Never summed into a portfolio value."""

    __tablename__ = "wallet_balances"

    account: Mapped[str] = mapped_column(primary_key=True)
    coin: Mapped[str] = mapped_column(primary_key=True)
    wallet_balance: Mapped[Decimal]
    equity: Mapped[Decimal]
    locked: Mapped[Decimal]
    usd_value: Mapped[Decimal]
    unrealised_pnl: Mapped[Decimal]
    updated_at: Mapped[datetime]
