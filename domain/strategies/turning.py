"""A price that turns at an extreme: the extreme stood lately, and the close has begun to come back from it.

"Turning up" is exact: the close is over the close one bar before, and the extreme stands on this bar or stood on the
one before. So a turn may come on the bar that is still extreme, or on the bar that has just left it; a bar later it is
too late. Turning down is the mirror.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domain.indicators import bars_ago
from domain.market import PositionSide
from domain.strategies.conditions import Condition, price_over, price_under
from domain.strategies.contract import Floats


def turning(close: Floats, side: PositionSide, reach_pct: float) -> Condition:
    """The close over the close one bar before (a short: under). As far off as matters: ``reach_pct`` percent."""
    compare = price_over if side is PositionSide.LONG else price_under
    return compare(close, bars_ago(close, 1), reach_pct)


def lately(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Conditions that hold together on a bar or held together on the one before it.

    The conditions of the bar before stand in where all of them held there and not all do here. Not known unless both
    bars are.
    """
    before = [_one_bar_later(condition) for condition in conditions]
    held = np.logical_and.reduce([condition.met for condition in before])
    hold = np.logical_and.reduce([condition.met for condition in conditions])
    earlier = held & ~hold
    return tuple(
        Condition(
            met=np.where(earlier, then.met, now.met),
            reached=np.where(np.isfinite(then.reached), np.where(earlier, then.reached, now.reached), np.nan),
        )
        for now, then in zip(conditions, before, strict=True)
    )


def _one_bar_later(condition: Condition) -> Condition:
    met = np.zeros(condition.met.shape, np.bool_)
    met[:, 1:] = condition.met[:, :-1]
    return Condition(met=met, reached=bars_ago(condition.reached, 1))
