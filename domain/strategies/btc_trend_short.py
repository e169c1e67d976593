"""BTC trend, short: sell the BTC perpetual in a bear market, where a rally fails or a floor breaks.

Entry is the union of two setups; each is an edge of its own conditions of price. Both count in a confirmed bear market
only (bear and strong bear: the panel's regime is the effective one, which a state becomes by being confirmed); a turn
of the regime while the conditions stand is no entry. Evidence names the setup that fired (1, else 0).

``bear_pullback_short``, all of:

- rejection at the slow EMA: high over it and close under it, on the same bar;
- RSI (Wilder, New Concepts in Technical Trading Systems, 1978) between ``rsi_from`` and ``rsi_to``.

``breakdown_short``, all of:

- close under the lowest low of the ``donchian_bars`` bars before (Donchian's channel);
- out of a squeeze (Bollinger's BandWidth, see ``domain.strategies.squeeze``).

What funding costs over the planned hold is judged by the gate ``funding_cost``. Exit: close over both averages; a bar
that enters never leaves. Score: the better of both setups' in a bear market, else 0.

Warm-up: until the slow EMA's seed weighs a millionth (``domain.strategies.warm_up``): 397 bars by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, cast

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.indicators import lowest_before
from domain.market import Category, PositionSide
from domain.regime import Regime
from domain.strategies.btc_averages import BtcAverages, BtcTrendParameters, Strength
from domain.strategies.conditions import between, price_over, price_under
from domain.strategies.contract import Evaluation, Needs, Panel, StrategyParameters
from domain.strategies.setups import Setup, entry_of, score_of, told
from domain.strategies.squeeze import out_of_squeeze

_HOUR = 3600


class BtcTrendShortParameters(BtcTrendParameters):
    """Those of the averages, with a lower band of RSI."""

    rsi_from: Strength = 35.0
    rsi_to: Strength = 60.0


class BtcTrendShort:
    """Short, linear, BTCUSDT alone, 4h unless configured otherwise."""

    name: ClassVar[str] = "btc_trend_short"
    title: ClassVar[str] = "BTC trend, short"
    category: ClassVar[Category] = Category.LINEAR
    side: ClassVar[PositionSide] = PositionSide.SHORT
    timeframe: ClassVar[Timeframe] = Timeframe.H4
    parameters: ClassVar[type[StrategyParameters]] = BtcTrendShortParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(
        stop_loss_pct=Decimal(3),
        trailing_activation_pct=Decimal(3),
        trailing_distance_pct=Decimal("1.5"),
        break_even_at_pct=Decimal(2),
        max_hold_seconds=4 * 24 * _HOUR,
        min_hold_seconds=4 * _HOUR,
    )
    regimes: ClassVar[frozenset[Regime]] = frozenset({Regime.BEAR, Regime.STRONG_BEAR})

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(BtcTrendShortParameters, parameters)
        return Needs(candles={timeframe: p.warm_up_bars}, regime=True, only=frozenset({"BTCUSDT"}))

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, panel = cast(BtcTrendShortParameters, parameters), panels[timeframe]
        btc = BtcAverages.of(panel, p)
        floor = lowest_before(btc.low, p.donchian_bars)
        rejection = Setup(
            "bear_pullback_short",
            (
                price_over(btc.high, btc.slow, p.score_reach_pct),
                price_under(btc.close, btc.slow, p.score_reach_pct),
                between(btc.rsi, p.rsi_from, p.rsi_to),
            ),
            self.regimes,
        )
        breakdown = Setup(
            "breakdown_short",
            (price_under(btc.close, floor, p.score_reach_pct), out_of_squeeze(btc.squeeze_rank, p)),
            self.regimes,
        )
        setups = (rejection, breakdown)
        entry = entry_of(setups, panel)
        return Evaluation(
            entry=entry,
            exit=(btc.close > btc.fast) & (btc.close > btc.slow) & ~entry,
            score=score_of(setups, panel),
            evidence=btc.evidence() | {"high": btc.high, "donchian_low": floor} | told(setups, panel),
        )
