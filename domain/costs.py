"""What a trade costs: fees, half the spread, and slippage from walking the book.

The book is the one the paper exchange shows and fills from. The same quantity rests at each basis point (of the mid),
gathered into levels that double in width: level ``k`` stands ``half_spread + (2^k - 1)`` basis points from the mid and
holds what rests in the ``2^k`` basis points from there on. Small orders pay the half spread, large ones walk outwards
in few executions.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.market import Category, Side

ZERO = Decimal(0)
_BASIS_POINTS = Decimal(10_000)
BOOK_LEVELS = 9
"""How many levels a modelled book has: it holds 511 basis points' worth, the last level 255 beyond the best price."""


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


def book_levels(
    side: Side,
    mid: Decimal,
    half_spread_bps: Decimal | float,
    qty_per_bp: Decimal | float,
    *,
    tick_size: Decimal | None = None,
    qty_step: Decimal | None = None,
    taken: Decimal = ZERO,
) -> Iterator[tuple[Decimal, Decimal]]:
    """Levels [(price, qty)] that a taker on ``side`` meets, best first; ``taken`` of the best is gone already.

    Prices are rounded to ``tick_size`` against the taker (two levels may fall on one tick) but not below one tick,
    quantities down to ``qty_step`` (at least one step). Raises ValueError for a mid or depth that isn't above 0, or a
    negative spread.
    """
    spread, per_bp = _checked(mid, half_spread_bps, qty_per_bp)
    for level in range(BOOK_LEVELS):
        width = 2**level
        price = _level_price(side, mid, spread + width - 1, tick_size)
        if price <= 0:
            return
        qty = per_bp * width
        if qty_step is not None:
            qty = max((qty / qty_step).to_integral_value(ROUND_DOWN) * qty_step, qty_step)
        gone = min(taken, qty)
        taken -= gone
        if qty > gone:
            yield price, qty - gone


def walk_book(
    side: Side,
    qty: Decimal,
    mid: Decimal,
    half_spread_bps: Decimal | float,
    qty_per_bp: Decimal | float,
    *,
    tick_size: Decimal | None = None,
    qty_step: Decimal | None = None,
    taken: Decimal = ZERO,
) -> list[tuple[Decimal, Decimal]]:
    """Fills [(price, qty)] of a market order for ``qty`` (base coin), best price first, of ``book_levels``.

    The sum is below ``qty`` only when the whole book holds less. Raises ValueError as ``book_levels`` does, and for a
    quantity that isn't above 0.
    """
    _above_zero("qty", qty)
    fills: list[tuple[Decimal, Decimal]] = []
    left = qty
    for price, there in book_levels(
        side, mid, half_spread_bps, qty_per_bp, tick_size=tick_size, qty_step=qty_step, taken=taken
    ):
        fills.append((price, min(left, there)))
        left -= fills[-1][1]
        if not left:
            break
    return fills


def fill_price(
    side: Side, qty: Decimal, mid: Decimal, half_spread_bps: Decimal | float, qty_per_bp: Decimal | float
) -> Decimal:
    """Average price of a market order that walks an untouched book, without tick and step.

    Raises ValueError as ``walk_book`` does, and when the book holds less than ``qty``.
    """
    fills = walk_book(side, qty, mid, half_spread_bps, qty_per_bp)
    if sum((filled for _, filled in fills), ZERO) < qty:
        raise ValueError(f"qty {qty} is more than a book with {qty_per_bp} at each basis point holds")
    return sum((price * filled for price, filled in fills), ZERO) / qty


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
    return max((price / tick_size).to_integral_value(rounding) * tick_size, tick_size)


def _checked(mid: Decimal, half_spread_bps: Decimal | float, qty_per_bp: Decimal | float) -> tuple[Decimal, Decimal]:
    """Spread and quantity a basis point as Decimal, after refusing what has no meaning."""
    spread, per_bp = Decimal(str(half_spread_bps)), Decimal(str(qty_per_bp))
    _above_zero("mid", mid)
    _above_zero("qty_per_bp", per_bp)
    if not spread.is_finite() or spread < 0:
        raise ValueError(f"half_spread_bps {spread} must be a number from 0 on")
    return spread, per_bp


def _above_zero(name: str, value: Decimal) -> None:
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{name} {value} must be a number above 0")
