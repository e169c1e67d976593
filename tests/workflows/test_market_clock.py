"""Market time drives the work: every close once and in order, whatever happens to the processes in between."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from activities.market_time import MarketTimeActivities, due_at
from db.models import MarketClockCursor
from db.session import Database
from domain.candle import Timeframe
from domain.clock import MarketClock
from domain.strategies import STRATEGIES
from tests.support.trading import running_trading, trading_on
from tests.support.worker import trading_worker_process
from tests.workflows.scanning import (
    LEVEL,
    assert_in_order,
    blocks,
    configure,
    positions,
    reconfigure,
    scans,
    signals,
    stepped_market,
    until_scanned,
)
from workflows.market_clock import MarketClockWorkflow

QUARTER = timedelta(minutes=15)


@pytest.mark.slow
async def test_every_close_is_scanned_once_and_in_order(database: str, scratch: Path) -> None:
    async with stepped_market(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {})
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            done = await until_scanned(trading, 6)
            where = await trading.client.get_workflow_handle("clock/market").query(MarketClockWorkflow.where)
        assert_in_order(done)
        assert where.failures == 0
        assert [scan.timeframes for scan in done] == [["15m"]] * len(done)
        assert all((scan.symbols, scan.incomplete, scan.candidates) == (2, 0, 0) for scan in done)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_killed_workers_leave_no_close_out_and_scan_none_twice(database: str, scratch: Path) -> None:
    async with stepped_market(database, scratch) as market, trading_on(market.settings, market.exchange) as trading:
        done = 0
        for number in range(3):
            worker = trading_worker_process(market.settings, scratch, f"worker-{number}")
            worker.start()
            if number == 0:
                for each in STRATEGIES:
                    await reconfigure(trading.database, each, timeframe="15m")
            done = len(await until_scanned(trading, done + 3, timeout=90))
            worker.kill()
        assert_in_order([scan for scan in await scans(trading.database) if scan.state == "done"])
        told = [event.subject for event in await trading.events("scan_done")]
        assert len(told) == len(set(told))


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_three_hours_without_workers_are_made_up_for_and_open_nothing_stale(database: str, scratch: Path) -> None:
    async with stepped_market(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {"enter_over": 1.0}, max_positions=1, max_trades_per_day=1)
        async with running_trading(market.settings, market.exchange, LEVEL):
            gateway_started = market.now()
        await _first_look(outside.database, market)
        await market.advance(12)
        stopped = market.now()
        assert stopped - gateway_started == 12 * QUARTER

        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            done = await until_scanned(trading, 13)
        missed = [scan for scan in done if scan.close_at <= stopped]
        assert len(missed) == 12
        assert_in_order(done)
        stale = [signal for signal in await signals(outside.database) if signal.close_at < stopped]
        assert len(stale) == 22, "both symbols at every close"
        assert {signal.blocked_by for signal in stale} == {"signal_stale"}
        opened = {position.signal_id for position in await positions(outside.database)}
        assert not opened & {signal.signal_id for signal in stale}


async def _first_look(database: Database, market: object) -> None:
    """The market's cursor as of now, as a first reading makes it."""
    from tests.workflows.scanning import Stepped
    from workers.connections import exchange_of

    assert isinstance(market, Stepped)
    gateway = exchange_of(market.settings)
    await gateway.start()
    try:
        due = await MarketTimeActivities(database, gateway).next_due()
        assert due.kind == "nothing"
    finally:
        await gateway.close()


async def test_a_strategy_whose_parameters_are_none_is_paged_and_left_out(database: str, scratch: Path) -> None:
    async with stepped_market(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {"no_such_parameter": 1})
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            await until_scanned(trading, 2)
            pages = await trading.events("strategy_unreadable")
        assert [page.subject for page in pages] == ["level v1"]
        assert "no_such_parameter" in pages[0].detail["error"]


@pytest.mark.slow
async def test_a_scan_that_fails_is_paged_and_tried_again(database: str, scratch: Path) -> None:
    async with stepped_market(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {})
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            await _rename(trading.database, "watchlist", "mislaid")
            await market.advance(1)
            await _until_event(trading, "scan_failed")
            assert not [scan for scan in await scans(trading.database) if scan.state == "done"]
            await _rename(trading.database, "mislaid", "watchlist")
            done = await until_scanned(trading, 2)
        assert_in_order(done)
        assert await blocks(outside.database) == []


