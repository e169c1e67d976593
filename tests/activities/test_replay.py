"""Decisions of a real scan, asked again on the real database: the same until what they were made on is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text

from db.models import FundingRateRow
from db.replaying import NotReplayable, UnknownDecision, load_decision
from domain.candle import Timeframe
from domain.market import Category
from domain.regime import Regime
from domain.replay_views import ReplayView
from domain.strategies.contract import (
    Evaluation,
    Needs,
    Panel,
    Requirement,
    Strategy,
    StrategyParameters,
)
from tests.activities.scan_desk import ScanDesk, know_regime, scan_desk
from tests.support.folders import scratch_folder
from tests.support.postgres import PostgresServer
from tests.workflows.scanning import LEVEL, Level, LevelParameters, configure, reconfigure, signals

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Paid(Level):
    """``Level`` on perpetuals, which also looks at funding and at the regime."""

    name: ClassVar[str] = "paid"
    category: ClassVar[Category] = Category.LINEAR

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        bars = cast(LevelParameters, parameters).bars
        return Needs(candles={timeframe: bars, Timeframe.H1: 2}, funding_rate=True, regime=True)

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        told, panel = super().evaluate(panels, timeframe, parameters), panels[timeframe]
        rate = np.full(panel.close.shape, np.nan) if panel.funding_rate is None else panel.funding_rate
        return replace(told, requirements=(Requirement("rate", rate, np.isfinite(rate), "known"),))


STRATEGIES: Mapping[str, Strategy] = {**LEVEL, "paid": Paid()}


class Replays:
    """A desk that has decided once: on spot one signal accepted and one blocked, on perpetuals two."""

    def __init__(self, desk: ScanDesk) -> None:
        self.desk = desk

    def scan(self, strategy: str) -> str:
        return f"{strategy}@{self.desk.request.close_at:%Y-%m-%dT%H:%M:%SZ}"

    async def again(self, decision: str, strategies: Mapping[str, Strategy] = STRATEGIES) -> ReplayView:
        async with self.desk.database.session() as session:
            return (await load_decision(session, decision, strategies)).again()

    @asynccontextmanager
    async def changed(self, table: str, column: str, value: str, where: str, **named: Any) -> AsyncIterator[None]:
        """One column of one row is another (``value`` is SQL) for the length of the block."""
        query = text(f"SELECT {column}::text, pg_typeof({column})::text FROM {table} WHERE {where}")
        async with self.desk.database.session() as session:
            before, kind = (await session.execute(query, named)).one()
        await self.desk.sql(f"UPDATE {table} SET {column} = {value} WHERE {where}", **named)
        try:
            yield
        finally:
            back = f"UPDATE {table} SET {column} = CAST(CAST(:before AS text) AS {kind}) WHERE {where}"
            await self.desk.sql(back, before=before, **named)


@pytest.fixture(scope="module")
def module_database(postgres_server: PostgresServer) -> Iterator[str]:
    dsn = postgres_server.new_database()  # migrations run a loop of their own: not from an async fixture
    yield dsn
    postgres_server.drop_database(dsn)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replays(module_database: str) -> AsyncIterator[Replays]:
    with scratch_folder() as folder:
        async with scan_desk(module_database, folder, STRATEGIES) as desk:
            await configure(desk.database, {"enter_over": 1.0}, max_positions=1)
            await configure(desk.database, {"enter_over": 1.0}, strategy="paid", category="linear")
            close = desk.request.close_at
            await desk.complete()
            async with desk.database.session() as session:
                for symbol, rate in (("BTCUSDT", 0.0001), ("ETHUSDT", -0.0002)):
                    await session.merge(FundingRateRow(symbol=symbol, at=Timeframe.H4.floor(close), rate=rate))
            await desk.decide()
            yield Replays(desk)


def inputs(told: ReplayView) -> list[tuple[str, str | None, str]]:
    return [(each.timeframe, each.symbol, each.part) for each in told.changed_inputs]


def names(told: ReplayView) -> set[tuple[str | None, str]]:
    return {(each.symbol, each.name) for each in told.differences}


async def test_every_decision_is_the_same_a_block_just_as_an_acceptance(replays: Replays) -> None:
    stored = await signals(replays.desk.database)
    assert {(one.strategy, one.symbol, one.blocked_by) for one in stored if one.strategy == "level"} == {
        ("level", "BTCUSDT", None),
        ("level", "ETHUSDT", "strategy_position_cap"),
    }
    assert len(stored) == 4
    for decision in (*(one.signal_id for one in stored), replays.scan("level"), replays.scan("paid")):
        told = await replays.again(decision)
        assert told.same, told
        assert (told.decision, told.config_version, told.epoch) == (decision, 1, replays.desk.request.epoch)
    assert (await replays.again(replays.scan("paid"))).signals == 2


async def test_a_changed_candle_is_named_and_what_it_changed(replays: Replays) -> None:
    first = replays.desk.request.close_at - 4 * Timeframe.M15.duration
    of_eth = "symbol = 'ETHUSDT' AND category = 'spot' AND timeframe = '15m' AND open_time = :at"
    async with replays.changed("candles", "high", "high * 1.5", of_eth, at=first):
        told = await replays.again(replays.scan("level"))
        assert not told.same
        assert inputs(told) == [("15m", "ETHUSDT", "candles")]
        assert (told.differences, told.verdicts) == ([], [])
        assert (await replays.again(replays.scan("paid"))).same, "another market's candle"
    async with replays.changed("candles", "close", "0.5", of_eth, at=first + 3 * Timeframe.M15.duration):
        told = await replays.again(replays.scan("level"))
        assert inputs(told) == [("15m", "ETHUSDT", "candles")]
        assert names(told) == {("ETHUSDT", "entry")}
    assert (await replays.again(replays.scan("level"))).same


async def test_a_candle_that_is_lost_is_a_changed_input_of_every_timeframe(replays: Replays) -> None:
    of_btc = "symbol = 'BTCUSDT' AND category = 'linear' AND timeframe = '1h' AND open_time = :at"
    last = Timeframe.H1.floor(replays.desk.request.close_at) - Timeframe.H1.duration
    async with replays.changed("candles", "close", "'NaN'", of_btc, at=last):
        told = await replays.again(replays.scan("paid"))
        assert [(each.timeframe, each.symbol, each.how) for each in told.changed_inputs] == [
            ("1h", "BTCUSDT", "changed")
        ]
        assert names(told) == {("BTCUSDT", "missing_candles")}, "the strategy doesn't look at it"


async def test_a_changed_funding_rate_is_named(replays: Replays) -> None:
    settled = Timeframe.H4.floor(replays.desk.request.close_at)
    async with replays.changed("funding_rates", "rate", "0.0003", "symbol = 'BTCUSDT' AND at = :at", at=settled):
        told = await replays.again(replays.scan("paid"))
        assert inputs(told) == [("15m", "BTCUSDT", "funding_rate")]
        assert names(told) == {("BTCUSDT", "microstructure.rate")}
        [rate] = told.differences
        assert (rate.was["value"], rate.now["value"]) == (0.0001, 0.0003)
        assert (await replays.again(replays.scan("level"))).same


async def test_a_regime_that_was_changed_is_named_and_one_recorded_later_is_not_seen(replays: Replays) -> None:
    desk = replays.desk
    of_market = {"epoch": desk.request.epoch}
    async with replays.changed("btc_market_state_history", "effective", "'bull'", "epoch = :epoch", **of_market):
        told = await replays.again(replays.scan("paid"))
        assert inputs(told) == [("15m", None, "regime")]
        assert names(told) == {("BTCUSDT", "regime"), ("ETHUSDT", "regime")}
        assert names(await replays.again(replays.scan("level"))) == names(told)
    earlier = desk.request.close_at - timedelta(hours=4)
    await know_regime(desk.database, desk.request.epoch, earlier, Regime.BEAR)
    assert (await replays.again(replays.scan("paid"))).same


async def test_parameters_changed_in_the_history_are_named_and_a_new_version_is_not_asked(replays: Replays) -> None:
    stored = "strategy = 'level' AND version = 1"
    other = """jsonb_set("row", '{parameters,enter_over}', '50000')"""
    async with replays.changed("strategy_configurations_history", '"row"', other, stored):
        told = await replays.again(replays.scan("level"))
        assert (told.changed_inputs, told.verdicts) == ([], [])
        assert names(told) == {
            ("BTCUSDT", "config.parameters.enter_over"),
            ("ETHUSDT", "config.parameters.enter_over"),
            ("ETHUSDT", "entry"),
        }
    await reconfigure(replays.desk.database, parameters={"enter_over": 50_000.0})
    told = await replays.again(replays.scan("level"))
    assert (told.same, told.config_version) == (True, 1)


async def test_settings_changed_in_the_history_are_named_by_every_decision_under_them(replays: Replays) -> None:
    stored = "key = 'max_open_positions'"
    async with replays.changed("system_settings_history", '"row"', """jsonb_set("row", '{value}', '0')""", stored):
        told = await replays.again(replays.scan("level"))
    assert names(told) == {(symbol, "settings.max_open_positions") for symbol in ("BTCUSDT", "ETHUSDT")}


async def test_facts_that_were_changed_give_other_verdicts(replays: Replays) -> None:
    blocked = next(one for one in await signals(replays.desk.database) if one.blocked_by == "strategy_position_cap")
    freed = "jsonb_set(facts, '{book,strategy_positions}', '0')"
    async with replays.changed("signals", "facts", freed, "signal_id = :id", id=blocked.signal_id):
        told = await replays.again(blocked.signal_id)
        assert [(each.gate, each.was and each.was.passed, each.now and each.now.passed) for each in told.verdicts] == [
            ("strategy_position_cap", False, True)
        ]
        assert names(told) == {("ETHUSDT", "blocked_by")}
        other = next(one for one in await signals(replays.desk.database) if one.strategy == "paid")
        assert (await replays.again(other.signal_id)).same


async def test_evidence_that_was_changed_is_told_with_both_numbers(replays: Replays) -> None:
    stored = next(one for one in await signals(replays.desk.database) if one.symbol == "BTCUSDT")
    other = "jsonb_set(evidence, '{close}', '60001')"
    async with replays.changed("signals", "evidence", other, "signal_id = :id", id=stored.signal_id):
        told = await replays.again(stored.signal_id)
        [close] = told.differences
        assert (close.name, close.was, close.now) == ("evidence.close", 60001.0, 60000.0)


async def test_what_can_t_be_asked_again_says_why(replays: Replays) -> None:
    for unknown in ("nobody", "level@2001-01-01T00:00:00Z", "level@yesterday", "nobody@2025-01-01T00:15:00Z"):
        with pytest.raises(UnknownDecision):
            await replays.again(unknown)
    with pytest.raises(NotReplayable, match="no code of strategy paid"):
        await replays.again(replays.scan("paid"), LEVEL)
    version = "strategy = 'level' AND version = 1"
    for column, value, reason in (
        ("version", "99", "the history has no version 1 of level"),
        ('"row"', """jsonb_set("row", '{parameters}', '{"no_such": 1}')""", "parameters of version 1"),
        ('"row"', """jsonb_set("row", '{side}', '"up"')""", "makes no sense"),
    ):
        where = "strategy = 'level' AND valid_to IS NOT NULL" if column == "version" else version
        async with replays.changed("strategy_configurations_history", column, value, where):
            with pytest.raises(NotReplayable, match=reason):
                await replays.again(replays.scan("level"))
