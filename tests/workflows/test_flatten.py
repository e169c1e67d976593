"""Flatten: halt, then everybody leaves, those that were just entering too."""

from __future__ import annotations

import uuid

import pytest

from domain.exits import ExitReason
from domain.market import Category, PositionSide
from domain.position import ACTIVE_STATES, PositionState
from tests.support.trading import Trading
from tests.workflows.scanning import positions, set_setting
from workflows.flatten import FlattenInput, FlattenResult, FlattenWorkflow, flatten_workflow_id
from workflows.options import TRADING_QUEUE
from workflows.position import CloseRequest, PositionWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def flatten(trading: Trading, symbol: str | None = None) -> FlattenResult:
    wanted = FlattenInput(flatten_id=uuid.uuid4().hex, symbol=symbol, requested_by="operator", reason="enough")
    return await trading.client.execute_workflow(
        FlattenWorkflow.run, wanted, id=flatten_workflow_id(wanted.flatten_id), task_queue=TRADING_QUEUE
    )


async def test_one_symbol_is_left_and_the_others_stay(trading: Trading) -> None:
    left = await trading.open(symbol="ETHUSDT", usd="500")
    stays = await trading.open(symbol="XRPUSDT", usd="500")
    await trading.until_watched(left)
    await trading.until_watched(stays)
    assert (await flatten(trading, "ETHUSDT")).positions == 1
    gone, held = await trading.position(left), await trading.position(stays)
    assert gone is not None
    assert held is not None
    assert (gone.state, gone.exit_reason) == (PositionState.CLOSED, ExitReason.FLATTEN)
    assert held.state == PositionState.OPEN


@pytest.mark.slow
async def test_positions_that_are_just_entering_leave_too_and_nothing_is_entered_after(trading: Trading) -> None:
    handles = [
        await trading.open(symbol="BTCUSDT", usd="500"),
        await trading.open(Category.LINEAR, "BTCUSDT", PositionSide.SHORT, usd="500"),
        await trading.open(Category.LINEAR, "SOLUSDT", usd="500"),
    ]
    for handle in handles:
        await handle.execute_update(PositionWorkflow.reserved)
    await flatten(trading)
    rows = await positions(trading.database)
    assert [row.position_id for row in rows if row.state in ACTIVE_STATES] == []
    mine = {handle.id.removeprefix("position/") for handle in handles}
    ended = {(row.state, row.exit_reason) for row in rows if row.position_id in mine}
    # an entry that the halt was quicker than is never sent
    assert ended <= {(PositionState.CLOSED, ExitReason.FLATTEN), (PositionState.NOT_ENTERED, None)}
    late = await trading.open(symbol="DOGEUSDT", usd="500")
    assert (await late.execute_update(PositionWorkflow.reserved)).code == "trading_halted"
    events = await trading.events("exit_requested")
    assert {event.detail["reason"] for event in events if event.subject in mine} <= {"flatten"}
    held = [p for p in (await trading.books())["positions"] if p["size"] != "0"]
    assert held == []
    await set_setting(trading.database, "trading_halted", False)


async def test_a_position_told_to_leave_before_it_is_open_leaves_as_soon_as_it_is(trading: Trading) -> None:
    handle = await trading.open(symbol="LINKUSDT", usd="500")
    leave = CloseRequest(reason="changed my mind", requested_by="operator", exit_reason=ExitReason.STRATEGY_EXIT)
    await handle.signal(PositionWorkflow.leave, leave)
    settled = await handle.result()
    assert settled.state is PositionState.CLOSED
    assert settled.exit_reason is ExitReason.STRATEGY_EXIT
