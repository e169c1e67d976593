"""What a market order meets: the book around the price, as a ladder of levels derived from the liquidity.

Level ``k`` stands ``half_spread + (2^k - 1)`` basis points from the price and holds what rests in the ``2^k`` basis
points from there on, so that small orders pay the half spread and large ones walk outwards in few executions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from domain.market import Instrument, Side
from exchange.paper.feed import Liquidity

LEVELS = 9  # the outermost reaches 5.1 % from the price, where Bybit's limit for market orders lies too


@dataclass(frozen=True, slots=True)
class Take:
    """A quantity (base coin) to be had at a price."""

    price: Decimal
    qty: Decimal


def ladder(instrument: Instrument, side: Side, last: Decimal, liquidity: Liquidity) -> Iterator[Take]:
    """Levels an order on ``side`` meets, best first; prices on the tick grid, rounded against the taker."""
    half_spread = Decimal(str(liquidity.half_spread_bps))
    per_bp = Decimal(str(liquidity.qty_per_bp))
    sign, rounding = (1, ROUND_UP) if side is Side.BUY else (-1, ROUND_DOWN)
    for level in range(LEVELS):
        width = 2**level
        offset = (half_spread + width - 1) / 10_000
        price = max(instrument.round_price(last * (1 + sign * offset), rounding), instrument.tick_size)
        yield Take(price, max(instrument.floor_qty(per_bp * width), instrument.qty_step))


def take_base(instrument: Instrument, side: Side, qty: Decimal, last: Decimal, liquidity: Liquidity) -> list[Take]:
    """The fills of ``qty`` base coin; their sum is less when the whole ladder holds less."""
    fills: list[Take] = []
    left = qty
    for level in ladder(instrument, side, last, liquidity):
        taken = min(left, level.qty)
        fills.append(Take(level.price, taken))
        left -= taken
        if not left:
            break
    return fills


def take_quote(instrument: Instrument, side: Side, value: Decimal, last: Decimal, liquidity: Liquidity) -> list[Take]:
    """The fills that spend ``value`` quote coin, down to what doesn't pay for one more quantity step."""
    fills: list[Take] = []
    left = value
    for level in ladder(instrument, side, last, liquidity):
        taken = min(instrument.floor_qty(left / level.price), level.qty)
        if taken <= 0:
            break
        fills.append(Take(level.price, taken))
        left -= taken * level.price
    return fills
