"""Strategies: one file each, pure, and the registry of those there are.

``contract.py`` says what a strategy is. A strategy is added by writing its file and naming an instance here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from domain.strategies.btc_swing import BtcSwing
from domain.strategies.btc_trend import BtcTrend
from domain.strategies.btc_trend_short import BtcTrendShort
from domain.strategies.contract import Strategy, StrategyParameters
from domain.strategies.growth_potential import GrowthPotential
from domain.strategies.mean_reversion import MeanReversion
from domain.strategies.mean_reversion_short import MeanReversionShort
from domain.strategies.momentum import Momentum
from domain.strategies.momentum_short import MomentumShort
from domain.strategies.range_fade_long import RangeFadeLong
from domain.strategies.range_fade_short import RangeFadeShort
from domain.strategies.trend_breakdown import TrendBreakdown

_KNOWN: tuple[Strategy, ...] = (
    GrowthPotential(),
    Momentum(),
    MeanReversion(),
    BtcTrend(),
    TrendBreakdown(),
    MomentumShort(),
    MeanReversionShort(),
    BtcTrendShort(),
    RangeFadeLong(),
    RangeFadeShort(),
    BtcSwing(),
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType({strategy.name: strategy for strategy in _KNOWN})
"""Every implemented strategy by its name."""


class UnknownStrategy(KeyError):
    """No strategy has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no strategy {self.name!r}: known are {', '.join(sorted(STRATEGIES))}"


def strategy_named(name: str) -> Strategy:
    """The strategy of that name. Raises UnknownStrategy, which names those there are."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise UnknownStrategy(name) from None


def validate_parameters(name: str, parameters: Mapping[str, Any]) -> StrategyParameters:
    """``parameters`` as the strategy's own model, defaults for what isn't named.

    Raises UnknownStrategy, or pydantic.ValidationError naming parameter and rule.
    """
    return strategy_named(name).parameters.model_validate(dict(parameters))
