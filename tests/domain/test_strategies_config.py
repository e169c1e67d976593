"""Seeded configurations and changes of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import ValidationError

from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.strategies import STRATEGIES, UnknownStrategy, validate_parameters
from domain.strategy_config import StrategyConfig, changed, check, default_config

MOMENTUM = default_config(STRATEGIES["momentum"], active=True)
BREAKDOWN = default_config(STRATEGIES["trend_breakdown"], active=True)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
@pytest.mark.parametrize("active", [True, False])
def test_a_default_is_valid_whole_and_enters_only_when_active(strategy, active):
    config = default_config(strategy, active=active)
    assert (config.watchlist_gate, config.buy_gate, config.sell_gate) == (True, active, True)
    assert check(config) is config
    assert config.exit_policy == strategy.exit_policy
    assert validate_parameters(strategy.name, config.parameters) == strategy.parameters()
    assert set(config.parameters) == set(strategy.parameters.model_fields)
    assert StrategyConfig.model_validate_json(config.model_dump_json()) == config


def test_strategies_trade_where_and_when_the_design_says():
    assert (MOMENTUM.category, MOMENTUM.side, MOMENTUM.timeframe) == (Category.SPOT, PositionSide.LONG, Timeframe.H4)
    assert (BREAKDOWN.category, BREAKDOWN.side, BREAKDOWN.timeframe) == (
        Category.LINEAR,
        PositionSide.SHORT,
        Timeframe.H4,
    )


def test_a_change_touches_what_it_names_and_merges_parameters_by_name():
    config = changed(MOMENTUM, trade_usd=Decimal(250), buy_gate=False, parameters={"roc_over_pct": 6})
    expected = MOMENTUM.model_dump() | {
        "trade_usd": Decimal(250),
        "buy_gate": False,
        "parameters": MOMENTUM.parameters | {"roc_over_pct": 6.0},
    }
    assert config.model_dump() == expected
    assert changed(config, parameters={"adx_bars": 10}).parameters["roc_over_pct"] == 6.0
    assert changed(config) == config


def test_parameters_stored_by_an_older_version_are_completed_by_a_change():
    stored = MOMENTUM.model_copy(update={"parameters": {"adx_over": 30.0}, "version": 7})
    config = changed(stored, max_positions=2)
    assert config.parameters == MOMENTUM.parameters | {"adx_over": 30.0}
    assert config.version == 7


def test_an_exit_policy_is_replaced_as_a_whole():
    config = changed(MOMENTUM, exit_policy={"stop_loss_pct": "2"})
    assert config.exit_policy == ExitPolicy(stop_loss_pct=Decimal(2))


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"trade_usd": 0}, "trade_usd\n.*greater than 0"),
        ({"max_positions": -1}, "max_positions\n.*greater than or equal to 0"),
        ({"lots": 3}, "lots\n.*not permitted"),
        ({"strategy": "trend_breakdown"}, "strategy: can't be changed"),
        ({"version": 2}, "version: can't be changed"),
        ({"timeframe": "3h"}, "timeframe\n.*'4h'"),
        ({"timeframe": Timeframe.M1}, "timeframe: candles of 1m are not kept"),
        ({"side": "short"}, "side: spot positions are long only"),
        ({"parameters": {"roc_bars": 0}}, "roc_bars\n.*greater than or equal to 2"),
        ({"parameters": {"hope": 1}}, "hope\n.*not permitted"),
        ({"parameters": {"ema_fast_bars": 80}}, "ema_fast_bars 80 must be below ema_slow_bars 50"),
        ({"parameters": [1]}, "parameters: must be an object"),
        ({"exit_policy": {"stop_loss_pct": 0}}, "exit_policy.stop_loss_pct\n.*greater than 0"),
    ],
)
def test_a_wrong_change_is_refused_by_field_and_rule(fields, rule):
    with pytest.raises(ValueError, match=rule):
        changed(MOMENTUM, **fields)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_a_strategys_side_is_its_rules(strategy):
    config = default_config(strategy, active=True)
    other = PositionSide.LONG if strategy.side is PositionSide.SHORT else PositionSide.SHORT
    with pytest.raises(ValueError, match=f"side: {strategy.name} is a rule for {strategy.side} positions alone"):
        changed(config, side=other, category="linear", exit_policy={"stop_loss_pct": 2})


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_a_strategy_trades_only_where_its_side_and_its_microstructure_are(strategy):
    config = default_config(strategy, active=True)
    if strategy.side is PositionSide.LONG:
        assert changed(config, category="linear").category is Category.LINEAR
        assert changed(config, category="spot").category is Category.SPOT
        return
    with pytest.raises(ValueError, match="side: spot positions are long only"):
        changed(config, category="spot", max_funding_cost_pct=None)


@pytest.mark.parametrize("kind", ["open_interest", "long_short_ratio", "funding_rate"])
def test_what_perpetuals_alone_have_can_not_be_looked_at_on_spot(monkeypatch, kind):
    momentum = STRATEGIES["momentum"]
    needs = replace(momentum.needs(momentum.parameters(), Timeframe.H4), **{kind: True})
    monkeypatch.setattr(type(momentum), "needs", lambda *asked: needs)
    assert changed(MOMENTUM, category="linear").category is Category.LINEAR
    with pytest.raises(ValueError, match="category: momentum looks at what perpetuals alone have"):
        changed(MOMENTUM, category="spot")


STAMPED = {"trend_breakdown", "mean_reversion_short"}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_weeks_are_refused_where_the_exchange_stamps_none(strategy):
    config = default_config(strategy, active=True)
    for timeframe in (Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1):
        assert changed(config, timeframe=timeframe).timeframe is timeframe
    if strategy.name not in STAMPED:
        assert changed(config, timeframe="1w").timeframe is Timeframe.W1
        return
    with pytest.raises(ValueError, match=r"timeframe: \w+ looks at what the exchange stamps, and not for 1w"):
        changed(config, timeframe="1w")


def test_parameters_that_make_no_sense_do_not_hide_a_wrong_side():
    odd = BREAKDOWN.model_copy(update={"parameters": {"hope": 1}})
    assert check(odd) is odd, "they are told where parameters are read"
    with pytest.raises(ValueError, match="side: trend_breakdown"):
        check(odd.model_copy(update={"side": PositionSide.LONG}))


def test_a_short_can_not_be_given_a_target_that_no_price_reaches():
    with pytest.raises(ValueError, match="exit_policy: take_profit_pct 150 must be below 100 for a short"):
        changed(BREAKDOWN, exit_policy={"stop_loss_pct": 5, "take_profit_pct": 150})


def test_a_configuration_of_a_strategy_that_is_gone_can_not_be_changed():
    with pytest.raises(UnknownStrategy):
        changed(MOMENTUM.model_copy(update={"strategy": "gone"}), max_positions=1)
    with pytest.raises(ValidationError):
        StrategyConfig.model_validate(MOMENTUM.model_dump() | {"strategy": "Not A Name"})
