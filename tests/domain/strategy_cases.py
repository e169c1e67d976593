"""Markets for the tests of strategies: random walks with holes on every timeframe they need, and hand-made closes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.regime import NO_REGIME
from domain.strategies import STRATEGIES
from domain.strategies.btc_swing import BtcSwingParameters
from domain.strategies.btc_trend import BtcTrendLongParameters
from domain.strategies.btc_trend_short import BtcTrendShortParameters
from domain.strategies.contract import Evaluation, Floats, Panel, Strategy, StrategyParameters
from domain.strategies.growth_potential import GrowthPotentialParameters
from domain.strategies.mean_reversion import MeanReversionParameters
from domain.strategies.mean_reversion_short import MeanReversionShortParameters
from domain.strategies.momentum import MomentumParameters
from domain.strategies.momentum_short import MomentumShortParameters
from domain.strategies.range_fade_long import RangeFadeLongParameters
from domain.strategies.range_fade_short import RangeFadeShortParameters
from domain.strategies.trend_breakdown import TrendBreakdownParameters

T0 = 1_735_689_600_000  # 2025-01-01T00:00Z
PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume")

Market = Mapping[Timeframe, Panel]
"""Panels of one market by timeframe, the one that the strategy decides on first."""

_SETUPS = {
    "bollinger_bars": 3,
    "squeeze_rank_bars": 6,
    "squeeze_under_pct": 60,
    "squeeze_within_bars": 2,
    "ema_fast_bars": 3,
    "ema_slow_bars": 6,
    "rsi_bars": 3,
    "rsi_from": 20,
    "rsi_to": 90,
    "donchian_bars": 3,
}

QUICK: dict[str, StrategyParameters] = {
    "momentum": MomentumParameters(
        roc_bars=3, roc_over_pct=0.5, adx_bars=3, adx_over=20, ema_fast_bars=3, ema_slow_bars=6
    ),
    "trend_breakdown": TrendBreakdownParameters(
        donchian_bars=4, adx_bars=3, adx_over=20, ema_fast_bars=3, ema_slow_bars=6, open_interest_hours=8
    ),
    "mean_reversion": MeanReversionParameters(
        rsi_bars=3, rsi_under=45, bollinger_bars=4, bollinger_deviations=0.7, adx_bars=3, adx_under=80
    ),
    "mean_reversion_short": MeanReversionShortParameters(
        rsi_bars=3, rsi_over=55, bollinger_bars=4, bollinger_deviations=0.7, adx_bars=3, adx_under=80
    ),
    "momentum_short": MomentumShortParameters(
        roc_bars=3, roc_under_pct=-0.5, adx_bars=3, adx_over=20, ema_fast_bars=3, ema_slow_bars=6
    ),
    "range_fade_long": RangeFadeLongParameters(
        range_bars=6, width_pct=0.2, overlap_over=0.1, edge_pct=40, adx_bars=3, adx_under=80
    ),
    "range_fade_short": RangeFadeShortParameters(
        range_bars=6, width_pct=0.2, overlap_over=0.1, edge_pct=40, adx_bars=3, adx_under=80
    ),
    "growth_potential": GrowthPotentialParameters(
        strength_days=2,
        rank_over_pct=40,
        ranked_least=2,
        ema_days=3,
        ema_bars=3,
        volume_short_days=2,
        volume_long_days=3,
        volume_ratio_over=0.8,
        high_days=3,
        high_within_pct=1,
    ),
    "btc_trend": BtcTrendLongParameters.model_validate(
        _SETUPS | {"touch_within_bars": 3, "volume_bars": 3, "volume_over_mean": 0.8}
    ),
    "btc_trend_short": BtcTrendShortParameters.model_validate(_SETUPS),
    "btc_swing": BtcSwingParameters(ema_weeks=3, newly_days=4),
}
"""Parameters so short that signals are frequent in a series of some dozens of bars."""


def evaluate(strategy: Strategy, seen: Panel | Market, parameters: StrategyParameters | None = None) -> Evaluation:
    """What the strategy makes of a market, or of a panel in a market of random walks on the timeframes it lacks."""
    quick = QUICK[strategy.name] if parameters is None else parameters
    market = completed(strategy, seen, quick) if isinstance(seen, Panel) else seen
    return strategy.evaluate(market, own_panel(market).timeframe, quick)


def own_panel(market: Market) -> Panel:
    """The panel that the strategy decides on."""
    return next(iter(market.values()))


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


def cut(market: Market, bars: int) -> Market:
    """The market as it was known when the first ``bars`` bars of its own timeframe had closed."""
    own = own_panel(market)
    if bars == len(own.open_time):
        return market
    now = int(own.open_time[bars])
    return {
        timeframe: bars_of(panel, slice(int((panel.open_time + timeframe.milliseconds <= now).sum())))
        for timeframe, panel in market.items()
    }


def rows_of(panel: Panel, rows: Sequence[int]) -> Panel:
    """The panel of some of its symbols."""
    return replace(
        _each(panel, lambda values: values if values.ndim == 1 else values[list(rows)]),
        symbols=tuple(panel.symbols[row] for row in rows),
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


def random_panel(
    seed: int,
    symbols: int,
    bars: int,
    *,
    swing: float = 0.01,
    holes: float = 0.0,
    timeframe: Timeframe = Timeframe.H4,
    start: int = T0,
) -> Panel:
    """Random walks with trends, BTCUSDT first, in regimes that change; a share ``holes`` of what is known is missing.

    ``start``: the first bar is the one that holds this instant (ms).
    """
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
    ratio, funding = rng.random(shape) * 3, rng.normal(0, 0.0003, shape)
    ratio[rng.random(shape) < holes] = np.nan
    funding[rng.random(shape) < holes] = np.nan
    levels = np.repeat(rng.integers(-2, 3, bars // 6 + 1), 6)[:bars]
    levels[rng.random(bars) < holes] = NO_REGIME
    return Panel(
        timeframe=timeframe,
        symbols=tuple(f"COIN{row}USDT" if row else "BTCUSDT" for row in range(symbols)),
        open_time=timeframe.floor_ms(start) + np.arange(bars, dtype=np.int64) * timeframe.milliseconds,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        taker_buy_share=share,
        open_interest=interest,
        long_short_ratio=ratio,
        funding_rate=funding,
        regime=levels.astype(np.int8),
    )


_EARLIER_BARS = 20


def completed(
    strategy: Strategy,
    own: Panel,
    parameters: StrategyParameters,
    *,
    seed: int = 0,
    swing: float = 0.01,
    holes: float = 0.0,
    earlier: int = _EARLIER_BARS,
) -> Market:
    """``own`` and, of every other timeframe that is needed, what had closed with it: from ``earlier`` bars before."""
    market = {own.timeframe: own}
    begin = int(own.open_time[0]) if len(own.open_time) else T0
    end = begin + len(own.open_time) * own.timeframe.milliseconds
    for number, timeframe in enumerate(strategy.needs(parameters, own.timeframe).candles, start=1):
        if timeframe is not own.timeframe:
            start = timeframe.floor_ms(begin) - earlier * timeframe.milliseconds
            bars = (timeframe.floor_ms(end) - start) // timeframe.milliseconds
            other = random_panel(
                seed + number, len(own.symbols), bars, swing=swing, holes=holes, timeframe=timeframe, start=start
            )
            market[timeframe] = replace(other, symbols=own.symbols, regime=None)
    return market


def random_market(
    strategy: Strategy,
    seed: int,
    symbols: int,
    bars: int,
    *,
    swing: float = 0.01,
    holes: float = 0.0,
    timeframe: Timeframe | None = None,
    parameters: StrategyParameters | None = None,
    earlier: int = _EARLIER_BARS,
) -> Market:
    """Random walks on every timeframe of the strategy, whose own is ``timeframe``; among two others where it ranks."""
    if symbols and strategy.needs(strategy.parameters(), strategy.timeframe).benchmark:
        symbols += 2
    own = random_panel(seed, symbols, bars, swing=swing, holes=holes, timeframe=timeframe or strategy.timeframe)
    known = QUICK[strategy.name] if parameters is None else parameters
    return completed(strategy, own, known, seed=seed, swing=swing, holes=holes, earlier=earlier)


_any_panel: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 2**32 - 1),
    "symbols": st.integers(1, 3),
    "bars": st.integers(1, 80),
    "swing": st.sampled_from([0.001, 0.01, 0.05]),
    "holes": st.sampled_from([0.0, 0.0, 0.02, 0.3]),
}
panels = st.builds(random_panel, **_any_panel)
every_strategy = st.sampled_from(list(STRATEGIES.values()))


@st.composite
def markets_of(draw: st.DrawFn, strategy: Strategy) -> Market:
    """A random market on the timeframes that the strategy needs."""
    return random_market(strategy, **{name: draw(values) for name, values in _any_panel.items()})


@st.composite
def strategies_in_markets(draw: st.DrawFn) -> tuple[Strategy, Market]:
    """A strategy, and a random market on the timeframes that it needs."""
    strategy = draw(every_strategy)
    return strategy, draw(markets_of(strategy))
