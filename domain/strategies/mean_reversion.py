"""Mean reversion: buy on the spot market what fell too far in a market without a direction, once it turns.

Entry (edge), all of:

- stretched on this bar or the one before it: RSI under ``rsi_under``, close under the lower Bollinger band and ADX
  under ``adx_under``, all three on the same bar (formulas: ``domain.strategies.reversion``);
- turning up: close over the close one bar before;
- close under the middle band: what is back there has nothing left to revert to.

Exit: close at or over the middle band. Warm-up: until the seeds of RSI and ADX weigh a millionth
(``domain.strategies.warm_up``): 264 bars by default, 1,921 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, cast

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.regime import RISING, Regime
from domain.strategies.conditions import entry_edge, watchlist_score
from domain.strategies.contract import Evaluation, Needs, Panel, StrategyParameters
from domain.strategies.reversion import ReversionParameters, Strength, Stretch, reverting

_HOUR = 3600


class MeanReversionParameters(ReversionParameters):
    """RSI from 0 to 100."""

    rsi_under: Strength = 30.0


class MeanReversion:
    """Long, spot, 1h unless configured otherwise."""

    name: ClassVar[str] = "mean_reversion"
    title: ClassVar[str] = "Mean reversion"
    category: ClassVar[Category] = Category.SPOT
    side: ClassVar[PositionSide] = PositionSide.LONG
    timeframe: ClassVar[Timeframe] = Timeframe.H1
    parameters: ClassVar[type[StrategyParameters]] = MeanReversionParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(3),
        take_profit_pct=Decimal(4),
        break_even_at_pct=Decimal("1.5"),
        max_hold_seconds=24 * _HOUR,
        min_hold_seconds=_HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = RISING

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        return Needs(candles={timeframe: cast(MeanReversionParameters, parameters).warm_up_bars})

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(MeanReversionParameters, parameters), panels[timeframe]
        stretch = Stretch.of(panel, self.side, p)
        conditions = reverting(stretch, self.side, p.rsi_under, p)
        return Evaluation(
            entry=entry_edge(conditions),
            exit=stretch.close >= stretch.middle,
            score=watchlist_score(conditions),
            evidence=stretch.evidence(),
        )
