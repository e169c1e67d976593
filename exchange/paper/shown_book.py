"""The book that is shown: each band of what market orders meet, spread over the prices up to the next band.

A market order takes a whole band at the band's first price. Shown, the band begins there and thins out towards the next
one, so that up to each band's end both hold the same quantity, and no order pays more than what it was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from domain.market import Instrument, Side
from exchange.paper.core.depth import Take
from exchange.paper.wire import number

LEVELS_A_BAND = 120

Level = tuple[str, str]  # price and quantity


def shown_levels(instrument: Instrument, taker: Side, bands: Iterable[Take]) -> Iterator[tuple[int, int]]:
    """Levels that a taker on this side sees, best first, as (price in ticks, quantity in steps); prices differ.

    ``bands`` are what it meets, best first. The last is spread over twice the distance of the one before.
    """
    gap = 0
    merged = _merged(instrument, bands)
    band = next(merged, None)
    while band is not None:
        following = next(merged, None)
        gap = max(2 * gap, 1) if following is None else abs(following[0] - band[0])
        yield from _spread(*band, gap, 1 if taker is Side.BUY else -1)
        band = following


def shown_side(instrument: Instrument, taker: Side, bands: Iterable[Take], depth: int) -> list[Level]:
    """The best ``depth`` levels as Bybit writes them."""
    tick, step = instrument.tick_size, instrument.qty_step
    levels = islice(shown_levels(instrument, taker, bands), depth)
    return [(number(price * tick), number(qty * step)) for price, qty in levels]


def _spread(ticks: int, steps: int, gap: int, sign: int) -> Iterator[tuple[int, int]]:
    """``steps`` in levels of equal distance from ``ticks`` on, all closer than ``gap`` and none at 0 or below."""
    room = gap if sign > 0 else min(gap, ticks)
    count = min(room, steps, LEVELS_A_BAND)
    for level in range(count):
        lower, upper = steps * level // count, steps * (level + 1) // count
        yield ticks + sign * (room * level // count), upper - lower


def _merged(instrument: Instrument, bands: Iterable[Take]) -> Iterator[tuple[int, int]]:
    """Bands in ticks and steps; those that rounding put on one price are one."""
    price, held = 0, 0
    for band in bands:
        ticks, steps = int(band.price / instrument.tick_size), int(band.qty / instrument.qty_step)
        if ticks != price and held:
            yield price, held
            held = 0
        price, held = ticks, held + steps
    if held:
        yield price, held
