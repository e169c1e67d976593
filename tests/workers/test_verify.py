"""``verify`` on a running system: nothing wrong is nothing found; each kind of wrong, done on purpose, is named."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from config.settings import Settings
from db.models import Position
from domain.exits import ExitPolicy
from domain.market import Category, Side
from domain.position import PositionState
from exchange.protocol import OrderRequest
from tests.support.folders import scratch_folder
from tests.support.paper import paper_exchange_process
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, running_trading, settings_for
from tests.support.waiting import eventually
from workers.always_on import AlwaysOn
from workers.connections import exchange_of
from workers.stack.environment import settings_environment
from workers.stack.services import PROJECT
from workers.verify import CannotVerify, Verdict, verify
from workers.verify.queries import judge_by_queries
from workflows.options import TRADING_QUEUE
from workflows.plugin import ats_plugin
from workflows.position import CloseRequest, PositionWorkflow, SetTargets
from workflows.reconciliation import ReconciliationInput, ReconciliationWorkflow

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LOOSE = ExitPolicy(stop_loss_pct=Decimal(5))


@dataclass
class Court:
    """A running system that is sabotaged, and judged."""

    trading: Trading
    settings: Settings

    async def judge(self) -> Verdict:
        return await verify(self.settings)

    async def hold(self, symbol: str, category: Category = Category.LINEAR, **fields: Any) -> tuple[Any, Position]:
        handle = await self.trading.open(category, symbol, **{"policy": LOOSE, **fields})
        return handle, await self.trading.until_watched(handle)

    async def close(self, handle: WorkflowHandle[Any, Any]) -> None:
        request = CloseRequest(reason="the test is over", requested_by="test")
        await handle.execute_update(PositionWorkflow.close, request)
        await handle.result()

    async def sql(self, statement: str, **values: Any) -> None:
        """A change behind every trigger's back."""
        async with self.trading.database.session() as session:
            await session.execute(text("SET LOCAL session_replication_role = replica"))
            await session.execute(text(statement), values)

    @asynccontextmanager
    async def changed(self, table: str, column: str, value: Any, where: str, **named: Any) -> AsyncIterator[None]:
        """One column of some rows is another for the length of the block."""
        async with self.trading.database.session() as session:
            before = (await session.execute(text(f"SELECT {column} FROM {table} WHERE {where}"), named)).scalar_one()
        await self.sql(f"UPDATE {table} SET {column} = :value WHERE {where}", value=value, **named)
        try:
            yield
        finally:
            await self.sql(f"UPDATE {table} SET {column} = :value WHERE {where}", value=before, **named)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def court(module_database: str) -> AsyncIterator[Court]:
    with scratch_folder() as folder, running_temporal(folder) as temporal:
        (folder / "exchange").mkdir()
        exchange = paper_exchange_process(folder / "exchange", "--manual").start()
        settings = settings_for(module_database, temporal.address, exchange, data_dir=folder, log_dir=folder)
        await _reconcile_seldom(temporal.address)
        try:
            async with running_trading(settings, exchange, clock=True) as trading:
                yield Court(trading, settings)
        finally:
            exchange.stop()


async def _reconcile_seldom(temporal_address: str) -> None:
    """Reconciliation would find what these tests break, and halt entries for it."""
    client = await Client.connect(temporal_address, plugins=[ats_plugin()])
    await client.start_workflow(
        ReconciliationWorkflow.run,
        ReconciliationInput(every_seconds=86_400),
        id="reconcile/account",
        task_queue=TRADING_QUEUE,
    )


def only(verdict: Verdict, **wrong: Any) -> None:
    """These fields are wrong, no others are, and the verdict says so."""
    told = verdict.model_dump()
    kinds = ("orders_lost", "orders_doubled", "orders_orphaned", "stops_missed", "rows_without_workflow")
    expected = {**dict.fromkeys(kinds, 0), "scans_missing": 0, "drift": 0, "ledger_drift": "0", **wrong}
    assert {name: told[name] for name in expected} == expected, verdict.findings
    assert verdict.ok is (not verdict.findings)


