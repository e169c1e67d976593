"""Orders whose answer was lost: one order at the exchange, none doubled, none lost, whatever the moment."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from activities.order_placing import OrderView
from db.models import SystemSetting
from domain.exits import ExitPolicy, ExitReason
from domain.market import Category, PositionSide
from domain.order import OrderState
from domain.position import PositionState
from tests.support.trading import Trading
from workflows.order import OrderWorkflow
from workflows.position import CloseRequest, PositionWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = ExitPolicy(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(1))


async def placed(trading: Trading) -> Counter[str]:
    """How many orders the exchange has of each orderLinkId."""
    return Counter(order["orderLinkId"] for order in (await trading.books())["orders"] if order["orderLinkId"])


async def lose_answer(trading: Trading, suffix: str, **more: Any) -> None:
    await trading.fault(
        kind="answer_lost", endpoint="order/create", count=1, match={"orderLinkId_suffix": suffix}, **more
    )


async def test_an_entry_whose_answer_is_lost_is_found_and_not_sent_again(trading: Trading) -> None:
    await lose_answer(trading, "-E1")
    handle = await trading.open(symbol="BTCUSDT", policy=POLICY)
    opened = await trading.until_watched(handle)
    assert (await placed(trading))[f"{opened.position_id}-E1"] == 1
    states = [order.state for order in await trading.orders(opened.position_id) if order.role == "E"]
    assert states == [OrderState.FILLED]


async def test_an_exit_whose_answer_is_lost_closes_the_position_once(trading: Trading) -> None:
    handle = await trading.open(Category.LINEAR, "ETHUSDT", PositionSide.SHORT, policy=POLICY)
    opened = await trading.until_watched(handle)
    assert opened.entry_price is not None
    await lose_answer(trading, "-X1")
    target = (opened.entry_price * Decimal("0.985")).quantize(Decimal("0.01"))
    await trading.push(Category.LINEAR, "ETHUSDT", str(target))
    settled = await handle.result()
    assert settled.exit_reason is ExitReason.TAKE_PROFIT
    assert (await placed(trading))[f"{opened.position_id}-X1"] == 1


@pytest.mark.parametrize("after", [True, False])
async def test_a_server_error_at_the_exit_leaves_one_order_whether_or_not_it_was_accepted(
    trading: Trading, after: bool
) -> None:
    symbol = "SOLUSDT" if after else "XRPUSDT"
    handle = await trading.open(Category.LINEAR, symbol, policy=POLICY)
    opened = await trading.until_watched(handle)
    await trading.fault(
        kind="http_5xx", endpoint="order/create", count=1, after=after, match={"orderLinkId_suffix": "-X1"}
    )
    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="test", requested_by="test"))
    settled = await handle.result()
    assert settled.state is PositionState.CLOSED
    assert (await placed(trading))[f"{opened.position_id}-X1"] == 1


async def test_a_delayed_answer_is_not_waited_for(trading: Trading) -> None:
    """The HTTP timeout is 3 s: an answer after 4 s is a lost one, and the order is found meanwhile."""
    handle = await trading.open(Category.LINEAR, "DOGEUSDT", policy=POLICY)
    opened = await trading.until_watched(handle)
    await trading.fault(
        kind="delay", endpoint="order/create", count=1, delay_ms=4000, match={"orderLinkId_suffix": "-X1"}
    )
    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="test", requested_by="test"))
    await handle.result()
    assert (await placed(trading))[f"{opened.position_id}-X1"] == 1


async def test_a_resting_stop_can_be_cancelled_and_is_replaced(trading: Trading) -> None:
    handle = await trading.open(symbol="LINKUSDT", policy=POLICY)
    opened = await trading.until_watched(handle)
    stop = trading.client.get_workflow_handle_for(OrderWorkflow.run, f"order/{opened.position_id}-S1")
    await stop.signal(OrderWorkflow.cancel)
    view: OrderView = await stop.result()
    assert view.state is OrderState.DEACTIVATED
    await trading.until_watched(handle)  # its newest stop rests again
    assert [o.order_link_id[-2:] for o in await trading.orders(opened.position_id) if o.role == "S"] == ["S1", "S2"]
    (page,) = await trading.events("stop_not_resting")
    assert page.severity == "page"


@pytest.mark.slow
async def test_an_entry_the_exchange_never_saw_is_proved_absent_and_given_up(trading: Trading) -> None:
    async with trading.database.session(actor="test", reason="short life") as session:
        await session.execute(update(SystemSetting).where(SystemSetting.key == "entry_ttl_seconds").values(value=4))
    await trading.fault(
        kind="http_5xx", endpoint="order/create", count=50, after=False, match={"orderLinkId_suffix": "-E1"}
    )
    handle = await trading.open(Category.LINEAR, "BTCUSDT", policy=POLICY)
    settled = await handle.result()
    assert settled.state is PositionState.NOT_ENTERED
    (entry,) = await trading.orders(settled.position_id)
    assert entry.state == OrderState.NOT_PLACED
    assert (await placed(trading))[entry.order_link_id] == 0
