"""Momentum: join a directed rise on the spot market while takers buy.

Entry (edge, of candles alone): rate of change (against ``roc_bars`` bars before, in percent) over ``roc_over_pct``, ADX
(Wilder, New Concepts in Technical Trading Systems, 1978) over ``adx_over``, close over the fast EMA over the slow one
(exponential average: Brown, Statistical Forecasting for Inventory Control, 1959). On top of it, judged by gates on the
signal's bar, takers must have bought more than ``taker_buy_share_over`` of its volume. Exit: close under the slow EMA.

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
from domain.regime import RISING, Regime
from domain.strategies.conditions import entry_edge, over, price_over, watchlist_score, whole_candles
from domain.strategies.contract import Evaluation, Needs, Panel, Requirement, StrategyParameters
from domain.strategies.trend import Bars, Percent, TrendParameters

_HOUR = 3600


class MomentumParameters(TrendParameters):
    """Shares are fractions: 0.52 of the bar's volume."""

    roc_bars: Bars = 12
    roc_over_pct: Percent = 4.0
    taker_buy_share_over: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.52


class Momentum:
    """Long, spot, 4h unless configured otherwise."""

    name: ClassVar[str] = "momentum"
    title: ClassVar[str] = "Momentum"
    category: ClassVar[Category] = Category.SPOT
    side: ClassVar[PositionSide] = PositionSide.LONG
    timeframe: ClassVar[Timeframe] = Timeframe.H4
    parameters: ClassVar[type[StrategyParameters]] = MomentumParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(4),
        trailing_activation_pct=Decimal(3),
        trailing_distance_pct=Decimal("1.5"),
        break_even_at_pct=Decimal(2),
        max_hold_seconds=5 * 24 * _HOUR,
        min_hold_seconds=4 * _HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = RISING

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(MomentumParameters, parameters)
        return Needs(candles={timeframe: max(p.warm_up_bars, p.roc_bars + 2)}, taker_volume=True)

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(MomentumParameters, parameters), panels[timeframe]
        high, low, close = whole_candles(panel)
        roc = rate_of_change(close, p.roc_bars)
        strength = adx(high, low, close, p.adx_bars)
        fast, slow = ema(close, p.ema_fast_bars), ema(close, p.ema_slow_bars)
        conditions = (
            over(roc, p.roc_over_pct),
            over(strength, p.adx_over),
            price_over(close, fast, p.score_reach_pct),
            price_over(fast, slow, p.score_reach_pct),
        )
        return Evaluation(
            entry=entry_edge(conditions),
            exit=close < slow,
            score=watchlist_score(conditions),
            evidence={"close": close, "roc_pct": roc, "adx": strength, "ema_fast": fast, "ema_slow": slow},
            requirements=(_takers_buy(panel, p.taker_buy_share_over),),
        )


def _takers_buy(panel: Panel, threshold: float) -> Requirement:
    share = np.full(panel.close.shape, np.nan) if panel.taker_buy_share is None else panel.taker_buy_share
    return Requirement(name="taker_buy_share", value=share, met=share > threshold, threshold=f"over {threshold:g}")
