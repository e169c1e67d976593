"""Decisions asked again: what was written down comes out again, and whatever was changed is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from domain.candidates import candidates, leavings
from domain.digests import panel_digests
from domain.gate_facts import GateFacts, MarketRegime
from domain.gates import first_block, judge
from domain.regime import Regime
from domain.replaying import StoredDecision, StoredSignal, changed_inputs, replay, same_number
from domain.strategies import STRATEGIES
from domain.strategies.contract import Panel
from tests.domain.strategy_cases import QUICK, evaluate, random_panel
from tests.domain.test_gates import GOOD

MOMENTUM = STRATEGIES["momentum"]
CONFIG = GOOD.config.model_copy(update={"parameters": QUICK["momentum"].model_dump()})
PARTS = {"close": "candles", "volume": "candles", "taker_buy_share": "taker_buy_share"}


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def panel(seed: int = 0) -> Panel:
    """Random walks that end with a bar on which somebody wants to enter."""
    for bars in range(60, 120):
        found = random_panel(seed, 6, bars, swing=0.02)
        if evaluate(MOMENTUM, found).entry[:, -1].any():
            return replace(found, open_interest=None, long_short_ratio=None, funding_rate=None, regime=None)
    raise AssertionError("nobody ever wants to enter")


def stored(seen: Panel, observed: Sequence[str] = (), **facts: Any) -> StoredDecision:
    """What a scan writes down of ``seen``, with the facts of ``GOOD`` but for ``facts``."""
    config = facts.get("config", CONFIG)
    found = [each for each in candidates(evaluate(MOMENTUM, seen), seen) if each.symbol not in observed]
    signals = []
    for each in found:
        given = replace(GOOD, **{"config": config, **facts, "microstructure": each.microstructure})
        verdicts = judge(given)
        block = first_block(verdicts)
        signals.append(
            StoredSignal(
                symbol=each.symbol,
                score=each.score,
                evidence=through_json(each.evidence),
                facts=json.loads(TypeAdapter(GateFacts).dump_json(given)),
                verdicts=[verdict.model_dump(mode="json") for verdict in verdicts],
                blocked_by=str(block.gate) if block else None,
            )
        )
    return StoredDecision(
        decision="momentum@then",
        epoch="e",
        close_at=seen.close_at(-1),
        timeframe=seen.timeframe,
        config=config,
        settings_version=7,
        regime_id=1,
        regime=facts.get("regime", GOOD.regime),
        digests=through_json({str(seen.timeframe): panel_digests(seen)}),
        observed=frozenset(observed),
        signals=signals,
        whole=True,
    )


def again(then: StoredDecision, seen: Panel) -> Any:
    return replay(then, MOMENTUM, {seen.timeframe: seen})


@pytest.mark.parametrize(
    ("facts", "blocked_by"),
    [
        ({}, None),
        ({"price": None, "price_age_seconds": None}, "stale_price"),
        ({"price_age_seconds": float("inf")}, "stale_price"),
        ({"free_balance": None, "clock_offset_ms": None}, "insufficient_balance"),
        ({"now": GOOD.close_at + timedelta(days=1)}, "signal_stale"),
        ({"regime": None}, "regime_blocked"),
    ],
)
def test_an_acceptance_and_every_block_come_out_again(facts: dict[str, Any], blocked_by: str | None) -> None:
    seen = panel()
    then = stored(seen, **facts)
    reasons = {signal.blocked_by for signal in then.signals} - {"microstructure_failed", "microstructure_missing"}
    assert reasons == {blocked_by}
    told = again(then, seen)
    assert told.same, told
    assert (told.signals, told.config_version, told.settings_version) == (len(then.signals), CONFIG.version, 7)


@pytest.mark.parametrize(("threshold", "same"), [("", True), ("another", False)])
def test_a_threshold_that_a_gate_did_not_tell_then_is_no_difference(threshold: str, same: bool) -> None:
    seen = panel()
    then = stored(seen, price=None, price_age_seconds=None)
    signals = [
        replace(each, verdicts=[{**verdict, "threshold": threshold} for verdict in each.verdicts])
        for each in then.signals
    ]
    assert again(replace(then, signals=signals), seen).same == same


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 50), st.sampled_from(sorted(PARTS)), st.data())
def test_any_number_that_is_another_now_is_named(seed: int, column: str, data: st.DataObject) -> None:
    seen = panel(seed)
    then = stored(seen)
    row, bar = data.draw(st.integers(0, 5)), data.draw(st.integers(0, len(seen.open_time) - 1))
    values = getattr(seen, column).copy()
    values[row, bar] *= 1 + data.draw(st.sampled_from([1e-9, 0.01, -0.5]))
    told = again(then, replace(seen, **{column: values}))
    assert not told.same
    assert [(each.timeframe, each.symbol, each.part, each.how) for each in told.changed_inputs] == [
        (seen.timeframe, seen.symbols[row], PARTS[column], "changed")
    ]
    assert told.verdicts == []


def test_a_number_that_was_not_known_yet_arrived_and_one_that_is_lost_is_changed() -> None:
    seen = panel()
    hole = seen.close.copy()
    hole[2, 3] = np.nan
    before, after = ({"4h": panel_digests(each)} for each in (replace(seen, close=hole), seen))
    assert [each.how for each in changed_inputs(before, after)] == ["arrived"]
    assert [each.how for each in changed_inputs(after, before)] == ["changed"]
    assert changed_inputs(after, after) == []


def test_other_parameters_are_named_and_so_is_what_they_change() -> None:
    seen = panel()
    then = stored(seen)
    other = CONFIG.parameters | {"roc_over_pct": 90.0}
    told = again(replace(then, config=CONFIG.model_copy(update={"parameters": other})), seen)
    assert (told.same, told.changed_inputs, told.verdicts) == (False, [], [])
    for signal in then.signals:
        found = {each.name: (each.was, each.now) for each in told.differences if each.symbol == signal.symbol}
        assert found == {"entry": (True, False), "config.parameters.roc_over_pct": (0.5, 90.0)}


def test_parameters_that_let_others_in_name_them() -> None:
    seen = panel()
    then = stored(seen)
    told = again(replace(then, signals=then.signals[1:]), seen)
    assert [(each.symbol, each.name, each.was, each.now) for each in told.differences] == [
        (then.signals[0].symbol, "entry", False, True)
    ]


def test_a_symbol_that_was_only_observed_was_no_candidate_and_is_none_now() -> None:
    seen = panel()
    symbol = stored(seen).signals[0].symbol
    assert again(stored(seen, observed=[symbol]), seen).same


def test_one_signal_alone_is_held_against_its_own_symbol() -> None:
    seen = panel()
    then = stored(seen)
    assert again(replace(then, signals=then.signals[:1], whole=False), seen).same


@pytest.mark.parametrize(("off", "same"), [(0.0, True), (9e-7, True), (2e-6, False), (-1.0, False)])
def test_numbers_are_the_same_within_a_millionth(off: float, same: bool) -> None:
    seen = panel()
    then = stored(seen)
    first = then.signals[0]
    moved = replace(first, score=first.score / 100, evidence={"close": 0.5})
    assert same_number(0.5, 0.5 + off) is same
    told = again(replace(then, signals=[replace(first, score=first.score * (1 + off))], whole=False), seen)
    assert told.same is same
    assert [each.name for each in told.differences] == ([] if same else ["score"])
    names = {each.name for each in again(replace(then, signals=[moved], whole=False), seen).differences}
    assert {"score", "evidence.close"} <= names


@pytest.mark.parametrize(("was", "now", "same"), [(None, None, True), (None, 0.0, False), (1e9, 1e9 + 100, True)])
def test_what_is_not_known_is_no_number_and_large_ones_are_compared_by_their_size(
    was: float | None, now: float | None, same: bool
) -> None:
    assert same_number(was, now) is same


def test_a_verdict_that_the_gates_would_not_give_is_named() -> None:
    seen = panel()
    then = stored(seen)
    first = then.signals[0]
    halted = [{**each, "passed": each["gate"] != "trading_halted"} for each in first.verdicts]
    told = again(
        replace(then, signals=[replace(first, verdicts=halted, blocked_by="trading_halted")], whole=False), seen
    )
    [verdict] = told.verdicts
    assert (verdict.gate, verdict.symbol) == ("trading_halted", first.symbol)
    assert verdict.was is not None
    assert verdict.now is not None
    assert (verdict.was.passed, verdict.now.passed) == (False, True)
    assert [(each.name, each.was, each.now) for each in told.differences] == [("blocked_by", "trading_halted", None)]


def test_another_requirement_and_another_regime_are_named() -> None:
    seen = panel()
    then = stored(seen)
    first = then.signals[0]
    needs = through_json(first.facts["microstructure"])
    needs[0]["value"] += 0.01
    turned = MarketRegime(Regime.BEAR, Regime.BEAR, True, GOOD.close_at)
    told = again(
        replace(then, signals=[replace(first, facts={**first.facts, "microstructure": needs})], regime=turned), seen
    )
    names = {each.name for each in told.differences if each.symbol == first.symbol}
    assert names >= {f"microstructure.{needs[0]['name']}", "regime"}


def test_facts_that_nobody_can_read_are_named() -> None:
    seen = panel()
    then = stored(seen)
    told = again(replace(then, signals=[replace(then.signals[0], facts={})], whole=False), seen)
    assert "facts" in {each.name for each in told.differences}


@pytest.mark.parametrize("parameters", [{}, {"no_such": 1}])
def test_a_strategy_that_can_t_answer_any_more_is_a_difference_and_no_error(parameters: dict[str, Any]) -> None:
    seen = panel()
    then = stored(seen)
    config = CONFIG.model_copy(update={"parameters": CONFIG.parameters | parameters})
    told = replay(replace(then, config=config), MOMENTUM, {seen.timeframe: seen} if parameters else {})
    assert [each.name for each in told.differences if each.symbol is None] == ["evaluation"]
    assert bool(told.changed_inputs) is not bool(parameters)


def test_amounts_are_compared_as_numbers() -> None:
    seen = panel()
    then = stored(seen)
    same = CONFIG.model_copy(update={"trade_usd": CONFIG.trade_usd * Decimal("1.0000")})
    assert again(replace(then, config=same), seen).same


def test_what_the_strategy_says_of_a_held_symbol_is_compared() -> None:
    seen = panel()
    found = leavings(evaluate(MOMENTUM, seen), seen, seen.symbols)
    said = through_json({each.symbol: {"exit": each.exit, "evidence": each.evidence} for each in found})
    then = replace(stored(seen), held=said)
    assert again(then, seen).same
    first = seen.symbols[0]
    was = said[first]
    other = {**said, first: {"exit": not was["exit"], "evidence": {**was["evidence"], "close": 1.0}}}
    told = again(replace(then, held=other), seen)
    assert {(each.symbol, each.name) for each in told.differences} == {(first, "exit"), (first, "evidence.close")}
    assert again(replace(then, held=other, whole=False), seen).same, "a signal alone has no exits"
