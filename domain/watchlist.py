"""The watchlist: how interesting a symbol is to all strategies of one side together, and the order that makes.

The composite of a symbol and side is 70 % of the best score among the strategies of that side which watch it, and 30 %
of the mean of all of them: one strong reason counts, several count more. A score that the symbol lacks counts 0. A
strategy that may trade certain symbols only watches those and no others, so it neither lifts nor weighs on the rest.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.candle import Timeframe
from domain.market import Category, PositionSide

BEST_SHARE = 0.7
"""What the best score weighs; the mean has the rest."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """A strategy whose watchlist gate is on. ``only``: the symbols it may trade at all (None: every one)."""

    strategy: str
    category: Category
    side: PositionSide
    timeframe: Timeframe
    only: frozenset[str] | None = None

    def watches(self, symbol: str) -> bool:
        return self.only is None or symbol in self.only

    def is_current(self, scored_at: datetime, close_at: datetime) -> bool:
        """Whether a score given at the close ``scored_at`` is the strategy's newest possible one at ``close_at``.

        An older one is of a symbol that the strategy no longer looks at.
        """
        return close_at - self.timeframe.duration < scored_at <= close_at


@dataclass(frozen=True, slots=True)
class Score:
    """What one strategy scored a symbol with, 0 to 100, at one close."""

    strategy: str
    category: Category
    symbol: str
    score: float
    close_at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """A symbol's place on one side's list, the first is 1, with the ``scores`` by strategy behind its composite."""

    side: PositionSide
    symbol: str
    rank: int
    composite: float
    scores: Mapping[str, float]


def composite(scores: Collection[float], watchers: int) -> float:
    """The composite (0 to 100) of a symbol with these ``scores`` of ``watchers`` strategies; never above the best."""
    if len(scores) > watchers:
        raise ValueError(f"{len(scores)} scores of {watchers} strategies")
    if not scores:
        return 0.0
    best = max(scores)
    mean = min(math.fsum(scores) / watchers, best)
    return best - (1 - BEST_SHARE) * (best - mean)


def places(scores: Iterable[Score], watchers: Sequence[Watcher], side: PositionSide, close_at: datetime) -> list[Place]:
    """Every symbol of ``side`` with a composite above 0, the highest first, equal ones by name.

    Counted are current scores (see ``Watcher.is_current``) of the market its strategy trades now.
    """
    of_side = {each.strategy: each for each in watchers if each.side is side}
    by_symbol: dict[str, dict[str, float]] = {}
    for each in scores:
        watcher = of_side.get(each.strategy)
        if watcher is not None and _counts(each, watcher, close_at):
            by_symbol.setdefault(each.symbol, {})[each.strategy] = each.score
    composites = {
        symbol: composite(found.values(), sum(each.watches(symbol) for each in of_side.values()))
        for symbol, found in by_symbol.items()
    }
    ranked = sorted(
        (symbol for symbol in composites if composites[symbol] > 0), key=lambda one: (-composites[one], one)
    )
    return [
        Place(side, symbol, rank, composites[symbol], dict(sorted(by_symbol[symbol].items())))
        for rank, symbol in enumerate(ranked, start=1)
    ]


def _counts(score: Score, watcher: Watcher, close_at: datetime) -> bool:
    return (
        score.category is watcher.category
        and watcher.watches(score.symbol)
        and watcher.is_current(score.close_at, close_at)
    )
