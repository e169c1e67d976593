"""Momentum, short: join a directed fall by selling a perpetual while takers sell and shorts aren't crowded.

Entry (edge, of candles alone), the mirror of ``momentum``: rate of change under ``roc_under_pct``, ADX (Wilder, 1978)
over ``adx_over``, close under the fast EMA under the slow one. On top of it, judged by gates on the signal's bar,
takers must have bought less than ``taker_buy_share_under`` of its volume, and the newest funding settled by its close
must not be under ``funding_not_under_pct``: a rate further down says that shorts already pay to be in. Exit: close over
the slow EMA.

Warm-up: until the seeds of the averages and of ADX weigh a millionth (``domain.strategies.warm_up``): 397 bars by
default, 3,848 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, cast

import numpy as np
from pydantic import Field

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.indicators import adx, ema, rate_of_change
from domain.market import Category, PositionSide
from domain.microstructure import funding_bars
from domain.regime import FALLING, Regime
from domain.strategies.conditions import entry_edge, over, price_under, watchlist_score, whole_candles
from domain.strategies.contract import Evaluation, Floats, Needs, Panel, Requirement, StrategyParameters
from domain.strategies.trend import Bars, TrendParameters

_HOUR = 3600
_DECIMALS = 10
"""Of a rate in percent: the exchange gives eight of the fraction, the rest is what the multiplication leaves."""


class MomentumShortParameters(TrendParameters):
    """Shares are fractions: 0.48 of the bar's volume. Funding is percent per 8 h; below 0 shorts pay."""

    roc_bars: Bars = 12
    roc_under_pct: Annotated[float, Field(gt=-100, lt=0, allow_inf_nan=False)] = -4.0
    taker_buy_share_under: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.48
    funding_not_under_pct: Annotated[float, Field(ge=-4, le=4, allow_inf_nan=False)] = -0.03


class MomentumShort:
    """Short, linear, 4h unless configured otherwise."""

    name: ClassVar[str] = "momentum_short"
    title: ClassVar[str] = "Momentum, short"
    category: ClassVar[Category] = Category.LINEAR
    side: ClassVar[PositionSide] = PositionSide.SHORT
    timeframe: ClassVar[Timeframe] = Timeframe.H4
    parameters: ClassVar[type[StrategyParameters]] = MomentumShortParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(4),
        trailing_activation_pct=Decimal(3),
        trailing_distance_pct=Decimal("1.5"),
        break_even_at_pct=Decimal(2),
        max_hold_seconds=3 * 24 * _HOUR,
        min_hold_seconds=4 * _HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = FALLING

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(MomentumShortParameters, parameters)
        bars = max(p.warm_up_bars, p.roc_bars + 2)
        return Needs(
            candles={timeframe: bars},
            taker_volume=True,
            funding_rate=True,
            microstructure_bars=funding_bars(timeframe),
        )

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(MomentumShortParameters, parameters), panels[timeframe]
        high, low, close = whole_candles(panel)
        roc = rate_of_change(close, p.roc_bars)
        strength = adx(high, low, close, p.adx_bars)
        fast, slow = ema(close, p.ema_fast_bars), ema(close, p.ema_slow_bars)
        conditions = (
            over(-roc, -p.roc_under_pct),
            over(strength, p.adx_over),
            price_under(close, fast, p.score_reach_pct),
            price_under(fast, slow, p.score_reach_pct),
        )
        return Evaluation(
            entry=entry_edge(conditions),
            exit=close > slow,
            score=watchlist_score(conditions),
            evidence={"close": close, "roc_pct": roc, "adx": strength, "ema_fast": fast, "ema_slow": slow},
            requirements=(
                _takers_sell(panel, p.taker_buy_share_under),
                _shorts_are_not_crowded(panel, p.funding_not_under_pct),
            ),
        )


def _takers_sell(panel: Panel, threshold: float) -> Requirement:
    share = _known(panel, panel.taker_buy_share)
    return Requirement(name="taker_buy_share", value=share, met=share < threshold, threshold=f"under {threshold:g}")


def _shorts_are_not_crowded(panel: Panel, threshold_pct: float) -> Requirement:
    """``value`` in percent, as the threshold."""
    rate = np.round(_known(panel, panel.funding_rate) * 100, _DECIMALS)
    threshold = f"not under {threshold_pct:g} %"
    return Requirement(name="funding_rate_pct", value=rate, met=rate >= threshold_pct, threshold=threshold)


def _known(panel: Panel, column: Floats | None) -> Floats:
    return np.full(panel.close.shape, np.nan) if column is None else column
