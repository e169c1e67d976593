"""Configuration that decides: current rows, and their effective-dated history written by trigger."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class SystemSetting(Base):
    """One setting. ``version`` rises by trigger with every change, also with one made by hand."""

    __tablename__ = "system_settings"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)
    description: Mapped[str]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SystemSettingHistory(Base):
    """Every value a setting ever had, with when it was in force, who changed it and why. Written by trigger only."""

    __tablename__ = "system_settings_history"
    __table_args__ = (Index("ix_system_settings_history_key_valid_from", "key", "valid_from"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    key: Mapped[str]
    row: Mapped[dict[str, Any]]
    version: Mapped[int]
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    changed_by: Mapped[str]
    reason: Mapped[str]


class StrategyConfiguration(Base):
    """What a strategy does now: its gates, market, sizes, limits, exit policy and parameters.

    ``version`` rises by trigger with every change, also with one made by hand. Amounts in USD (quote coin), seconds of
    market time.
    """

    __tablename__ = "strategy_configurations"

    strategy: Mapped[str] = mapped_column(primary_key=True)
    watchlist_gate: Mapped[bool]
    buy_gate: Mapped[bool]
    sell_gate: Mapped[bool]
    category: Mapped[str]
    side: Mapped[str]
    timeframe: Mapped[str]
    trade_usd: Mapped[Decimal]
    max_positions: Mapped[int]
    max_trades_per_day: Mapped[int]
    cooldown_seconds: Mapped[int]
    signal_ttl_seconds: Mapped[int]
    exit_policy: Mapped[dict[str, Any]]
    parameters: Mapped[dict[str, Any]]
    regimes: Mapped[list[str]] = mapped_column(JSONB)
    regime_exit: Mapped[str] = mapped_column(server_default=text("'hold'"))
    max_funding_cost_pct: Mapped[Decimal | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StrategyConfigurationHistory(Base):
    """Every configuration a strategy ever had: the whole row, when it was in force, who changed it and why."""

    __tablename__ = "strategy_configurations_history"
    __table_args__ = (Index("ix_strategy_configurations_history_strategy", "strategy", "valid_from"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    strategy: Mapped[str]
    row: Mapped[dict[str, Any]]
    version: Mapped[int]
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    changed_by: Mapped[str]
    reason: Mapped[str]
