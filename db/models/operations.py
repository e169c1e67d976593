"""Operations tables: audit, API keys, idempotency, and how the streams stand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import UNLOGGED, Base


class SystemEvent(Base):
    """Append-only audit: what happened, to what, by whom and why. ``subject`` is a position, order or symbol id."""

    __tablename__ = "system_events"
    __table_args__ = (Index("ix_system_events_subject", "subject", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    market_at: Mapped[datetime | None]
    kind: Mapped[str] = mapped_column(index=True)
    severity: Mapped[str] = mapped_column(server_default=text("'info'"))
    subject: Mapped[str]
    who: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    trace_id: Mapped[str] = mapped_column(server_default=text("''"))


class ApiKey(Base):
    """An API key: ``key_id`` is its public part, ``hash`` the argon2 hash of the whole."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str]
    role: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """What a POST with this key asked and what it was answered."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[str]
    response_status: Mapped[int | None]
    response_body: Mapped[Any | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StreamCursor(Base):
    """Market time up to which everything of a stream is known to be taken in: where a catch-up starts from."""

    __tablename__ = "stream_cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    complete_until: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StreamStatus(Base):
    """How a stream stands, written about once a second by the process that reads it."""

    __tablename__ = "stream_status"
    __table_args__ = UNLOGGED

    name: Mapped[str] = mapped_column(primary_key=True)
    process: Mapped[str] = mapped_column(primary_key=True)
    connected: Mapped[bool]
    last_message_at: Mapped[datetime | None]
    reconnects: Mapped[int]
    updated_at: Mapped[datetime]
