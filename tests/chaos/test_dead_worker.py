"""The trading worker is killed while a position trails: what the market did meanwhile counts when it is back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowHandle

from db.models import Position, PositionEvaluation
from domain.exits import ExitPolicy, ExitReason
from domain.market import Category
from domain.position import PositionState
from tests.chaos.conftest import Arena
from tests.support.trading import Trading
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

TRAILING = ExitPolicy.model_validate(
    {"stop_loss_pct": "3", "trailing_activation_pct": "1", "trailing_distance_pct": "1"}
)


async def armed(trading: Trading, position: Position) -> PositionEvaluation:
    async def noted() -> PositionEvaluation | None:
        async with trading.database.session() as session:
            row = await session.scalar(
                select(PositionEvaluation)
                .where(PositionEvaluation.position_id == position.position_id)
                .order_by(PositionEvaluation.id.desc())
                .limit(1)
            )
        return row if row is not None and row.state["trailing_armed"] else None

    found = await eventually(noted, "trailing stop armed and noted")
    assert found is not None
    return found


def priced(position: Position, percent: str) -> str:
    assert position.entry_price is not None
    return str((position.entry_price * (100 + Decimal(percent)) / 100).quantize(Decimal("0.1")))


async def trailing_position(arena: Arena) -> tuple[WorkflowHandle, Position]:
    handle = await arena.trading.open(Category.LINEAR, "BTCUSDT", policy=TRAILING)
    position = await arena.trading.until_watched(handle)
    await arena.trading.push(Category.LINEAR, "BTCUSDT", *(priced(position, p) for p in ("0.5", "1", "1.5")))
    await armed(arena.trading, position)
    return handle, position


async def test_a_stop_of_a_peak_nobody_saw_exits_on_recovery_even_if_the_price_came_back(arena: Arena) -> None:
    worker = arena.worker("first").start()
    handle, position = await trailing_position(arena)

    worker.kill()
    # a new peak at +5 % puts the stop at +3.95 %; the price falls through it to +3.5 % and is back above it at +4.5 %
    unseen = [priced(position, percent) for percent in ("2", "3.5", "5", "4", "3.5", "4.2", "4.5")]
    await arena.trading.push(Category.LINEAR, "BTCUSDT", *unseen)
    arena.worker("second").start()

    settled = await handle.result()
    assert settled.exit_reason is ExitReason.TRAILING_TAKE_PROFIT
    assert settled.realised_pnl > 0
    assert settled.unprotected_seconds == 0, "the stop of the entry order rested at the exchange all the time"
    assert settled.unwatched_seconds is not None
    assert settled.unwatched_seconds > 0
    exits = [order for order in await arena.trading.orders(position.position_id) if order.role == "X"]
    assert [order.state for order in exits] == ["filled"]
    assert exits[0].fired_epoch == 2, "fired by the second guard"
    await arena.assert_nothing_is_wrong()


async def test_a_peak_nobody_saw_raises_the_stop_that_fires_later(arena: Arena) -> None:
    worker = arena.worker("first").start()
    handle, position = await trailing_position(arena)
    worker.kill()
    await arena.trading.push(Category.LINEAR, "BTCUSDT", *(priced(position, p) for p in ("3", "5", "4.5")))
    arena.worker("second").start()

    async def taken_over() -> bool:
        now = await arena.trading.position(handle)
        return now is not None and now.guard_epoch == 2

    await eventually(taken_over, "the second guard", timeout=30)
    await arena.trading.until_watched(handle)
    still = await arena.trading.position(handle)
    assert still is not None
    assert still.state == PositionState.OPEN, "the price never fell to the stop of the unseen peak"
    # +3.9 % is far above the stop of the peak that was seen (+0.485 %), and below that of the unseen one (+3.95 %)
    await arena.trading.push(Category.LINEAR, "BTCUSDT", priced(position, "3.9"))
    settled = await handle.result()
    assert settled.exit_reason is ExitReason.TRAILING_TAKE_PROFIT
    await arena.assert_nothing_is_wrong()
