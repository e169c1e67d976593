"""Conditions of an entry: where they hold, how far away they are, and the edge and the score that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.strategies.contract import Bools, Floats, Panel

_ALL_HOLD = 60.0
"""Score at which every condition holds."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition over symbols and bars: where it holds, and how far beyond its threshold it is.

    ``reached`` is the distance to the threshold in units of what counts as far: above 0 where the condition holds, -1
    as far off as the score cares, NaN where it isn't known.
    """

    met: Bools
    reached: Floats


def over(value: Floats, threshold: float) -> Condition:
    """``value`` over ``threshold`` (above 0). As far off as matters: at 0; well beyond it: twice the threshold."""
    return Condition(met=value > threshold, reached=(value - threshold) / threshold)


def at_least(value: Floats, threshold: float) -> Condition:
    """``value`` at or over ``threshold`` (above 0), as far off as ``over`` has it."""
    return Condition(met=value >= threshold, reached=(value - threshold) / threshold)


def under(value: Floats, threshold: float) -> Condition:
    """``value`` (0 and more) under ``threshold`` (above 0). As far off as matters: twice it; well beyond it: at 0."""
    return Condition(met=value < threshold, reached=(threshold - value) / threshold)


def between(value: Floats, least: float, most: float) -> Condition:
    """``value`` between both, neither included. As far off as matters: half their distance; well inside: halfway."""
    half = (most - least) / 2
    return Condition(met=(value > least) & (value < most), reached=np.minimum(value - least, most - value) / half)


def either(one: Condition, other: Condition) -> Condition:
    """One of two conditions, as far off as the nearer of them. Not known unless both are."""
    known = np.isfinite(one.reached) & np.isfinite(other.reached)
    reached = np.where(known, np.maximum(one.reached, other.reached), np.nan)
    return Condition(met=(one.met | other.met) & known, reached=reached)


def price_over(price: Floats, level: Floats, reach_pct: float) -> Condition:
    """``price`` over ``level``. As far off as matters: ``reach_pct`` percent."""
    return Condition(met=price > level, reached=(price / level - 1) * 100 / reach_pct)


def price_under(price: Floats, level: Floats, reach_pct: float) -> Condition:
    """``price`` under ``level``. As far off as matters: ``reach_pct`` percent."""
    return Condition(met=price < level, reached=(1 - price / level) * 100 / reach_pct)


def entry_edge(conditions: Sequence[Condition]) -> Bools:
    """Where all conditions hold and did not one bar before. A bar after one that isn't known is no edge."""
    hold = np.logical_and.reduce([condition.met for condition in conditions])
    known = np.logical_and.reduce([np.isfinite(condition.reached) for condition in conditions])
    edge = np.zeros(hold.shape, np.bool_)
    edge[:, 1:] = (hold & known)[:, 1:] & (known & ~hold)[:, :-1]
    return edge


def watchlist_score(conditions: Sequence[Condition]) -> Floats:
    """How close to an entry, 0 to 100; 0 where a condition isn't known.

    Up to 60 for getting there: the mean over the conditions of 1 where one holds, less the further it is off. From 60
    on every condition holds, and the rest is the mean of how far beyond its threshold each one is. Never falls when a
    condition gets better.
    """
    reached = np.stack([condition.reached for condition in conditions])
    hold = np.logical_and.reduce([condition.met for condition in conditions])
    near = np.clip(1 + reached, 0, 1).mean(axis=0)
    beyond = np.where(hold, np.clip(reached, 0, 1).mean(axis=0), 0)
    score = _ALL_HOLD * near + (100 - _ALL_HOLD) * beyond
    return np.where(np.isfinite(reached).all(axis=0), np.clip(score, 0, 100), 0.0)


def whole_candles(panel: Panel) -> tuple[Floats, Floats, Floats]:
    """High, low and close, NaN in all three where any column of the candle is missing or no price."""
    prices = np.stack([panel.open, panel.high, panel.low, panel.close])
    whole = (np.isfinite(prices) & (prices > 0)).all(axis=0) & np.isfinite(panel.volume)
    _, high, low, close = np.where(whole, prices, np.nan)
    return high, low, close
