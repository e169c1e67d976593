"""BTC trend: buy BTC in the way that fits the market, after a pullback in a rising one, on a breakout in a quiet one.

Entry is the union of two setups; each is an edge of its own conditions of price and volume, and counts in its regimes
only: a regime that turns while the conditions stand is no entry. Evidence names the setup that fired (1, else 0).

``pullback`` (the Pullback Buyer; bull and strong bull), all of:

- a low under the slow EMA on one of the last ``touch_within_bars`` bars, the bar itself included;
- close over the fast EMA;
- RSI (Wilder, New Concepts in Technical Trading Systems, 1978) between ``rsi_from`` and ``rsi_to``.

``breakout`` (the Breakout Catcher; neutral), all of:

- close over the highest high of the ``donchian_bars`` bars before (Donchian's channel);
- out of a squeeze (Bollinger's BandWidth, see ``domain.strategies.squeeze``);
- volume over ``volume_over_mean`` times the mean volume of the ``volume_bars`` bars before, the bar not included.

In a bear market there is no setup, nor is there one where no regime is known. Exit: close under both averages; a bar
that enters never leaves. Score: that of the setup that counts in the bar's regime, else 0.

Warm-up: until the slow EMA's seed weighs a millionth (``domain.strategies.warm_up``): 403 bars by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, cast

import numpy as np
from pydantic import Field

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.indicators import bars_ago, highest_before, lowest, mean, ratio
from domain.market import Category, PositionSide
from domain.regime import RISING, Regime
from domain.strategies.btc_averages import BtcAverages, BtcTrendParameters
from domain.strategies.conditions import between, over, price_over, price_under
from domain.strategies.contract import Evaluation, Floats, Needs, Panel, StrategyParameters
from domain.strategies.setups import Setup, entry_of, score_of, told
from domain.strategies.squeeze import out_of_squeeze
from domain.strategies.trend import Bars

_HOUR = 3600


class BtcTrendLongParameters(BtcTrendParameters):
    """``volume_over_mean`` is a multiple."""

    touch_within_bars: Annotated[int, Field(ge=2, le=100)] = 6
    volume_bars: Bars = 20
    volume_over_mean: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.5

    @property
    def warm_up_bars(self) -> int:
        """As those of the averages, which settle before the first bar whose touch counts."""
        return max(super().warm_up_bars + self.touch_within_bars, self.volume_bars + 2)


class BtcTrend:
    """Long, spot, BTCUSDT alone, 4h unless configured otherwise."""

    name: ClassVar[str] = "btc_trend"
    title: ClassVar[str] = "BTC trend"
    category: ClassVar[Category] = Category.SPOT
    side: ClassVar[PositionSide] = PositionSide.LONG
    timeframe: ClassVar[Timeframe] = Timeframe.H4
    parameters: ClassVar[type[StrategyParameters]] = BtcTrendLongParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal("3.5"),
        trailing_activation_pct=Decimal(4),
        trailing_distance_pct=Decimal(2),
        break_even_at_pct=Decimal("2.5"),
        max_hold_seconds=7 * 24 * _HOUR,
        min_hold_seconds=8 * _HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = RISING

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(BtcTrendLongParameters, parameters)
        return Needs(candles={timeframe: p.warm_up_bars}, regime=True, only=frozenset({"BTCUSDT"}))

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(BtcTrendLongParameters, parameters), panels[timeframe]
        btc = BtcAverages.of(panel, p)
        ceiling = highest_before(btc.high, p.donchian_bars)
        lowest_to_slow = lowest(btc.low / btc.slow, p.touch_within_bars)
        volume_to_mean = _volume_to_mean(btc, panel, p.volume_bars)
        pullback = Setup(
            "pullback",
            (
                price_under(lowest_to_slow, np.ones_like(lowest_to_slow), p.score_reach_pct),
                price_over(btc.close, btc.fast, p.score_reach_pct),
                between(btc.rsi, p.rsi_from, p.rsi_to),
            ),
            frozenset({Regime.BULL, Regime.STRONG_BULL}),
        )
        breakout = Setup(
            "breakout",
            (
                price_over(btc.close, ceiling, p.score_reach_pct),
                out_of_squeeze(btc.squeeze_rank, p),
                over(volume_to_mean, p.volume_over_mean),
            ),
            frozenset({Regime.NEUTRAL}),
        )
        setups = (pullback, breakout)
        entry = entry_of(setups, panel)
        return Evaluation(
            entry=entry,
            exit=(btc.close < btc.fast) & (btc.close < btc.slow) & ~entry,
            score=score_of(setups, panel),
            evidence=btc.evidence()
            | {"donchian_high": ceiling, "lowest_to_ema_slow": lowest_to_slow, "volume_to_mean": volume_to_mean}
            | told(setups, panel),
        )


def _volume_to_mean(btc: BtcAverages, panel: Panel, bars: int) -> Floats:
    volume = np.where(np.isfinite(btc.close), panel.volume, np.nan)
    return ratio(volume, bars_ago(mean(volume, bars), 1))
