"""Identities that are the same however often they are computed: of positions and of their orders.

A position's id is a digest of what the position *is* (one strategy's answer to one candle close of one market), so a
second scan of the same close arrives at the same id and can't open a second position. An order's id is its position's
id, the order's role and a number that counts deliberate new orders, never retries.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from domain.market import Category

POSITION_ID_LENGTH = 20
"""Base32 characters of a position id: 100 bits."""

MAX_ORDER_LINK_ID_LENGTH = 36
"""Bybit's limit on ``orderLinkId``."""

MAX_ORDER_NUMBER = 99_999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION_ID = re.compile(r"[a-z2-7]{20}")
_ORDER_LINK_ID = re.compile(r"([a-z2-7]{20})-([EXS])([1-9][0-9]{0,4})")


class OrderRole(StrEnum):
    """What an order is for in its position."""

    ENTRY = "E"
    EXIT = "X"
    STOP = "S"


class OrderIdentity(NamedTuple):
    """The three parts of an orderLinkId of ours."""

    position_id: str
    role: OrderRole
    number: int


def position_id(
    market_epoch: str, strategy: str, category: Category, symbol: str, timeframe: str, candle_close: datetime
) -> str:
    """Id of the position that ``strategy`` opens on ``symbol`` for the candle closing at ``candle_close``.

    ``candle_close`` must be aware; the same instant in another zone gives the same id. Raises ValueError when naive.
    """
    if candle_close.tzinfo is None:
        raise ValueError(f"candle_close {candle_close.isoformat()} must carry a time zone")
    microseconds = (candle_close - _EPOCH) // timedelta(microseconds=1)
    return _digest("signal", market_epoch, strategy, Category(category).value, symbol, timeframe, str(microseconds))


def manual_position_id(idempotency_key: str) -> str:
    """Id of the position a manual order opens: one per Idempotency-Key. Raises ValueError when the key is empty."""
    if not idempotency_key:
        raise ValueError("idempotency_key must not be empty")
    return _digest("manual", idempotency_key)


def flatten_id(idempotency_key: str) -> str:
    """Id of the command to leave everything that was given under this Idempotency-Key."""
    return _digest("flatten", idempotency_key)


def order_link_id(position_id: str, role: OrderRole, number: int = 1) -> str:
    """``<position_id>-E1`` and the like, 23 to 27 characters. Raises ValueError for a malformed id or number."""
    if not _POSITION_ID.fullmatch(position_id):
        raise ValueError(f"position_id {position_id!r} must be {POSITION_ID_LENGTH} lower-case base32 characters")
    if not 1 <= number <= MAX_ORDER_NUMBER:
        raise ValueError(f"number {number} must be from 1 to {MAX_ORDER_NUMBER}")
    return f"{position_id}-{OrderRole(role).value}{number}"


def parse_order_link_id(text: str) -> OrderIdentity | None:
    """The parts of an orderLinkId of ours, or None for anything else (another program's order, or no id at all)."""
    match = _ORDER_LINK_ID.fullmatch(text)
    if match is None:
        return None
    return OrderIdentity(match[1], OrderRole(match[2]), int(match[3]))


def _digest(*parts: str) -> str:
    # A JSON list quotes every part, so no two different lists of parts encode alike.
    encoded = json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(encoded).digest()
    return base64.b32encode(digest).decode().lower()[:POSITION_ID_LENGTH]
