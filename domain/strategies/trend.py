"""What the strategies that follow a trend share: their parameters, and how many bars these need to settle."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.strategies.contract import StrategyParameters
from domain.strategies.warm_up import adx_bars, ema_bars

Bars = Annotated[int, Field(ge=2, le=400)]
Percent = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]


class TrendParameters(StrategyParameters):
    """Lengths in bars of the strategy's timeframe.

    ``score_reach_pct`` is how many percent off (or beyond) a price condition counts as far off in the watchlist score.
    """

    adx_bars: Annotated[int, Field(ge=2, le=200)] = 14
    adx_over: Percent = 25.0
    ema_fast_bars: Bars = 20
    ema_slow_bars: Bars = 50
    score_reach_pct: Percent = 5.0

    @model_validator(mode="after")
    def _fast_is_faster(self) -> Self:
        if self.ema_fast_bars >= self.ema_slow_bars:
            raise ValueError(f"ema_fast_bars {self.ema_fast_bars} must be below ema_slow_bars {self.ema_slow_bars}")
        return self

    @property
    def warm_up_bars(self) -> int:
        """Bars after which the averages of the last two are what they would be with more: 397 by default."""
        return max(ema_bars(self.ema_slow_bars), adx_bars(self.adx_bars)) + 1
