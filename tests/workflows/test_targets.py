"""Changing targets: a version at a time, acknowledged by the guard, in force at the next tick."""

from __future__ import annotations

from decimal import Decimal

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError

from activities.targets import TargetsWritten
from domain.exits import ExitPolicy, ExitReason
from domain.market import Category, PositionSide
from tests.support.trading import Trading
from workflows.position import CloseRequest, PositionWorkflow, SetTargets

pytestmark = pytest.mark.asyncio(loop_scope="module")


def change(version: int, **percent: str) -> SetTargets:
    policy = ExitPolicy.model_validate({"stop_loss_pct": "2", **percent})
    return SetTargets(policy=policy, expected_version=version, reason="tighter", requested_by="test")


async def test_new_targets_are_acknowledged_and_decide_the_next_tick(trading: Trading) -> None:
    handle = await trading.open(Category.LINEAR, "BTCUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(5)))
    opened = await trading.until_watched(handle)
    assert opened.entry_price is not None
    written: TargetsWritten = await handle.execute_update(PositionWorkflow.set_targets, change(1, stop_loss_pct="1"))
    assert written == TargetsWritten(version=2, acknowledged=True)
    below = (opened.entry_price * Decimal("0.985")).quantize(Decimal("0.1"))
    await trading.push(Category.LINEAR, "BTCUSDT", str(below))
    settled = await handle.result()
    assert settled.exit_reason is ExitReason.STOP_LOSS
    exits = [order for order in await trading.orders(opened.position_id) if order.role == "X"]
    assert exits[0].fired_target_version == 2


async def test_targets_seen_before_somebody_else_changed_them_are_refused(trading: Trading) -> None:
    handle = await trading.open(Category.LINEAR, "ETHUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(5)))
    await trading.until_watched(handle)
    await handle.execute_update(PositionWorkflow.set_targets, change(1, stop_loss_pct="4"))
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(PositionWorkflow.set_targets, change(1, stop_loss_pct="3"))
    cause = refused.value.cause.cause or refused.value.cause  # type: ignore[union-attr]
    assert isinstance(cause, ApplicationError)
    assert cause.type == "targets_moved"


async def test_a_closed_position_takes_no_targets(trading: Trading) -> None:
    handle = await trading.open(Category.LINEAR, "SOLUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(5)))
    await trading.until_watched(handle)
    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="done", requested_by="test"))
    with pytest.raises((WorkflowUpdateFailedError, RPCError)) as refused:
        await handle.execute_update(PositionWorkflow.set_targets, change(1))
    told = refused.value.cause if isinstance(refused.value, WorkflowUpdateFailedError) else refused.value
    assert "being closed" in str(told) or "not open" in str(told) or "completed" in str(told)
    await handle.result()


@pytest.mark.parametrize(
    ("symbol", "side", "percent", "words"),
    [
        ("XRPUSDT", PositionSide.LONG, {"stop_loss_pct": "99.9999"}, "leaves no room for a stop at the exchange"),
        ("LINKUSDT", PositionSide.SHORT, {"stop_loss_pct": "1", "take_profit_pct": "150"}, "must be below 100"),
    ],
)
async def test_targets_that_can_not_be_kept_are_refused_and_change_nothing(
    trading: Trading, symbol: str, side: PositionSide, percent: dict[str, str], words: str
) -> None:
    handle = await trading.open(Category.LINEAR, symbol, side, policy=ExitPolicy(stop_loss_pct=Decimal(5)))
    await trading.until_watched(handle)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(PositionWorkflow.set_targets, change(1, **percent))
    told = refused.value.cause
    if isinstance(told, ActivityError):
        told = told.cause
    assert isinstance(told, ApplicationError)
    assert told.type == "bad_input"
    assert words in str(told)
    position = await trading.position(handle)
    assert position is not None
    assert (position.target_version, position.acknowledged_version) == (1, 1)
