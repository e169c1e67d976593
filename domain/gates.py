"""The gate chain: an ordered list of named gates, each a pass or a block with code, measured value and threshold.

Pure: everything a gate looks at is in ``GateFacts``. All gates are evaluated, every verdict is kept, and the first that
blocks is the reason. The codes of gates whose data the system doesn't have yet are named in ``GateCode`` and have no
gate in ``CHAIN``: an absent gate is not one that always passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from domain.costs import BYBIT_BASE_FEES
from domain.entry import plan_entry
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
    ``disaster_buffer_pct`` is how far the stop at the exchange lies beyond the guard's.
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
    disaster_buffer_pct: Decimal


Gate = Callable[[GateFacts], GateVerdict]


def judge(facts: GateFacts) -> list[GateVerdict]:
    """Every gate's verdict, in the order of the chain: a block doesn't keep the later gates from being asked."""
    return [gate(facts) for gate in CHAIN]


def judge_caps(book: Book, limits: Limits, trade_usd: Decimal, config: StrategyConfig | None) -> list[GateVerdict]:
    """The gates that count what is held, in the order of the chain, for an entry of ``trade_usd`` on ``book``.

    For the transaction that reserves a position. ``config`` None is a trade by hand: what limits a strategy doesn't
    apply to it. That a place is free (``position_exists``) is the database's to keep.
    """
    verdicts = [
        _trading_halted(limits),
        _portfolio_position_cap(book, limits),
        _symbol_exposure_cap(book, limits, trade_usd),
    ]
    if config is not None:
        verdicts += [
            _strategy_position_cap(book, config),
            _trade_rate_limit(book, config),
            _daily_loss_limit(book, limits),
        ]
    return sorted(verdicts, key=lambda verdict: _PLACE[verdict.gate])


def first_block(verdicts: Iterable[GateVerdict]) -> GateVerdict | None:
    """The verdict that counts as the reason: the first block, None when every gate lets pass."""
    return next((verdict for verdict in verdicts if not verdict.passed), None)


def _trading_halted(limits: Limits) -> GateVerdict:
    return _verdict(GateCode.TRADING_HALTED, not limits.trading_halted, "halted" if limits.trading_halted else "")


def _strategy_gate_off(facts: GateFacts) -> GateVerdict:
    on = facts.config.buy_gate
    return _verdict(GateCode.STRATEGY_GATE_OFF, on, "on" if on else "off", "on", "buy gate")


def _data_coverage_gap(facts: GateFacts) -> GateVerdict:
    missing = facts.missing_candles
    return _verdict(GateCode.DATA_COVERAGE_GAP, missing == 0, str(missing), "0", "candles missing in the window")


def _microstructure_missing(facts: GateFacts) -> GateVerdict:
    unknown = [need.name for need in facts.microstructure if need.value is None]
    return _verdict(GateCode.MICROSTRUCTURE_MISSING, not unknown, str(len(unknown)), "0", ", ".join(unknown))


def _signal_stale(facts: GateFacts) -> GateVerdict:
    age = (facts.now - facts.close_at).total_seconds()
    allowed = facts.config.signal_ttl_seconds
    return _verdict(GateCode.SIGNAL_STALE, 0 <= age <= allowed, f"{age:.0f} s", f"{allowed} s")


def _microstructure_failed(facts: GateFacts) -> GateVerdict:
    known = [(need, need.value) for need in facts.microstructure if need.value is not None]
    failed = [(need, value) for need, value in known if not need.met]
    told = failed or known
    return _verdict(
        GateCode.MICROSTRUCTURE_FAILED,
        not failed,
        ", ".join(f"{value:.6g}" for _, value in told),
        ", ".join(need.threshold for need, _ in told),
        ", ".join(need.name for need, _ in told),
    )


def _cooldown_active(facts: GateFacts) -> GateVerdict:
    closed, rest = facts.book.last_closed_at, facts.config.cooldown_seconds
    if closed is None:
        return _verdict(GateCode.COOLDOWN_ACTIVE, True, "", f"{rest} s")
    rested = closed + timedelta(seconds=rest) <= facts.now
    since = (facts.now - closed).total_seconds()
    return _verdict(GateCode.COOLDOWN_ACTIVE, rested, f"{since:.0f} s", f"{rest} s", f"closed {closed.isoformat()}")


def _position_exists(facts: GateFacts) -> GateVerdict:
    holder = facts.book.holder
    return _verdict(GateCode.POSITION_EXISTS, holder is None, holder or "")


def _strategy_position_cap(book: Book, config: StrategyConfig) -> GateVerdict:
    return _cap(GateCode.STRATEGY_POSITION_CAP, book.strategy_positions, config.max_positions)


def _portfolio_position_cap(book: Book, limits: Limits) -> GateVerdict:
    return _cap(GateCode.PORTFOLIO_POSITION_CAP, book.open_positions, limits.max_open_positions)


def _symbol_exposure_cap(book: Book, limits: Limits, trade_usd: Decimal) -> GateVerdict:
    would_be, cap = book.symbol_exposure + trade_usd, limits.symbol_exposure_usd
    return _verdict(
        GateCode.SYMBOL_EXPOSURE_CAP,
        would_be <= cap,
        _plain(would_be),
        _plain(cap),
        f"{_plain(book.symbol_exposure)} held and {_plain(trade_usd)} asked for",
    )


def _trade_rate_limit(book: Book, config: StrategyConfig) -> GateVerdict:
    return _cap(GateCode.TRADE_RATE_LIMIT, book.trades_today, config.max_trades_per_day)


def _daily_loss_limit(book: Book, limits: Limits) -> GateVerdict:
    floor = -limits.daily_loss_limit_usd
    return _verdict(
        GateCode.DAILY_LOSS_LIMIT, book.net_pnl_today > floor, _plain(book.net_pnl_today), f"over {_plain(floor)}"
    )


def _instrument_not_tradable(facts: GateFacts) -> GateVerdict:
    if facts.instrument is None:
        return _verdict(GateCode.INSTRUMENT_NOT_TRADABLE, False, "unknown", "tradable")
    tradable = facts.instrument.tradable
    return _verdict(GateCode.INSTRUMENT_NOT_TRADABLE, tradable, "tradable" if tradable else "closed", "tradable")


def _below_minimum_order(facts: GateFacts) -> GateVerdict:
    """What can't be planned for want of an instrument or a price is not called too small: other gates block that."""
    instrument, config = facts.instrument, facts.config
    asked = _plain(config.trade_usd)
    if instrument is None or not instrument.tradable or facts.price is None:
        return _verdict(GateCode.BELOW_MINIMUM_ORDER, True, asked, detail="not judged without instrument and price")
    threshold = f"{_plain(instrument.min_order_qty)} {instrument.base_coin}, {_plain(instrument.min_order_amount)} USD"
    try:
        plan_entry(
            instrument,
            config.side,
            facts.price,
            config.exit_policy,
            facts.disaster_buffer_pct,
            usd=config.trade_usd,
            qty=None,
        )
    except ValueError as refused:
        return _verdict(GateCode.BELOW_MINIMUM_ORDER, False, asked, threshold, str(refused))
    return _verdict(GateCode.BELOW_MINIMUM_ORDER, True, asked, threshold)