async def test_trading_on_both_markets_leaves_nothing_to_find(court: Court) -> None:
    spot, _ = await court.hold("BTCUSDT", Category.SPOT)
    stopped, position = await court.hold("ETHUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(1)))
    assert position.entry_price is not None
    through = (position.entry_price * Decimal("0.985")).quantize(Decimal("0.01"))
    only(await court.judge())
    await court.trading.push(Category.LINEAR, "ETHUSDT", str(through))
    await stopped.result()
    await court.close(spot)

    verdict = await court.judge()
    only(verdict)
    assert verdict.ok
    assert (verdict.positions_opened, verdict.positions_closed, verdict.positions_active) == (2, 2, 0)
    assert verdict.exits == {"manual_close": 1, "stop_loss": 1}
    assert verdict.stops_replayed == 2
    assert 0 <= verdict.stop_delay_seconds_max < 5


async def test_new_targets_count_from_when_the_guard_worked_by_them(court: Court) -> None:
    handle, position = await court.hold("ETHUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(2)))
    assert position.entry_price is not None
    wider = SetTargets(
        policy=ExitPolicy(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(1)),
        expected_version=1,
        reason="leave soon",
        requested_by="test",
    )
    above = (position.entry_price * Decimal("1.02")).quantize(Decimal("0.01"))
    await court.trading.push(Category.LINEAR, "ETHUSDT", str(above), str(position.entry_price.quantize(Decimal("0.1"))))
    await handle.execute_update(PositionWorkflow.set_targets, wider)
    only(await court.judge())
    await court.close(handle)


async def test_an_execution_that_is_gone_from_the_database_is_named(court: Court) -> None:
    handle, position = await court.hold("SOLUSDT")
    (execution,) = [e for e in await court.trading.executions() if e.order_link_id == f"{position.position_id}-E1"]
    async with court.trading.database.session() as session:
        row = (
            await session.execute(text(f"SELECT * FROM order_executions WHERE exec_id = '{execution.exec_id}'"))
        ).one()
    await court.sql("DELETE FROM order_executions WHERE exec_id = :id", id=execution.exec_id)
    verdict = await court.judge()
    values = row._asdict()
    named = ", ".join(f":{name}" for name in values)
    await court.sql(f"INSERT INTO order_executions ({', '.join(values)}) VALUES ({named})", **values)
    only(verdict, ledger_drift="1")
    assert verdict.findings == [f"execution {execution.exec_id} is at the exchange and not in the database"]
    await court.close(handle)
    only(await court.judge())


async def test_a_lot_that_is_lower_than_what_is_held_is_drift_to_the_last_digit(court: Court) -> None:
    handle, position = await court.hold("BTCUSDT", Category.SPOT)
    async with court.trading.database.session() as session:
        lot, price = (
            await session.execute(
                text("SELECT qty_left, price FROM lots WHERE position_id = :id"), {"id": position.position_id}
            )
        ).one()
    less = Decimal("0.000001")
    async with court.changed("lots", "qty_left", lot - less, "position_id = :id", id=position.position_id):
        verdict = await court.judge()
    only(verdict, ledger_drift=format((less + less * price).normalize(), "f"))
    assert ["BTC" in finding for finding in verdict.findings] == [True, False]
    await court.close(handle)


async def test_an_order_of_ours_that_has_no_row_is_an_orphan(court: Court) -> None:
    gateway = exchange_of(court.settings)
    await gateway.start()
    stranger = "abcdefghijklmnopqrst-E1"
    try:
        await gateway.place_order(
            OrderRequest(
                category=Category.SPOT,
                symbol="BTCUSDT",
                side=Side.SELL,
                qty=Decimal("0.01"),
                order_link_id=stranger,
                trigger_price=Decimal(30_000),
                trigger_rises=False,
            )
        )
        verdict = await court.judge()
        only(verdict, orders_orphaned=1)
        assert stranger in verdict.findings[0]
    finally:
        await gateway.cancel_order(Category.SPOT, "BTCUSDT", stranger)
        await gateway.close()
    position_id = stranger.removesuffix("-E1")
    await court.sql(  # the order stays in the exchange's books: from here on it has a row
        "INSERT INTO orders"
        " (order_link_id, position_id, role, category, symbol, side, qty, reduce_only, state, trace_id)"
        " SELECT :id, :position, 'E', 'spot', 'BTCUSDT', 'Sell', 0.01, false, 'cancelled', ''",
        id=stranger,
        position=position_id,
    )


async def test_an_order_the_exchange_never_had_is_lost(court: Court) -> None:
    handle, position = await court.hold("XRPUSDT")
    exit_order = f"{position.position_id}-X1"
    async with court.changed("orders", "state", "filled", "order_link_id = :id", id=exit_order):
        verdict = await court.judge()
    only(verdict, orders_lost=1)
    assert exit_order in verdict.findings[0]
    await court.close(handle)


async def test_an_order_under_another_position_and_a_second_entry_are_doubled(court: Court) -> None:
    one, first = await court.hold("SOLUSDT")
    two, second = await court.hold("ETHUSDT")
    entry = f"{second.position_id}-E1"
    async with court.changed("orders", "position_id", first.position_id, "order_link_id = :id", id=entry):
        verdict = await court.judge()
    only(verdict, orders_doubled=2)
    assert {first.position_id, entry} <= set(" ".join(verdict.findings).replace(",", "").split())
    await court.close(one)
    await court.close(two)


async def test_a_position_whose_workflow_is_gone_is_named(court: Court) -> None:
    handle, position = await court.hold("LINKUSDT", Category.SPOT)
    reconciling = court.trading.client.get_workflow_handle("reconcile/account")
    await _right_after_a_round(court, reconciling)
    await handle.terminate("sabotage")
    verdict = await court.judge()
    only(verdict, rows_without_workflow=1)
    lost = position.position_id
    assert verdict.findings == [f"position {lost} (LINKUSDT) is open, and no workflow position/{lost} is running"]
    await reconciling.terminate("sabotage")
    assert "reconcile/account always runs" in " ".join((await court.judge()).findings)
    await AlwaysOn(court.trading.client).ensure()
    again = court.trading.client.get_workflow_handle_for(PositionWorkflow.run, handle.id)

    async def known() -> bool:
        told = await again.describe()  # the lost run would answer a query too
        return told.status is WorkflowExecutionStatus.RUNNING and await _says_open(again)

    await eventually(known, "the position's workflow to be brought back")
    await court.close(again)
    only(await court.judge())


async def _right_after_a_round(court: Court, reconciling: WorkflowHandle[Any, Any]) -> None:
    """So that the next round, which would mend what is broken on purpose, is nearly a minute away."""
    await reconciling.terminate("begun anew")
    await AlwaysOn(court.trading.client).ensure()

    async def waiting() -> bool:
        told = (await reconciling.fetch_history()).events
        return any(event.HasField("timer_started_event_attributes") for event in told)

    await eventually(waiting, "the first round of reconciliation to be over")


async def _says_open(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.query(PositionWorkflow.snapshot)).state is PositionState.OPEN


async def test_a_stop_that_was_crossed_with_nobody_watching_is_missed(court: Court) -> None:
    """The guard's activity is left without its targets' stop: a policy that is wider than the row says it is."""
    handle, position = await court.hold("XRPUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(4)))
    assert position.entry_price is not None
    below = (position.entry_price * Decimal("0.98")).quantize(Decimal("0.0001"))
    tight = '{"stop_loss_pct": "1"}'
    await court.sql(
        "UPDATE position_targets SET policy = CAST(:policy AS jsonb) WHERE position_id = :id",
        policy=tight,
        id=position.position_id,
    )
    await court.trading.push(Category.LINEAR, "XRPUSDT", str(below))
    assert (await court.judge()).stops_missed == 0, "not late yet"

    async def missed() -> Verdict | None:
        verdict = await court.judge()
        return verdict if verdict.stops_missed else None

    verdict = await eventually(missed, "the stop to be late", timeout=60, every=2)
    assert verdict is not None
    only(verdict, stops_missed=1)
    assert f"position {position.position_id} (XRPUSDT) crossed its stop_loss at {below}" in verdict.findings[0]
    assert "is still open with no exit sent" in verdict.findings[0]
    await court.close(handle)
    left_late = await court.judge()
    only(left_late, stops_missed=1)
    assert "was left" in left_late.findings[0]
    assert left_late.stop_delay_seconds_max > 30
    await court.sql(
        "UPDATE position_targets SET policy = CAST(:policy AS jsonb) WHERE position_id = :id",
        policy='{"stop_loss_pct": "4"}',
        id=position.position_id,
    )


async def test_a_position_that_was_unprotected_for_too_long_is_named(court: Court) -> None:
    handle, position = await court.hold("SOLUSDT")
    await court.close(handle)
    async with court.changed("positions", "unprotected_seconds", 16.0, "position_id = :id", id=position.position_id):
        verdict = await court.judge()
        assert (await verify(court.settings, max_unprotected=20)).ok
    only(verdict)
    assert not verdict.ok
    assert verdict.unprotected_seconds_max == 16.0
    assert verdict.findings == [f"position {position.position_id} (SOLUSDT) was without any protection for 16.0 s"]


async def test_a_close_left_out_of_the_scans_is_named(court: Court) -> None:
    epoch = court.trading.exchange.clock()["epoch"]
    insert = (
        "INSERT INTO scans (epoch, close_at, timeframes, state, settings_version, started_wall)"
        " SELECT :epoch, CAST(:day AS timestamptz) + n * interval '15 minutes', '[\"15m\"]', 'done', 1,"
        " now() + n * interval '1 second' FROM unnest(CAST(:closes AS int[])) AS n"
    )
    try:
        await court.sql(insert, epoch=epoch, day=datetime(2024, 3, 1, tzinfo=UTC), closes=[1, 2, 4, 5])
        verdict = await court.judge()
        only(verdict, scans_missing=1)
        assert verdict.scans == 4
        assert verdict.findings[0].startswith("the close of 2024-03-01T00:45:00+00:00 was not scanned")
    finally:
        await court.sql("DELETE FROM scans WHERE epoch = :epoch", epoch=epoch)
    only(await court.judge())


async def test_what_others_trade_on_the_account_is_no_error(court: Court) -> None:
    gateway = exchange_of(court.settings)
    await gateway.start()

    async def trade(category: Category, symbol: str, side: Side, qty: Decimal) -> None:
        request = OrderRequest(
            category=category, symbol=symbol, side=side, qty=qty, order_link_id=f"stranger-{uuid.uuid4().hex[:9]}"
        )
        await gateway.place_order(request)

    async def compare() -> None:
        handle = court.trading.client.get_workflow_handle_for(ReconciliationWorkflow.run, "reconcile/account")
        await handle.execute_update(ReconciliationWorkflow.run_now)

    try:
        await trade(Category.LINEAR, "XRPUSDT", Side.BUY, Decimal(50))
        await trade(Category.SPOT, "XRPUSDT", Side.BUY, Decimal(50))
        linear, opened = await court.hold("XRPUSDT")
        spot, held = await court.hold("DOGEUSDT", Category.SPOT)
        await compare()
        verdict = await court.judge()
        only(verdict)
        assert (verdict.foreign_positions, verdict.drift) == (1, 0)

        await trade(Category.LINEAR, "XRPUSDT", Side.SELL, Decimal(60))  # ten of them ours
        await trade(Category.SPOT, "DOGEUSDT", Side.SELL, (held.qty / 2).quantize(Decimal(1)))

        async def taken() -> bool:
            await compare()
            now = [await court.trading.position(handle) for handle in (linear, spot)]
            return [each.qty < was.qty for each, was in zip(now, (opened, held), strict=True) if each] == [True, True]

        await eventually(taken, "what was taken from both to be booked", timeout=40)
        only(await court.judge())
    finally:
        await gateway.close()
    await court.close(linear)
    await court.close(spot)
    await compare()
    only(await court.judge())


async def test_what_reconciliation_can_not_explain_is_an_error_until_it_can(court: Court) -> None:
    insert = (
        "INSERT INTO reconciliations (started_at, workflows_started, executions_fetched, detail, drift)"
        " VALUES (now(), 0, 0, '{}', CAST(:drift AS jsonb))"
    )
    drift = {"kind": "size", "subject": "BTCUSDT", "amount": "1", "sentence": "BTCUSDT: one too many"}
    await court.sql(insert, drift=json.dumps([drift]))
    verdict = await court.judge()
    only(verdict, drift=1)
    assert verdict.findings == ["unexplained: BTCUSDT: one too many"]
    await court.sql(insert, drift="[]")
    only(await court.judge())


async def test_without_books_the_queries_still_find_what_is_lost(court: Court) -> None:
    handle, position = await court.hold("SOLUSDT")
    gateway = exchange_of(court.settings)
    await gateway.start()
    exit_order, entry = f"{position.position_id}-X1", f"{position.position_id}-E1"
    (execution,) = [e.exec_id for e in await court.trading.executions() if e.order_link_id == entry]

    async def found() -> list[str]:
        async with court.trading.database.session() as session:
            return [finding.subject for finding in await judge_by_queries(session, gateway)]

    try:
        async with court.changed("orders", "state", "filled", "order_link_id = :id", id=exit_order):
            assert await found() == [exit_order]
        await court.sql("UPDATE order_executions SET exec_id = 'gone' WHERE exec_id = :id", id=execution)
        assert await found() == [execution]
        await court.sql("UPDATE order_executions SET exec_id = :id WHERE exec_id = 'gone'", id=execution)
        assert await found() == []
    finally:
        await gateway.close()
    await court.close(handle)


async def test_the_command_ends_with_one_line_and_an_exit_code(court: Court) -> None:
    environment = {**os.environ, **settings_environment(court.settings), "PYTHONPATH": str(PROJECT)}

    def ats() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", "verify", "--json"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    clean = await asyncio.to_thread(ats)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    told = Verdict.model_validate_json(clean.stdout.splitlines()[-1])
    assert told.ok
    handle, position = await court.hold("SOLUSDT")
    exit_order = f"{position.position_id}-X1"
    async with court.changed("orders", "state", "filled", "order_link_id = :id", id=exit_order):
        wrong = await asyncio.to_thread(ats)
    assert wrong.returncode == 1
    assert Verdict.model_validate_json(wrong.stdout.splitlines()[-1]).orders_lost == 1
    assert exit_order in wrong.stderr
    await court.close(handle)


async def test_a_system_that_does_not_answer_is_no_verdict(court: Court) -> None:
    nowhere = court.settings.exchange.model_copy(update={"url": "http://127.0.0.1:1"})
    with pytest.raises(CannotVerify, match="the exchange doesn't answer"):
        await verify(court.settings.model_copy(update={"exchange": nowhere}))