async def _rename(database: Database, table: str, name: str) -> None:
    async with database.session() as session:
        await session.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


@pytest.mark.slow
async def test_a_strategy_with_a_mistake_in_it_is_paged_and_the_scans_go_on(database: str, scratch: Path) -> None:
    async with stepped_market(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {"broken": True})
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            await until_scanned(trading, 2)
            pages = await trading.events("strategy_failed")
        assert {page.subject.rpartition(" ")[0] for page in pages} == {"level v1"}, "once a day while it lasts"
        assert not await outside.events("scan_failed")


async def _until_event(trading: object, kind: str) -> None:
    from tests.support.trading import Trading
    from tests.support.waiting import eventually

    assert isinstance(trading, Trading)
    running = trading

    async def told() -> bool:
        return bool(await running.events(kind))

    await eventually(told, kind, timeout=90)


def _clock(now: str, speed: float = 1.0) -> MarketClock:
    return MarketClock.model_validate({"epoch": "e", "now": now, "speed": speed, "read_at": now})


def test_closes_come_in_order_and_hours_in_order_and_a_close_before_any_hour() -> None:
    clock = _clock("2025-01-01T03:10:00Z")
    scanned, taken = clock.now.replace(hour=0, minute=0), clock.now.replace(hour=0, minute=0)
    order = []
    while (due := due_at(clock, scanned, taken, {Timeframe.M15, Timeframe.H1})).kind != "nothing":
        order.append((due.at, due.kind, tuple(due.timeframes)))
        if due.kind == "scan":
            scanned = due.at
        else:
            taken = due.at
    assert [kind for _, kind, _ in order] == ["scan"] * 12 + ["snapshot"] * 3
    for wanted in ("scan", "snapshot"):
        instants = [at for at, kind, _ in order if kind == wanted]
        assert instants == sorted(instants)
    assert order[3] == (clock.now.replace(hour=1, minute=0), "scan", ("15m", "1h"))
    assert due.at == clock.now.replace(minute=15)
    assert due.wait_seconds == 30


def test_a_fast_market_is_waited_for_as_long_as_it_takes_and_a_halted_one_is_looked_at_again() -> None:
    taken = _clock("2025-01-01T03:00:00Z").now
    fast = due_at(_clock("2025-01-01T03:10:00Z", 600), taken, taken, {Timeframe.M15})
    assert fast.wait_seconds == pytest.approx(0.5)
    soon = due_at(_clock("2025-01-01T03:14:59Z", 600), taken, taken, {Timeframe.M15})
    assert soon.wait_seconds == pytest.approx(0.02)
    assert due_at(_clock("2025-01-01T03:10:00Z", 0), taken, taken, set()).wait_seconds == 30


async def test_nothing_in_use_moves_the_cursor_on_and_a_strategy_switched_on_begins_with_the_next_close(
    database: str, scratch: Path
) -> None:
    options = ("--manual", "--symbols", "BTCUSDT=60000", "--start", "2025-01-01T09:00Z")  # no close of the regime's
    async with (
        stepped_market(database, scratch, *options) as market,
        trading_on(market.settings, market.exchange) as outside,
    ):
        from workers.connections import exchange_of

        await configure(outside.database, {}, watchlist_gate=False, buy_gate=False, sell_gate=False)
        gateway = exchange_of(market.settings)
        await gateway.start()
        try:
            activities = MarketTimeActivities(outside.database, gateway)
            await activities.next_due()
            await market.advance(3)
            assert (await activities.next_due()).kind == "nothing"
            await reconfigure(outside.database, buy_gate=True)
            assert (await activities.next_due()).kind == "nothing"
            await market.advance(1)
            due = await activities.next_due()
            assert (due.kind, due.at) == ("scan", market.now())
            async with outside.database.session() as session:
                cursor = await session.get(MarketClockCursor, due.epoch)
            assert cursor is not None
            assert cursor.scanned_until == market.now() - QUARTER
        finally:
            await gateway.close()
