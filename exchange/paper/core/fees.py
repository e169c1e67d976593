"""Bybit's fees for an account without VIP level."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.market import Category


@dataclass(frozen=True, slots=True)
class FeeRate:
    taker: Decimal
    maker: Decimal


FEE_RATES = {
    Category.SPOT: FeeRate(taker=Decimal("0.001"), maker=Decimal("0.001")),
    Category.LINEAR: FeeRate(taker=Decimal("0.00055"), maker=Decimal("0.0002")),
}
