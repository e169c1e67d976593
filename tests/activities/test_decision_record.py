"""What a scan writes down of each strategy's decision, and a strategy that raises while the others decide."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import TypeAdapter
from sqlalchemy import select

from db.models import Position, PositionTarget, StrategyScan, SystemEvent, WatchlistEntry
from domain.candle import Timeframe
from domain.gate_facts import GateFacts
from domain.position import PositionState
from domain.regime import Regime
from domain.strategies.contract import Strategy
from tests.activities.scan_desk import ScanDesk, know_regime, scan_desk
from tests.workflows.scanning import LEVEL, Level, configure, signals


class Quiet(Level):
    name: ClassVar[str] = "quiet"


BOTH: Mapping[str, Strategy] = {**LEVEL, "quiet": Quiet()}


@pytest.fixture
async def desk(database: str, scratch: Path) -> AsyncIterator[ScanDesk]:
    async with scan_desk(database, scratch, BOTH) as made:
        yield made


async def strategy_scans(desk: ScanDesk) -> dict[str, StrategyScan]:
    async with desk.database.session() as session:
        rows = await session.scalars(select(StrategyScan).where(StrategyScan.close_at == desk.request.close_at))
        return {row.strategy: row for row in rows}


async def pages(desk: ScanDesk) -> list[SystemEvent]:
    async with desk.database.session() as session:
        found = await session.scalars(select(SystemEvent).where(SystemEvent.kind == "strategy_failed"))
        return list(found.all())


async def test_each_strategy_leaves_what_it_decided_on_and_each_signal_what_the_gates_saw(desk: ScanDesk) -> None:
    await configure(desk.database, {"enter_over": 1.0}, max_positions=1)
    await configure(desk.database, {"bars": 6}, strategy="quiet")
    await desk.complete()
    first = await desk.decide()
    assert await desk.decide() == first, "asked again, the stored decision is the answer"

    found = await strategy_scans(desk)
    assert sorted(found) == ["level", "quiet"]
    level, quiet = found["level"], found["quiet"]
    assert (level.candidates, quiet.candidates) == (2, 0)
    assert (level.symbols, level.observed, level.missing) == (["BTCUSDT", "ETHUSDT"], [], {})
    assert (level.config_version, level.timeframe, level.category) == (1, "15m", "spot")
    close = desk.request.close_at
    assert level.windows["15m"] == {
        "first_open": (close - 4 * Timeframe.M15.duration).isoformat(),
        "last_open": (close - Timeframe.M15.duration).isoformat(),
        "bars": 4,
    }
    assert quiet.windows["15m"]["bars"] == 6
    assert (level.held, quiet.held) == ({}, {})
    assert quiet.digests["15m"].keys() == level.digests["15m"].keys() == {"BTCUSDT", "ETHUSDT"}
    assert quiet.digests != level.digests
    assert re.fullmatch("[0-9a-f]{16}", level.digests["15m"]["BTCUSDT"]["candles"])

    btc, eth = await signals(desk.database)
    assert (btc.blocked_by, eth.blocked_by) == (None, "strategy_position_cap")
    assert level.regime_id == quiet.regime_id == btc.regime_id
    assert level.regime_id is not None
    assert btc.settings_version == level.settings_version
    facts = [TypeAdapter(GateFacts).validate_json(json.dumps(signal.facts)) for signal in (btc, eth)]
    assert [each.config.strategy for each in facts] == ["level", "level"]
    assert facts[0].regime is not None
    assert facts[0].regime.effective is Regime.NEUTRAL
    assert facts[0].backtested.needed is False
    assert facts[0].free_balance is not None
    assert facts[1].free_balance == facts[0].free_balance - 1000, "what was accepted before is spoken for"
    async with desk.database.session() as session:
        places = (await session.scalars(select(WatchlistEntry).order_by(WatchlistEntry.rank))).all()
    assert [(each.symbol, each.close_at) for each in places] == [("BTCUSDT", close), ("ETHUSDT", close)]


async def test_a_strategy_that_raises_is_paged_once_a_day_and_the_others_decide(desk: ScanDesk) -> None:
    await configure(desk.database, {"broken": True})
    await configure(desk.database, {"enter_over": 10_000.0}, strategy="quiet")
    await desk.complete()
    decided = await desk.decide()
    assert [(each.strategy, each.symbol) for each in decided.accepted] == [("quiet", "BTCUSDT")]
    assert (await strategy_scans(desk)).keys() == {"quiet"}
    [page] = await pages(desk)
    assert (page.subject, page.severity) == (f"level v1 {desk.request.close_at:%Y-%m-%d}", "page")
    assert page.detail == {"error": "ZeroDivisionError: a strategy with a mistake in it"}

    await _hold(desk, "level")
    assert (await desk.exits()).position_ids == [], "nor does it keep the exits of others from being found"
    clock = await desk.gateway.advance_clock()
    await know_regime(desk.database, clock.epoch, clock.now, Regime.NEUTRAL)
    desk.request = desk.request.model_copy(update={"close_at": clock.now})
    await desk.complete()
    await desk.decide()
    assert (await strategy_scans(desk)).keys() == {"quiet"}
    assert len(await pages(desk)) == 1


async def _hold(desk: ScanDesk, strategy: str) -> None:
    """An open position that its strategy is asked about."""
    opened, policy = desk.request.close_at - Timeframe.H1.duration, Level.exit_policy.model_dump(mode="json")
    async with desk.database.session() as session:
        session.add(
            Position(
                position_id="a" * 20,
                market_epoch=desk.request.epoch,
                strategy=strategy,
                category="spot",
                symbol="ETHUSDT",
                side="long",
                state=PositionState.OPEN,
                policy=policy,
                disaster_buffer_pct=Decimal(1),
                settings_version=1,
                planned_qty=Decimal("0.1"),
                reference_price=Decimal(3000),
                entry_qty=Decimal("0.1"),
                entry_price=Decimal(3000),
                qty=Decimal("0.1"),
                requested_by="test",
                reason="test",
                trace_id="",
                reserved_at=opened,
                opened_at=opened,
            )
        )
        await session.flush()
        session.add(PositionTarget(position_id="a" * 20, version=1, policy=policy, set_by="test", reason="test"))
