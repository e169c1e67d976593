"""The gate chain: an ordered list of named gates, each a pass or a block with code, measured value and threshold.

Pure: everything a gate looks at is in ``GateFacts``. All gates are evaluated, every verdict is kept, and the first that
blocks is the reason. A gate whose fact is not known blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from domain.costs import BYBIT_BASE_FEES
from domain.entry import plan_entry
from domain.gate_facts import OTHERS, Book, GateCode, GateFacts, GateVerdict, Limits
from domain.market import Category
from domain.strategy_config import StrategyConfig

Gate = Callable[[GateFacts], GateVerdict]

_SETTLEMENT_SECONDS = 8 * 3600
_HOLD_SECONDS = 24 * 3600
"""For how long funding is counted where an exit policy has no maximum hold."""
_UNKNOWN = "unknown"


def judge(facts: GateFacts) -> list[GateVerdict]:
    """Every gate's verdict, in the order of the chain: a block doesn't keep the later gates from being asked."""
    return [gate(facts) for gate in CHAIN]


def judge_reservation(
    book: Book, limits: Limits, trade_usd: Decimal, config: StrategyConfig | None, now: datetime
) -> list[GateVerdict]:
    """The gates that look at what is held and was done, in the order of the chain, for an entry of ``trade_usd`` at
    ``now`` (market).

    For the transaction that reserves a position: since the decision another may have taken the place, or closed.
    ``config`` None is a trade by hand in no strategy's name: what limits a strategy doesn't apply to it.
    """
    verdicts = [
        _trading_halted(limits),
        _position_exists(book),
        _portfolio_position_cap(book, limits),
        _symbol_exposure_cap(book, limits, trade_usd),
    ]
    if config is not None:
        verdicts += [
            _cooldown_active(book, config, now),
            _strategy_position_cap(book, config),
            _trade_rate_limit(book, config),
            _daily_loss_limit(book, limits),
        ]
    return sorted(verdicts, key=lambda verdict: _PLACE[verdict.gate])


def first_block(verdicts: Iterable[GateVerdict]) -> GateVerdict | None:
    """The verdict that counts as the reason: the first block, None when every gate lets pass."""
    return next((verdict for verdict in verdicts if not verdict.passed), None)


def _trading_halted(limits: Limits) -> GateVerdict:
    if not limits.trading_halted:
        return _verdict(GateCode.TRADING_HALTED, True)
    return _verdict(GateCode.TRADING_HALTED, False, "halted", "not halted")


def _strategy_gate_off(facts: GateFacts) -> GateVerdict:
    on = facts.config.buy_gate
    return _verdict(GateCode.STRATEGY_GATE_OFF, on, "on" if on else "off", "on", "buy gate")


def _not_backtested(facts: GateFacts) -> GateVerdict:
    backtested, version = facts.backtested, facts.config.version
    if not backtested.needed:
        return _verdict(GateCode.NOT_BACKTESTED, True, backtested.run_id or "", detail="none is required")
    threshold = f"a completed backtest of version {version}"
    return _verdict(GateCode.NOT_BACKTESTED, backtested.run_id is not None, backtested.run_id or "none", threshold)


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


def _regime_blocked(facts: GateFacts) -> GateVerdict:
    """The effective regime counts: what is not confirmed yet opens nothing and closes nothing."""
    regime, allowed = facts.regime, ", ".join(facts.config.regimes)
    if regime is None or regime.effective is None:
        return _verdict(GateCode.REGIME_BLOCKED, False, _UNKNOWN, allowed)
    confirmed = "" if regime.confirmed else f"; the newest, {regime.state}, is not confirmed"
    return _verdict(
        GateCode.REGIME_BLOCKED,
        regime.effective in facts.config.regimes,
        regime.effective,
        allowed,
        f"as of {regime.valid_from.isoformat()}{confirmed}",
    )


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


def _funding_cost(facts: GateFacts) -> GateVerdict:
    """Percent of the position that funding takes if the rate stays; below 0 is received, and never blocks."""
    config, limit, rate = facts.config, facts.config.max_funding_cost_pct, facts.funding_rate
    if config.category is not Category.LINEAR:
        return _verdict(GateCode.FUNDING_COST, True, detail="spot pays none")
    if limit is None:
        return _verdict(GateCode.FUNDING_COST, True, detail="no limit is set")
    if rate is None:
        return _verdict(GateCode.FUNDING_COST, False, _UNKNOWN, f"{_plain(limit)} %")
    settlements = planned_settlements(config)
    cost = config.side.sign * rate * settlements * 100
    told = f"rate {_plain(rate)}, {settlements} settlements"
    return _verdict(GateCode.FUNDING_COST, cost <= limit, f"{_plain(cost)} %", f"{_plain(limit)} %", told)


def planned_settlements(config: StrategyConfig) -> int:
    """The most funding settlements (8 h apart) that fall into the planned hold: the maximum, or 24 h without one."""
    hold = config.exit_policy.max_hold_seconds or _HOLD_SECONDS
    return -(-hold // _SETTLEMENT_SECONDS)


def _cooldown_active(book: Book, config: StrategyConfig, now: datetime) -> GateVerdict:
    """A symbol rests after every close of the strategy's, whoever closed it and whether it lost or not."""
    closed, rest = book.last_closed_at, config.cooldown_seconds
    if closed is None:
        return _verdict(GateCode.COOLDOWN_ACTIVE, True, "", f"{rest} s")
    rested = closed + timedelta(seconds=rest) <= now
    since = (now - closed).total_seconds()
    return _verdict(GateCode.COOLDOWN_ACTIVE, rested, f"{since:.0f} s", f"{rest} s", f"closed {closed.isoformat()}")


def _position_exists(book: Book) -> GateVerdict:
    holder = book.holder
    if holder is None:
        return _verdict(GateCode.POSITION_EXISTS, True)
    told = "others hold the symbol on the account" if holder == OTHERS else f"position {holder} holds the symbol"
    return _verdict(GateCode.POSITION_EXISTS, False, holder, "nobody", told)


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
        return _verdict(GateCode.INSTRUMENT_NOT_TRADABLE, False, _UNKNOWN, "tradable")
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
        return _verdict(GateCode.INSUFFICIENT_BALANCE, False, _UNKNOWN, _plain(needed))
    return _verdict(GateCode.INSUFFICIENT_BALANCE, free >= needed, _plain(free), _plain(needed), "taker fee included")


def _clock_drift(facts: GateFacts) -> GateVerdict:
    offset, allowed = facts.clock_offset_ms, facts.limits.max_clock_offset_ms
    if offset is None:
        return _verdict(GateCode.CLOCK_DRIFT, False, _UNKNOWN, f"{allowed:g} ms")
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
    """Without the zeros that a NUMERIC column appends, without an exponent, and without the sign of a zero."""
    return format((amount + 0).normalize(), "f")


_PLACE = {code: place for place, code in enumerate(GateCode)}

CHAIN: tuple[Gate, ...] = (
    lambda facts: _trading_halted(facts.limits),
    _strategy_gate_off,
    _not_backtested,
    _data_coverage_gap,
    _microstructure_missing,
    _signal_stale,
    _regime_blocked,
    _microstructure_failed,
    _funding_cost,
    lambda facts: _cooldown_active(facts.book, facts.config, facts.now),
    lambda facts: _position_exists(facts.book),
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
"""One gate a code, in the order of ``GateCode``."""
