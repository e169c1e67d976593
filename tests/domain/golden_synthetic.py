"""A made-up market, the same on every machine: prices along straight legs, with noise of an integer generator.

One story an hour (a range, a breakout, an exaggeration up and one down), one of four hours (quiet, breakout, rise with
pullbacks, top, fall with rallies, squeeze, breakdown), six coins of which one gains on BTC, and two years of days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from domain.candle import CandleSeries, Timeframe, aggregate
from domain.regime import NO_REGIME, Regime
from domain.strategies.contract import Floats, Panel, Regimes

MONDAY = 1_736_121_600_000  # 2025-01-06T00:00Z

Legs = Sequence[tuple[int, float]]
"""Bar and value (a price, a percentage) of each turning point; it goes straight from one to the next."""

_SWAY = [(9 * turn, 102.2 if turn % 2 else 97.8) for turn in range(46)]
HOUR: Legs = (
    *_SWAY,
    (414, 98.0),
    (420, 101.0),
    (440, 111.0),
    (480, 110.5),
    (500, 110.8),
    (503, 114.0),
    (512, 110.9),
    (550, 110.6),
    (554, 106.8),
    (562, 110.4),
    (600, 110.4),
)
HOUR_NOISE: Legs = ((0, 0.9), (414, 0.9), (420, 0.3))
FOUR_HOURS: Legs = (
    (0, 100.0),
    (430, 100.0),
    (436, 104.5),
    (446, 104.0),
    (476, 117.0),
    (500, 109.5),
    (524, 123.0),
    (548, 114.5),
    (568, 125.0),
    (640, 125.0),
    (646, 119.5),
    (660, 121.0),
    (685, 107.0),
    (715, 113.5),
    (740, 102.0),
    (760, 107.0),
    (770, 104.6),
    (850, 104.6),
    (856, 100.2),
    (880, 93.0),
)
FOUR_HOURS_NOISE: Legs = ((0, 1.0), (390, 1.0), (400, 0.3), (430, 0.3), (440, 0.6), (780, 0.6), (820, 0.3), (880, 0.3))
COINS: Mapping[str, Legs] = {
    "BTCUSDT": ((0, 100.0), (2520, 100.0), (2880, 104.0)),
    "GAINUSDT": ((0, 50.0), (2520, 50.0), (2640, 56.0), (2664, 54.5), (2760, 58.5), (2790, 56.0), (2880, 60.0)),
    "ROCKUSDT": ((0, 20.0), (2700, 20.0), (2730, 26.0), (2790, 28.0), (2808, 26.0), (2840, 27.5), (2880, 27.0)),
    "SLOWUSDT": ((0, 5.0), (2520, 5.0), (2880, 5.1)),
    "FALLUSDT": ((0, 8.0), (2520, 8.0), (2880, 6.5)),
    "QUITUSDT": ((0, 2.0), (2520, 2.0), (2700, 2.04), (2880, 2.0)),
}
DAYS: Legs = (
    (0, 100.0),
    (720, 100.0),
    (760, 84.0),
    (800, 96.0),
    (840, 118.0),
    (870, 109.0),
    (930, 140.0),
    (980, 108.0),
)


def candles(legs: Legs, noise: Legs, seed: int, *, busy: Sequence[tuple[int, int]] = ()) -> dict[str, Floats]:
    """Columns of a series along ``legs``, each shape (bars,): closes off the leg by up to so many percent.

    How many goes along ``noise`` in the same way. A bar opens at the close before; its wicks reach up to half of the
    noise further. Volume is around 100, three times that from one bar to before another of ``busy``.
    """
    bars = legs[-1][0]
    along, rough = _along(legs, bars), _along(noise, bars) / 100
    off, up, down, traded = _drawn(seed, 4 * bars).reshape(4, bars)
    close = along * (1 + off * rough)
    opened = np.concatenate((close[:1], close[:-1]))
    volume = 100 + 10 * traded
    for first, end in busy:
        volume[first:end] *= 3
    high = np.maximum(opened, close) * (1 + np.abs(up) * rough / 2)
    low = np.minimum(opened, close) * (1 - np.abs(down) * rough / 2)
    return {"open": opened, "high": high, "low": low, "close": close, "volume": volume}


def panel(rows: Mapping[str, dict[str, Floats]], timeframe: Timeframe, regime: Regimes | None = None) -> Panel:
    """Series of one length, from the Monday on."""
    columns = {name: np.stack([row[name] for row in rows.values()]) for name in next(iter(rows.values()))}
    open_time = MONDAY + np.arange(columns["close"].shape[1], dtype=np.int64) * timeframe.milliseconds
    return Panel(timeframe=timeframe, symbols=tuple(rows), open_time=open_time, regime=regime, **columns)


def summed(rows: Mapping[str, dict[str, Floats]], own: Timeframe, longer: Timeframe) -> Panel:
    """The same series in whole bars of a longer timeframe."""
    per_bar = longer.milliseconds // own.milliseconds
    bars = len(next(iter(rows.values()))["close"]) // per_bar * per_bar
    open_time = MONDAY + np.arange(bars, dtype=np.int64) * own.milliseconds
    together = {
        symbol: aggregate(CandleSeries(open_time, **{name: row[name][:bars] for name in row}), longer)
        for symbol, row in rows.items()
    }
    names = ("open", "high", "low", "close", "volume")
    return panel({s: {name: getattr(series, name) for name in names} for s, series in together.items()}, longer)


def regimes(bars: int, turns: Sequence[tuple[int, Regime]]) -> Regimes:
    """The regime from each of these bars on; none is known before the first."""
    levels = np.full(bars, NO_REGIME, np.int8)
    for bar, regime in turns:
        levels[bar:] = regime.level
    return levels


def _along(legs: Legs, bars: int) -> Floats:
    return np.interp(np.arange(bars), [bar for bar, _ in legs], [value for _, value in legs])


def _drawn(seed: int, count: int) -> Floats:
    """Numbers from -1 to 1 of Knuth's 64-bit linear congruential generator (The Art of Computer Programming, 3.3.4)."""
    state, drawn = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        drawn.append((state >> 11) / 2**52 - 1)
    return np.array(drawn)
