"""Panels for the tests of strategies: random walks with holes, and hand-made closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.strategies import STRATEGIES
from domain.strategies.contract import Evaluation, Floats, Panel, Strategy, StrategyParameters
from domain.strategies.momentum import MomentumParameters
from domain.strategies.trend import TrendParameters
from domain.strategies.trend_breakdown import TrendBreakdownParameters

T0 = 1_735_689_600_000  # 2025-01-01T00:00Z
COLUMNS = ("open", "high", "low", "close", "volume")

QUICK: dict[str, TrendParameters] = {
    "momentum": MomentumParameters(
        roc_bars=3, roc_over_pct=0.5, adx_bars=3, adx_over=20, ema_fast_bars=3, ema_slow_bars=6
    ),
    "trend_breakdown": TrendBreakdownParameters(
        donchian_bars=4, adx_bars=3, adx_over=20, ema_fast_bars=3, ema_slow_bars=6, open_interest_hours=8
    ),
}
"""Parameters so short that signals are frequent in a series of some dozens of bars."""


def evaluate(strategy: Strategy, panel: Panel, parameters: StrategyParameters | None = None) -> Evaluation:
    return strategy.evaluate({panel.timeframe: panel}, panel.timeframe, parameters or QUICK[strategy.name])


def results(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Every array of an evaluation by name."""
    flat: dict[str, np.ndarray] = {
        "entry": evaluation.entry,
        "exit": evaluation.exit,
        "score": evaluation.score,
        **evaluation.evidence,
    }
    for need in evaluation.requirements:
        flat |= {f"{need.name}.value": need.value, f"{need.name}.met": need.met}
    return flat


def bars_of(panel: Panel, chosen: slice) -> Panel:
    """The panel's bars of ``chosen`` alone."""
    return _each(panel, lambda values: values[..., chosen])


def row_of(panel: Panel, row: int) -> Panel:
    """One symbol's panel."""
    return replace(
        _each(panel, lambda values: values if values.ndim == 1 else values[row : row + 1]),
        symbols=(panel.symbols[row],),
    )


def _each(panel: Panel, cut: Any) -> Panel:
    arrays = {f.name: getattr(panel, f.name) for f in fields(panel)}
    return replace(panel, **{name: cut(held) for name, held in arrays.items() if isinstance(held, np.ndarray)})


def panel_of(
    close: Sequence[float] | Floats,
    *,
    high: Floats | None = None,
    low: Floats | None = None,
    share: float | Floats = 0.6,
    interest: Floats | None = None,
    timeframe: Timeframe = Timeframe.H4,
) -> Panel:
    """One symbol's panel of closes; unless given, a bar spans its open (the close before) and its close by 0.1 %."""
    closes = np.asarray(close, np.float64)
    opens = np.concatenate((closes[:1], closes[:-1]))
    bars = len(closes)
    return Panel(
        timeframe=timeframe,
        symbols=("BTCUSDT",),
        open_time=T0 + np.arange(bars, dtype=np.int64) * timeframe.milliseconds,
        open=opens[None],
        high=(np.maximum(opens, closes) * 1.001 if high is None else high)[None],
        low=(np.minimum(opens, closes) * 0.999 if low is None else low)[None],
        close=closes[None],
        volume=np.full((1, bars), 10.0),
        taker_buy_share=np.broadcast_to(np.asarray(share, np.float64), (1, bars)).copy(),
        open_interest=(np.arange(bars, dtype=np.float64) + 1000 if interest is None else interest)[None],
    )


def random_panel(seed: int, symbols: int, bars: int, *, swing: float = 0.01, holes: float = 0.0) -> Panel:
    """Random walks with trends; a share ``holes`` of candles, and of taker shares and open interests, is missing."""
    rng = np.random.default_rng(seed)
    shape = (symbols, bars)
    drift = np.repeat(rng.normal(0, swing, (symbols, bars // 8 + 1)), 8, axis=1)[:, :bars]
    close = 100 * np.exp(np.cumsum(drift + rng.normal(0, swing, shape), axis=1))
    open_ = close * np.exp(rng.normal(0, swing, shape))
    high = np.maximum(open_, close) * (1 + rng.random(shape) * swing)
    low = np.minimum(open_, close) * (1 - rng.random(shape) * swing)
    volume, share, interest = rng.random(shape) * 100, rng.random(shape), 1000 + rng.normal(0, 50, shape)
    missing = rng.random(shape) < holes
    for column in (open_, high, low, close, volume):
        column[missing] = np.nan
    share[rng.random(shape) < holes] = np.nan
    interest[rng.random(shape) < holes] = np.nan
    open_time = T0 + np.arange(bars, dtype=np.int64) * Timeframe.H4.milliseconds
    names = tuple(f"COIN{row}USDT" for row in range(symbols))
    return Panel(Timeframe.H4, names, open_time, open_, high, low, close, volume, share, interest)


panels = st.builds(
    random_panel,
    seed=st.integers(0, 2**32 - 1),
    symbols=st.integers(1, 3),
    bars=st.integers(1, 80),
    swing=st.sampled_from([0.001, 0.01, 0.05]),
    holes=st.sampled_from([0.0, 0.0, 0.02, 0.3]),
)
every_strategy = st.sampled_from(list(STRATEGIES.values()))
