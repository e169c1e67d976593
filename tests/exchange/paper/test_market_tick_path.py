"""The ticks inside a candle are the candle, to the last unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.paper.feeds.tick_path import BarBlock, TickBlock, tick_block

LENGTH_MS = 900_000


@st.composite
def bar_blocks(draw: st.DrawFn, least_volume: int = 4) -> BarBlock:
    count = draw(st.integers(1, 6))
    rows = [sorted(draw(st.lists(st.integers(1, 10**9), min_size=4, max_size=4))) for _ in range(count)]
    swapped = [draw(st.booleans()) for _ in range(count)]
    first = draw(st.integers(0, 10**6))
    inner = [(row[2], row[1]) if swap else (row[1], row[2]) for row, swap in zip(rows, swapped, strict=True)]
    return BarBlock(
        number=np.arange(first, first + count),
        open=np.array([pair[0] for pair in inner]),
        high=np.array([row[3] for row in rows]),
        low=np.array([row[0] for row in rows]),
        close=np.array([pair[1] for pair in inner]),
        volume=np.array([draw(st.integers(least_volume, 10**13)) for _ in range(count)]),
    )


def row(ticks: TickBlock, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offsets, prices, quantities) of the trades of candle ``i`` that happened."""
    happened = ticks.qty[i] > 0
    return ticks.offset_ms[i][happened], ticks.price[i][happened], ticks.qty[i][happened]


@settings(deadline=None)
@given(bar_blocks(), st.integers(0, 2**64 - 1), st.integers(4, 70))
def test_ticks_reproduce_open_high_low_close_and_volume(bars: BarBlock, key: int, count: int) -> None:
    ticks = tick_block(bars, key, count, LENGTH_MS)
    for i in range(len(bars)):
        offsets, prices, quantities = row(ticks, i)
        assert prices[0] == bars.open[i]
        assert prices[-1] == bars.close[i]
        assert prices.max() == bars.high[i]
        assert prices.min() == bars.low[i]
        assert quantities.sum() == bars.volume[i]
        assert (quantities > 0).all()
        assert offsets[0] >= 0
        assert offsets[-1] < LENGTH_MS
        assert (np.diff(offsets) >= 0).all()


@settings(deadline=None)
@given(bar_blocks(), st.integers(0, 2**64 - 1), st.integers(4, 70))
def test_a_bar_has_the_same_ticks_alone_as_among_others(bars: BarBlock, key: int, count: int) -> None:
    together = tick_block(bars, key, count, LENGTH_MS)
    for i in range(len(bars)):
        part = slice(i, i + 1)
        columns = (bars.number, bars.open, bars.high, bars.low, bars.close, bars.volume)
        alone = tick_block(BarBlock(*(column[part] for column in columns)), key, count, LENGTH_MS)
        for name in TickBlock.__slots__:
            assert np.array_equal(getattr(alone, name)[0], getattr(together, name)[i])


@settings(deadline=None)
@given(bar_blocks(least_volume=0), st.integers(0, 2**64 - 1))
def test_a_volume_of_less_than_four_units_is_still_consumed_exactly(bars: BarBlock, key: int) -> None:
    small = BarBlock(bars.number, bars.open, bars.high, bars.low, bars.close, bars.volume % 4)
    ticks = tick_block(small, key, 60, LENGTH_MS)
    assert np.array_equal(ticks.qty.sum(axis=1), small.volume)
    assert (ticks.qty >= 0).all()


def test_another_key_or_bar_takes_another_path() -> None:
    bars = BarBlock(np.array([5, 6]), *(np.array([v, v]) for v in (1000, 2000, 500, 1500, 10**6)))
    ticks = tick_block(bars, 1, 60, LENGTH_MS)
    assert not np.array_equal(ticks.price[0], ticks.price[1])
    assert not np.array_equal(tick_block(bars, 2, 60, LENGTH_MS).price[0], ticks.price[0])


def test_fewer_than_four_ticks_cannot_make_a_candle() -> None:
    bars = BarBlock(*(np.array([v]) for v in (0, 10, 12, 8, 11, 100)))
    with pytest.raises(ValueError, match="count"):
        tick_block(bars, 1, 3, LENGTH_MS)
