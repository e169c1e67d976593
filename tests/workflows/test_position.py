"""A position's life on real servers: enters, is protected, trails, exits, settles."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from domain.exits import ExitPolicy, ExitReason
from domain.market import Category, PositionSide
from domain.position import PositionState
from tests.support.trading import Trading
from workflows.position import CloseRequest, CloseResult, PositionWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


def policy(**percent: str) -> ExitPolicy:
    return ExitPolicy.model_validate({"stop_loss_pct": "2", **percent})


async def test_a_spot_position_enters_rests_a_stop_and_leaves_at_its_take_profit(trading: Trading) -> None:
    handle = await trading.open(policy=policy(take_profit_pct="1"))
    opened = await trading.until_watched(handle)
    stop = (await trading.orders(opened.position_id))[-1]
    assert stop.role == "S"
    assert stop.qty <= opened.qty < opened.planned_qty, "the fee was taken in base coin"
    assert stop.trigger_price is not None
    assert stop.trigger_price < Decimal(60000) * Decimal("0.98"), "beyond the guard's stop"

    await trading.push(Category.SPOT, "BTCUSDT", "60100", "60300", "60900")
    settled = await handle.result()

    assert settled.state is PositionState.CLOSED
    assert settled.exit_reason is ExitReason.TAKE_PROFIT
    assert settled.realised_pnl > 0
    assert settled.unprotected_seconds is not None
    assert settled.unwatched_seconds is not None
    assert settled.unprotected_seconds <= settled.unwatched_seconds, "a guard protects too"
    roles = {order.role: order.state for order in await trading.orders(opened.position_id)}
    assert roles == {"E": "filled", "S": "deactivated", "X": "filled"}
    decided_by = {(order.config_version, order.settings_version) for order in await trading.orders(opened.position_id)}
    assert decided_by == {(None, opened.settings_version)}, "opened by hand: no configuration, the settings of then"


async def test_a_short_trails_its_best_price_and_is_protected_from_the_fill_on(trading: Trading) -> None:
    trailing = policy(trailing_activation_pct="1", trailing_distance_pct="0.5")
    handle = await trading.open(Category.LINEAR, "ETHUSDT", PositionSide.SHORT, policy=trailing)
    opened = await trading.until_watched(handle)
    assert opened.entry_price is not None
    (held,) = [p for p in (await trading.books())["positions"] if p["symbol"] == "ETHUSDT"]
    assert Decimal(held["stopLoss"]) > opened.entry_price, "the stop came with the entry order"

    start = opened.entry_price
    falling = [str((start * (1000 - n) / 1000).quantize(Decimal("0.01"))) for n in range(1, 31)]
    await trading.push(Category.LINEAR, "ETHUSDT", *falling)
    best = Decimal(falling[-1])
    await trading.push(Category.LINEAR, "ETHUSDT", str((best * Decimal("1.004")).quantize(Decimal("0.01"))))
    assert (await trading.position(handle)).state == PositionState.OPEN  # type: ignore[union-attr]
    await trading.push(Category.LINEAR, "ETHUSDT", str((best * Decimal("1.006")).quantize(Decimal("0.01"))))
    settled = await handle.result()

    assert settled.exit_reason is ExitReason.TRAILING_TAKE_PROFIT
    assert settled.realised_pnl > 0
    assert settled.unprotected_seconds == 0
    assert [p for p in (await trading.books())["positions"] if p["symbol"] == "ETHUSDT" and p["size"] != "0"] == []


@pytest.mark.parametrize("category", [Category.SPOT, Category.LINEAR])
async def test_a_price_that_jumps_over_guard_and_resting_stop_is_settled_by_what_really_filled(
    trading: Trading, category: Category
) -> None:
    handle = await trading.open(category, "SOLUSDT", policy=policy())
    opened = await trading.until_watched(handle)
    assert opened.entry_price is not None
    await trading.push(category, "SOLUSDT", str((opened.entry_price * Decimal("0.9")).quantize(Decimal("0.01"))))
    settled = await handle.result()

    assert settled.state is PositionState.CLOSED
    assert settled.exit_reason in (ExitReason.DISASTER_STOP, ExitReason.STOP_LOSS)
    assert settled.realised_pnl < 0
    closing = [e for e in await trading.executions() if e.symbol == "SOLUSDT" and e.category == category]
    sold = sum((e.qty for e in closing if e.side == "Sell"), Decimal(0))
    assert sold <= sum((e.qty for e in closing if e.side == "Buy"), Decimal(0)), "never more than was held"
    assert await trading.events("oversold") == []


async def test_an_operator_closes_at_market_and_can_not_close_twice(trading: Trading) -> None:
    handle = await trading.open(symbol="XRPUSDT", policy=policy())
    await trading.until_watched(handle)
    request = CloseRequest(reason="enough", requested_by="test")
    result: CloseResult = await handle.execute_update(PositionWorkflow.close, request)
    assert result.order_link_id is not None
    assert result.order_link_id.endswith("-X1")
    settled = await handle.result()
    assert settled.exit_reason is ExitReason.MANUAL_CLOSE
    (event,) = [e for e in await trading.events("exit_requested") if e.subject in handle.id]
    assert event.detail == {"reason": "manual_close", "note": "enough"}


async def test_a_second_position_on_the_same_linear_symbol_has_no_place(trading: Trading) -> None:
    both = [
        await trading.open(Category.LINEAR, "XRPUSDT", policy=policy()),
        await trading.open(Category.LINEAR, "XRPUSDT", PositionSide.SHORT, policy=policy()),
    ]
    accepted = await asyncio.gather(*(_accepted(handle) for handle in both))
    assert sorted(accepted) == [False, True]
    refused, held = sorted(both, key=lambda handle: accepted[both.index(handle)])
    with pytest.raises(WorkflowFailureError):
        await refused.result()
    await trading.until_watched(held)
    (denied,) = await trading.events("position_denied")
    assert denied.detail["code"] == "position_exists"


async def _accepted(handle: WorkflowHandle) -> bool:
    try:
        return (await handle.execute_update(PositionWorkflow.reserved)).accepted
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False  # refused, and over before it could be asked


async def test_the_ledger_balances_with_the_exchange_at_the_end(trading: Trading) -> None:
    books = await trading.books()
    ours = {execution.exec_id for execution in await trading.executions()}
    assert ours == {execution["execId"] for execution in books["executions"]}
    assert books["check"] == {**books["check"], "ok": True, "problems": []}
