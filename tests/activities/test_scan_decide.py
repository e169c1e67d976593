"""The activities of a scan on a real database and exchange, one by one and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from activities.scan_candles import Completeness
from db.models import CandleRow, MarketClockCursor, Signal, StrategyScan, WatchlistScore
from domain.candle import Timeframe
from domain.digests import unknown_in
from tests.activities.scan_desk import ScanDesk, scan_desk
from tests.workflows.scanning import blocks, configure, reconfigure, set_setting, signals


@pytest.fixture
async def desk(database: str, scratch: Path) -> AsyncIterator[ScanDesk]:
    async with scan_desk(database, scratch) as made:
        yield made


async def test_missing_candles_are_fetched_and_only_the_missing_ones(desk: ScanDesk) -> None:
    await configure(desk.database, {"bars": 40})
    assert await desk.complete() == Completeness(symbols=2, fetched=80, gaps=[])
    assert (await desk.complete()).fetched == 0
    lost = desk.request.close_at - 9 * Timeframe.M15.duration
    async with desk.database.session() as session:
        await session.execute(delete(CandleRow).where(CandleRow.open_time == lost, CandleRow.symbol == "ETHUSDT"))
    assert await desk.complete() == Completeness(symbols=2, fetched=1, gaps=[])
    assert await desk.count(CandleRow) == 80


async def test_candles_that_nobody_has_block_the_signal(desk: ScanDesk) -> None:
    await configure(desk.database, {"bars": 450 * 96 + 50, "enter_over": 10_000.0})
    async with desk.database.session() as session:  # the market is older than the strategy wants by nothing
        assert await session.scalar(select(func.count()).select_from(CandleRow)) == 0
    completed = await desk.complete()
    assert {gap.symbol for gap in completed.gaps} == {"BTCUSDT", "ETHUSDT"}
    assert all(gap.bars > 0 for gap in completed.gaps)
    await desk.decide()
    (signal,) = await signals(desk.database)
    assert signal.blocked_by == "data_coverage_gap"
    verdict = next(each for each in signal.verdicts if each["gate"] == "data_coverage_gap")
    assert verdict["value"] == str(completed.gaps[0].bars)
    assert (await desk.scan()).incomplete == 2
    async with desk.database.session() as session:
        row = (await session.scalars(select(StrategyScan))).one()
    assert row.missing == {gap.symbol: gap.bars for gap in completed.gaps}
    assert unknown_in(row.digests["15m"]["BTCUSDT"]["candles"]) == 5 * row.missing["BTCUSDT"]


async def test_a_decision_asked_for_again_is_the_stored_one_whatever_has_changed_since(desk: ScanDesk) -> None:
    await configure(desk.database, {"enter_over": 1.0}, trade_usd=500)
    await desk.complete()
    first = await desk.decide()
    assert [(each.symbol, each.usd, each.config_version) for each in first.accepted] == [
        ("BTCUSDT", 500, 1),
        ("ETHUSDT", 500, 1),
    ]
    await reconfigure(desk.database, trade_usd=900, parameters={"enter_over": 1e9}, buy_gate=False)
    assert await desk.decide() == first
    assert await desk.count(Signal) == 2
    scan = await desk.scan()
    assert (scan.candidates, scan.accepted, scan.blocked, scan.decided_at) == (2, 2, 0, desk.request.close_at)


async def test_every_gate_that_blocks_has_a_row_and_the_first_is_the_reason(desk: ScanDesk) -> None:
    await configure(desk.database, {"enter_over": 10_000.0}, buy_gate=False)
    await set_setting(desk.database, "trading_halted", True)
    await desk.complete()
    assert (await desk.decide()).accepted == []
    (signal,) = await signals(desk.database)
    assert signal.blocked_by == "trading_halted"
    assert [(block.place, block.gate, block.stage) for block in await blocks(desk.database)] == [
        (0, "trading_halted", "decision"),
        (1, "strategy_gate_off", "decision"),
    ]
    assert len(signal.verdicts) > 10
    assert signal.evidence == {"close": 60000.0}
    assert signal.inputs["15m"]["bars"] == 4


async def test_what_the_scan_accepted_before_counts_against_the_caps(desk: ScanDesk) -> None:
    await configure(desk.database, {"enter_over": 1.0}, max_positions=1)
    await desk.complete()
    decided = await desk.decide()
    assert [each.symbol for each in decided.accepted] == ["BTCUSDT"]
    assert [(s.symbol, s.blocked_by) for s in await signals(desk.database)] == [
        ("BTCUSDT", None),
        ("ETHUSDT", "strategy_position_cap"),
    ]


async def test_scores_are_kept_of_every_symbol_while_the_watchlist_gate_is_on(desk: ScanDesk) -> None:
    await configure(desk.database, {})
    await desk.complete()
    await desk.decide()
    assert await desk.count(WatchlistScore) == 2


async def test_finishing_raises_the_cursor_past_its_own_close_and_never_back(desk: ScanDesk) -> None:
    from db.repositories.scans import cursor_of

    await configure(desk.database, {})
    async with desk.database.session() as session:
        await cursor_of(session, desk.request.epoch, desk.request.close_at - Timeframe.M15.duration)
    await desk.complete()
    await desk.decide()
    await desk.finish()
    earlier = desk.request.model_copy(update={"close_at": desk.request.close_at - Timeframe.M15.duration})
    late = replace(desk, request=earlier)
    await late.complete()
    await late.decide()
    await late.finish()
    async with desk.database.session() as session:
        cursor = await session.get(MarketClockCursor, desk.request.epoch)
    assert cursor is not None
    assert cursor.scanned_until == desk.request.close_at
