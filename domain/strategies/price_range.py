"""What the strategies that fade the edges of a range share: the range, its parameters and conditions, from one side.

The range of a bar is that of the ``range_bars`` bars before it, itself not included: from their lowest low to their
highest high (Donchian's channel). It is *stable* where both halves of those bars traded in mostly the same place:

    overlap = (lower of both halves' highs - higher of both halves' lows) / (highest high - lowest low)

is over ``overlap_over``. At 1 both halves span the whole range; at 0 or less one lies over the other, which is a trend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from domain.indicators import adx, bars_ago, highest_before, lowest_before
from domain.market import PositionSide
from domain.strategies.conditions import Condition, at_least, over, price_over, price_under, under, whole_candles
from domain.strategies.contract import Floats, Panel, StrategyParameters
from domain.strategies.trend import Percent
from domain.strategies.turning import lately, turning
from domain.strategies.warm_up import adx_bars


class RangeParameters(StrategyParameters):
    """Lengths in bars of the strategy's timeframe; ``range_bars`` is even, since a range has two halves.

    ``edge_pct`` is the outer part of the range that counts as its edge, in percent of its width. ``score_reach_pct`` is
    how many percent off (or beyond) a price condition counts as far off in the watchlist score.
    """

    range_bars: Annotated[int, Field(ge=4, le=400)] = 48
    width_pct: Percent = 3.0
    overlap_over: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    edge_pct: Annotated[float, Field(gt=0, lt=50, allow_inf_nan=False)] = 15.0
    adx_bars: Annotated[int, Field(ge=2, le=100)] = 14
    adx_under: Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)] = 20.0
    score_reach_pct: Percent = 3.0

    @field_validator("range_bars")
    @classmethod
    def _has_halves(cls, bars: int) -> int:
        if bars % 2:
            raise ValueError(f"range_bars {bars} must be even: a range is compared in halves")
        return bars

    @property
    def warm_up_bars(self) -> int:
        """Bars after which the indicators of the last three are what they would be with more."""
        return max(adx_bars(self.adx_bars), self.range_bars + 1) + 2


@dataclass(frozen=True, slots=True)
class PriceRange:
    """The range of every bar and where its close is: ``width_pct`` of the low, ``place`` 0 (low) to 1 (high)."""

    close: Floats
    low: Floats
    high: Floats
    adx: Floats
    width_pct: Floats
    overlap: Floats
    place: Floats

    @classmethod
    def of(cls, panel: Panel, p: RangeParameters) -> PriceRange:
        highs, lows, close = whole_candles(panel)
        half = p.range_bars // 2
        late_high, late_low = highest_before(highs, half), lowest_before(lows, half)
        early_high, early_low = bars_ago(late_high, half), bars_ago(late_low, half)
        high, low = np.maximum(early_high, late_high), np.minimum(early_low, late_low)
        shared = np.minimum(early_high, late_high) - np.maximum(early_low, late_low)
        return cls(
            close=close,
            low=low,
            high=high,
            adx=adx(highs, lows, close, p.adx_bars),
            width_pct=(high / low - 1) * 100,
            overlap=_part(shared, high - low, if_flat=1.0),
            place=_part(close - low, high - low, if_flat=0.5),
        )

    @property
    def middle(self) -> Floats:
        """Halfway from low to high."""
        return (self.low + self.high) / 2

    def evidence(self) -> dict[str, Floats]:
        """Values of the bar and, as ``..._before``, of the one before: what an entry is decided by."""
        own = {
            "close": self.close,
            "adx": self.adx,
            "width_pct": self.width_pct,
            "overlap": self.overlap,
            "place": self.place,
        }
        before = {f"{name}_before": bars_ago(values, 1) for name, values in own.items()}
        return own | before | {"range_low": self.low, "range_high": self.high, "range_middle": self.middle}


def fading(ranged: PriceRange, side: PositionSide, p: RangeParameters) -> tuple[Condition, ...]:
    """Conditions of an entry: at the edge on this bar or the one before, turning back, not yet past the middle.

    A close beyond the range on the bar before has broken it: what comes back from there is no turn at its edge.
    """
    from_low = side is PositionSide.LONG
    short_of = price_under if from_low else price_over
    at_the_edge = (
        under(ranged.adx, p.adx_under),
        at_least(ranged.width_pct, p.width_pct),
        over(ranged.overlap, p.overlap_over),
        _at_edge(ranged.place if from_low else 1 - ranged.place, p.edge_pct / 100),
    )
    return (
        *lately(at_the_edge),
        _within(bars_ago(ranged.place, 1)),
        turning(ranged.close, side, p.score_reach_pct),
        short_of(ranged.close, ranged.middle, p.score_reach_pct),
    )


def _at_edge(place: Floats, edge: float) -> Condition:
    """From 0 to ``edge`` of the way. As far off as matters: at the other end, or as far outside of the range."""
    inside = place >= 0
    reached = np.where(inside, (edge - place) / np.where(place > edge, 1 - edge, edge), place)
    return Condition(met=inside & (place <= edge), reached=reached)


def _within(place: Floats) -> Condition:
    """From 0 to 1. As far off as matters: as far outside as the range is wide."""
    outside = np.maximum(-place, place - 1)
    return Condition(met=outside <= 0, reached=np.where(outside <= 0, 1.0, -outside))


def _part(value: Floats, whole: Floats, *, if_flat: float) -> Floats:
    return np.divide(value, whole, out=np.where(np.isnan(whole), np.nan, if_flat), where=whole > 0)
