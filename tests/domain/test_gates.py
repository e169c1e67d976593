"""The gate chain: every gate is asked, each blocks exactly when its fact says so, the first block is the reason."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.exit_policy import ExitPolicy
from domain.gate_facts import (
    OTHERS,
    Backtested,
    Book,
    GateCode,
    GateFacts,
    GateVerdict,
    Limits,
    MarketRegime,
    Microstructure,
    backtest_needed,
)
from domain.gates import CHAIN, first_block, judge, judge_reservation, planned_settlements
from domain.market import Category, Instrument, PositionSide
from domain.regime import Regime
from domain.strategies import STRATEGIES
from domain.strategy_config import StrategyConfig, default_config

D = Decimal
CLOSE = datetime(2025, 3, 1, 8, tzinfo=UTC)
NOW = CLOSE + timedelta(seconds=5)
RESERVING = [
    GateCode.TRADING_HALTED,
    GateCode.COOLDOWN_ACTIVE,
    GateCode.POSITION_EXISTS,
    GateCode.STRATEGY_POSITION_CAP,
    GateCode.PORTFOLIO_POSITION_CAP,
    GateCode.SYMBOL_EXPOSURE_CAP,
    GateCode.TRADE_RATE_LIMIT,
    GateCode.DAILY_LOSS_LIMIT,
]
BTC = Instrument(
    category=Category.SPOT,
    symbol="BTCUSDT",
    base_coin="BTC",
    quote_coin="USDT",
    tick_size=D("0.1"),
    qty_step=D("0.0001"),
    min_order_qty=D("0.0002"),
    min_order_amount=D(5),
    max_market_qty=D(3),
)
SHARE = Microstructure(name="taker_buy_share", value=0.6, met=True, threshold="over 0.52")
GOOD = GateFacts(
    config=default_config(STRATEGIES["momentum"], active=True),
    limits=Limits(
        trading_halted=False,
        max_open_positions=20,
        symbol_exposure_usd=D(5000),
        daily_loss_limit_usd=D(500),
        max_clock_offset_ms=500,
        stale_price_seconds=30,
    ),
    book=Book(
        holder=None,
        strategy_positions=0,
        open_positions=0,
        symbol_exposure=D(0),
        last_closed_at=None,
        trades_today=0,
        net_pnl_today=D(0),
    ),
    close_at=CLOSE,
    now=NOW,
    missing_candles=0,
    microstructure=(SHARE,),
    instrument=BTC,
    price=D(90_000),
    price_age_seconds=0.4,
    free_balance=D(10_000),
    clock_offset_ms=3.0,
    disaster_buffer_pct=D(1),
    regime=MarketRegime(state=Regime.BULL, effective=Regime.BULL, confirmed=True, valid_from=CLOSE),
    backtested=Backtested(needed=True, run_id="a-run"),
    funding_rate=None,
)
LINEAR: dict[str, Any] = {
    "config": default_config(STRATEGIES["trend_breakdown"], active=True).model_copy(
        update={"regimes": tuple(Regime), "exit_policy": ExitPolicy(stop_loss_pct=D(3), max_hold_seconds=5 * 86_400)}
    ),
    "instrument": BTC.model_copy(update={"category": Category.LINEAR}),
}
"""A short on a perpetual, planned for at most 15 settlements of funding, which may cost 0.5 %."""


def facts(**wanted: Any) -> GateFacts:
    """``GOOD`` with the named facts, found by their names in the facts, the book, the limits or the configuration."""
    found = GOOD
    for name, value in wanted.items():
        if name in {field.name for field in fields(GateFacts)}:
            found = replace(found, **{name: value})
        elif name in {field.name for field in fields(Book)}:
            found = replace(found, book=replace(found.book, **{name: value}))
        elif name in {field.name for field in fields(Limits)}:
            found = replace(found, limits=replace(found.limits, **{name: value}))
        else:
            assert name in StrategyConfig.model_fields, name
            found = replace(found, config=found.config.model_copy(update={name: value}))
    return found


def blocks(verdicts: list[GateVerdict]) -> list[GateCode]:
    return [verdict.gate for verdict in verdicts if not verdict.passed]


def rest(seconds: int) -> datetime:
    """A close after which a cooldown of 4 hours has ``seconds`` left."""
    return NOW - timedelta(hours=4) + timedelta(seconds=seconds)


FAILED = replace(SHARE, value=0.5, met=False)
MISSING = replace(SHARE, value=None, met=False)


def turned(effective: Regime | None) -> MarketRegime:
    return MarketRegime(state=Regime.STRONG_BULL, effective=effective, confirmed=False, valid_from=CLOSE)


BLOCKING: list[tuple[GateCode, dict[str, Any]]] = [
    (GateCode.TRADING_HALTED, {"trading_halted": True}),
    (GateCode.STRATEGY_GATE_OFF, {"buy_gate": False}),
    (GateCode.NOT_BACKTESTED, {"backtested": Backtested(needed=True, run_id=None)}),
    (GateCode.DATA_COVERAGE_GAP, {"missing_candles": 1}),
    (GateCode.MICROSTRUCTURE_MISSING, {"microstructure": (MISSING,)}),
    (GateCode.MICROSTRUCTURE_MISSING, {"microstructure": (SHARE, MISSING)}),
    (GateCode.SIGNAL_STALE, {"now": CLOSE + timedelta(seconds=3600, microseconds=1)}),
    (GateCode.REGIME_BLOCKED, {"regime": None}),
    (GateCode.REGIME_BLOCKED, {"regime": turned(None)}),
    (GateCode.REGIME_BLOCKED, {"regime": turned(Regime.BEAR)}),
    (GateCode.REGIME_BLOCKED, {"regimes": (Regime.NEUTRAL,)}),
    (GateCode.MICROSTRUCTURE_FAILED, {"microstructure": (FAILED,)}),
    (GateCode.MICROSTRUCTURE_FAILED, {"microstructure": (SHARE, FAILED)}),
    (GateCode.FUNDING_COST, {**LINEAR, "funding_rate": None}),
    (GateCode.FUNDING_COST, {**LINEAR, "funding_rate": D("-0.00033334")}),
    (GateCode.FUNDING_COST, {**LINEAR, "side": PositionSide.LONG, "funding_rate": D("0.00033334")}),
    (GateCode.FUNDING_COST, {**LINEAR, "max_funding_cost_pct": D(0), "funding_rate": D("-0.00000001")}),
    (GateCode.COOLDOWN_ACTIVE, {"last_closed_at": rest(1)}),
    (GateCode.COOLDOWN_ACTIVE, {"last_closed_at": NOW}),
    (GateCode.POSITION_EXISTS, {"holder": "abcdefghijabcdefghij"}),
    (GateCode.STRATEGY_POSITION_CAP, {"strategy_positions": 5}),
    (GateCode.STRATEGY_POSITION_CAP, {"strategy_positions": 6}),
    (GateCode.STRATEGY_POSITION_CAP, {"max_positions": 0}),
    (GateCode.PORTFOLIO_POSITION_CAP, {"open_positions": 20}),
    (GateCode.SYMBOL_EXPOSURE_CAP, {"symbol_exposure": D("4000.01")}),
    (GateCode.SYMBOL_EXPOSURE_CAP, {"symbol_exposure_usd": D("999.99")}),
    (GateCode.TRADE_RATE_LIMIT, {"trades_today": 10}),
    (GateCode.DAILY_LOSS_LIMIT, {"net_pnl_today": D(-500)}),
    (GateCode.INSTRUMENT_NOT_TRADABLE, {"instrument": None}),
    (GateCode.INSTRUMENT_NOT_TRADABLE, {"instrument": BTC.model_copy(update={"tradable": False})}),
    (GateCode.BELOW_MINIMUM_ORDER, {"trade_usd": D(4)}),
    (GateCode.BELOW_MINIMUM_ORDER, {"trade_usd": D(19)}),
    (GateCode.INSUFFICIENT_BALANCE, {"free_balance": None}),
    (GateCode.INSUFFICIENT_BALANCE, {"free_balance": D("1000.99")}),
    (GateCode.CLOCK_DRIFT, {"clock_offset_ms": None}),
    (GateCode.CLOCK_DRIFT, {"clock_offset_ms": 500.5}),
    (GateCode.CLOCK_DRIFT, {"clock_offset_ms": -500.5}),
    (GateCode.STALE_PRICE, {"price": None, "price_age_seconds": None}),
    (GateCode.STALE_PRICE, {"price": None}),
    (GateCode.STALE_PRICE, {"price_age_seconds": None}),
    (GateCode.STALE_PRICE, {"price_age_seconds": 30.1}),
]
PASSING: list[dict[str, Any]] = [
    {},
    {"watchlist_gate": False, "sell_gate": False},
    {"microstructure": ()},
    {"backtested": Backtested(needed=False, run_id=None)},
    {"regime": turned(Regime.NEUTRAL)},
    {"funding_rate": D(1)},
    {**LINEAR, "funding_rate": D("-0.00033333")},
    {**LINEAR, "funding_rate": D("0.02")},
    {**LINEAR, "side": PositionSide.LONG, "funding_rate": D("-0.02")},
    {**LINEAR, "max_funding_cost_pct": D(0), "funding_rate": D(0)},
    {**LINEAR, "max_funding_cost_pct": None, "funding_rate": None},
    {"now": CLOSE},
    {"now": CLOSE + timedelta(seconds=3600)},
    {"last_closed_at": rest(0)},
    {"last_closed_at": rest(-1)},
    {"last_closed_at": NOW, "cooldown_seconds": 0},
    {"strategy_positions": 4},
    {"open_positions": 19},
    {"symbol_exposure": D(4000)},
    {"trades_today": 9},
    {"net_pnl_today": D("-499.99")},
    {"trade_usd": D(30)},
    {"free_balance": D(1001)},
    {"clock_offset_ms": 500.0},
    {"clock_offset_ms": -500.0},
    {"price_age_seconds": 30.0},
]


@pytest.mark.parametrize(("code", "wanted"), BLOCKING, ids=lambda value: str(value))
def test_a_gate_alone_blocks_when_its_fact_says_so(code, wanted):
    verdicts = judge(facts(**wanted))
    assert blocks(verdicts) == [code]
    reason = first_block(verdicts)
    assert reason is not None
    assert reason.gate is code


@pytest.mark.parametrize("wanted", PASSING, ids=str)
def test_no_gate_blocks_what_just_meets_its_limit(wanted):
    verdicts = judge(facts(**wanted))
    assert blocks(verdicts) == []
    assert first_block(verdicts) is None


def test_every_gate_has_a_case_that_it_blocks():
    assert {code for code, _ in BLOCKING} == set(GateCode)


@given(st.lists(st.sampled_from(BLOCKING), unique_by=lambda case: case[0], max_size=8))
def test_all_gates_are_asked_in_the_order_of_their_codes_and_the_first_block_is_the_reason(cases):
    verdicts = judge(facts(**{name: value for _, wanted in cases for name, value in wanted.items()}))
    assert [verdict.gate for verdict in verdicts] == list(GateCode)
    assert len(verdicts) == len(CHAIN)
    reason = first_block(verdicts)
    assert (reason.gate if reason else None) == next((code for code in GateCode if code in blocks(verdicts)), None)


def test_a_block_hides_no_other():
    wrong = facts(
        config=LINEAR["config"],
        regime=None,
        backtested=Backtested(needed=True, run_id=None),
        trading_halted=True,
        buy_gate=False,
        missing_candles=3,
        microstructure=(MISSING, FAILED),
        now=CLOSE + timedelta(hours=2),
        last_closed_at=CLOSE,
        holder="abcdefghijabcdefghij",
        strategy_positions=5,
        open_positions=20,
        symbol_exposure=D(5000),
        trades_today=10,
        net_pnl_today=D(-501),
        instrument=None,
        free_balance=D(0),
        clock_offset_ms=9000.0,
        price_age_seconds=99.0,
    )
    # Without an instrument nobody can say whether the order is too small.
    assert blocks(judge(wrong)) == [code for code in GateCode if code is not GateCode.BELOW_MINIMUM_ORDER]


def test_a_verdict_tells_value_and_threshold_in_words_of_the_operator():
    told = {
        (verdict.gate.value, verdict.value, verdict.threshold)
        for wanted in (
            {"symbol_exposure": D("4500.00000000")},
            {"microstructure": (SHARE, FAILED)},
            {"net_pnl_today": D("-612.50")},
            {"open_positions": 20},
            {"price_age_seconds": 61.26},
            {**LINEAR, "funding_rate": D("-0.00050")},
            {"backtested": Backtested(needed=True, run_id=None)},
        )
        for verdict in judge(facts(**wanted))
        if not verdict.passed
    }
    assert told == {
        ("symbol_exposure_cap", "5500", "5000"),
        ("microstructure_failed", "0.5", "over 0.52"),
        ("daily_loss_limit", "-612.5", "over -500"),
        ("portfolio_position_cap", "20", "20"),
        ("stale_price", "61.3 s", "30 s"),
        ("funding_cost", "0.75 %", "0.5 %"),
        ("not_backtested", "none", "a completed backtest of version 1"),
    }


def test_an_order_below_the_minimum_names_the_filter_it_breaks():
    (small,) = (verdict for verdict in judge(facts(trade_usd=D(4))) if not verdict.passed)
    assert "under the minimum order quantity 0.0002 of BTCUSDT" in small.detail


def test_an_order_that_could_not_be_sold_again_at_its_stop_is_below_the_minimum():
    tiny = BTC.model_copy(update={"qty_step": D("0.000001"), "min_order_qty": D("0.000001")})
    wide = ExitPolicy(stop_loss_pct=D(20))
    (refused,) = (v for v in judge(facts(instrument=tiny, trade_usd=D(6), exit_policy=wide)) if not v.passed)
    assert refused.gate is GateCode.BELOW_MINIMUM_ORDER
    assert "too small to be sold again at its stop" in refused.detail
    assert blocks(judge(facts(instrument=tiny, trade_usd=D(7), exit_policy=wide))) == []


def test_without_a_price_the_price_is_the_reason_and_not_the_size():
    verdicts = judge(facts(price=None, trade_usd=D(1)))
    assert blocks(verdicts) == [GateCode.STALE_PRICE]


def test_a_perpetual_at_1x_needs_its_value_and_its_own_fee():
    linear = {**LINEAR, "funding_rate": D(0)}
    assert blocks(judge(facts(**linear, free_balance=D("1000.55")))) == []
    assert blocks(judge(facts(**linear, free_balance=D("1000.54")))) == [GateCode.INSUFFICIENT_BALANCE]


@pytest.mark.parametrize(
    ("hold", "settlements"), [(None, 3), (1, 1), (8 * 3600, 1), (8 * 3600 + 1, 2), (5 * 86_400, 15)]
)
def test_funding_is_counted_over_the_planned_hold_or_a_day(hold, settlements):
    config = LINEAR["config"].model_copy(update={"exit_policy": ExitPolicy(stop_loss_pct=D(3), max_hold_seconds=hold)})
    assert planned_settlements(config) == settlements


def test_an_unconfirmed_regime_is_told_beside_the_one_that_counts():
    (blocked,) = (v for v in judge(facts(regime=turned(Regime.BEAR))) if not v.passed)
    assert (blocked.value, blocked.threshold) == ("bear", "neutral, bull, strong_bull")
    assert "the newest, strong_bull, is not confirmed" in blocked.detail


@pytest.mark.parametrize("mode", ["paper", "demo", "testnet", "live"])
def test_a_backtest_is_needed_always_never_or_in_live_mode_alone(mode):
    assert backtest_needed("always", mode)
    assert not backtest_needed("never", mode)
    assert backtest_needed("live", mode) == (mode == "live")


@given(
    st.integers(0, 7),
    st.integers(0, 25),
    st.integers(0, 6000).map(D),
    st.integers(0, 12),
    st.integers(-700, 100).map(D),
    st.booleans(),
    st.sampled_from([None, "abcdefghijabcdefghij", OTHERS]),
    st.none() | st.integers(-60, 60).map(rest),
)
def test_a_reservation_of_a_strategy_is_judged_as_the_chain_does(
    held, opened, exposure, trades, pnl, halted, holder, closed
):
    full = facts(
        strategy_positions=held,
        open_positions=opened,
        symbol_exposure=exposure,
        trades_today=trades,
        net_pnl_today=pnl,
        trading_halted=halted,
        holder=holder,
        last_closed_at=closed,
    )
    said = judge_reservation(full.book, full.limits, full.config.trade_usd, full.config, full.now)
    assert [verdict.gate for verdict in said] == RESERVING
    assert said == [verdict for verdict in judge(full) if verdict.gate in RESERVING]


def test_a_trade_by_hand_is_held_to_what_holds_for_the_whole_portfolio():
    worn = facts(strategy_positions=99, trades_today=99, net_pnl_today=D(-9999), last_closed_at=NOW)
    by_hand = [
        GateCode.TRADING_HALTED,
        GateCode.POSITION_EXISTS,
        GateCode.PORTFOLIO_POSITION_CAP,
        GateCode.SYMBOL_EXPOSURE_CAP,
    ]
    said = judge_reservation(worn.book, worn.limits, D(1000), None, NOW)
    assert [verdict.gate for verdict in said] == by_hand
    assert blocks(said) == []
    full = facts(trading_halted=True, open_positions=20, symbol_exposure=D(4500), holder="abcdefghijabcdefghij")
    assert blocks(judge_reservation(full.book, full.limits, D(501), None, NOW)) == by_hand
    assert blocks(judge_reservation(full.book, full.limits, D(500), None, NOW)) == by_hand[:3]


def test_who_holds_the_place_is_told():
    ours, others = (
        next(verdict for verdict in judge(facts(holder=holder)) if not verdict.passed)
        for holder in ("abcdefghijabcdefghij", OTHERS)
    )
    assert (ours.value, ours.detail) == ("abcdefghijabcdefghij", "position abcdefghijabcdefghij holds the symbol")
    assert (others.value, others.detail) == ("others", "others hold the symbol on the account")
