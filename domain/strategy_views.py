"""Wire models of strategies: how each is configured, what changes it, what changed, shared by server and client.

The rules of ``domain.views`` hold here too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.regime import Regime
from domain.stage import Stage
from domain.strategy_config import RegimeExit
from domain.views import Answer, Instant, Plain, Reason, Request

Gate = Literal["watchlist", "buy", "sell"]
StrategyName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]


class StrategyView(Answer):
    """A strategy as it is configured now. ``stage`` follows from the gates (see ``domain.stage``)."""

    strategy: str
    title: str
    stage: str
    watchlist_gate: bool
    buy_gate: bool
    sell_gate: bool
    category: Category
    side: PositionSide
    timeframe: Timeframe
    trade_usd: Plain
    max_positions: int
    max_trades_per_day: int
    cooldown_seconds: int
    signal_ttl_seconds: int
    exit_policy: ExitPolicy
    parameters: dict[str, Any]
    regimes: list[Regime]
    regime_exit: RegimeExit
    max_funding_cost_pct: Plain | None
    version: int
    updated_at: Instant
    open_positions: int
    signals_24h: int
    realised_pnl: Plain


class StrategyVersionView(Answer):
    """One version of a configuration: in force ``valid_from`` to ``valid_to`` (wall; None: still)."""

    strategy: str
    version: int
    row: dict[str, Any]
    valid_from: Instant
    valid_to: Instant | None
    changed_by: str
    reason: str


class FieldChange(Answer):
    """A field that differs, dotted for a part of a document. None: it was, or is, not there."""

    field: str
    was: Any
    now: Any


class VersionStep(Answer):
    """A change on the way: the version it made, who made it, why and when."""

    version: int
    changed_by: str
    reason: str
    at: Instant


class StrategyDiffView(Answer):
    """What differs between two versions, and every change that lies between them, oldest first."""

    strategy: str
    from_version: int
    to_version: int
    changes: list[FieldChange]
    steps: list[VersionStep]


class ParameterView(Answer):
    """A parameter: what it is now, what it is unless set, and what it may be, in words."""

    name: str
    value: Any
    default: Any
    bounds: str


class ParametersView(Answer):
    """What can be set of a strategy; ``json_schema`` says the same to programs."""

    strategy: str
    version: int
    parameters: list[ParameterView]
    json_schema: dict[str, Any]


class GateRequest(Request):
    """Switch one gate, given the version it was decided on (409 if it moved; None: whatever it is now)."""

    gate: Gate
    on: bool
    reason: Reason
    expected_version: int | None = Field(default=None, ge=1)


class StageRequest(Request):
    """Set all three gates by the stage they make; the version as in ``GateRequest``."""

    stage: Stage
    reason: Reason
    expected_version: int | None = Field(default=None, ge=1)


class StrategyFields(Request):
    """New values of a strategy's configuration; what isn't named stays. ``parameters`` are merged name by name.

    ``max_funding_cost_pct`` null takes the limit away.
    """

    trade_usd: Plain | None = Field(default=None, gt=0, max_digits=24, decimal_places=8)
    max_positions: int | None = Field(default=None, ge=0, le=1000)
    max_trades_per_day: int | None = Field(default=None, ge=0, le=10_000)
    cooldown_seconds: int | None = Field(default=None, ge=0)
    signal_ttl_seconds: int | None = Field(default=None, gt=0)
    timeframe: Timeframe | None = None
    exit_policy: ExitPolicy | None = None
    parameters: dict[str, Any] | None = None
    regimes: list[Regime] | None = Field(default=None, min_length=1)
    regime_exit: RegimeExit | None = None
    max_funding_cost_pct: Plain | None = Field(default=None, ge=0, le=100)


class StrategyChange(StrategyFields):
    """A change of one strategy, given the version it was decided on (409 if it moved)."""

    reason: Reason
    expected_version: int = Field(ge=1)


class BulkFields(StrategyFields):
    """What a bulk edit may set of one strategy: its numbers and its gates."""

    watchlist_gate: bool | None = None
    buy_gate: bool | None = None
    sell_gate: bool | None = None


class BulkChange(Request):
    """The change of one strategy in a bulk edit, given the version it was decided on."""

    strategy: StrategyName
    seen_version: int = Field(ge=1)
    fields: BulkFields


class BulkRequest(Request):
    """Change several strategies for one reason: all of it, or (409 if one of them moved) nothing."""

    changes: list[BulkChange] = Field(min_length=1, max_length=100)
    reason: Reason

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [change.strategy for change in self.changes]
        if len(set(names)) < len(names):
            raise ValueError("changes name a strategy twice")
        return self
