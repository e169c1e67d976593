"""BTC swing: buy BTC when the market has just turned bull and the week confirms it, and hold it for weeks.

Entry (edge), both of:

- the last weekly close over the EMA of weekly closes (exponential average: Brown, Statistical Forecasting for
  Inventory Control, 1959);
- the regime newly bull: bull or strong bull at the bar's close, and not so at one of the bars closed in the
  ``newly_days`` days before. All of these must be known.

Alone among the strategies it wants the regime's turn itself: a turn while the week stands over its average is an entry,
and so is a week that comes to stand over it within ``newly_days`` of the turn. Exit: the last weekly close under its
EMA. What the price does in between is left to a wide trailing stop.

A week counts from its close on. Warm-up: until the seed of the weekly average weighs 0.1 %, which takes 91 weeks by
default; a millionth would take 160, and fewer are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, ClassVar, Final, cast

import numpy as np
from pydantic import Field

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.indicators import bars_ago, ema, lowest_before
from domain.market import Category, PositionSide
from domain.regime import NO_REGIME, Regime
from domain.strategies.conditions import Condition, entry_edge, price_over, watchlist_score, whole_candles
from domain.strategies.contract import Evaluation, Floats, Needs, Panel, StrategyParameters
from domain.strategies.setups import regime_levels
from domain.strategies.timeframes import bars_back, bars_of, onto
from domain.strategies.trend import Bars, Percent
from domain.strategies.warm_up import ema_bars

SEED_WEIGHT: Final = 1e-3
"""What is left of the seed of the weekly average."""

_DAY = 24 * 3600


class BtcSwingParameters(StrategyParameters):
    """``ema_weeks`` in weekly candles.

    ``score_reach_pct`` is how many percent off (or beyond) a price condition counts as far off in the watchlist score.
    """

    ema_weeks: Bars = 20
    newly_days: Annotated[int, Field(ge=1, le=30)] = 7
    score_reach_pct: Percent = 15.0


class BtcSwing:
    """Long, spot, BTCUSDT alone, 1d unless configured otherwise."""

    name: ClassVar[str] = "btc_swing"
    title: ClassVar[str] = "BTC swing"
    category: ClassVar[Category] = Category.SPOT
    side: ClassVar[PositionSide] = PositionSide.LONG
    timeframe: ClassVar[Timeframe] = Timeframe.D1
    parameters: ClassVar[type[StrategyParameters]] = BtcSwingParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(8),
        trailing_activation_pct=Decimal(15),
        trailing_distance_pct=Decimal(10),
        max_hold_seconds=84 * _DAY,
        min_hold_seconds=3 * _DAY,
    )
    regimes: ClassVar[frozenset[Regime]] = frozenset({Regime.BULL, Regime.STRONG_BULL})

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(BtcSwingParameters, parameters)
        weeks = ema_bars(p.ema_weeks, SEED_WEIGHT) + bars_back(timeframe, Timeframe.W1, 1)
        own = _newly_bars(p, timeframe) + 2
        candles = {timeframe: own, Timeframe.W1: max(weeks, own if timeframe is Timeframe.W1 else 0)}
        return Needs(candles=candles, regime=True, only=frozenset({"BTCUSDT"}))

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel, week = cast(BtcSwingParameters, parameters), panels[timeframe], panels[Timeframe.W1]
        close, weekly = whole_candles(panel)[2], whole_candles(week)[2]
        weekly_close = onto(weekly, week, panel)
        weekly_ema = onto(ema(weekly, p.ema_weeks), week, panel)
        level = _levels(panel, close)
        lowest = _lowest_before(level, _newly_bars(p, timeframe))
        conditions = (price_over(weekly_close, weekly_ema, p.score_reach_pct), _newly_bull(level, lowest))
        return Evaluation(
            entry=entry_edge(conditions),
            exit=weekly_close < weekly_ema,
            score=watchlist_score(conditions),
            evidence={
                "close": close,
                "weekly_close": weekly_close,
                "weekly_ema": weekly_ema,
                "regime_level": level,
                "lowest_level_before": lowest,
            },
        )


def _newly_bull(level: Floats, lowest_before: Floats) -> Condition:
    """Bull now, and not at some bar lately. Half as far off as matters where the market is one state short of it."""
    met = (level >= Regime.BULL.level) & (lowest_before < Regime.BULL.level)
    reached = np.where(met, 1.0, np.where(level == Regime.NEUTRAL.level, -0.5, -1.0))
    return Condition(met=met, reached=np.where(np.isfinite(level + lowest_before), reached, np.nan))


def _levels(panel: Panel, close: Floats) -> Floats:
    """The regime's level for every symbol, not known where the bar's own candle isn't."""
    levels = regime_levels(panel).astype(np.float64)
    return np.where(np.isfinite(close) & (levels != NO_REGIME), levels, np.nan)


def _lowest_before(level: Floats, bars: int) -> Floats:
    return bars_ago(level, 1) if bars == 1 else lowest_before(level, bars)


def _newly_bars(p: BtcSwingParameters, timeframe: Timeframe) -> int:
    return bars_of(timedelta(days=p.newly_days), timeframe)
