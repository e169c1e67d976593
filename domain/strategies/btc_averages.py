"""What the two strategies that follow BTC's trend on one timeframe share: parameters, indicators, breakouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.indicators import ema, rsi
from domain.strategies.conditions import whole_candles
from domain.strategies.contract import Floats, Panel
from domain.strategies.squeeze import SqueezeParameters, squeeze_rank
from domain.strategies.trend import Bars, Percent
from domain.strategies.warm_up import ema_bars, rsi_bars

Strength = Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)]


class BtcTrendParameters(SqueezeParameters):
    """Lengths in bars of the strategy's timeframe; RSI from 0 to 100.

    ``score_reach_pct`` is how many percent off (or beyond) a price condition counts as far off in the watchlist score.
    """

    ema_fast_bars: Bars = 20
    ema_slow_bars: Bars = 50
    rsi_bars: Annotated[int, Field(ge=2, le=200)] = 14
    rsi_from: Strength = 40.0
    rsi_to: Strength = 65.0
    donchian_bars: Bars = 20
    score_reach_pct: Percent = 5.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ema_fast_bars >= self.ema_slow_bars:
            raise ValueError(f"ema_fast_bars {self.ema_fast_bars} must be below ema_slow_bars {self.ema_slow_bars}")
        if self.rsi_from >= self.rsi_to:
            raise ValueError(f"rsi_from {self.rsi_from:g} must be below rsi_to {self.rsi_to:g}")
        return self

    @property
    def warm_up_bars(self) -> int:
        """Bars after which every indicator of the last two bars is what it would be with more."""
        settled = max(ema_bars(self.ema_slow_bars), rsi_bars(self.rsi_bars))
        return max(settled, self.donchian_bars + 1, self.squeeze_warm_up_bars) + 1


@dataclass(frozen=True, slots=True)
class BtcAverages:
    """Indicators of a panel's whole candles."""

    high: Floats
    low: Floats
    close: Floats
    fast: Floats
    slow: Floats
    rsi: Floats
    squeeze_rank: Floats

    @classmethod
    def of(cls, panel: Panel, p: BtcTrendParameters) -> BtcAverages:
        high, low, close = whole_candles(panel)
        return cls(
            high=high,
            low=low,
            close=close,
            fast=ema(close, p.ema_fast_bars),
            slow=ema(close, p.ema_slow_bars),
            rsi=rsi(close, p.rsi_bars),
            squeeze_rank=squeeze_rank(close, p),
        )

    def evidence(self) -> dict[str, Floats]:
        return {
            "close": self.close,
            "ema_fast": self.fast,
            "ema_slow": self.slow,
            "rsi": self.rsi,
            "squeeze_rank": self.squeeze_rank,
        }
