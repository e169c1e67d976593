"""From a candle close to a position and back out, without a hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from db.repositories.regimes import append_regimes
from domain.candle import Timeframe
from domain.exits import ExitReason
from domain.market import Category
from domain.position import PositionState
from domain.regime import RISING, Regime
from tests.support.postgres import PostgresServer
from tests.support.scale import at_scale
from tests.support.trading import Trading, running_trading, trading_on
from tests.support.waiting import eventually
from tests.workflows.scanning import (
    LEVEL,
    Stepped,
    assert_in_order,
    configure,
    positions,
    reconfigure,
    regime_row,
    scans,
    signals,
)
from tests.workflows.scanning import stepped_market as market_in_steps


async def _until_states(trading: Trading, *states: PositionState) -> None:
    async def reached() -> bool:
        return sorted(position.state for position in await positions(trading.database)) == sorted(states)

    await eventually(reached, f"positions {states}", timeout=60)


@pytest.mark.slow
async def test_a_close_opens_a_position_and_a_later_one_leaves_it(database: str, scratch: Path) -> None:
    async with market_in_steps(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {"enter_over": 59_000.0}, max_trades_per_day=1)
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            await _until_states(trading, PositionState.OPEN)
            (held,) = await positions(trading.database)
            assert (held.symbol, held.requested_by, held.strategy) == ("BTCUSDT", "scan", "level")
            assert (held.signal_id, held.config_version) == (held.position_id, 1)
            assert held.opened_at is not None
            (signal,) = [one for one in await signals(trading.database) if one.blocked_by is None]
            assert signal.signal_id == held.position_id
            assert held.opened_at - signal.close_at < timedelta(minutes=1), "at the close, the market stands still"

            async def blocked() -> bool:
                return bool(await trading.events("signal_blocked"))

            await eventually(blocked, "the next close, which finds the place taken", timeout=60)
            await reconfigure(trading.database, parameters={"enter_over": 1e9, "leave_under": 61_000.0})
            await _until_states(trading, PositionState.CLOSED)
        (closed,) = await positions(outside.database)
        assert closed.exit_reason == ExitReason.STRATEGY_EXIT
        assert closed.closed_at is not None
        assert closed.closed_at.minute % 15 == 0, "the market waited until the position had left"
        decided_by = {order.role: order.config_version for order in await outside.orders(closed.position_id)}
        assert decided_by == {"E": 1, "S": 1, "X": 2}, "the exit is the second version's, whose signal it follows"
        assert {order.settings_version for order in await outside.orders()} == {closed.settings_version}
        assert_in_order([scan for scan in await scans(outside.database) if scan.state == "done"])
        kinds = {event.kind for event in await outside.events()}
        assert {"signal_accepted", "signal_blocked", "scan_done", "strategy_exit_signal"} <= kinds


@pytest.mark.slow
async def test_a_position_leaves_when_the_market_is_in_none_of_its_strategys_regimes(
    database: str, scratch: Path
) -> None:
    async with market_in_steps(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        await configure(outside.database, {"enter_over": 59_000.0}, max_trades_per_day=1, regime_exit="close")
        now = Timeframe.H4.floor(market.now())
        async with outside.database.session() as session:
            rows = [regime_row(now + n * Timeframe.H4.duration, Regime.BEAR) for n in range(3)]
            await append_regimes(session, market.exchange.clock()["epoch"], rows)
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            await _until_states(trading, PositionState.OPEN)
            await reconfigure(trading.database, regimes=sorted(RISING))
            await _until_states(trading, PositionState.CLOSED)
        (closed,) = await positions(outside.database)
        assert closed.exit_reason == ExitReason.REGIME_EXIT
        (told,) = await outside.events("regime_exit_signal")
        assert (told.subject, told.detail["regime"]) == (closed.position_id, "bear")
        assert await outside.events("strategy_exit_signal") == []


@pytest.mark.slow
async def test_with_the_sell_gate_off_an_exit_signal_is_a_warning_and_the_position_stays(
    database: str, scratch: Path
) -> None:
    async with market_in_steps(database, scratch) as market, trading_on(market.settings, market.exchange) as outside:
        wanted = {"enter_over": 59_000.0, "leave_under": 61_000.0}
        await configure(outside.database, wanted, max_trades_per_day=1, sell_gate=False)
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:

            async def warned() -> bool:
                return len(await trading.events("strategy_exit_ignored")) >= 2

            await eventually(warned, "two warnings", timeout=60)
        assert {event.severity for event in await outside.events("strategy_exit_ignored")} == {"warning"}
        (held,) = await positions(outside.database)
        assert held.state == PositionState.OPEN


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_two_runs_of_one_market_in_steps_decide_and_trade_the_same(
    postgres_server: PostgresServer, scratch: Path
) -> None:
    runs = []
    for number in range(2):
        dsn = await asyncio.to_thread(postgres_server.new_database)  # migrations run a loop of their own
        folder = scratch / str(number)
        folder.mkdir(mode=0o711)
        runs.append(await _run(dsn, folder))
        await asyncio.to_thread(postgres_server.drop_database, dsn)
    assert runs[0] == runs[1]
    assert any(state == "closed" for *_, state, _ in runs[0][1]), "positions came and went"


async def _run(dsn: str, folder: Path, closes: int = at_scale(5, 8)) -> tuple[list, list]:
    """Signals and positions of the first ``closes`` of a seeded market, less what is of the run alone."""
    options = ("--seed", "7", "--symbols", "BTCUSDT", "ETHUSDT", "SOLUSDT")
    async with (
        market_in_steps(dsn, folder, *options) as market,
        trading_on(market.settings, market.exchange) as outside,
    ):
        policy = {"stop_loss_pct": "0.4", "take_profit_pct": "0.4", "max_hold_seconds": 2700}
        await configure(
            outside.database, {"enter_over": 1.0}, exit_policy=policy, category=Category.LINEAR, max_positions=2
        )
        async with running_trading(market.settings, market.exchange, LEVEL, clock=True) as trading:
            await _until_close(trading, market, closes)
        done = (await scans(outside.database))[:closes]
        until = done[-1].close_at
        told = [
            (one.close_at, one.symbol, one.score, one.price, one.blocked_by, one.signal_id)
            for one in await signals(outside.database)
            if one.close_at < until
        ]
        held = [
            (
                one.position_id,
                one.entry_price,
                one.qty,
                one.opened_at,
                one.closed_at,
                one.realised_pnl,
                one.state,
                one.exit_reason,
            )
            for one in await positions(outside.database)
            if one.closed_at is not None and one.closed_at < until
        ]
        return sorted(told), sorted(held)


async def _until_close(trading: Trading, market: Stepped, count: int) -> None:
    async def done() -> bool:
        return len([scan for scan in await scans(trading.database) if scan.state == "done"]) >= count

    await eventually(done, f"{count} scans", timeout=180)
