"""Wire models of settings, signals, scans and commands on the whole system, shared by server and client.

The rules of ``domain.views`` hold here too.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from domain.candle import Timeframe
from domain.market import Category, PositionSide
from domain.strategy_views import FieldChange
from domain.views import Answer, Instant, Plain, Reason, Request, WatchState


class SettingView(Answer):
    """A system setting: its value, what it means, and its version for a change."""

    key: str
    value: Any
    description: str
    version: int
    updated_at: Instant


class SettingVersionView(Answer):
    key: str
    value: Any
    version: int
    valid_from: Instant
    valid_to: Instant | None
    changed_by: str
    reason: str


class SettingChange(Request):
    value: Any
    reason: Reason
    expected_version: int = Field(ge=1)


class SettingKeyChange(Request):
    """The change of one setting in a bulk edit, given the version it was decided on."""

    key: str = Field(pattern=r"^[a-z0-9_]{1,60}$")
    value: Any
    seen_version: int = Field(ge=1)


class SettingBulkRequest(Request):
    """Change several settings for one reason: all of it, or (409 if one of them moved) nothing."""

    changes: list[SettingKeyChange] = Field(min_length=1, max_length=100)
    reason: Reason

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = [change.key for change in self.changes]
        if len(set(keys)) < len(keys):
            raise ValueError("changes name a setting twice")
        return self


class SettingStep(Answer):
    """A change on the way: of which setting, the version it made, who made it, why and when."""

    key: str
    version: int
    changed_by: str
    reason: str
    at: Instant


class SettingsDiffView(Answer):
    """What differs between the settings in force at two wall times, and every change between them, oldest first."""

    since: Instant
    until: Instant
    changes: list[FieldChange]
    steps: list[SettingStep]


class GateVerdictView(Answer):
    gate: str
    passed: bool
    value: str
    threshold: str
    detail: str


class SignalView(Answer):
    """A strategy's wish to enter and what became of it.

    ``outcome`` is blocked (``blocked_by`` says by which gate), accepted (a position was asked for and has no row yet)
    or the state of its position.
    """

    signal_id: str
    close_at: Instant
    decided_at: Instant
    strategy: str
    category: Category
    symbol: str
    side: PositionSide
    timeframe: Timeframe
    score: float
    price: Plain | None
    outcome: str
    blocked_by: str | None
    position_id: str | None
    evidence: dict[str, Any]
    inputs: dict[str, Any]
    verdicts: list[GateVerdictView]
    config_version: int
    trace_id: str


class BlockedSignalView(Answer):
    """A gate that stopped a signal. ``place`` 0 is the one that counts as the reason."""

    id: int
    signal_id: str
    close_at: Instant
    at: Instant
    strategy: str
    category: Category
    symbol: str
    side: PositionSide
    stage: str
    place: int
    gate: str
    value: str
    threshold: str
    detail: str


class ScanView(Answer):
    close_at: Instant
    timeframes: list[str]
    state: str
    decided_at: Instant | None
    symbols: int
    incomplete: int
    candidates: int
    accepted: int
    blocked: int
    exits: int
    seconds: float | None


class HaltRequest(Request):
    """Halt: no entries from now on; exits and stops go on. Resume lifts it."""

    reason: Reason


class HaltView(Answer):
    halted: bool
    changed_by: str
    reason: str
    since: Instant


class FlattenRequest(Request):
    """Halt entries and close every open position at market. ``symbol`` limits it to one (and halts nothing)."""

    symbol: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,30}$")
    reason: Reason


class FlattenAccepted(Answer):
    """``workflow_id`` does the closing, durably; ``positions`` were open when it was asked for."""

    workflow_id: str
    positions: int


class BackfillRequest(Request):
    """Fetch history. ``symbol`` None: the universe; ``timeframe`` None: all five; ``since`` None: enough to decide."""

    symbol: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,30}$")
    timeframe: Timeframe | None = None
    since: Instant | None = None
    until: Instant | None = None


class BackfillView(Answer):
    symbol: str
    timeframe: str
    categories: list[str]
    start_at: Instant
    end_at: Instant
    cursor: Instant | None
    state: str
    progress: float
    pages: int
    candles: int
    error: str | None
    requested_by: str
    updated_wall: Instant


class BackfillsAccepted(Answer):
    workflow_ids: list[str]


class InvariantView(Answer):
    """The books of an hour held against the exchange, in ``subject``'s own unit: ``exchange`` = ``lots`` + ``dust`` +
    ``foreign`` + ``unexplained``. ``kind`` is spot_lots (a coin), linear_lots (a symbol, signed) or equity; ``broken``:
    more than a cent is unexplained; ``worth`` by how much, USD (None: nothing prices it)."""

    kind: str
    subject: str
    exchange: Plain
    lots: Plain
    dust: Plain
    foreign: Plain
    unexplained: Plain
    worth: Plain | None
    broken: bool
    sentence: str


class SnapshotView(Answer):
    """The portfolio at a full hour; see ``portfolio_hourly_snapshots``. USD. ``bought``, ``sold``, ``fees`` and
    ``funding`` are of the hour that ends then; ``broken`` counts its invariants that don't hold."""

    hour: Instant
    equity: Plain
    unified_balance: Plain
    funding_balance: Plain | None
    invested: Plain
    unrealised_pnl: Plain
    realised_pnl: Plain
    fees: Plain
    funding: Plain
    transfers: Plain
    bought: Plain
    sold: Plain
    net_pnl_daily: Plain
    unexplained: Plain
    open_positions: int
    broken: int = 0


