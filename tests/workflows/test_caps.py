"""Caps hold however many ask at once."""

from __future__ import annotations

import asyncio
import uuid
from decimal import Decimal

import pytest
from temporalio.client import (
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import manual_position_id
from domain.market import Category
from domain.position import PositionState
from tests.support.scale import at_scale
from tests.support.trading import DEFAULT_POLICY, Trading
from tests.workflows.scanning import positions, set_setting
from workflows.options import TRADING_QUEUE, WORKFLOW_TASK_TIMEOUT
from workflows.position import PositionInput, PositionWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKING, CAP = at_scale(40, 100), 5


async def _ask(trading: Trading, number: int) -> WorkflowHandle:
    position_id = manual_position_id(uuid.uuid4().hex)
    wanted = PositionInput(
        position_id=position_id,
        strategy=f"hand-{number}",
        category=Category.SPOT,
        symbol="BTCUSDT",
        usd=Decimal(100),
        policy=DEFAULT_POLICY,
    )
    return await trading.client.start_workflow(
        PositionWorkflow.run,
        wanted,
        id=f"position/{position_id}",
        task_queue=TRADING_QUEUE,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
    )


@pytest.mark.slow
async def test_of_many_positions_asked_for_at_once_exactly_five_are_reserved(trading: Trading) -> None:
    await set_setting(trading.database, "max_open_positions", CAP)
    handles = await asyncio.gather(*(_ask(trading, number) for number in range(ASKING)))
    verdicts = await asyncio.gather(*(_verdict(handle) for handle in handles))
    held = await positions(trading.database)
    given_up = [row for row in held if row.state == PositionState.NOT_ENTERED]  # too late to enter: its place is free
    accepted = CAP + len(given_up)
    assert verdicts.count(None) == accepted
    assert verdicts.count("portfolio_position_cap") == ASKING - accepted
    assert len(held) == accepted, "and the refused ones left no row"
    assert len(await trading.events("position_denied")) == ASKING - accepted
    over = {f"position/{row.position_id}" for row in given_up}
    for handle, verdict in zip(handles, verdicts, strict=True):
        if verdict is None and handle.id not in over:  # the next test begins when the burst is over
            await trading.until_watched(handle)
    await set_setting(trading.database, "max_open_positions", 1000)


async def _verdict(handle: WorkflowHandle) -> str | None:
    """The code of the refusal, None for a reservation."""
    while True:
        try:
            return (await handle.execute_update(PositionWorkflow.reserved)).code
        except WorkflowFailureError as error:
            raise AssertionError("the verdict outlives the refusal") from error
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            continue  # so many at once: the answer was late, and asking again changes nothing
        except RPCError as error:
            if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
            await asyncio.sleep(0.2)  # a workflow task was late, and is made again


async def test_an_entry_that_would_cost_too_much_of_a_symbol_is_refused_by_field(trading: Trading) -> None:
    await set_setting(trading.database, "symbol_exposure_usd", "1500")
    await trading.until_watched(await trading.open(symbol="ETHUSDT", usd="1000"))
    second = await trading.open(Category.LINEAR, "ETHUSDT", usd="1000")
    reservation = await second.execute_update(PositionWorkflow.reserved)
    assert (reservation.accepted, reservation.code, reservation.field) == (False, "symbol_exposure_cap", "usd")


async def test_nothing_is_entered_while_trading_is_halted(trading: Trading) -> None:
    await set_setting(trading.database, "trading_halted", True)
    handle = await trading.open(symbol="SOLUSDT", usd="100")
    reservation = await handle.execute_update(PositionWorkflow.reserved)
    assert reservation.code == "trading_halted"
