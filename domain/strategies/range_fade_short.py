"""Range fade, short: sell a perpetual at the upper edge of a stable range, once it turns.

Entry (edge), the mirror of ``range_fade_long``, all of:

- at the upper edge on this bar or the one before it: ADX (Wilder, 1978) under ``adx_under``, the range of the
  ``range_bars`` bars before at least ``width_pct`` wide (high over low) and stable, and the close in its highest
  ``edge_pct`` but not beyond, all on the same bar (range and stable: see ``domain.strategies.price_range``);
- turning down: close under the close one bar before, which was within its range;
- close over the middle of the range.

Exit: close at or under the middle of the range (what was wanted), or over its high (the range is broken). Warm-up:
until the seed of ADX weighs a millionth (``domain.strategies.warm_up``): 264 bars by default, 1,921 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, cast

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.regime import Regime
from domain.strategies.conditions import entry_edge, watchlist_score
from domain.strategies.contract import Evaluation, Needs, Panel, StrategyParameters
from domain.strategies.price_range import PriceRange, RangeParameters, fading

_HOUR = 3600


class RangeFadeShortParameters(RangeParameters):
    """Those of a range."""


class RangeFadeShort:
    """Short, linear, 1h unless configured otherwise."""

    name: ClassVar[str] = "range_fade_short"
    title: ClassVar[str] = "Range fade, short"
    category: ClassVar[Category] = Category.LINEAR
    side: ClassVar[PositionSide] = PositionSide.SHORT
    timeframe: ClassVar[Timeframe] = Timeframe.H1
    parameters: ClassVar[type[StrategyParameters]] = RangeFadeShortParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(2),
        take_profit_pct=Decimal(3),
        break_even_at_pct=Decimal("1.2"),
        max_hold_seconds=24 * _HOUR,
        min_hold_seconds=_HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = frozenset({Regime.NEUTRAL})

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        return Needs(candles={timeframe: cast(RangeFadeShortParameters, parameters).warm_up_bars})

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(RangeFadeShortParameters, parameters), panels[timeframe]
        ranged = PriceRange.of(panel, p)
        conditions = fading(ranged, self.side, p)
        return Evaluation(
            entry=entry_edge(conditions),
            exit=(ranged.close <= ranged.middle) | (ranged.close > ranged.high),
            score=watchlist_score(conditions),
            evidence=ranged.evidence(),
        )
