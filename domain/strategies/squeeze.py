"""A squeeze: a market that has gone quiet, as a Bollinger band that is narrower than it mostly was.

Bollinger's BandWidth (Bollinger on Bollinger Bands, 2001) is (upper band - lower band) / middle band. A bar is in a
squeeze where the percentile rank of its width among those of the ``squeeze_rank_bars`` bars before it is under
``squeeze_under_pct``. A bar comes *out of* a squeeze if one of the ``squeeze_within_bars`` bars before it, itself not
included, was in one: the bar that breaks out widens the band itself.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domain.indicators import bollinger, lowest_before, percentile_rank
from domain.strategies.conditions import Condition, under
from domain.strategies.contract import Floats, StrategyParameters

Length = Annotated[int, Field(ge=2, le=400)]


class SqueezeParameters(StrategyParameters):
    """Lengths in bars of the strategy's timeframe, ranks in percent."""

    bollinger_bars: Annotated[int, Field(ge=2, le=200)] = 20
    bollinger_deviations: Annotated[float, Field(gt=0, le=5, allow_inf_nan=False)] = 2.0
    squeeze_rank_bars: Length = 120
    squeeze_under_pct: Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)] = 25.0
    squeeze_within_bars: Annotated[int, Field(ge=2, le=100)] = 6

    @property
    def squeeze_warm_up_bars(self) -> int:
        """Bars after which it is known whether a bar comes out of a squeeze: exact, nothing of it is recursive."""
        return self.bollinger_bars + self.squeeze_rank_bars + self.squeeze_within_bars


def squeeze_rank(close: Floats, p: SqueezeParameters) -> Floats:
    """The lowest percentile rank of the band's width on the ``squeeze_within_bars`` bars before each one."""
    middle, upper, lower = bollinger(close, p.bollinger_bars, p.bollinger_deviations)
    return lowest_before(percentile_rank((upper - lower) / middle, p.squeeze_rank_bars), p.squeeze_within_bars)


def out_of_squeeze(rank: Floats, p: SqueezeParameters) -> Condition:
    """That rank under ``squeeze_under_pct``."""
    return under(rank, p.squeeze_under_pct)
