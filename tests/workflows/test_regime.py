"""The regime in a running system: there before a close is decided, and of a past that is asked for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from activities.market_time import MarketTimeActivities
from db.models import BtcMarketStateHistory
from domain.candle import Timeframe
from tests.support.trading import Trading, running_trading, trading_on
from tests.workflows.scanning import (
    LEVEL,
    assert_in_order,
    configure,
    reconfigure,
    signals,
    stepped_market,
    until_scanned,
)
from workers.connections import exchange_of
from workflows.options import MARKET_QUEUE
from workflows.regime import WORKFLOW_ID, RebuildResult, RegimeRebuildInput, RegimeRebuildWorkflow

STEP = Timeframe.H4.duration


async def regimes(trading: Trading) -> dict[object, BtcMarketStateHistory]:
    async with trading.database.session() as session:
        rows = await session.scalars(select(BtcMarketStateHistory).order_by(BtcMarketStateHistory.valid_from))
        return {row.valid_from: row for row in rows}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_close_has_its_regime_before_it_is_decided_and_a_past_can_be_had(
    database: str, scratch: Path
) -> None:
    options = ("--manual", "--symbols", "BTCUSDT=60000", "ETHUSDT=3000", "--start", "2025-01-01T15:30Z")
    async with (
        stepped_market(database, scratch, *options) as market,
        trading_on(market.settings, market.exchange) as outside,
    ):
        await configure(outside.database, {"enter_over": 1.0}, timeframe="1d")  # nobody decides at most 4h closes
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            done = await until_scanned(trading, 3, timeout=200)
            assert_in_order(done, Timeframe.H4)
            known = await regimes(trading)
            for scan in done:
                row = known[scan.close_at]
                assert scan.decided_at is not None
                assert scan.finished_wall is not None
                assert (row.source, row.effective, row.recorded_at < scan.finished_wall) == ("scan", "neutral", True)
            decided = await signals(trading.database)
            assert {each.close_at.hour for each in decided} == {0}, "a strategy's own closes"
            oldest = min(known.values(), key=lambda row: row.valid_from)
            assert (oldest.source, oldest.valid_from) == ("rebuild", done[0].close_at - timedelta(days=30))

            wanted = RegimeRebuildInput(start=oldest.valid_from - 600 * STEP, end=done[0].close_at, reason="a test")
            result: RebuildResult = await trading.client.execute_workflow(
                RegimeRebuildWorkflow.run, wanted, id=WORKFLOW_ID, task_queue=MARKET_QUEUE
            )
            assert (result.written, result.unknown) == (600, 0)
            after = await regimes(trading)
            assert {at: after[at].id for at in known} == {at: row.id for at, row in known.items()}
            (told,) = await trading.events("regime_rebuild_done")
            assert (told.detail["written"], told.detail["unknown"]) == (600, 0)
            assert len(await trading.events("regime_changed")) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_regime_is_recomputed_at_every_close_while_every_gate_is_off(database: str, scratch: Path) -> None:
    options = ("--manual", "--symbols", "BTCUSDT=60000", "ETHUSDT=3000", "--start", "2025-01-01T15:30Z")
    async with (
        stepped_market(database, scratch, *options) as market,
        trading_on(market.settings, market.exchange) as outside,
    ):
        await configure(outside.database, {}, watchlist_gate=False, buy_gate=False, sell_gate=False)
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            done = await until_scanned(trading, 2, timeout=200)
            assert_in_order(done, Timeframe.H4)
            known = await regimes(trading)
        assert [known[scan.close_at].source for scan in done] == ["scan", "scan"]
        assert {(scan.symbols, scan.candidates) for scan in done} == {(0, 0)}, "nobody looked at anything else"
        assert await signals(outside.database) == []


async def test_the_close_of_the_regime_is_due_whoever_is_in_use(database: str, scratch: Path) -> None:
    async with stepped_market(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {}, timeframe="1w", watchlist_gate=False, buy_gate=False, sell_gate=False)
        gateway = exchange_of(market.settings)
        await gateway.start()
        try:
            activities = MarketTimeActivities(outside.database, gateway)
            assert (await activities.next_due()).kind == "nothing"
            await market.advance(16)
            due = await activities.next_due()
            assert (due.kind, due.timeframes, due.at) == ("scan", [Timeframe.H4], Timeframe.H4.floor(market.now()))
            await reconfigure(outside.database, watchlist_gate=True)
            assert await activities.next_due() == due
        finally:
            await gateway.close()
