"""Configuration that decides: current rows, and their effective-dated history written by trigger."""

from __future__ import annotations

from datetime import datetime
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
