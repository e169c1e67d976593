"""What holds of the gate chain whatever the facts: each gate does what its rule says, all are asked, limits are
monotone, facts survive being stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from domain.exit_policy import ExitPolicy
from domain.gate_facts import (
    Backtested,
    Book,
    GateCode,
    GateFacts,
    GateVerdict,
    Limits,
    MarketRegime,
    Microstructure,
)
from domain.gates import first_block, judge, planned_settlements
from domain.market import Category, Instrument, PositionSide
from domain.regime import Regime
from domain.strategies import STRATEGIES
from domain.strategy_config import StrategyConfig, default_config
from tests.domain.gate_rules import LETS_PASS, TAKER_FEES

FACTS = TypeAdapter(GateFacts)
CLOSE = datetime(2025, 3, 1, 8, tzinfo=UTC)

counts = st.integers(0, 8)
usd = st.decimals("0.01", "9000", places=2)
either = st.booleans()
moments = st.integers(-3 * 86_400_000_000, 3 * 86_400_000_000).map(lambda us: CLOSE + timedelta(microseconds=us))
levels = st.sampled_from(Regime)


@st.composite
def configs(draw: st.DrawFn) -> StrategyConfig:
    return default_config(STRATEGIES[draw(st.sampled_from(sorted(STRATEGIES)))], active=draw(either)).model_copy(
        update={
            "trade_usd": draw(usd),
            "max_positions": draw(counts),
            "max_trades_per_day": draw(counts),
            "cooldown_seconds": draw(st.integers(0, 90_000)),
            "signal_ttl_seconds": draw(st.integers(1, 7_200)),
            "regimes": tuple(sorted(draw(st.sets(levels, min_size=1)), key=lambda regime: regime.level)),
            "max_funding_cost_pct": draw(st.none() | st.decimals(0, 2, places=3)),
            "exit_policy": ExitPolicy(
                stop_loss_pct=Decimal(3), max_hold_seconds=draw(st.none() | st.integers(1, 900_000))
            ),
        }
    )


instruments = st.builds(
    Instrument,
    category=st.sampled_from(Category),
    symbol=st.just("BTCUSDT"),
    base_coin=st.just("BTC"),
    quote_coin=st.just("USDT"),
    tick_size=st.just(Decimal("0.1")),
    qty_step=st.just(Decimal("0.0001")),
    min_order_qty=st.decimals("0.0001", "0.01", places=4),
    min_order_amount=st.just(Decimal(5)),
    max_market_qty=st.just(Decimal(3)),
    tradable=either,
)
limits = st.builds(
    Limits,
    trading_halted=either,
    max_open_positions=counts,
    symbol_exposure_usd=usd,
    daily_loss_limit_usd=usd,
    max_clock_offset_ms=st.floats(1, 1_000),
    stale_price_seconds=st.floats(1, 60),
)
books = st.builds(
    Book,
    holder=st.none() | st.just("abcdefghijabcdefghij"),
    strategy_positions=counts,
    open_positions=counts,
    symbol_exposure=usd,
    last_closed_at=st.none() | moments,
    trades_today=counts,
    net_pnl_today=st.decimals(-9000, 9000, places=8),
)
needs = st.builds(
    Microstructure,
    name=st.sampled_from(["taker_buy_share", "open_interest"]),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    met=either,
    threshold=st.just("over 0.52"),
)
every_fact = st.builds(
    GateFacts,
    config=configs(),
    limits=limits,
    book=books,
    close_at=st.just(CLOSE),
    now=moments,
    missing_candles=st.integers(0, 3),
    microstructure=st.lists(needs, max_size=3).map(tuple),
    instrument=st.none() | instruments,
    price=st.none() | st.decimals("1000", "90000", places=1),
    price_age_seconds=st.none() | st.floats(0, 100) | st.just(float("inf")),
    free_balance=st.none() | st.decimals(-100, 20_000, places=8),
    clock_offset_ms=st.none() | st.floats(-2_000, 2_000),
    disaster_buffer_pct=st.just(Decimal(1)),
    regime=st.none()
    | st.builds(MarketRegime, state=levels, effective=st.none() | levels, confirmed=either, valid_from=moments),
    backtested=st.builds(Backtested, needed=either, run_id=st.none() | st.just("a-run")),
    funding_rate=st.none() | st.decimals("-0.02", "0.02", places=8),
)

Relaxed = Callable[[GateFacts], GateFacts]


def _config(**update: Any) -> Relaxed:
    return lambda facts: replace(facts, config=facts.config.model_copy(update=update))


def _raised(name: str, by: Any) -> Relaxed:
    """A field of the configuration raised by ``by``."""
    return lambda facts: _config(**{name: getattr(facts.config, name) + by})(facts)


def _limit(name: str, by: Any) -> Relaxed:
    return lambda facts: replace(facts, limits=replace(facts.limits, **{name: getattr(facts.limits, name) + by}))


def _funding_limit_raised(facts: GateFacts) -> GateFacts:
    limit = facts.config.max_funding_cost_pct
    return _config(max_funding_cost_pct=None if limit is None else limit + Decimal("0.1"))(facts)


RELAXED: dict[str, Relaxed] = {
    "trading is not halted": lambda facts: replace(facts, limits=replace(facts.limits, trading_halted=False)),
    "the buy gate is open": _config(buy_gate=True),
    "no backtest is needed": lambda facts: replace(facts, backtested=replace(facts.backtested, needed=False)),
    "a signal lives longer": _raised("signal_ttl_seconds", 600),
    "every regime is allowed": _config(regimes=tuple(Regime)),
    "funding may cost more": _funding_limit_raised,
    "funding may cost anything": _config(max_funding_cost_pct=None),
    "no cooldown": _config(cooldown_seconds=0),
    "more positions of the strategy": _raised("max_positions", 1),
    "more trades a day": _raised("max_trades_per_day", 1),
    "more positions": _limit("max_open_positions", 1),
    "more of a symbol": _limit("symbol_exposure_usd", 500),
    "a greater loss": _limit("daily_loss_limit_usd", 500),
    "a worse clock": _limit("max_clock_offset_ms", 100.0),
    "an older price": _limit("stale_price_seconds", 5.0),
}


@given(every_fact)
def test_every_gate_is_asked_once_in_the_order_of_the_codes_and_the_first_block_is_the_reason(facts):
    verdicts = judge(facts)
    assert [verdict.gate for verdict in verdicts] == list(GateCode)
    reason = first_block(verdicts)
    blocked = [verdict for verdict in verdicts if not verdict.passed]
    assert reason == (blocked[0] if blocked else None)


each_gate = pytest.mark.parametrize("code", GateCode, ids=str)


def verdict_of(code: GateCode, facts: GateFacts) -> GateVerdict:
    (found,) = (verdict for verdict in judge(facts) if verdict.gate is code)
    return found


@each_gate
@given(facts=every_fact)
def test_a_gate_lets_pass_what_its_rule_in_words_lets_pass(code, facts):
    assert verdict_of(code, facts).passed == LETS_PASS[code](facts)


def _book(**update: Any) -> Relaxed:
    return lambda facts: replace(facts, book=replace(facts.book, **update))


def _at_age(facts: GateFacts, step: int) -> GateFacts:
    return replace(facts, now=CLOSE + timedelta(seconds=facts.config.signal_ttl_seconds, microseconds=step))


def _at_rest(facts: GateFacts, step: int) -> GateFacts:
    rest = timedelta(seconds=facts.config.cooldown_seconds, microseconds=-step)
    return _book(last_closed_at=facts.now - rest)(facts)


def _at_cost(facts: GateFacts, step: int) -> GateFacts:
    """A limit of as much as the funding costs, give or take a little."""
    linear = _config(category=Category.LINEAR)(facts)
    rate = facts.config.side.sign * Decimal("0.0001")
    cost = Decimal("0.01") * planned_settlements(linear.config)
    return replace(_config(max_funding_cost_pct=cost - Decimal("1e-9") * step)(linear), funding_rate=rate)


def _at_exposure(facts: GateFacts, step: int) -> GateFacts:
    held = facts.book.symbol_exposure
    cap = held + facts.config.trade_usd - Decimal("0.00000001") * step
    return replace(facts, limits=replace(facts.limits, symbol_exposure_usd=cap))


def _at_loss(facts: GateFacts, step: int) -> GateFacts:
    return _book(net_pnl_today=-facts.limits.daily_loss_limit_usd - Decimal("0.00000001") * step)(facts)


def _at_price_of_the_entry(facts: GateFacts, step: int) -> GateFacts:
    needed = facts.config.trade_usd * (1 + TAKER_FEES[facts.config.category])
    return replace(facts, free_balance=needed - Decimal("0.00000001") * step)


def _at_drift(sign: int) -> Callable[[GateFacts, int], GateFacts]:
    return lambda facts, step: replace(facts, clock_offset_ms=sign * (facts.limits.max_clock_offset_ms + step / 1024))


def _at_price_age(facts: GateFacts, step: int) -> GateFacts:
    age = facts.limits.stale_price_seconds + step / 1024
    return replace(facts, price=Decimal(60_000), price_age_seconds=age)


EDGES: list[tuple[GateCode, Callable[[GateFacts, int], GateFacts], int]] = [
    (GateCode.SIGNAL_STALE, _at_age, 1),
    (GateCode.FUNDING_COST, _at_cost, 1),
    (GateCode.COOLDOWN_ACTIVE, _at_rest, 1),
    (
        GateCode.STRATEGY_POSITION_CAP,
        lambda facts, step: _book(strategy_positions=facts.config.max_positions + step)(facts),
        0,
    ),
    (
        GateCode.PORTFOLIO_POSITION_CAP,
        lambda facts, step: _book(open_positions=facts.limits.max_open_positions + step)(facts),
        0,
    ),
    (GateCode.SYMBOL_EXPOSURE_CAP, _at_exposure, 1),
    (
        GateCode.TRADE_RATE_LIMIT,
        lambda facts, step: _book(trades_today=facts.config.max_trades_per_day + step)(facts),
        0,
    ),
    (GateCode.DAILY_LOSS_LIMIT, _at_loss, 0),
    (GateCode.INSUFFICIENT_BALANCE, _at_price_of_the_entry, 1),
    (GateCode.CLOCK_DRIFT, _at_drift(1), 1),
    (GateCode.CLOCK_DRIFT, _at_drift(-1), 1),
    (GateCode.STALE_PRICE, _at_price_age, 1),
]
"""A gate with a limit, facts a step off it (0: on it), and the first step at which it blocks."""


@pytest.mark.parametrize(
    ("code", "moved", "blocks_from"), EDGES, ids=[f"{code}-{place}" for place, (code, *_) in enumerate(EDGES)]
)
@given(facts=every_fact)
def test_a_limit_is_kept_to_the_last_step(code, moved, blocks_from, facts):
    for step in (-1, 0, 1):
        there = moved(facts, step)
        assert verdict_of(code, there).passed == (step < blocks_from), step
        assert LETS_PASS[code](there) == (step < blocks_from), step


@given(every_fact)
def test_every_block_tells_what_was_measured_and_what_was_wanted(facts):
    for verdict in judge(facts):
        assert verdict.passed or (verdict.value and verdict.threshold), verdict


@settings(max_examples=300)
@given(st.sampled_from(sorted(RELAXED)), every_fact)
def test_a_limit_relaxed_turns_no_pass_into_a_block(which, facts):
    before, after = judge(facts), judge(RELAXED[which](facts))
    assert [one.gate for one, then in zip(before, after, strict=True) if one.passed and not then.passed] == []


@given(every_fact)
def test_facts_stored_as_json_come_back_as_they_were_and_are_judged_in_the_same_words(facts):
    stored = json.loads(json.dumps(FACTS.dump_python(facts, mode="json"), allow_nan=False))
    again = FACTS.validate_python(stored)
    assert again == facts
    verdicts = judge(facts)
    assert judge(again) == verdicts
    assert [GateVerdict.model_validate_json(verdict.model_dump_json()) for verdict in verdicts] == verdicts


@given(facts=every_fact, rate=st.decimals("-0.02", "0.02", places=8))
def test_what_funding_costs_one_side_the_other_receives(facts, rate):
    def cost(side: PositionSide) -> Decimal:
        wanted = {"side": side, "category": Category.LINEAR, "max_funding_cost_pct": Decimal(0)}
        verdicts = judge(replace(_config(**wanted)(facts), funding_rate=rate))
        (asked,) = (verdict for verdict in verdicts if verdict.gate is GateCode.FUNDING_COST)
        paid = Decimal(asked.value.removesuffix(" %"))
        assert asked.passed == (paid <= 0)
        return paid

    assert cost(PositionSide.LONG) == -cost(PositionSide.SHORT)
