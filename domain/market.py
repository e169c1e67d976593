"""What is traded: categories, sides, instruments and their filters.

Filters follow Bybit's v5 ``market/instruments-info``: spot has ``basePrecision`` / ``minOrderQty`` / ``minOrderAmt``,
linear has ``qtyStep`` / ``minOrderQty`` / ``minNotionalValue``; both have ``tickSize``.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Category(StrEnum):
    """Product category, spelled as the exchange spells it."""

    SPOT = "spot"
    LINEAR = "linear"


class Side(StrEnum):
    """Side of an order or execution, spelled as the exchange spells it."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class PositionSide(StrEnum):
    """Direction of a position. Spot positions are long only."""

    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short: profit per unit is ``sign * (price - entry)``."""
        return 1 if self is PositionSide.LONG else -1

    @property
    def entry_side(self) -> Side:
        return Side.BUY if self is PositionSide.LONG else Side.SELL

    @property
    def exit_side(self) -> Side:
        return self.entry_side.opposite


class FilterViolation(ValueError):
    """A price or quantity the exchange would refuse.

    Attributes: ``field`` is the offending field, ``rule`` the broken filter in words a person can act on.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class Instrument(BaseModel):
    """One tradable symbol and its order filters. Prices in quote coin, quantities in base coin.

    ``launched_at`` is since when it trades, None where the exchange doesn't tell (spot).
    """

    model_config = ConfigDict(frozen=True)

    category: Category
    symbol: str
    base_coin: str
    quote_coin: str
    tick_size: Decimal
    qty_step: Decimal
    min_order_qty: Decimal
    min_order_amount: Decimal
    max_market_qty: Decimal
    tradable: bool = True
    launched_at: AwareDatetime | None = None

    def floor_qty(self, qty: Decimal) -> Decimal:
        """Largest multiple of the quantity step not above ``qty``."""
        return (qty / self.qty_step).to_integral_value(rounding=ROUND_DOWN) * self.qty_step

    def round_price(self, price: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        """``price`` on the tick grid (``rounding`` is a ``decimal`` rounding mode)."""
        return (price / self.tick_size).to_integral_value(rounding=rounding) * self.tick_size

    def price_away_from(self, price: Decimal, side: PositionSide) -> Decimal:
        """``price`` on the tick grid, rounded to the side that is looser for a stop of a position on ``side``."""
        return self.round_price(price, ROUND_DOWN if side is PositionSide.LONG else ROUND_UP)

    def check_price(self, price: Decimal, field: str = "price") -> None:
        """Raise FilterViolation unless ``price`` is positive and on the tick grid."""
        if price <= 0:
            raise FilterViolation(field, f"{price} must be above 0")
        if price % self.tick_size != 0:
            raise FilterViolation(
                field, f"{price} is not a multiple of the tick size {self.tick_size} of {self.symbol}"
            )

    def check_qty(self, qty: Decimal, price: Decimal | None = None, field: str = "qty") -> None:
        """Raise FilterViolation unless ``qty`` (base coin) meets step, minimum, maximum and minimum amount."""
        if qty < self.min_order_qty:
            raise FilterViolation(
                field, f"{qty} is under the minimum order quantity {self.min_order_qty} of {self.symbol}"
            )
        if qty > self.max_market_qty:
            raise FilterViolation(
                field, f"{qty} is over the maximum market quantity {self.max_market_qty} of {self.symbol}"
            )
        if qty % self.qty_step != 0:
            raise FilterViolation(
                field, f"{qty} is not a multiple of the quantity step {self.qty_step} of {self.symbol}"
            )
        if price is not None and qty * price < self.min_order_amount:
            raise FilterViolation(
                field, f"{qty} at {price} is under the minimum order amount {self.min_order_amount} of {self.symbol}"
            )
