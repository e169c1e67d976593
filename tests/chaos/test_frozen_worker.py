"""A worker is frozen, its guard taken over, and thawed with the price through its old stop: it fires nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from activities.targets import TargetsWritten
from db.repositories.settings import change_setting
from domain.exits import ExitPolicy
from domain.market import Category
from domain.order import OrderState
from domain.position import PositionState
from tests.chaos.conftest import Arena
from tests.support.servers import Server
from tests.support.waiting import eventually
from tests.support.worker import frozen, log_of
from workflows.position import CloseRequest, PositionWorkflow, SetTargets

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

TIGHT = ExitPolicy(stop_loss_pct=Decimal(1))
WIDE = ExitPolicy(stop_loss_pct=Decimal(8))


def events_of(process: Server, name: str) -> set[str]:
    return {line["event"] for line in log_of(process.spec.log.parent, name)}


async def test_a_thawed_guard_that_was_taken_over_fires_nothing(arena: Arena) -> None:
    async with arena.trading.database.session(actor="test", reason="room for a wider stop") as session:
        await change_setting(session, "disaster_buffer_pct", "20", seen_version=1)
    old = arena.worker("old").start()
    handle = await arena.trading.open(Category.LINEAR, "BTCUSDT", policy=TIGHT)
    position = await arena.trading.until_watched(handle)
    assert position.entry_price is not None

    with frozen(old):
        arena.worker("new").start()

        async def taken_over() -> bool:
            now = await arena.trading.position(handle)
            return now is not None and now.guard_epoch > position.guard_epoch

        await eventually(taken_over, "the second guard", timeout=30)
        await arena.trading.until_watched(handle)
        change = SetTargets(policy=WIDE, expected_version=1, reason="wider", requested_by="test")
        written: TargetsWritten = await handle.execute_update(PositionWorkflow.set_targets, change)
        assert written.acknowledged
        # through the frozen guard's stop (-1 %) and its exit's trigger, far from the new one's (-8 %)
        through = (position.entry_price * Decimal("0.985")).quantize(Decimal("0.1"))
        await arena.trading.push(Category.LINEAR, "BTCUSDT", str(through))

    async def noticed() -> bool:
        """By its price, by its beat or by its heartbeat, whichever comes first."""
        return bool(events_of(old, "old") & {"exit fenced off", "guard was taken over", "guard was called off"})

    await eventually(noticed, "the thawed guard to learn that it was taken over", timeout=30)
    exits = [order for order in await arena.trading.orders(position.position_id) if order.role == "X"]
    assert [order.state for order in exits] == [OrderState.PREPARED], "nothing was fired"
    now = await arena.trading.position(handle)
    assert now is not None
    assert now.state == PositionState.OPEN
    placed = [o["orderLinkId"] for o in (await arena.trading.books())["orders"] if o["orderLinkId"]]
    assert placed == [f"{position.position_id}-E1"]

    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="over", requested_by="test"))
    await handle.result()
    await arena.assert_nothing_is_wrong()
