"""Funding as the exchange's log tells it: which rate the market had, and what of a payment belongs to a position.

One settlement is paid on the whole size of a symbol, ours and others' together; each has a part of it by its own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.ledger import share


@dataclass(frozen=True, slots=True)
class Settlement:
    """Funding of a linear symbol at ``at``. ``amount`` in ``coin``, positive when received; ``size`` signed; ``rate``
    the market's, a fraction (None: not told)."""

    log_id: str
    symbol: str
    coin: str
    amount: Decimal
    size: Decimal
    rate: Decimal | None
    at: datetime


def market_rate(told: Decimal | None, amount: Decimal, size: Decimal) -> Decimal | None:
    """The funding rate, positive when longs paid. The log tells it as seen from a side: who paid decides."""
    if told is None or not amount or not size:
        return told
    long_paid = (amount < 0) == (size > 0)
    return abs(told) if long_paid else -abs(told)


def part_of(settlement: Settlement, held: Decimal) -> Decimal:
    """What of it belongs to a position that held ``held`` (signed). 18 decimals, toward zero; all of it when nobody
    else held the symbol, and when the log tells no size."""
    if not held:
        return Decimal(0)
    return share(settlement.amount, held, settlement.size or held)
