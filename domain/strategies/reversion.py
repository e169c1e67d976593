"""What the strategies that fade an exaggeration share: its parameters, indicators and conditions, seen from one side.

Stretched (long; a short is the mirror): Wilder's RSI (New Concepts in Technical Trading Systems, 1978) under its
threshold, the close under the lower of Bollinger's bands (mean and population deviation of the closes, Bollinger on
Bollinger Bands, 2001), and Wilder's ADX under ``adx_under``: far from the mean in a market that isn't going anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from domain.indicators import adx, bars_ago, bollinger, rsi
from domain.market import PositionSide
from domain.strategies.conditions import Condition, price_over, price_under, under, whole_candles
from domain.strategies.contract import Floats, Panel, StrategyParameters
from domain.strategies.trend import Percent
from domain.strategies.turning import lately, turning
from domain.strategies.warm_up import adx_bars, rsi_bars

Length = Annotated[int, Field(ge=2, le=100)]
Strength = Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)]


class ReversionParameters(StrategyParameters):
    """Lengths in bars of the strategy's timeframe.

    ``score_reach_pct`` is how many percent off (or beyond) a price condition counts as far off in the watchlist score.
    """

    rsi_bars: Length = 14
    bollinger_bars: Length = 20
    bollinger_deviations: Annotated[float, Field(gt=0, le=5, allow_inf_nan=False)] = 2.0
    adx_bars: Length = 14
    adx_under: Strength = 25.0
    score_reach_pct: Percent = 3.0

    @property
    def warm_up_bars(self) -> int:
        """Bars after which the indicators of the last three are what they would be with more."""
        return max(rsi_bars(self.rsi_bars), adx_bars(self.adx_bars), self.bollinger_bars) + 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """Indicators of a panel: ``band`` is the outer band of the side, the lower one for a long position."""

    close: Floats
    rsi: Floats
    adx: Floats
    band: Floats
    middle: Floats

    @classmethod
    def of(cls, panel: Panel, side: PositionSide, p: ReversionParameters) -> Stretch:
        high, low, close = whole_candles(panel)
        middle, upper, lower = bollinger(close, p.bollinger_bars, p.bollinger_deviations)
        return cls(
            close=close,
            rsi=rsi(close, p.rsi_bars),
            adx=adx(high, low, close, p.adx_bars),
            band=lower if side is PositionSide.LONG else upper,
            middle=middle,
        )

    def evidence(self) -> dict[str, Floats]:
        """Values of the bar and, as ``..._before``, of the one before: what an entry is decided by."""
        own = {"close": self.close, "rsi": self.rsi, "adx": self.adx, "bollinger_band": self.band}
        return (
            own
            | {f"{name}_before": bars_ago(values, 1) for name, values in own.items()}
            | {"bollinger_middle": self.middle}
        )


def reverting(stretch: Stretch, side: PositionSide, rsi_edge: float, p: ReversionParameters) -> tuple[Condition, ...]:
    """Conditions of an entry: stretched on this bar or the one before, turning back, not yet past the middle band.

    ``rsi_edge``: RSI must be under it (a short: over it).
    """
    rising = side is PositionSide.LONG
    beyond = price_under if rising else price_over
    stretched = (
        under(stretch.rsi, rsi_edge) if rising else under(100 - stretch.rsi, 100 - rsi_edge),
        beyond(stretch.close, stretch.band, p.score_reach_pct),
        under(stretch.adx, p.adx_under),
    )
    return (
        *lately(stretched),
        turning(stretch.close, side, p.score_reach_pct),
        beyond(stretch.close, stretch.middle, p.score_reach_pct),
    )
