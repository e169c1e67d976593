"""Configuration is data with a history: seeded once, changed under a version, readable as of any instant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from db.models import SystemEvent
from db.repositories.settings import change_setting, setting_history, settings_as_of
from db.repositories.strategies import (
    ConfigMoved,
    ConfigVersion,
    change_config,
    config_history,
    current_configs,
    find_config,
    seed_strategies,
)
from db.session import Database
from domain.candle import Timeframe
from domain.config_change import changed_config
from domain.exit_policy import ExitPolicy
from domain.faults import BadValue
from domain.strategies import STRATEGIES
from domain.strategy_config import StrategyConfig, default_config
from domain.system_settings import checked_setting

NAME = "momentum"
FOUR_YEARS = timedelta(days=4 * 365)


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    async with opened.session(actor="worker", reason="first start") as session:
        await seed_strategies(session, "paper")
    yield opened
    await opened.close()


async def config(db: Database) -> StrategyConfig:
    async with db.session() as session:
        found = await find_config(session, NAME)
    assert found is not None
    return found


async def history(db: Database, as_of: datetime | None = None) -> list[ConfigVersion]:
    async with db.session() as session:
        return await config_history(session, NAME, as_of)


async def test_every_strategy_is_seeded_with_its_defaults_and_a_first_version(db: Database) -> None:
    async with db.session() as session:
        configs = await current_configs(session)
    assert {each.strategy: each for each in configs} == {
        name: default_config(strategy, active=name in ("momentum", "trend_breakdown"))
        for name, strategy in STRATEGIES.items()
    }
    [first] = await history(db)
    assert (first.version, first.changed_by, first.reason, first.valid_to) == (1, "worker", "first start", None)


@pytest.mark.parametrize(
    ("name", "wrong", "rule"),
    [
        ("momentum", "side = 'short', category = 'linear'", "side: momentum"),
        ("trend_breakdown", "side = 'long'", "side: trend_breakdown"),
        ("trend_breakdown", "category = 'spot'", "side: spot positions are long only"),
        ("trend_breakdown", "timeframe = '1w'", "timeframe: trend_breakdown"),
    ],
)
async def test_a_row_that_a_hand_set_against_its_strategys_rule_is_paged_once_and_left_out(
    db: Database, name: str, wrong: str, rule: str
) -> None:
    async with db.session(actor="psql", reason="by hand") as session:
        await session.execute(text(f"UPDATE strategy_configurations SET {wrong} WHERE strategy = '{name}'"))
    for _ in range(2):
        async with db.session() as session:
            assert {each.strategy for each in await current_configs(session)} == STRATEGIES.keys() - {name}
    async with db.session() as session:
        (page,) = await session.scalars(select(SystemEvent).where(SystemEvent.severity == "page"))
        assert await find_config(session, name) is not None, "who looks at it sees it"
    assert (page.kind, page.subject) == ("strategy_unreadable", f"{name} v2")
    assert page.detail["error"].startswith(rule)


@pytest.mark.parametrize("mode", ["demo", "testnet", "live"])
async def test_outside_paper_mode_no_strategy_is_seeded_able_to_buy(database: str, mode: str) -> None:
    db = Database(database)
    async with db.session() as session:
        await seed_strategies(session, mode)
        configs = await current_configs(session)
    await db.close()
    assert len(configs) == len(STRATEGIES)
    assert not any(each.buy_gate for each in configs)


async def test_seeding_again_touches_nothing_and_brings_back_only_what_is_missing(db: Database) -> None:
    async with db.session(actor="anna", reason="smaller") as session:
        await change_config(session, NAME, 1, trade_usd=Decimal(50), buy_gate=False)
    before = await config(db), await history(db)
    async with db.session() as session:
        assert await seed_strategies(session, "paper") == []
    assert (await config(db), await history(db)) == before
    async with db.session() as session:
        await session.execute(text("DELETE FROM strategy_configurations WHERE strategy = :name"), {"name": NAME})
        assert await seed_strategies(session, "paper") == [NAME]
    assert [each.version for each in await history(db)] == [1, 2, 2, 1]


async def test_a_change_raises_the_version_and_is_told_with_who_why_and_exact_amounts(db: Database) -> None:
    amount = Decimal("1234567890123.12345678")
    async with db.session(actor="anna", reason="more of it") as session:
        changed = await change_config(
            session, NAME, 1, trade_usd=amount, exit_policy=ExitPolicy(stop_loss_pct=Decimal(4))
        )
    assert (changed.version, changed.trade_usd) == (2, amount)
    assert changed == await config(db)
    newest, first = await history(db)
    assert (newest.changed_by, newest.reason, newest.row["trade_usd"]) == ("anna", "more of it", str(amount))
    assert newest.row["exit_policy"]["stop_loss_pct"] == "4"
    assert first.valid_to == newest.valid_from


async def test_regimes_are_kept_in_order_and_the_limit_of_funding_is_told_exactly_or_as_none(db: Database) -> None:
    limit = Decimal("0.123456789012345678901")
    short = "trend_breakdown"
    async with db.session() as session:
        wanted = changed_config(
            default_config(STRATEGIES[short], active=True),
            {"regimes": ["bear", "strong_bear"], "regime_exit": "close", "max_funding_cost_pct": limit},
        )
        fields = {name: getattr(wanted, name) for name in ("regimes", "regime_exit", "max_funding_cost_pct")}
        changed = await change_config(session, short, 1, **fields)
        assert changed.model_copy(update={"version": 1}) == wanted
        await change_config(session, short, 2, max_funding_cost_pct=None)
        cleared, newest, first = await config_history(session, short)
        assert [each.version for each in await config_history(session, short, version=2)] == [2]
        between = await config_history(session, short, after=first.id, before=cleared.id)
    assert between == [newest]
    assert (newest.row["max_funding_cost_pct"], newest.row["regimes"]) == (str(limit), ["strong_bear", "bear"])
    assert cleared.row["max_funding_cost_pct"] is None
    assert StrategyConfig.model_validate({name: newest.row[name] for name in StrategyConfig.model_fields}) == changed


async def test_a_change_made_by_hand_is_recorded_too(db: Database) -> None:
    async with db.session() as session:
        by_hand = text("UPDATE strategy_configurations SET max_positions = 9, version = 77 WHERE strategy = :name")
        await session.execute(by_hand, {"name": NAME})
    newest, first = await history(db)
    assert (newest.version, newest.row["max_positions"], newest.changed_by) == (2, 9, "sql:ats")
    assert first.valid_to == newest.valid_from
    assert (await config(db)).max_positions == 9


async def test_of_two_writers_that_saw_the_same_version_one_wins(db: Database) -> None:
    async def write(amount: int) -> StrategyConfig:
        async with db.session(actor=f"writer-{amount}", reason="at once") as session:
            return await change_config(session, NAME, 1, trade_usd=Decimal(amount))

    answers = await asyncio.gather(*(write(amount) for amount in (111, 222)), return_exceptions=True)
    [won] = [answer for answer in answers if isinstance(answer, StrategyConfig)]
    [lost] = [answer for answer in answers if isinstance(answer, ConfigMoved)]
    assert lost.current == 2
    assert (await config(db)).trade_usd == won.trade_usd
    assert [each.version for each in await history(db)] == [2, 1]


async def test_what_is_no_field_or_no_strategy_is_refused(db: Database) -> None:
    async with db.session() as session:
        with pytest.raises(TypeError, match="leverage"):
            await change_config(session, NAME, 1, leverage=3)
        with pytest.raises(LookupError, match="nobody"):
            await change_config(session, "nobody", 1, max_positions=3)
        assert await find_config(session, "nobody") is None


async def test_at_every_instant_exactly_the_version_then_in_force_is_told(db: Database) -> None:
    """Between any two changes, at each change and just before it, before the first and after the last."""
    for number in range(1, 6):
        async with db.session() as session:
            await change_config(session, NAME, number, max_positions=number * 10)
            await change_setting(session, "entry_ttl_seconds", number, number)
    versions = list(reversed(await history(db)))
    moment = timedelta(microseconds=1)
    assert await history(db, versions[0].valid_from - moment) == []
    for version in versions:
        assert await history(db, version.valid_from) == [version]
        if version.valid_to is not None:
            assert await history(db, version.valid_to - moment) == [version]
            assert await history(db, version.valid_from + (version.valid_to - version.valid_from) / 2) == [version]
    assert await history(db, versions[-1].valid_from + FOUR_YEARS) == [versions[-1]]
    async with db.session() as session:
        values = await setting_history(session, "entry_ttl_seconds")
        for value in values:
            assert (await settings_as_of(session, value.valid_from))["entry_ttl_seconds"] == value.row["value"]
        before_all = await settings_as_of(session, min(value.valid_from for value in values) - FOUR_YEARS)
    assert [value.row["value"] for value in values] == [5, 4, 3, 2, 1, 30]
    assert before_all == {}


BASE = default_config(STRATEGIES[NAME], active=True)


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"trade_usd": Decimal(-1)}, "trade_usd", "greater than 0"),
        ({"max_positions": 1001}, "max_positions", "less than or equal to 1000"),
        ({"cooldown_seconds": 10**12}, "cooldown_seconds", "at most"),
        ({"signal_ttl_seconds": 0}, "signal_ttl_seconds", "greater than 0"),
        ({"timeframe": Timeframe.M1}, "timeframe", "15m"),
        ({"parameters": {"no_such": 1}}, "parameters.no_such", "not permitted"),
        ({"parameters": {"roc_over_pct": "much"}}, "parameters.roc_over_pct", "valid number"),
        ({"parameters": {"roc_over_pct": float("nan")}}, "parameters.roc_over_pct", ""),
        ({"exit_policy": {"stop_loss_pct": "0"}}, "exit_policy.stop_loss_pct", "greater than 0"),
        ({"version": 9}, "version", "changed"),
    ],
)
def test_a_bad_value_names_its_field_and_rule(changes: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(BadValue) as refused:
        changed_config(BASE, changes)
    assert refused.value.field == field
    assert rule in refused.value.rule


@given(st.integers(0, 1000), st.decimals("0.01", "1000000", places=2), st.booleans())
def test_a_change_sets_what_it_names_and_nothing_else(positions: int, amount: Decimal, buy: bool) -> None:
    changed = changed_config(BASE, {"max_positions": positions, "trade_usd": amount, "buy_gate": buy})
    assert (changed.max_positions, changed.trade_usd, changed.buy_gate) == (positions, amount, buy)
    named = {"max_positions", "trade_usd", "buy_gate"}
    assert changed.model_dump(exclude=named) == BASE.model_dump(exclude=named)


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("symbol_exposure_usd", "abc", "value"),
        ("symbol_exposure_usd", "-5", "value"),
        ("symbol_exposure_usd", True, "value"),
        ("daily_loss_limit_usd", "NaN", "value"),
        ("max_open_positions", 1.5, "value"),
        ("max_clock_offset_ms", float("inf"), "value"),
        ("trading_halted", "yes", "value"),
        ("manual_exit_policy", {"stop_loss_pct": "200"}, "value.stop_loss_pct"),
        ("manual_exit_policy", {"take_profit_pct": "2"}, "value.stop_loss_pct"),
        ("universe", ["BTCUSDT", "BTCUSDT"], "value"),
        ("universe", ["btc/usdt"], "value.0"),
        ("no_such_setting", 1, "key"),
        ("require_backtest", "sometimes", "value"),
        ("require_backtest", True, "value"),
        ("watchlist_size", 0, "value"),
        ("universe_exclude", ["btc"], "value.0"),
        ("universe_include", "BTCUSDT", "value"),
        ("universe_size", 0, "value"),
        ("universe_min_turnover_usd", "-1", "value"),
        ("universe_min_age_days", -1, "value"),
        ("universe_max_spread_bps", 0, "value"),
    ],
)
def test_a_setting_takes_only_what_its_key_means(key: str, value: object, field: str) -> None:
    with pytest.raises(BadValue) as refused:
        checked_setting(key, value)
    assert refused.value.field == field


async def test_every_setting_there_is_has_a_type_that_its_own_value_fits(db: Database) -> None:
    async with db.session() as session:
        rows = (await session.execute(text("SELECT key, value FROM system_settings"))).all()
    assert {row.key: checked_setting(row.key, row.value) for row in rows} == {row.key: row.value for row in rows}
