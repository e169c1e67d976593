"""Two strategies and one symbol: what the first one holds takes from the second, for every pair of the eleven."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.gate_facts import OTHERS, GateCode, GateVerdict, Limits
from domain.gates import judge_reservation
from domain.holdings import Held, Holdings
from domain.market import Category
from domain.strategies import STRATEGIES
from domain.strategy_config import StrategyConfig, default_config

NOW = datetime(2025, 3, 1, 8, 0, 5, tzinfo=UTC)
SYMBOL = "BTCUSDT"
LONGS = {"growth_potential", "momentum", "mean_reversion", "btc_trend", "range_fade_long", "btc_swing"}
"""On spot, by the table of the design."""
SHORTS = {"trend_breakdown", "momentum_short", "mean_reversion_short", "btc_trend_short", "range_fade_short"}
"""On linear."""
PAIRS = list(itertools.product(sorted(STRATEGIES), repeat=2))
NOTHING = Holdings(held=(), foreign=frozenset(), last_closed={}, entries_today={}, net_pnl_today=Decimal(0))
WIDE = Limits(
    trading_halted=False,
    max_open_positions=20,
    symbol_exposure_usd=Decimal(25_000),
    daily_loss_limit_usd=Decimal(500),
    max_clock_offset_ms=500,
    stale_price_seconds=30,
)
every_pair = pytest.mark.parametrize(("first", "second"), PAIRS)


def config(name: str, **changes: object) -> StrategyConfig:
    return default_config(STRATEGIES[name], active=True).model_copy(update=changes)


def held(name: str, symbol: str = SYMBOL) -> Held:
    """What an entry of the strategy holds: 1000 USD of the symbol on its own market."""
    one = config(name)
    return Held(f"position of {name}", name, one.category, symbol, one.trade_usd)


def verdicts(holdings: Holdings, wanting: StrategyConfig, limits: Limits = WIDE) -> dict[GateCode, GateVerdict]:
    """What stands against an entry of the strategy on the symbol, by gate."""
    book = holdings.book(wanting.strategy, wanting.category, SYMBOL)
    said = judge_reservation(book, limits, wanting.trade_usd, wanting, NOW)
    return {verdict.gate: verdict for verdict in said if not verdict.passed}


def one_place(first: str, second: str) -> bool:
    """Whether two strategies want the same place: on spot only one of its own, on linear any of one symbol."""
    return first == second or {first, second} <= SHORTS


def test_the_rules_here_are_of_all_strategies_and_their_markets() -> None:
    assert set(STRATEGIES) == LONGS | SHORTS
    assert {name for name in STRATEGIES if config(name).category is Category.LINEAR} == SHORTS
    assert len(PAIRS) == 121
    assert sum(one_place(*pair) for pair in PAIRS) == len(LONGS) + len(SHORTS) ** 2


@every_pair
def test_the_second_is_blocked_where_the_first_has_its_place_and_nowhere_else(first: str, second: str) -> None:
    blocks = verdicts(NOTHING.accepting(held(first)), config(second))
    if not one_place(first, second):
        assert blocks == {}
        return
    assert list(blocks) == [GateCode.POSITION_EXISTS]
    assert blocks[GateCode.POSITION_EXISTS].value == f"position of {first}"


@every_pair
def test_what_the_first_holds_of_another_symbol_takes_no_place(first: str, second: str) -> None:
    assert verdicts(NOTHING.accepting(held(first, "ETHUSDT")), config(second)) == {}


@every_pair
def test_exposure_of_a_symbol_is_of_all_strategies_markets_and_sides_together(first: str, second: str) -> None:
    holdings = NOTHING.accepting(held(first))
    for cap, over in ((Decimal(2000), False), (Decimal("1999.99"), True)):
        blocks = verdicts(holdings, config(second), replace(WIDE, symbol_exposure_usd=cap))
        assert (GateCode.SYMBOL_EXPOSURE_CAP in blocks) == over
        if over:
            told = blocks[GateCode.SYMBOL_EXPOSURE_CAP]
            assert (told.value, told.threshold) == ("2000", "1999.99")


@every_pair
def test_the_portfolios_cap_counts_everybody_and_a_strategys_own_only_its_own(first: str, second: str) -> None:
    holdings = NOTHING.accepting(held(first, "ETHUSDT"))
    one_each = config(second, max_positions=1, max_trades_per_day=1)
    own = {GateCode.STRATEGY_POSITION_CAP, GateCode.TRADE_RATE_LIMIT} if first == second else set()
    assert verdicts(holdings, one_each).keys() == own
    full = replace(WIDE, max_open_positions=1)
    assert verdicts(holdings, one_each, full).keys() == own | {GateCode.PORTFOLIO_POSITION_CAP}


@every_pair
def test_a_close_of_the_first_cools_the_symbol_for_itself_alone(first: str, second: str) -> None:
    closed = {(first, config(first).category.value, SYMBOL): NOW - timedelta(minutes=1)}
    holdings = replace(NOTHING, last_closed=closed, entries_today={first: 1}, net_pnl_today=Decimal(-100))
    blocks = verdicts(holdings, config(second))
    assert list(blocks) == ([GateCode.COOLDOWN_ACTIVE] if first == second else [])


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_loss_of_the_day_stops_every_strategy(name: str) -> None:
    lost = replace(NOTHING, net_pnl_today=-WIDE.daily_loss_limit_usd)
    assert list(verdicts(lost, config(name))) == [GateCode.DAILY_LOSS_LIMIT]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_symbol_that_others_hold_on_linear_has_no_place_there_and_is_free_on_spot(name: str) -> None:
    blocks = verdicts(replace(NOTHING, foreign=frozenset({SYMBOL})), config(name))
    assert list(blocks) == ([GateCode.POSITION_EXISTS] if name in SHORTS else [])
    if blocks:
        assert blocks[GateCode.POSITION_EXISTS].value == OTHERS


@given(st.lists(st.sampled_from(sorted(STRATEGIES)), min_size=1, max_size=40))
def test_whoever_comes_in_whatever_order_each_long_has_its_own_place_and_one_short_has_theirs(
    coming: Sequence[str],
) -> None:
    holdings, entered = NOTHING, []
    for name in coming:
        if not verdicts(holdings, config(name)):
            holdings = holdings.accepting(held(name))
            entered.append(name)
    wanted = [name for name in dict.fromkeys(coming) if name in LONGS]
    wanted += [name for name in coming if name in SHORTS][:1]
    assert sorted(entered) == sorted(wanted)