class AssetRow(Answer):
    """One market of the portfolio: owned (a position is open), traded (one was), or watched (it has a score).

    ``balance`` is the exchange's base coin balance (spot); ``qty`` what our positions hold; ``invested`` what the open
    ones cost; ``invested_today`` what was bought for since 00:00 UTC; ``score`` the best of its watchlist scores.
    ``watch`` is the worst of its positions' (None: nothing is held).
    """

    category: Category
    symbol: str
    kind: Literal["owned", "traded", "watched"]
    balance: Plain | None
    qty: Plain
    price: Plain | None
    price_age_seconds: float | None
    value: Plain | None
    invested: Plain
    invested_today: Plain
    unrealised_pnl: Plain | None
    realised_pnl: Plain
    protected: bool | None
    watch: WatchState | None = None
    score: float | None
    watched_by: list[str]


class PortfolioView(Answer):
    """The portfolio now and its newest snapshot: the only source of equity and P&L on any surface. USD.

    ``pnl`` is net P&L of ``today``, ``7d``, ``30d``, ``180d`` and ``all`` UTC days up to now: realised less fees plus
    funding. ``equity`` is the newest snapshot's, plus what the ledger brought and what is held moved since (before the
    first one: the exchange's word). ``unrealised_pnl`` is of what is open now. ``snapshot_hour`` None: none was taken.
    ``invariants`` are that snapshot's, ``not_judged`` what it could not judge.
    """

    as_of: Instant
    equity: Plain | None
    unified_balance: Plain | None
    funding_balance: Plain | None
    invested: Plain
    unrealised_pnl: Plain
    pnl: dict[str, Plain]
    open_positions: int
    snapshot_hour: Instant | None
    snapshot_equity: Plain | None
    invariants: list[InvariantView]
    not_judged: list[str]
    assets: list[AssetRow]


class PnlDay(Answer):
    """One UTC day: the day's last ``net_pnl_daily`` (the running day: up to now), equity at its end."""

    day: str
    net_pnl: Plain
    equity: Plain | None
    unrealised_pnl: Plain | None


class PnlView(Answer):
    """Daily net P&L, oldest first, and its sum. ``hours`` are the snapshots of the period, oldest first."""

    period: str
    as_of: Instant
    net_pnl: Plain
    days: list[PnlDay]
    hours: list[SnapshotView]
    by_strategy: dict[str, Plain]
    by_symbol: dict[str, Plain]


PERIODS: dict[str, int | None] = {"today": 1, "7d": 7, "30d": 30, "180d": 180, "all": None}
"""Periods of P&L in UTC days, the running one included; None: since the beginning."""
