"""What each gate lets pass, in plain words and by other means than its own: the oracle of the chain's properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from domain.gate_facts import GateCode, GateFacts
from domain.market import Category, PositionSide

D = Decimal
TAKER_FEES = {Category.SPOT: D("0.001"), Category.LINEAR: D("0.00055")}
SPOT_FEE = D("0.001")
"""What a purchase on the spot market leaves of the coin bought is less by this."""


def _regime_allows(facts: GateFacts) -> bool:
    """The confirmed regime is known, and one that the strategy opens in."""
    return facts.regime is not None and facts.regime.effective in set(facts.config.regimes)


def _funding_is_cheap(facts: GateFacts) -> bool:
    """On perpetuals with a limit: what the side pays in every eight hours begun of its planned hold stays within it."""
    limit, rate = facts.config.max_funding_cost_pct, facts.funding_rate
    if facts.config.category is Category.SPOT or limit is None:
        return True
    if rate is None:
        return False
    seconds = facts.config.exit_policy.max_hold_seconds or 86_400
    settlements = len(range(0, seconds, 28_800))
    paid = rate if facts.config.side is PositionSide.LONG else -rate
    return paid * settlements <= limit / 100


def _has_rested(facts: GateFacts) -> bool:
    closed = facts.book.last_closed_at
    return closed is None or not facts.now < closed + timedelta(seconds=facts.config.cooldown_seconds)


def _is_large_enough(facts: GateFacts) -> bool:
    """What the amount buys can be ordered at once and, bought on the spot market, sold again at its stop."""
    instrument, price = facts.instrument, facts.price
    if instrument is None or not instrument.tradable or price is None:
        return True  # others say so
    spot, short = instrument.category is Category.SPOT, facts.config.side is PositionSide.SHORT
    if spot and short:
        return False
    step = instrument.qty_step
    qty = facts.config.trade_usd // (price * step) * step
    taken = instrument.min_order_qty <= qty <= instrument.max_market_qty
    if not taken or qty * price < instrument.min_order_amount:
        return False
    if not spot:
        return True
    left = qty * (1 - SPOT_FEE) // step * step
    stop = price * (1 - facts.config.exit_policy.stop_loss_pct / 100) * (1 - facts.disaster_buffer_pct / 100)
    on_grid = stop // instrument.tick_size * instrument.tick_size
    return left >= instrument.min_order_qty and left * on_grid >= instrument.min_order_amount


def _is_affordable(facts: GateFacts) -> bool:
    amount = facts.config.trade_usd
    needed = amount + amount * TAKER_FEES[facts.config.category]
    return facts.free_balance is not None and not facts.free_balance < needed


def _signal_is_fresh(facts: GateFacts) -> bool:
    """Neither from the future nor older than it may be."""
    return facts.close_at <= facts.now <= facts.close_at + timedelta(seconds=facts.config.signal_ttl_seconds)


def _price_is_fresh(facts: GateFacts) -> bool:
    age = facts.price_age_seconds
    return facts.price is not None and age is not None and not age > facts.limits.stale_price_seconds


def _clock_is_right(facts: GateFacts) -> bool:
    offset, most = facts.clock_offset_ms, facts.limits.max_clock_offset_ms
    return offset is not None and -most <= offset <= most


LETS_PASS: Mapping[GateCode, Callable[[GateFacts], bool]] = {
    GateCode.TRADING_HALTED: lambda facts: not facts.limits.trading_halted,
    GateCode.STRATEGY_GATE_OFF: lambda facts: facts.config.buy_gate,
    GateCode.NOT_BACKTESTED: lambda facts: not (facts.backtested.needed and facts.backtested.run_id is None),
    GateCode.DATA_COVERAGE_GAP: lambda facts: not facts.missing_candles,
    GateCode.MICROSTRUCTURE_MISSING: lambda facts: None not in [need.value for need in facts.microstructure],
    GateCode.SIGNAL_STALE: _signal_is_fresh,
    GateCode.REGIME_BLOCKED: _regime_allows,
    GateCode.MICROSTRUCTURE_FAILED: lambda facts: all(need.met or need.value is None for need in facts.microstructure),
    GateCode.FUNDING_COST: _funding_is_cheap,
    GateCode.COOLDOWN_ACTIVE: _has_rested,
    GateCode.POSITION_EXISTS: lambda facts: not facts.book.holder,
    GateCode.STRATEGY_POSITION_CAP: lambda facts: facts.book.strategy_positions + 1 <= facts.config.max_positions,
    GateCode.PORTFOLIO_POSITION_CAP: lambda facts: facts.book.open_positions + 1 <= facts.limits.max_open_positions,
    GateCode.SYMBOL_EXPOSURE_CAP: lambda facts: (
        facts.config.trade_usd <= facts.limits.symbol_exposure_usd - facts.book.symbol_exposure
    ),
    GateCode.TRADE_RATE_LIMIT: lambda facts: facts.book.trades_today + 1 <= facts.config.max_trades_per_day,
    GateCode.DAILY_LOSS_LIMIT: lambda facts: -facts.book.net_pnl_today < facts.limits.daily_loss_limit_usd,
    GateCode.INSTRUMENT_NOT_TRADABLE: lambda facts: facts.instrument is not None and facts.instrument.tradable,
    GateCode.BELOW_MINIMUM_ORDER: _is_large_enough,
    GateCode.INSUFFICIENT_BALANCE: _is_affordable,
    GateCode.CLOCK_DRIFT: _clock_is_right,
    GateCode.STALE_PRICE: _price_is_fresh,
}
"""By code: whether a candidate with these facts may go on."""
