"""What the strategies that follow a trend share: their parameters, and how many bars these need to settle."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.strategies.contract import StrategyParameters

Bars = Annotated[int, Field(ge=2, le=400)]
Percent = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]

_SEED_LENGTHS = 5
"""An average's seed weighs under 0.1 % after this many of its own lengths."""


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
        """Bars after which the averages are what they would be with more; ADX smooths twice, over twice its length."""
        return _SEED_LENGTHS * max(self.ema_slow_bars, 2 * self.adx_bars)
