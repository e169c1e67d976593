"""Bad input: a clear word on the field and the rule, and no trace but an audit row."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from domain.exits import ExitPolicy
from domain.ids import manual_position_id
from domain.market import Category, PositionSide
from tests.support.trading import Trading
from workflows.options import TRADING_QUEUE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def failure_of(handle: Any) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


@pytest.mark.parametrize(
    ("wanted", "code", "field", "words"),
    [
        ({"symbol": "NOSUCHUSDT"}, "unknown_symbol", "symbol", "not listed on spot"),
        ({"usd": "1"}, "below_minimum_order", "usd", "minimum"),
        ({"side": PositionSide.SHORT}, "bad_request", "side", "category linear"),
        ({"usd": "5.003", "symbol": "DOGEUSDT"}, "below_minimum_order", "usd", "sold again"),
    ],
)
async def test_an_order_nobody_could_place_is_denied_and_leaves_an_audit_row(
    trading: Trading, wanted: dict[str, Any], code: str, field: str, words: str
) -> None:
    handle = await trading.open(**wanted)
    failure = await failure_of(handle)
    assert failure.type == "denied"
    assert words in str(failure)
    position_id = handle.id.removeprefix("position/")
    (event,) = [e for e in await trading.events("position_denied") if e.subject == position_id]
    assert (event.detail["code"], event.detail["field"]) == (code, field)
    assert event.trace_id != ""
    assert await trading.position(handle) is None
    assert await trading.orders(position_id) == []


@pytest.mark.parametrize(
    ("workflow_type", "given", "field"),
    [
        ("PositionWorkflow", {"symbol": "BTCUSDT"}, "position_id"),
        ("PositionWorkflow", {"position_id": "a" * 20, "category": "spot", "symbol": "BTCUSDT", "usdd": 5}, "usdd"),
        ("PositionWorkflow", "not an object", "(input)"),
        ("OrderWorkflow", {"order_link_id": "x"}, "position_id"),
        ("AccountStreamWorkflow", {"run_seconds": "soon"}, "run_seconds"),
    ],
)
async def test_malformed_input_fails_at_once_naming_the_field(
    trading: Trading, workflow_type: str, given: Any, field: str
) -> None:
    workflow_id = f"refused/{uuid.uuid4()}"
    handle = await trading.client.start_workflow(workflow_type, given, id=workflow_id, task_queue=TRADING_QUEUE)
    failure = await failure_of(handle)
    assert failure.type == "bad_input"
    assert field in str(failure)
    (event,) = [e for e in await trading.events("workflow_refused") if e.subject == workflow_id]
    assert field in {error["field"] for error in event.detail["errors"]}


async def test_a_workflow_started_without_input_is_refused(trading: Trading) -> None:
    handle = await trading.client.start_workflow("PositionWorkflow", id=f"refused/{uuid.uuid4()}", task_queue="trading")
    assert "one JSON object" in str(await failure_of(handle))


async def test_an_order_for_no_position_is_denied(trading: Trading) -> None:
    position_id = manual_position_id(uuid.uuid4().hex)
    order = {
        "order_link_id": f"{position_id}-E1",
        "position_id": position_id,
        "role": "E",
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "qty": "0.001",
    }
    handle = await trading.client.start_workflow(
        "OrderWorkflow", order, id=f"order/{position_id}-E1", task_queue=TRADING_QUEUE
    )
    failure = await failure_of(handle)
    assert failure.type == "denied"
    assert "there is no position" in str(failure)


async def test_an_order_that_breaks_a_filter_is_denied_before_it_is_sent(trading: Trading) -> None:
    opened = await trading.until_watched(
        await trading.open(Category.LINEAR, "LINKUSDT", policy=ExitPolicy(stop_loss_pct=Decimal(5)))
    )
    base = {
        "order_link_id": f"{opened.position_id}-X7",
        "position_id": opened.position_id,
        "role": "X",
        "category": "linear",
        "symbol": "LINKUSDT",
        "side": "Sell",
        "qty": "1",
        "reduce_only": True,
        "trigger_rises": False,
    }
    for number, (change, words) in enumerate(
        [
            ({"qty": "0.00001"}, "qty: "),
            ({"trigger_price": "10.00001"}, "trigger_price: "),
            ({"symbol": "NOPE"}, "symbol: "),
        ]
    ):
        link = f"{opened.position_id}-X{number + 7}"
        handle = await trading.client.start_workflow(
            "OrderWorkflow", {**base, "order_link_id": link, **change}, id=f"order/{link}", task_queue=TRADING_QUEUE
        )
        failure = await failure_of(handle)
        assert words in str(failure)
    assert not any(order.order_link_id.endswith(("X7", "X8", "X9")) for order in await trading.orders())


async def test_a_position_started_under_another_id_is_refused_and_audited(trading: Trading) -> None:
    wanted = {"position_id": "a" * 20, "category": "spot", "symbol": "BTCUSDT", "usd": "100"}
    workflow_id = f"refused/{uuid.uuid4()}"
    handle = await trading.client.start_workflow("PositionWorkflow", wanted, id=workflow_id, task_queue=TRADING_QUEUE)
    assert "start it as position/aaaaaaaaaaaaaaaaaaaa" in str(await failure_of(handle))
    (event,) = [e for e in await trading.events("workflow_refused") if e.subject == workflow_id]
    assert event.detail["errors"][0]["field"] == "position_id"
