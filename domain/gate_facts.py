"""What the gate chain looks at and what it says: codes, facts, verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

from domain.market import Instrument
from domain.regime import Regime
from domain.strategy_config import StrategyConfig

Age = Annotated[float, PlainSerializer(lambda age: age if math.isfinite(age) else str(age), when_used="json")]
"""Seconds, or infinity where nothing was ever heard; JSON has no infinity, so that is text in it."""

OTHERS = "others"
"""Who has a linear symbol's place when somebody else holds it on the account, where the exchange would net both."""


class GateCode(StrEnum):
    """Every code of the chain, in its order."""

    TRADING_HALTED = "trading_halted"
    STRATEGY_GATE_OFF = "strategy_gate_off"
    NOT_BACKTESTED = "not_backtested"
    DATA_COVERAGE_GAP = "data_coverage_gap"
    MICROSTRUCTURE_MISSING = "microstructure_missing"
    SIGNAL_STALE = "signal_stale"
    REGIME_BLOCKED = "regime_blocked"
    MICROSTRUCTURE_FAILED = "microstructure_failed"
    FUNDING_COST = "funding_cost"
    COOLDOWN_ACTIVE = "cooldown_active"
    POSITION_EXISTS = "position_exists"
    STRATEGY_POSITION_CAP = "strategy_position_cap"
    PORTFOLIO_POSITION_CAP = "portfolio_position_cap"
    SYMBOL_EXPOSURE_CAP = "symbol_exposure_cap"
    TRADE_RATE_LIMIT = "trade_rate_limit"
    DAILY_LOSS_LIMIT = "daily_loss_limit"
    INSTRUMENT_NOT_TRADABLE = "instrument_not_tradable"
    BELOW_MINIMUM_ORDER = "below_minimum_order"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    CLOCK_DRIFT = "clock_drift"
    STALE_PRICE = "stale_price"


class GateVerdict(BaseModel):
    """What one gate said. ``value`` and ``threshold`` are for people and for comparison, "" where there is none."""

    model_config = ConfigDict(frozen=True)

    gate: GateCode
    passed: bool
    value: str = ""
    threshold: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Microstructure:
    """One requirement at the signal's bar: ``value`` None is not known."""

    name: str
    value: float | None
    met: bool
    threshold: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The system settings that gates compare with."""

    trading_halted: bool
    max_open_positions: int
    symbol_exposure_usd: Decimal
    daily_loss_limit_usd: Decimal
    max_clock_offset_ms: float
    stale_price_seconds: float


@dataclass(frozen=True, slots=True)
class Book:
    """What is held and was done, as the gates see it: rows of the database plus what this scan accepted before.

    ``symbol_exposure`` is what active positions of the symbol cost (USD), gross: of both categories and both sides.
    ``holder`` is the active position that has the place this one wants, or ``OTHERS``; ``last_closed_at`` (market) the
    newest close of this strategy on the symbol, won or lost; ``trades_today`` this strategy's entries since 00:00 UTC.
    ``net_pnl_today`` is what everybody's closings brought since 00:00 UTC, after all their fees, with the funding.
    """

    holder: str | None
    strategy_positions: int
    open_positions: int
    symbol_exposure: Decimal
    last_closed_at: datetime | None
    trades_today: int
    net_pnl_today: Decimal


@dataclass(frozen=True, slots=True)
class MarketRegime:
    """The market's regime as it was known at the decision, in force since ``valid_from`` (market time).

    ``state`` is what the newest close says, ``effective`` the last confirmed one, which counts (None: none was yet).
    """

    state: Regime
    effective: Regime | None
    confirmed: bool
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class Backtested:
    """Whether entries need a backtest of the strategy's configuration version, and the newest completed one's id."""

    needed: bool
    run_id: str | None


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Everything the chain looks at for one signal. Market times; ``clock_offset_ms`` and ``price_age_seconds`` wall.

    ``missing_candles`` is how many bars of the strategy's window are not there. ``free_balance`` is quote coin that can
    be spent (None: not known, which blocks). ``price`` and ``price_age_seconds`` None: no price.
    ``disaster_buffer_pct`` is how far the stop at the exchange lies beyond the guard's. ``regime`` None: none is known.
    ``funding_rate`` is what 8 h cost at the next settlement's rate (fraction, above 0: longs pay; None: not known).

    ``pydantic.TypeAdapter(GateFacts)`` writes it as JSON and reads the very same facts back.
    """

    config: StrategyConfig
    limits: Limits
    book: Book
    close_at: datetime
    now: datetime
    missing_candles: int
    microstructure: tuple[Microstructure, ...]
    instrument: Instrument | None
    price: Decimal | None
    price_age_seconds: Age | None
    free_balance: Decimal | None
    clock_offset_ms: float | None
    disaster_buffer_pct: Decimal
    regime: MarketRegime | None
    backtested: Backtested
    funding_rate: Decimal | None


def backtest_needed(required: str, mode: str) -> bool:
    """Whether the setting ``require_backtest`` (always, live or never) asks for one in the exchange mode ``mode``."""
    return required == "always" or (required == "live" and mode == "live")
