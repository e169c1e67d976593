"""Trend breakdown: sell a perpetual short when a falling market breaks its floor and new money comes in.

Entry (edge, of candles alone): close under the lowest low of the ``donchian_bars`` bars before (Donchian's channel),
fast EMA under the slow one, ADX (Wilder, New Concepts in Technical Trading Systems, 1978) over ``adx_over``. On top of
it, judged by gates on the signal's bar, open interest must have risen over ``open_interest_hours``, as stamped at the
opens of that bar and of the bar that much earlier (one bar where the timeframe is longer). Exit: close over the slow
EMA.

Warm-up: until the seeds of the averages and of ADX weigh a millionth (``domain.strategies.warm_up``): 397 bars by
default, 3,848 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, ClassVar, cast

import numpy as np
from pydantic import Field

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.indicators import adx, change, ema, lowest_before
from domain.market import Category, PositionSide
from domain.regime import FALLING, Regime
from domain.strategies.conditions import entry_edge, over, price_under, watchlist_score, whole_candles
from domain.strategies.contract import Evaluation, Needs, Panel, Requirement, StrategyParameters
from domain.strategies.trend import Bars, TrendParameters

_HOUR = 3600


class TrendBreakdownParameters(TrendParameters):
    """``open_interest_hours`` up to a week."""

    donchian_bars: Bars = 20
    open_interest_hours: Annotated[int, Field(ge=1, le=168)] = 24


class TrendBreakdown:
    """Short, linear, 4h unless configured otherwise."""

    name: ClassVar[str] = "trend_breakdown"
    title: ClassVar[str] = "Trend breakdown"
    category: ClassVar[Category] = Category.LINEAR
    side: ClassVar[PositionSide] = PositionSide.SHORT
    timeframe: ClassVar[Timeframe] = Timeframe.H4
    parameters: ClassVar[type[StrategyParameters]] = TrendBreakdownParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal("3.5"),
        trailing_activation_pct=Decimal(3),
        trailing_distance_pct=Decimal("1.5"),
        max_hold_seconds=3 * 24 * _HOUR,
        min_hold_seconds=4 * _HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = FALLING

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(TrendBreakdownParameters, parameters)
        looked_back = _bars_of(p.open_interest_hours, timeframe) + 1
        bars = max(p.warm_up_bars, p.donchian_bars + 2, looked_back)
        return Needs(candles={timeframe: bars}, open_interest=True, microstructure_bars=looked_back)

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(TrendBreakdownParameters, parameters), panels[timeframe]
        high, low, close = whole_candles(panel)
        floor = lowest_before(low, p.donchian_bars)
        strength = adx(high, low, close, p.adx_bars)
        fast, slow = ema(close, p.ema_fast_bars), ema(close, p.ema_slow_bars)
        conditions = (
            price_under(close, floor, p.score_reach_pct),
            price_under(fast, slow, p.score_reach_pct),
            over(strength, p.adx_over),
        )
        return Evaluation(
            entry=entry_edge(conditions),
            exit=close > slow,
            score=watchlist_score(conditions),
            evidence={"close": close, "donchian_low": floor, "adx": strength, "ema_fast": fast, "ema_slow": slow},
            requirements=(_open_interest_rises(panel, timeframe, p.open_interest_hours),),
        )


def _open_interest_rises(panel: Panel, timeframe: Timeframe, hours: int) -> Requirement:
    held = np.full(panel.close.shape, np.nan) if panel.open_interest is None else panel.open_interest
    risen = change(held, _bars_of(hours, timeframe))
    return Requirement(name=f"open_interest_change_{hours}h", value=risen, met=risen > 0, threshold="rising")


def _bars_of(hours: int, timeframe: Timeframe) -> int:
    return max(timedelta(hours=hours) // timeframe.duration, 1)
