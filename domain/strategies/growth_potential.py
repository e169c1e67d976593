"""Growth potential: buy coins that have been stronger than BTC for a month, while money comes in and before the run.

It decides on 4h bars: days choose the coin, and the 4h close times the entry. Decided on days, a coin that comes back
over its 4h average in the morning would be bought at midnight. A day counts from its close on.

Entry (edge), all of:

- relative strength (Levy, 1967; of the coin in BTC) among the best: (1 + coin's change) / (1 + BTC's change) - 1 over
  ``strength_days`` days, ranked over the symbols of the panel for which it is known, BTC itself not among them; the
  rank is over ``rank_over_pct``: of n symbols the k-th strongest has 100 * (n - k + 1) / n. With fewer than
  ``ranked_least`` symbols nobody has a rank;
- the last daily close over the EMA of daily closes (exponential average: Brown, Statistical Forecasting for
  Inventory Control, 1959);
- the mean volume of the last ``volume_short_days`` days over ``volume_ratio_over`` times that of the last
  ``volume_long_days``;
- close over the fast EMA, both of the strategy's own timeframe;
- not late: either the close is more than ``high_within_pct`` under the highest high of the last ``high_days`` days, or
  that high is less than ``run_pct`` over the lowest low of the same days.

Exit: the last daily close under its EMA. A symbol's result depends on its neighbours through its rank, and on nothing
else of theirs. Warm-up: until the seeds of the averages weigh a millionth (``domain.strategies.warm_up``): 397 days
and 160 bars of 4h by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Annotated, ClassVar, Final, Self, cast

import numpy as np
from pydantic import Field, model_validator

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.indicators import ema, highest, lowest, mean, rate_of_change, ratio
from domain.market import Category, PositionSide
from domain.regime import RISING, Regime
from domain.strategies.conditions import (
    Condition,
    either,
    entry_edge,
    over,
    price_over,
    under,
    watchlist_score,
    whole_candles,
)
from domain.strategies.contract import Evaluation, Floats, Needs, Panel, StrategyParameters
from domain.strategies.ranking import rank_among
from domain.strategies.timeframes import bars_back, onto
from domain.strategies.trend import Bars, Percent
from domain.strategies.warm_up import ema_bars

BENCHMARK: Final = "BTCUSDT"

_HOUR = 3600


class GrowthPotentialParameters(StrategyParameters):
    """``ema_bars`` in bars of the strategy's timeframe, ``..._days`` in daily candles.

    ``score_reach_pct`` is how many percent off (or beyond) a price condition counts as far off in the watchlist score.
    """

    strength_days: Bars = 30
    rank_over_pct: Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)] = 80.0
    ranked_least: Annotated[int, Field(ge=2, le=1000)] = 5
    ema_days: Bars = 50
    ema_bars: Bars = 20
    volume_short_days: Bars = 7
    volume_long_days: Bars = 30
    volume_ratio_over: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.3
    high_days: Bars = 20
    high_within_pct: Percent = 3.0
    run_pct: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 25.0
    score_reach_pct: Percent = 10.0

    @model_validator(mode="after")
    def _short_is_shorter(self) -> Self:
        if self.volume_short_days >= self.volume_long_days:
            raise ValueError(
                f"volume_short_days {self.volume_short_days} must be below volume_long_days {self.volume_long_days}"
            )
        return self


class GrowthPotential:
    """Long, spot, 4h (and 1d) unless configured otherwise."""

    name: ClassVar[str] = "growth_potential"
    title: ClassVar[str] = "Growth potential"
    category: ClassVar[Category] = Category.SPOT
    side: ClassVar[PositionSide] = PositionSide.LONG
    timeframe: ClassVar[Timeframe] = Timeframe.H4
    parameters: ClassVar[type[StrategyParameters]] = GrowthPotentialParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(6),
        trailing_activation_pct=Decimal(8),
        trailing_distance_pct=Decimal(4),
        break_even_at_pct=Decimal(5),
        max_hold_seconds=14 * 24 * _HOUR,
        min_hold_seconds=12 * _HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = RISING

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(GrowthPotentialParameters, parameters)
        longest = max(ema_bars(p.ema_days), p.strength_days + 1, p.volume_long_days, p.high_days)
        days, own = longest + bars_back(timeframe, Timeframe.D1, 1), ema_bars(p.ema_bars) + 1
        candles = {timeframe: own, Timeframe.D1: max(days, own if timeframe is Timeframe.D1 else 0)}
        return Needs(candles=candles, benchmark=BENCHMARK)

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel, daily = cast(GrowthPotentialParameters, parameters), panels[timeframe], panels[Timeframe.D1]
        close = whole_candles(panel)[2]
        fast = ema(close, p.ema_bars)
        days = _Days.of(daily, p).onto(daily, panel)
        below_high_pct = (1 - close / days.high) * 100
        conditions = (
            over(days.rank, p.rank_over_pct),
            price_over(days.close, days.ema, p.score_reach_pct),
            over(days.volume_ratio, p.volume_ratio_over),
            price_over(close, fast, p.score_reach_pct),
            _not_late(below_high_pct, days.run_pct, p),
        )
        return Evaluation(
            entry=entry_edge(conditions),
            exit=days.close < days.ema,
            score=watchlist_score(conditions),
            evidence={
                "close": close,
                "ema": fast,
                "strength_pct": days.strength,
                "strength_rank": days.rank,
                "daily_close": days.close,
                "daily_ema": days.ema,
                "volume_ratio": days.volume_ratio,
                "below_high_pct": below_high_pct,
                "run_pct": days.run_pct,
            },
        )


@dataclass(frozen=True, slots=True)
class _Days:
    """Indicators of days, on their own bars or aligned onto others."""

    close: Floats
    ema: Floats
    strength: Floats
    rank: Floats
    volume_ratio: Floats
    high: Floats
    run_pct: Floats

    @classmethod
    def of(cls, daily: Panel, p: GrowthPotentialParameters) -> _Days:
        high, low, close = whole_candles(daily)
        volume = np.where(np.isfinite(close), daily.volume, np.nan)
        strength = _strength(daily, close, p.strength_days)
        highest_high = highest(high, p.high_days)
        return cls(
            close=close,
            ema=ema(close, p.ema_days),
            strength=strength,
            rank=rank_among(strength, p.ranked_least),
            volume_ratio=ratio(mean(volume, p.volume_short_days), mean(volume, p.volume_long_days)),
            high=highest_high,
            run_pct=(highest_high / lowest(low, p.high_days) - 1) * 100,
        )

    def onto(self, daily: Panel, own: Panel) -> _Days:
        return _Days(*(onto(getattr(self, each.name), daily, own) for each in fields(self)))


def _strength(daily: Panel, close: Floats, days: int) -> Floats:
    """Change of the price in BTC, percent; not known of BTC itself, nor of anybody without BTC's candles."""
    if BENCHMARK not in daily.symbols:
        return np.full(close.shape, np.nan)
    benchmark = daily.symbols.index(BENCHMARK)
    in_btc = close / close[benchmark]
    in_btc[benchmark] = np.nan
    return rate_of_change(in_btc, days)


def _not_late(below_high_pct: Floats, run_pct: Floats, p: GrowthPotentialParameters) -> Condition:
    return either(over(below_high_pct, p.high_within_pct), under(run_pct, p.run_pct))
