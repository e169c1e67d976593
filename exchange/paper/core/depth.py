"""What a taker meets: the book around the price, less what was already taken of it since the last trade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from domain.costs import book_levels
from domain.market import Instrument, Side
from exchange.paper.core.model import ZERO
from exchange.paper.feed import Liquidity


@dataclass(frozen=True, slots=True)
class Take:
    """A quantity (base coin) to be had at a price."""

    price: Decimal
    qty: Decimal


def ladder(
    instrument: Instrument, side: Side, last: Decimal, liquidity: Liquidity, taken: Decimal = ZERO
) -> Iterator[Take]:
    """Levels an order on ``side`` meets, best first; ``taken`` (base coin) of the best is gone."""
    levels = book_levels(
        side,
        last,
        liquidity.half_spread_bps,
        liquidity.qty_per_bp,
        tick_size=instrument.tick_size,
        qty_step=instrument.qty_step,
        taken=taken,
    )
    return (Take(price, qty) for price, qty in levels)


def within(levels: Iterable[Take], side: Side, limit: Decimal | None) -> Iterator[Take]:
    """The levels no worse than a limit price; None: all."""
    for level in levels:
        if limit is not None and (level.price > limit if side is Side.BUY else level.price < limit):
            return
        yield level


def take_base(levels: Iterable[Take], qty: Decimal) -> list[Take]:
    """The fills of ``qty`` base coin; their sum is less when the levels hold less."""
    fills: list[Take] = []
    left = qty
    for level in levels:
        taken = min(left, level.qty)
        if taken <= 0:
            break
        fills.append(Take(level.price, taken))
        left -= taken
    return fills


def take_quote(instrument: Instrument, levels: Iterable[Take], value: Decimal) -> list[Take]:
    """The fills worth ``value`` quote coin, down to what doesn't pay for one more quantity step."""
    fills: list[Take] = []
    left = value
    for level in levels:
        taken = min(instrument.floor_qty(left / level.price), level.qty)
        if taken <= 0:
            break
        fills.append(Take(level.price, taken))
        left -= taken * level.price
    return fills
