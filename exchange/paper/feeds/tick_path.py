"""The trades inside candles: a seeded path through open, high, low and close that consumes exactly the volume.

Prices and quantities are whole numbers of the series' units, so that the sum of a candle's ticks is the candle, to the
last digit. Every number comes from a hash of (key, candle, tick), never from a generator's state: the ticks of a candle
don't depend on what was asked before. Only + - * / and comparisons are used, so machines agree bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MIN_TICKS = 4  # open, high, low and close may all be different trades
_ROUGHNESS = 0.9  # size of the noise around the path, as a share of the candle's range


@dataclass(frozen=True, slots=True)
class BarBlock:
    """Consecutive candles in whole units. ``number`` counts candles from the series' origin and names them."""

    number: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True)
class TickBlock:
    """The ticks of n candles, k each, as arrays of shape (n, k). A tick with ``qty`` 0 did not happen.

    ``offset_ms`` is within [0, candle length) and never falls along a row; ``buy`` is the taker's side.
    """

    offset_ms: Ints
    price: Ints
    qty: Ints
    buy: npt.NDArray[np.bool_]


def _uniform(key: int, number: Ints, salt: int, count: int) -> Floats:
    """Uniform numbers in [0, 1) of shape (n, count): the splitmix64 finaliser over a counter (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        salted = np.uint64(salt * 0x632BE59BD9B4E019 % 2**64)
        row = number.astype(np.uint64)[:, None] * np.uint64(0xD1342543DE82EF95) + salted
        x = (row ^ np.uint64(key)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def tick_block(bars: BarBlock, key: int, count: int, length_ms: int) -> TickBlock:
    """The ticks of ``bars``: ``count`` (at least 4) per candle of ``length_ms``; ``key`` is the series' 64-bit seed.

    Where a candle's volume is above 0, its ticks' first, highest, lowest and last prices and their total quantity are
    the candle's own, provided the volume is at least 4 units or the candle is flat.
    """
    if count < MIN_TICKS:
        raise ValueError(f"count: {count} is under the {MIN_TICKS} ticks a candle needs")
    extremes = _extreme_places(bars, key, count)
    price = _prices(bars, key, count, *extremes)
    within = _uniform(key, bars.number, 3, count)
    slot = np.arange(count, dtype=np.float64)
    rises = np.diff(price, axis=1, prepend=bars.open[:, None])
    side_draw = _uniform(key, bars.number, 4, count)
    return TickBlock(
        offset_ms=((slot + within) * (length_ms / count)).astype(np.int64),
        price=price,
        qty=_quantities(bars, key, count, *extremes),
        buy=np.where(rises == 0, side_draw < 0.5, (rises > 0) ^ (side_draw < 0.15)),
    )


def _extreme_places(bars: BarBlock, key: int, count: int) -> tuple[Ints, Ints]:
    """(place of the high, place of the low) of each candle, both inside 1 .. count - 2 and different.

    An extreme that is the open or the close itself needs no place of its own, but has one all the same.
    """
    draw = _uniform(key, bars.number, 1, 3)
    inner = count - 2
    early = (draw[:, 0] * inner).astype(np.int64)
    late = (early + 1 + (draw[:, 1] * (inner - 1)).astype(np.int64)) % inner
    first, second = np.minimum(early, late) + 1, np.maximum(early, late) + 1
    # A rising candle more often makes its low first, a falling one its high.
    low_first = draw[:, 2] < np.where(bars.close >= bars.open, 0.75, 0.25)
    return np.where(low_first, second, first), np.where(low_first, first, second)


def _prices(bars: BarBlock, key: int, count: int, high_at: Ints, low_at: Ints) -> Ints:
    """Lines open - extreme - extreme - close, plus noise that vanishes at these four places, all within the range."""
    rows = np.arange(len(bars))
    place = np.arange(count, dtype=np.int64)[None, :]
    first, second = np.minimum(high_at, low_at)[:, None], np.maximum(high_at, low_at)[:, None]
    high_first = (high_at < low_at)[:, None]
    high, low = bars.high[:, None], bars.low[:, None]
    at_first, at_second = np.where(high_first, high, low), np.where(high_first, low, high)
    in_first, in_last = place <= first, place > second
    left = np.where(in_first, 0, np.where(in_last, second, first))
    right = np.where(in_first, first, np.where(in_last, count - 1, second))
    from_price = np.where(in_first, bars.open[:, None], np.where(in_last, at_second, at_first))
    to_price = np.where(in_first, at_first, np.where(in_last, bars.close[:, None], at_second))

    share = (place - left) / (right - left)
    walk = np.cumsum(_uniform(key, bars.number, 2, count) - 0.5, axis=1)
    walk_left, walk_right = np.take_along_axis(walk, left, 1), np.take_along_axis(walk, right, 1)
    bridge = walk - walk_left - (walk_right - walk_left) * share
    noise = bridge * ((high - low) * (_ROUGHNESS / np.sqrt(float(count))))
    price = np.rint(from_price + (to_price - from_price) * share + noise).astype(np.int64)
    np.clip(price, low, high, out=price)
    price[:, 0], price[:, -1] = bars.open, bars.close
    price[rows, high_at], price[rows, low_at] = bars.high, bars.low
    return price


def _quantities(bars: BarBlock, key: int, count: int, high_at: Ints, low_at: Ints) -> Ints:
    """Uneven shares of the volume in whole units; open, close and the extremes are never left with nothing.

    A volume under 4 units goes to open, high, low and close in this order of need as far as it reaches.
    """
    rows = np.arange(len(bars))
    reserved = np.zeros((len(bars), count), np.int64)
    left = bars.volume.copy()
    for place in (0, count - 1, high_at, low_at):
        given = np.minimum(left, 1)
        reserved[rows, place] += given
        left -= given
    weight = (2.0**20 / (0.05 + _uniform(key, bars.number, 5, count))).astype(np.int64)
    share = left * (1 - 1e-12) / weight.sum(axis=1)
    qty = (weight * share[:, None]).astype(np.int64)
    rest = left - qty.sum(axis=1)
    qty[rows, np.argmax(weight, axis=1)] += rest
    return qty + reserved
