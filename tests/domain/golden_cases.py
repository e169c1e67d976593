"""Stretches of candles on which the entries of every strategy were looked at one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from domain.candle import Timeframe, from_ms
from domain.regime import Regime
from domain.strategies import STRATEGIES
from domain.strategies.contract import Bools, Evaluation, Panel
from tests.domain import golden_synthetic as synthetic
from tests.domain.golden_recorded import recorded_panel, recorded_regimes

_MAJORS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
_RANKED_ONLY = (
    *("1000BONKUSDT", "AAVEUSDT", "ADAUSDT", "ARBUSDT", "DOTUSDT", "ENAUSDT", "ETCUSDT", "LINKUSDT", "LTCUSDT"),
    *("MNTUSDT", "OPUSDT", "SNXUSDT", "SUIUSDT", "WLDUSDT"),
)
"""Of these only days were recorded at the time: the others are ranked among them."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bars of a strategy's own timeframe by open time, from ``first`` on and through the day ``last``."""

    symbols: tuple[str, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A strategy with its defaults on its own panel, of which the stretch begins at bar ``shown``."""

    panel: Panel
    evaluation: Evaluation
    shown: int

    def entries(self) -> dict[str, list[str]]:
        """Open times (UTC) of the stretch's entries by symbol, those of symbols that enter."""
        return self._times(self.evaluation.entry)

    def failing(self, requirement: str) -> dict[str, list[str]]:
        """Those of the entries whose requirement is known and not met."""
        (need,) = (each for each in self.evaluation.requirements if each.name == requirement)
        return self._times(self.evaluation.entry & ~need.met & np.isfinite(need.value))

    def _times(self, chosen: Bools) -> dict[str, list[str]]:
        times: dict[str, list[str]] = {}
        for row, bar in np.argwhere(chosen[:, self.shown :]).tolist():
            opened = from_ms(int(self.panel.open_time[self.shown + bar]))
            times.setdefault(self.panel.symbols[row], []).append(f"{opened:%Y-%m-%d %H:%M}")
        return times


RECORDED: Mapping[str, Stretch] = {
    "growth_potential": Stretch((*_MAJORS, *_RANKED_ONLY), "2024-10-15", "2025-01-15"),
    "momentum": Stretch(("BTCUSDT",), "2024-01-20", "2024-02-29"),
    "mean_reversion": Stretch(("SOLUSDT",), "2024-08-20", "2024-09-08"),
    "btc_trend": Stretch(("BTCUSDT",), "2023-09-20", "2023-11-12"),
    "trend_breakdown": Stretch(("ETHUSDT",), "2022-05-01", "2022-06-20"),
    "momentum_short": Stretch(("ETHUSDT",), "2025-02-20", "2025-04-12"),
    "mean_reversion_short": Stretch(("BTCUSDT",), "2024-05-18", "2024-06-06"),
    "btc_trend_short": Stretch(("BTCUSDT",), "2022-04-10", "2022-05-31"),
    "range_fade_long": Stretch(("SOLUSDT",), "2023-10-01", "2023-10-20"),
    "range_fade_short": Stretch(("BTCUSDT",), "2024-11-12", "2024-12-05"),
    "btc_swing": Stretch(("BTCUSDT",), "2022-11-01", "2023-12-31"),
}


@cache
def judge_recorded(name: str) -> Judged:
    """The strategy on recorded candles, of the window that it needs and the stretch."""
    strategy, stretch = STRATEGIES[name], RECORDED[name]
    needs = strategy.needs(strategy.parameters(), strategy.timeframe)
    first, end = _midnight(stretch.first), _midnight(stretch.last) + timedelta(days=1)
    panels: dict[Timeframe, Panel] = {}
    for timeframe, bars in needs.candles.items():
        opened, newest = timeframe.floor(first) - bars * timeframe.duration, timeframe.floor(end) - timeframe.duration
        panels[timeframe] = recorded_panel(stretch.symbols, timeframe, opened, newest)
    if needs.regime:
        own = panels[strategy.timeframe]
        panels[strategy.timeframe] = replace(own, regime=recorded_regimes(own))
    return _judged(name, panels, needs.candles[strategy.timeframe])


@cache
def judge_synthetic(name: str) -> Judged:
    """The strategy on the made-up market that its timeframe tells of."""
    panels, shown = {
        "growth_potential": _coins,
        "btc_swing": _days,
        "mean_reversion": _hours,
        "mean_reversion_short": _hours,
        "range_fade_long": _hours,
        "range_fade_short": _hours,
    }.get(name, _four_hours)()
    return _judged(name, panels, shown)


def _hours() -> tuple[dict[Timeframe, Panel], int]:
    rows = {"BTCUSDT": synthetic.candles(synthetic.HOUR, synthetic.HOUR_NOISE, seed=1)}
    return {Timeframe.H1: synthetic.panel(rows, Timeframe.H1)}, 300


def _four_hours() -> tuple[dict[Timeframe, Panel], int]:
    rows = {"BTCUSDT": synthetic.candles(synthetic.FOUR_HOURS, synthetic.FOUR_HOURS_NOISE, seed=2, busy=[(431, 437)])}
    turns = (
        (0, Regime.NEUTRAL),
        (460, Regime.BULL),
        (500, Regime.STRONG_BULL),
        (610, Regime.NEUTRAL),
        (670, Regime.BEAR),
        (762, Regime.NEUTRAL),
        (845, Regime.BEAR),
        (865, Regime.STRONG_BEAR),
    )
    panel = synthetic.panel(rows, Timeframe.H4, synthetic.regimes(synthetic.FOUR_HOURS[-1][0], turns))
    return {Timeframe.H4: panel}, 415


def _coins() -> tuple[dict[Timeframe, Panel], int]:
    busy = {"GAINUSDT": [(2590, 2690)], "ROCKUSDT": [(2700, 2820)]}
    rows = {
        symbol: synthetic.candles(legs, ((0, 0.6),), seed=3 + place, busy=busy.get(symbol, ()))
        for place, (symbol, legs) in enumerate(synthetic.COINS.items())
    }
    own = synthetic.panel(rows, Timeframe.H4)
    return {Timeframe.H4: own, Timeframe.D1: synthetic.summed(rows, Timeframe.H4, Timeframe.D1)}, 2520


def _days() -> tuple[dict[Timeframe, Panel], int]:
    rows = {"BTCUSDT": synthetic.candles(synthetic.DAYS, ((0, 1.0),), seed=9)}
    turns = (
        (0, Regime.NEUTRAL),
        (735, Regime.BEAR),
        (790, Regime.NEUTRAL),
        (805, Regime.BULL),
        (820, Regime.STRONG_BULL),
        (862, Regime.NEUTRAL),
        (890, Regime.BULL),
        (945, Regime.NEUTRAL),
    )
    own = synthetic.panel(rows, Timeframe.D1, synthetic.regimes(synthetic.DAYS[-1][0], turns))
    return {Timeframe.D1: own, Timeframe.W1: synthetic.summed(rows, Timeframe.D1, Timeframe.W1)}, 700


def _judged(name: str, panels: Mapping[Timeframe, Panel], shown: int) -> Judged:
    strategy = STRATEGIES[name]
    evaluation = strategy.evaluate(panels, strategy.timeframe, strategy.parameters())
    return Judged(panels[strategy.timeframe], evaluation, shown)


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
