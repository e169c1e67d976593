"""The configuration of a strategy: one row that says everything it may do, how much of it, and what may be changed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.microstructure import UNSTAMPED
from domain.regime import Regime
from domain.strategies import STRATEGIES, validate_parameters
from domain.strategies.contract import Strategy

Amount = Annotated[Decimal, Field(gt=0, allow_inf_nan=False, max_digits=24, decimal_places=8)]


class RegimeExit(StrEnum):
    """What becomes of positions when the market turns to a regime their strategy doesn't open in."""

    HOLD = "hold"
    """They are left to their guard, their stop and their strategy's own exit."""
    CLOSE = "close"
    """They are closed at market."""


class StrategyConfig(BaseModel):
    """A row of ``strategy_configurations``. Amounts in USD (quote coin), seconds of market time.

    Three gates, each independent: ``watchlist_gate`` (its scores count), ``buy_gate`` (it may open), ``sell_gate`` (its
    own exit signals count; off leaves its positions to their guards and stops). ``signal_ttl_seconds`` is how long
    after the candle's close a signal may still be acted on; ``cooldown_seconds`` how long a symbol rests after a close.
    ``regimes`` (of a row from before there were any: all) are those of the market in which it may open, ``regime_exit``
    what becomes of its positions when the market leaves them. ``max_funding_cost_pct`` (percent of the position, None:
    no limit) is what funding over the planned hold may cost a position on a perpetual.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    watchlist_gate: bool
    buy_gate: bool
    sell_gate: bool
    category: Category
    side: PositionSide
    timeframe: Timeframe
    trade_usd: Amount
    max_positions: int = Field(ge=0, le=1000)
    max_trades_per_day: int = Field(ge=0, le=10_000)
    cooldown_seconds: int = Field(ge=0)
    signal_ttl_seconds: int = Field(gt=0)
    exit_policy: ExitPolicy
    parameters: dict[str, Any]
    regimes: tuple[Regime, ...] = Field(default=tuple(Regime), min_length=1)
    regime_exit: RegimeExit = RegimeExit.HOLD
    max_funding_cost_pct: Annotated[Decimal, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    version: int = Field(default=1, ge=1)

    @field_validator("regimes")
    @classmethod
    def _from_falling_to_rising(cls, regimes: tuple[Regime, ...]) -> tuple[Regime, ...]:
        """In one order, so that the same regimes are the same configuration."""
        if len(set(regimes)) < len(regimes):
            raise ValueError("names a regime twice")
        return tuple(sorted(regimes, key=lambda regime: regime.level))


_FIXED = frozenset({"strategy", "version"})
_HOUR = 3600
_ACTIVE_IN_PAPER: Final = frozenset({"momentum", "trend_breakdown"})
_FUNDING_COST_PCT = Decimal("0.5")


def seeded_active(strategy: str, mode: str) -> bool:
    """Whether a strategy may buy from its first start: two of them in paper mode, none against a real account."""
    return mode == "paper" and strategy in _ACTIVE_IN_PAPER


def default_config(strategy: Strategy, *, active: bool) -> StrategyConfig:
    """What ``strategy`` is seeded with: all gates on when ``active``, else it may watch and leave but not enter."""
    return StrategyConfig(
        strategy=strategy.name,
        watchlist_gate=True,
        buy_gate=active,
        sell_gate=True,
        category=strategy.category,
        side=strategy.side,
        timeframe=strategy.timeframe,
        trade_usd=Decimal(1000),
        max_positions=5,
        max_trades_per_day=10,
        cooldown_seconds=4 * _HOUR,
        signal_ttl_seconds=_HOUR,
        exit_policy=strategy.exit_policy,
        parameters=strategy.parameters().model_dump(mode="json"),
        regimes=tuple(strategy.regimes),
        max_funding_cost_pct=_FUNDING_COST_PCT if strategy.category is Category.LINEAR else None,
    )


def changed(config: StrategyConfig, **fields: Any) -> StrategyConfig:
    """``config`` with the named fields set anew; ``parameters`` are merged name by name, all else is replaced.

    The version stays: raising it is the database's. Raises ValueError (pydantic's among them) naming field and rule.
    """
    fixed = sorted(_FIXED & fields.keys())
    if fixed:
        raise ValueError(f"{fixed[0]}: can't be changed")
    merged = config.model_dump() | fields
    if "parameters" in fields:
        if not isinstance(fields["parameters"], Mapping):
            raise ValueError("parameters: must be an object of names and values")
        merged["parameters"] = config.parameters | dict(fields["parameters"])
    asked = StrategyConfig.model_validate(merged)
    whole = validate_parameters(asked.strategy, asked.parameters).model_dump(mode="json")
    return check(asked.model_copy(update={"parameters": whole}))


def check(config: StrategyConfig) -> StrategyConfig:
    """``config``, if its fields go together and with its strategy. Raises ValueError naming the field and the rule."""
    if config.timeframe is Timeframe.M1:
        raise ValueError("timeframe: candles of 1m are not kept: use 15m, 1h, 4h, 1d or 1w")
    if config.category is Category.SPOT and config.side is PositionSide.SHORT:
        raise ValueError("side: spot positions are long only: use category linear for a short")
    if config.category is Category.SPOT and config.max_funding_cost_pct is not None:
        raise ValueError("max_funding_cost_pct: spot positions pay no funding")
    try:
        config.exit_policy.check_side(config.side)
    except ValueError as error:
        raise ValueError(f"exit_policy: {error}") from error
    if config.strategy in STRATEGIES:
        _check_strategy(config, STRATEGIES[config.strategy])
    return config


def _check_strategy(config: StrategyConfig, strategy: Strategy) -> None:
    """What its rule says of side, market and timeframe; parameters that make no sense are said elsewhere."""
    if config.side is not strategy.side:
        raise ValueError(f"side: {strategy.name} is a rule for {strategy.side} positions alone")
    try:
        needs = strategy.needs(strategy.parameters.model_validate(config.parameters), config.timeframe)
    except ValidationError:
        return
    if needs.of_perpetuals and config.category is Category.SPOT:
        raise ValueError(f"category: {strategy.name} looks at what perpetuals alone have: use linear")
    if needs.stamped and config.timeframe in UNSTAMPED:
        raise ValueError(
            f"timeframe: {strategy.name} looks at what the exchange stamps, and not for {config.timeframe}: use 15m, "
            "1h, 4h or 1d"
        )
