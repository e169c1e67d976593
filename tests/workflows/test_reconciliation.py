"""Rows find their workflows again: whatever Temporal lost is brought back once, from the database."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from db.models import Order, Position, Reconciliation
from db.repositories.positions import find_position
from domain.exits import ExitPolicy, ExitReason
from domain.ids import OrderRole, order_link_id
from domain.market import Category
from domain.order import OrderState
from domain.position import PositionState
from tests.support.trading import Trading
from tests.support.waiting import eventually
from workers.always_on import AlwaysOn
from workflows.position import CloseRequest, PositionWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def reconcile(trading: Trading) -> None:
    """One round from its beginning to its end, as after the loss of the workflow itself."""
    handle = trading.client.get_workflow_handle("reconcile/account")
    await handle.terminate("lost")
    await AlwaysOn(trading.client).ensure()
    handle = trading.client.get_workflow_handle("reconcile/account")

    async def compared() -> bool:
        history = await handle.fetch_history()
        return any(event.HasField("activity_task_completed_event_attributes") for event in history.events)

    await eventually(compared, "one comparison")


async def running(trading: Trading, workflow_id: str) -> bool:
    try:
        told = await trading.client.get_workflow_handle(workflow_id).describe()
    except RPCError:
        return False
    return told.status is WorkflowExecutionStatus.RUNNING


async def brought_back(trading: Trading) -> list[str]:
    return [event.detail["workflow_id"] for event in await trading.events("workflow_brought_back")]


async def placed(trading: Trading, position_id: str) -> Counter[str]:
    ids = [order["orderLinkId"] for order in (await trading.books())["orders"]]
    return Counter(each for each in ids if each.startswith(position_id))


@pytest.mark.parametrize(("category", "symbol"), [(Category.SPOT, "BTCUSDT"), (Category.LINEAR, "ETHUSDT")])
async def test_an_open_position_is_guarded_again_and_nothing_is_ordered_twice(
    trading: Trading, category: Category, symbol: str
) -> None:
    handle = await trading.open(category, symbol)
    before = await trading.until_watched(handle)
    orders_before = await placed(trading, before.position_id)
    for order_id in orders_before:
        if await running(trading, f"order/{order_id}"):
            await trading.client.get_workflow_handle(f"order/{order_id}").terminate("lost")
    await trading.client.get_workflow_handle(handle.id).terminate("lost")

    await reconcile(trading)

    async def guarded_again() -> bool:
        now = await trading.position(handle)
        return now is not None and now.guard_epoch > before.guard_epoch

    await eventually(guarded_again, "a guard of a higher epoch")
    assert (await brought_back(trading))[-1] == handle.id
    assert await placed(trading, before.position_id) == orders_before
    again = trading.client.get_workflow_handle_for(PositionWorkflow.run, handle.id)
    await eventually(lambda: _open(again), "the workflow to know that the position is open")
    await again.execute_update(PositionWorkflow.close, CloseRequest(reason="over", requested_by="test"))
    settled = await again.result()
    assert settled.exit_reason is ExitReason.MANUAL_CLOSE
    assert max((await placed(trading, before.position_id)).values()) == 1
    assert (await trading.books())["check"]["ok"]


async def _open(handle: WorkflowHandle[Any, Any]) -> bool:
    if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
        return False  # the lost run would answer a query too
    return (await handle.query(PositionWorkflow.snapshot)).state is PositionState.OPEN


async def test_a_position_lost_between_reservation_and_entry_gets_its_one_entry(trading: Trading) -> None:
    handle = await trading.open(Category.LINEAR, "SOLUSDT")
    position_id = handle.id.removeprefix("position/")
    await trading.client.get_workflow_handle(handle.id).execute_update(PositionWorkflow.reserved)
    await trading.client.get_workflow_handle(handle.id).terminate("lost")
    await reconcile(trading)
    await trading.until_watched(handle)
    assert (await placed(trading, position_id))[f"{position_id}-E1"] == 1
    await _close(trading, handle.id)


async def test_an_exit_that_is_under_way_is_seen_through(trading: Trading) -> None:
    """The workflow is lost after the guard fired; the exchange's answer to the exit was lost as well."""
    handle = await trading.open(Category.LINEAR, "XRPUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(1)))
    position = await trading.until_watched(handle)
    assert position.entry_price is not None
    await trading.fault(kind="answer_lost", endpoint="order/create", count=1, match={"orderLinkId_suffix": "-X1"})
    through = (position.entry_price * Decimal("0.985")).quantize(Decimal("0.0001"))
    await trading.push(Category.LINEAR, "XRPUSDT", str(through))

    async def fired() -> bool:
        (exit_order,) = [o for o in await trading.orders(position.position_id) if o.role == OrderRole.EXIT]
        return exit_order.state != OrderState.PREPARED

    await eventually(fired, "the exit to be fired")
    await trading.client.get_workflow_handle(handle.id).terminate("lost")
    await reconcile(trading)

    async def closed() -> bool:
        now = await trading.position(handle)
        return now is not None and now.state == PositionState.CLOSED

    await eventually(closed, "the position closed")
    once = await placed(trading, position.position_id)
    assert once == {f"{position.position_id}-E1": 1, f"{position.position_id}-X1": 1}


async def test_a_late_order_of_a_closed_position_is_seen_through(trading: Trading) -> None:
    handle = await trading.open(Category.SPOT, "LINKUSDT")
    position = await trading.until_watched(handle)
    await _close(trading, handle.id)
    stop_id = order_link_id(position.position_id, OrderRole.STOP)
    async with trading.database.session() as session:  # as if the news of its end had been lost
        await session.execute(
            text("UPDATE orders SET state = 'untriggered', final_at = NULL WHERE order_link_id = :id"), {"id": stop_id}
        )

    await reconcile(trading)

    async def ended() -> bool:
        if await running(trading, f"order/{stop_id}"):
            await trading.client.get_workflow_handle(f"order/{stop_id}").signal("cancel")  # asks now, not in hours
        async with trading.database.session() as session:
            order = await session.get(Order, stop_id)
        return order is not None and order.state in (OrderState.CANCELLED, OrderState.DEACTIVATED)

    assert f"order/{stop_id}" in await brought_back(trading)
    await eventually(ended, "the order's end by the exchange's evidence")


@pytest.mark.slow
async def test_an_execution_nobody_recorded_is_fetched_and_booked(trading: Trading) -> None:
    handle = await trading.open(Category.LINEAR, "BTCUSDT")
    position = await trading.until_watched(handle)
    async with trading.database.session() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("execution_applications", "lots", "order_executions"):
            column = "position_id" if table == "lots" else "exec_id"
            ids = {"lots": [position.position_id]}.get(table) or await _exec_ids(trading, position.position_id)
            await session.execute(text(f"DELETE FROM {table} WHERE {column} = ANY(:ids)"), {"ids": ids})

    async def fetched() -> bool:
        await reconcile(trading)
        return bool(await trading.events("execution_missed"))

    await eventually(fetched, "the execution to be old enough to count as missed", timeout=30, every=1)
    async with trading.database.session() as session:
        row = await find_position(session, position.position_id)
        kept = (await session.scalars(select(Reconciliation).where(Reconciliation.executions_fetched > 0))).all()
    assert row is not None
    assert row.qty == position.qty
    assert [each.executions_fetched for each in kept] == [1]
    await _close(trading, handle.id)


async def _exec_ids(trading: Trading, position_id: str) -> list[str]:
    return [e.exec_id for e in await trading.executions() if e.order_link_id.startswith(position_id)]


async def test_a_round_with_nothing_to_do_leaves_no_row(trading: Trading) -> None:
    async def rows() -> int:
        async with trading.database.session() as session:
            return len((await session.scalars(select(Reconciliation))).all())

    await reconcile(trading)
    before = await rows()
    assert before >= 1, "the first round is always written down"
    await reconcile(trading)
    assert await rows() == before
    async with trading.database.session() as session:
        active = (await session.scalars(select(Position).where(Position.state.not_in(["closed", "not_entered"])))).all()
    assert active == []


async def _close(trading: Trading, workflow_id: str) -> None:
    handle = trading.client.get_workflow_handle_for(PositionWorkflow.run, workflow_id)
    await eventually(lambda: _open(handle), "the position open to its workflow")
    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="over", requested_by="test"))
    await handle.result()
