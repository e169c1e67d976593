"""The rules of every strategy once more, in plain arithmetic on one bar's evidence: what its docstring says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain.regime import NO_REGIME
from domain.strategies.contract import Evaluation, Panel
from tests.domain.strategy_cases import QUICK

Values = Mapping[str, float]


@dataclass(frozen=True)
class Rule:
    """One way to enter: whether it holds for a bar's evidence, of which it looks at ``uses`` (None: all of it).

    ``levels``: the regimes in which it counts (None: all). ``flag``: the evidence that is 1 where it fires.
    """

    holds: Callable[[Values, Any], bool]
    uses: tuple[str, ...] | None = None
    levels: frozenset[int] | None = None
    flag: str | None = None


def momentum(v: Values, p: Any) -> bool:
    return v["roc_pct"] > p.roc_over_pct and v["adx"] > p.adx_over and v["close"] > v["ema_fast"] > v["ema_slow"]


def momentum_short(v: Values, p: Any) -> bool:
    return v["roc_pct"] < p.roc_under_pct and v["adx"] > p.adx_over and v["close"] < v["ema_fast"] < v["ema_slow"]


def trend_breakdown(v: Values, p: Any) -> bool:
    return v["close"] < v["donchian_low"] and v["ema_fast"] < v["ema_slow"] and v["adx"] > p.adx_over


def mean_reversion(v: Values, p: Any) -> bool:
    return (
        any(
            v["rsi" + bar] < p.rsi_under
            and v["close" + bar] < v["bollinger_band" + bar]
            and v["adx" + bar] < p.adx_under
            for bar in ("", "_before")
        )
        and v["close_before"] < v["close"] < v["bollinger_middle"]
    )


def mean_reversion_short(v: Values, p: Any) -> bool:
    return (
        any(
            v["rsi" + bar] > p.rsi_over
            and v["close" + bar] > v["bollinger_band" + bar]
            and v["adx" + bar] < p.adx_under
            for bar in ("", "_before")
        )
        and v["close_before"] > v["close"] > v["bollinger_middle"]
    )


def _was_within(v: Values) -> bool:
    return 0 <= v["place_before"] <= 1


def range_fade_long(v: Values, p: Any) -> bool:
    at_the_edge = any(_stable(v, p, bar) and 0 <= v["place" + bar] <= p.edge_pct / 100 for bar in ("", "_before"))
    return at_the_edge and _was_within(v) and v["close_before"] < v["close"] < v["range_middle"]


def range_fade_short(v: Values, p: Any) -> bool:
    at_the_edge = any(_stable(v, p, bar) and 0 <= 1 - v["place" + bar] <= p.edge_pct / 100 for bar in ("", "_before"))
    return at_the_edge and _was_within(v) and v["close_before"] > v["close"] > v["range_middle"]


def _stable(v: Values, p: Any, bar: str) -> bool:
    return v["adx" + bar] < p.adx_under and v["width_pct" + bar] >= p.width_pct and v["overlap" + bar] > p.overlap_over


def growth_potential(v: Values, p: Any) -> bool:
    late = v["below_high_pct"] <= p.high_within_pct and v["run_pct"] >= p.run_pct
    return (
        v["strength_rank"] > p.rank_over_pct
        and v["daily_close"] > v["daily_ema"]
        and v["volume_ratio"] > p.volume_ratio_over
        and v["close"] > v["ema"]
        and not late
    )


def pullback(v: Values, p: Any) -> bool:
    return v["lowest_to_ema_slow"] < 1 and v["close"] > v["ema_fast"] and p.rsi_from < v["rsi"] < p.rsi_to


def breakout(v: Values, p: Any) -> bool:
    return (
        v["close"] > v["donchian_high"]
        and v["squeeze_rank"] < p.squeeze_under_pct
        and v["volume_to_mean"] > p.volume_over_mean
    )


def bear_pullback_short(v: Values, p: Any) -> bool:
    return v["high"] > v["ema_slow"] > v["close"] and p.rsi_from < v["rsi"] < p.rsi_to


def breakdown_short(v: Values, p: Any) -> bool:
    return v["close"] < v["donchian_low"] and v["squeeze_rank"] < p.squeeze_under_pct


def btc_swing(v: Values, p: Any) -> bool:
    return v["weekly_close"] > v["weekly_ema"] and v["regime_level"] >= 1 > v["lowest_level_before"]


_BEAR, _BULL = frozenset({-1, -2}), frozenset({1, 2})

RULES: dict[str, tuple[Rule, ...]] = {
    **{
        rule.__name__: (Rule(rule),)
        for rule in (
            momentum,
            momentum_short,
            trend_breakdown,
            mean_reversion,
            mean_reversion_short,
            range_fade_long,
            range_fade_short,
            growth_potential,
            btc_swing,
        )
    },
    "btc_trend": (
        Rule(pullback, ("close", "ema_fast", "rsi", "lowest_to_ema_slow"), _BULL, "pullback"),
        Rule(breakout, ("close", "donchian_high", "squeeze_rank", "volume_to_mean"), frozenset({0}), "breakout"),
    ),
    "btc_trend_short": (
        Rule(bear_pullback_short, ("high", "close", "ema_slow", "rsi"), _BEAR, "bear_pullback_short"),
        Rule(breakdown_short, ("close", "donchian_low", "squeeze_rank"), _BEAR, "breakdown_short"),
    ),
}


def holds(name: str, rule: Rule, evaluation: Evaluation) -> np.ndarray:
    """Symbols by bars: 1 where the rule holds, 0 where it doesn't, -1 where that isn't known."""
    used = {each: evaluation.evidence[each] for each in rule.uses or tuple(evaluation.evidence)}
    answers = np.full(evaluation.entry.shape, -1)
    for row, bar in np.argwhere(np.isfinite(np.stack(list(used.values()))).all(axis=0)).tolist():
        values = {each: float(column[row, bar]) for each, column in used.items()}
        answers[row, bar] = rule.holds(values, QUICK[name])
    return answers


def counts(rule: Rule, panel: Panel) -> np.ndarray:
    """Bars at which the rule counts."""
    if rule.levels is None:
        return np.ones(len(panel.open_time), np.bool_)
    levels = np.full(len(panel.open_time), NO_REGIME) if panel.regime is None else panel.regime
    return np.isin(levels, list(rule.levels))
