"""The configuration of a strategy: one row that says everything it may do, and how much of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide

Amount = Annotated[Decimal, Field(gt=0, allow_inf_nan=False, max_digits=24, decimal_places=8)]


class StrategyConfig(BaseModel):
    """A row of ``strategy_configurations``. Amounts in USD (quote coin), seconds of market time.

    Three gates, each independent: ``watchlist_gate`` (its scores count), ``buy_gate`` (it may open), ``sell_gate`` (its
    own exit signals count; off leaves its positions to their guards and stops). ``signal_ttl_seconds`` is how long
    after the candle's close a signal may still be acted on; ``cooldown_seconds`` how long a symbol rests after a close.
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
    version: int = Field(default=1, ge=1)
