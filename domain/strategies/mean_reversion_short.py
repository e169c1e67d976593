"""Mean reversion, short: sell a perpetual that rose too far in a market without a direction, once it turns.

Entry (edge, of candles alone), the mirror of ``mean_reversion``, all of:

- stretched on this bar or the one before it: RSI over ``rsi_over``, close over the upper Bollinger band and ADX
  under ``adx_under``, all three on the same bar (formulas: ``domain.strategies.reversion``);
- turning down: close under the close one bar before;
- close over the middle band.

On top of it, judged by gates on the signal's bar, accounts that are long must outnumber those that are short by more
than ``long_short_ratio_over`` to one, as stamped at the bar's open: a crowd that has to sell. Exit: close at or under
the middle band. Warm-up: until the seeds of RSI and ADX weigh a millionth (``domain.strategies.warm_up``): 264 bars by
default, 1,921 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, cast

import numpy as np
from pydantic import Field

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.regime import FALLING, Regime
from domain.strategies.conditions import entry_edge, watchlist_score
from domain.strategies.contract import Evaluation, Needs, Panel, Requirement, StrategyParameters
from domain.strategies.reversion import ReversionParameters, Strength, Stretch, reverting

_HOUR = 3600


class MeanReversionShortParameters(ReversionParameters):
    """RSI from 0 to 100; the ratio is accounts long over accounts short."""

    rsi_over: Strength = 70.0
    long_short_ratio_over: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.5


class MeanReversionShort:
    """Short, linear, 1h unless configured otherwise."""

    name: ClassVar[str] = "mean_reversion_short"
    title: ClassVar[str] = "Mean reversion, short"
    category: ClassVar[Category] = Category.LINEAR
    side: ClassVar[PositionSide] = PositionSide.SHORT
    timeframe: ClassVar[Timeframe] = Timeframe.H1
    parameters: ClassVar[type[StrategyParameters]] = MeanReversionShortParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(3),
        take_profit_pct=Decimal(4),
        break_even_at_pct=Decimal("1.5"),
        max_hold_seconds=24 * _HOUR,
        min_hold_seconds=_HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = FALLING

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(MeanReversionShortParameters, parameters)
        return Needs(candles={timeframe: p.warm_up_bars}, long_short_ratio=True)

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(MeanReversionShortParameters, parameters), panels[timeframe]
        stretch = Stretch.of(panel, self.side, p)
        conditions = reverting(stretch, self.side, p.rsi_over, p)
        return Evaluation(
            entry=entry_edge(conditions),
            exit=stretch.close <= stretch.middle,
            score=watchlist_score(conditions),
            evidence=stretch.evidence(),
            requirements=(_crowd_is_long(panel, p.long_short_ratio_over),),
        )


def _crowd_is_long(panel: Panel, threshold: float) -> Requirement:
    ratio = np.full(panel.close.shape, np.nan) if panel.long_short_ratio is None else panel.long_short_ratio
    return Requirement(name="long_short_ratio", value=ratio, met=ratio > threshold, threshold=f"over {threshold:g}")
