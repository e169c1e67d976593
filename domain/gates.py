"""The gate chain: an ordered list of named gates, each a pass or a block with code, measured value and threshold.

Pure: everything a gate looks at is in ``GateFacts``. All gates are evaluated, every verdict is kept, and the first that
blocks is the reason. The codes of gates whose data the system doesn't have yet are named in ``GateCode`` and have no
gate in ``CHAIN``: an absent gate is not one that always passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from domain.market import Instrument
from domain.strategy_config import StrategyConfig


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

    ``symbol_exposure`` is what active positions of the symbol cost (USD, both categories); ``holder`` the active
    position that has the place this one wants; ``last_closed_at`` (market) the newest close of this strategy on the
    symbol; ``trades_today`` this strategy's entries since 00:00 UTC; ``net_pnl_today`` the ledger's since 00:00 UTC.
    """

    holder: str | None
    strategy_positions: int
    open_positions: int
    symbol_exposure: Decimal
    last_closed_at: datetime | None
    trades_today: int
    net_pnl_today: Decimal


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Everything the chain looks at for one signal. Market times; ``clock_offset_ms`` and ``price_age_seconds`` wall.

    ``missing_candles`` is how many bars of the strategy's window are not there. ``free_balance`` is quote coin that can
    be spent (None: not known, which blocks). ``price`` and ``price_age_seconds`` None: no price.
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
    price_age_seconds: float | None
    free_balance: Decimal | None
    clock_offset_ms: float | None
