"""How much history decisions need, and a stretch of candles cut into pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.candle import Timeframe
from domain.market import Category
from domain.regime_score import DAYS_MOST, FOUR_HOURS
from domain.strategies import STRATEGIES, validate_parameters
from domain.strategy_config import StrategyConfig

STORED_TIMEFRAMES: Final = (Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1)
"""What is kept of every market. Minutes are asked for when a guard needs them and never stored."""

PAGE_BARS: Final = 1000
"""Candles in one answer of the exchange."""

OLDEST: Final = datetime(2010, 1, 1, tzinfo=UTC)
"""No market of ours is older, and a range from year 1 would be asked for page by page."""

REGIME_CATEGORY: Final = Category.LINEAR
REGIME_SYMBOL: Final = "BTCUSDT"
REGIME_TIMEFRAMES: Final = (Timeframe.H4, Timeframe.D1)
"""The market's regime is read from one symbol, whether it is traded or not: the one with the longest history."""

REGIME_STEP: Final = Timeframe.H4
"""Every close of this timeframe has a regime of its own."""

REGIME_PAST: Final = timedelta(days=30)
"""A system that knows no regime yet computes so much of the past first, so that it starts with a confirmed one."""

_REGIME_BARS: Final[Mapping[Timeframe, int]] = {
    Timeframe.H4: FOUR_HOURS + REGIME_PAST // Timeframe.H4.duration,
    Timeframe.D1: DAYS_MOST + REGIME_PAST // Timeframe.D1.duration,
}

_LEAST: Final[Mapping[Timeframe, int]] = {
    Timeframe.M15: 500,
    Timeframe.H1: 500,
    Timeframe.H4: 500,
    Timeframe.D1: 400,
    Timeframe.W1: 104,
}


def bars_to_decide(configs: Iterable[StrategyConfig] = ()) -> dict[Timeframe, int]:
    """Closed candles of each stored timeframe that must be there before the first decision.

    Every implemented strategy counts with its defaults, and once more as ``configs`` have it; one that a hand gave
    parameters it can't have doesn't.
    """
    needed = dict(_LEAST)
    asked = [(one, one.parameters(), one.timeframe) for one in STRATEGIES.values()]
    for config in configs:
        if config.strategy in STRATEGIES:
            with suppress(ValueError):
                parameters = validate_parameters(config.strategy, config.parameters)
                asked.append((STRATEGIES[config.strategy], parameters, config.timeframe))
    for strategy, parameters, timeframe in asked:
        for each, bars in strategy.needs(parameters, timeframe).candles.items():
            if each in needed:
                needed[each] = max(needed[each], bars)
    return needed


def bars_of_market(needed: Mapping[Timeframe, int], category: Category, symbol: str, timeframe: Timeframe) -> int:
    """Those of ``bars_to_decide`` for one market: more where the regime is read from it."""
    if (category, symbol) != (REGIME_CATEGORY, REGIME_SYMBOL):
        return needed[timeframe]
    return max(needed[timeframe], _REGIME_BARS.get(timeframe, 0))


def last_bars(timeframe: Timeframe, bars: int, now: datetime) -> tuple[datetime, datetime]:
    """[start, end): open times of the last ``bars`` candles that had closed at ``now``."""
    end = timeframe.floor(now)
    return end - bars * timeframe.duration, end


def grid_range(timeframe: Timeframe, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """[start, end) moved to open times: the candles that open in ``start`` .. ``end`` and close by ``end``."""
    first = timeframe.floor(start)
    return (first if first == start else first + timeframe.duration), timeframe.floor(end)


def bars_between(timeframe: Timeframe, start: datetime, end: datetime) -> int:
    """Candles with open time in [start, end), both on the grid."""
    return max((end - start) // timeframe.duration, 0)


def pages(timeframe: Timeframe, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) in stretches of at most ``PAGE_BARS`` candles, oldest first."""
    width: timedelta = PAGE_BARS * timeframe.duration
    while start < end:
        yield start, min(start + width, end)
        start += width
