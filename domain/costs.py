"""What a trade costs: fees, half the spread, and slippage from walking the book.

The book is modelled as the exchange's paper market makes it: the best price lies half a spread from the mid, and from
there on the same quantity rests at each basis point (of the mid) further away.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.market import Category, Side

_BASIS_POINTS = Decimal(10_000)
MAX_DEPTH_BPS = 1_000
"""How deep a modelled book goes, basis points beyond its best price."""


class FeeRates(BaseModel):
    """Fees as fractions of the traded value (0.001 = 0.1 %). A negative maker rate is a rebate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    maker: Decimal = Field(gt=-1, lt=1, allow_inf_nan=False)
    taker: Decimal = Field(ge=0, lt=1, allow_inf_nan=False)

    def rate(self, is_maker: bool) -> Decimal:
        return self.maker if is_maker else self.taker


BYBIT_BASE_FEES: dict[Category, FeeRates] = {
    Category.SPOT: FeeRates(maker=Decimal("0.001"), taker=Decimal("0.001")),
    Category.LINEAR: FeeRates(maker=Decimal("0.0002"), taker=Decimal("0.00055")),
}
"""Bybit's published rates of an account without discounts: what the paper exchange charges unless told otherwise."""


class Fee(NamedTuple):
    """A fee and whether it is taken in the base coin (else in the quote coin)."""

    amount: Decimal
    in_base: bool


def fee_of(category: Category, side: Side, qty: Decimal, price: Decimal, rate: Decimal) -> Fee:
    """Fee of a fill of ``qty`` (base coin) at ``price``: spot buys pay in the base coin received, all else in quote."""
    if category is Category.SPOT and side is Side.BUY:
        return Fee(qty * rate, in_base=True)
    return Fee(qty * price * rate, in_base=False)


def walk_book(
    side: Side,
    qty: Decimal,
    mid: Decimal,
    half_spread_bps: Decimal | float,
    qty_per_bp: Decimal | float,
    *,
    tick_size: Decimal | None = None,
    qty_step: Decimal | None = None,
    max_depth_bps: int = MAX_DEPTH_BPS,
) -> list[tuple[Decimal, Decimal]]:
    """Fills [(price, qty)] of a market order for ``qty`` (base coin), best price first.

    Prices are rounded to ``tick_size`` against the taker (levels that fall on one tick are merged), level quantities
    down to ``qty_step`` (at least one step). The sum is below ``qty`` only when the book ends ``max_depth_bps`` beyond
    its best price. Raises ValueError for a quantity, mid or depth that isn't above 0, or a negative spread.
    """
    spread, per_level = _checked(qty, mid, half_spread_bps, qty_per_bp)
    if qty_step is not None:
        per_level = max((per_level / qty_step).to_integral_value(ROUND_DOWN) * qty_step, qty_step)
    fills: list[tuple[Decimal, Decimal]] = []
    left = qty
    for level in range(max_depth_bps):
        price = _level_price(side, mid, spread + level, tick_size)
        if left <= 0 or price <= 0:
            break
        taken = min(left, per_level)
        left -= taken
        if fills and fills[-1][0] == price:
            taken += fills.pop()[1]
        fills.append((price, taken))
    return fills


def fill_price(
    side: Side, qty: Decimal, mid: Decimal, half_spread_bps: Decimal | float, qty_per_bp: Decimal | float
) -> Decimal:
    """Average price of a market order in a book without end: ``walk_book``'s, in closed form (no tick, no step).

    Raises ValueError as ``walk_book`` does, and when the order would walk down to a price of 0.
    """
    spread, per_level = _checked(qty, mid, half_spread_bps, qty_per_bp)
    full_levels = (qty / per_level).to_integral_value(ROUND_DOWN)
    rest = qty - full_levels * per_level
    walked = (per_level * full_levels * (full_levels - 1) / 2 + rest * full_levels) / qty
    price = _level_price(side, mid, spread + walked, None)
    deepest = full_levels if rest else full_levels - 1
    if _level_price(side, mid, spread + deepest, None) <= 0:
        raise ValueError(f"qty {qty} is more than a book with {qty_per_bp} at each basis point holds")
    return price


def slippage_bps(side: Side, mid: Decimal, price: Decimal) -> Decimal:
    """Cost of a fill at ``price`` against ``mid`` in basis points of the mid; positive is worse for the taker."""
    sign = 1 if side is Side.BUY else -1
    return sign * (price - mid) / mid * _BASIS_POINTS


def _level_price(side: Side, mid: Decimal, bps: Decimal, tick_size: Decimal | None) -> Decimal:
    sign = 1 if side is Side.BUY else -1
    price = mid * (_BASIS_POINTS + sign * bps) / _BASIS_POINTS
    if tick_size is None:
        return price
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    return (price / tick_size).to_integral_value(rounding) * tick_size


def _checked(
    qty: Decimal, mid: Decimal, half_spread_bps: Decimal | float, qty_per_bp: Decimal | float
) -> tuple[Decimal, Decimal]:
    """Spread and quantity a level as Decimal, after refusing what has no meaning."""
    spread, per_level = Decimal(str(half_spread_bps)), Decimal(str(qty_per_bp))
    for name, value in (("qty", qty), ("mid", mid), ("qty_per_bp", per_level)):
        if not value.is_finite() or value <= 0:
            raise ValueError(f"{name} {value} must be a number above 0")
    if not spread.is_finite() or spread < 0:
        raise ValueError(f"half_spread_bps {spread} must be a number from 0 on")
    return spread, per_level