def _insufficient_balance(facts: GateFacts) -> GateVerdict:
    """A perpetual at 1x binds its whole value, as a purchase does."""
    needed = facts.config.trade_usd * (1 + BYBIT_BASE_FEES[facts.config.category].taker)
    free = facts.free_balance
    if free is None:
        return _verdict(GateCode.INSUFFICIENT_BALANCE, False, "unknown", _plain(needed))
    return _verdict(GateCode.INSUFFICIENT_BALANCE, free >= needed, _plain(free), _plain(needed), "taker fee included")


def _clock_drift(facts: GateFacts) -> GateVerdict:
    offset, allowed = facts.clock_offset_ms, facts.limits.max_clock_offset_ms
    if offset is None:
        return _verdict(GateCode.CLOCK_DRIFT, False, "unknown", f"{allowed:g} ms")
    return _verdict(GateCode.CLOCK_DRIFT, abs(offset) <= allowed, f"{offset:.0f} ms", f"{allowed:g} ms")


def _stale_price(facts: GateFacts) -> GateVerdict:
    age, allowed = facts.price_age_seconds, facts.limits.stale_price_seconds
    if facts.price is None or age is None:
        return _verdict(GateCode.STALE_PRICE, False, "no price", f"{allowed:g} s")
    return _verdict(GateCode.STALE_PRICE, age <= allowed, f"{age:.1f} s", f"{allowed:g} s")


def _cap(code: GateCode, count: int, cap: int) -> GateVerdict:
    return _verdict(code, count < cap, str(count), str(cap))


def _verdict(code: GateCode, passed: bool, value: str = "", threshold: str = "", detail: str = "") -> GateVerdict:
    return GateVerdict(gate=code, passed=passed, value=value, threshold=threshold, detail=detail)


def _plain(amount: Decimal) -> str:
    """Without the zeros that a NUMERIC column appends, and without an exponent."""
    return format(amount.normalize(), "f")


_PLACE = {code: place for place, code in enumerate(GateCode)}

CHAIN: tuple[Gate, ...] = (
    lambda facts: _trading_halted(facts.limits),
    _strategy_gate_off,
    _data_coverage_gap,
    _microstructure_missing,
    _signal_stale,
    _microstructure_failed,
    _cooldown_active,
    _position_exists,
    lambda facts: _strategy_position_cap(facts.book, facts.config),
    lambda facts: _portfolio_position_cap(facts.book, facts.limits),
    lambda facts: _symbol_exposure_cap(facts.book, facts.limits, facts.config.trade_usd),
    lambda facts: _trade_rate_limit(facts.book, facts.config),
    lambda facts: _daily_loss_limit(facts.book, facts.limits),
    _instrument_not_tradable,
    _below_minimum_order,
    _insufficient_balance,
    _clock_drift,
    _stale_price,
)
"""The implemented gates, in the order of ``GateCode``."""
