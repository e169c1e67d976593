"""How long the histories of a position grow while the market moves: ticks must leave no events in them."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

from sqlalchemy import func, select

from benchmarks.registry import Figure, benchmark
from benchmarks.system import MeasuredSystem, PositionHandle, measured_system, position_id_of, until
from db.models import Order, PositionEvaluation
from domain.exits import ExitPolicy
from domain.market import Category
from domain.order import OrderState
from workflows.position import CloseRequest, PositionWorkflow

TICKS = 20_000
_BATCH = 100
_MARKET_SECONDS, _SPEED = 3600, 120
_LIMIT = 60
_REFERENCE = "limit of a position's day, in events"
_FOLLOWING = ExitPolicy(stop_loss_pct=Decimal(3), trailing_stop_pct=Decimal(3))


@benchmark("history_length")
async def history_length() -> AsyncIterator[Figure]:
    """Events of a position after a market hour of 20,000 trades with its stop following, and of it all once closed."""
    async with measured_system(speed=_SPEED) as system:
        handle = await system.open(Category.SPOT, _FOLLOWING)
        opened = await system.watched(handle)
        assert opened.entry_price is not None
        began = time.monotonic()
        peak = await push_an_hour(system, opened.entry_price)
        wall_seconds = time.monotonic() - began
        await seen(system, handle, peak)
        after_the_hour = await events_of(system, handle.id)
        orders_then = [await events_of(system, f"order/{link}") for link in await sent_orders(system, handle)]
        request = CloseRequest(reason="measured", requested_by="benchmark")
        await handle.execute_update(PositionWorkflow.close, request)
        await handle.result()
        closed = await events_of(system, handle.id)
        orders = [await events_of(system, f"order/{link}") for link in await sent_orders(system, handle)]
        config = {
            "ticks": TICKS,
            "market_minutes": round(wall_seconds * _SPEED / 60),
            "ticks_per_wall_second": round(TICKS / wall_seconds),
            "noted_ratchets": await ratchets(system, handle),
        }
    yield Figure("history_after_an_hour_of_ticks", after_the_hour, "events", _REFERENCE, _LIMIT, config)
    with_orders = {**config, "position": after_the_hour, "orders": orders_then}
    total = after_the_hour + sum(orders_then)
    yield Figure("history_with_orders_after_an_hour_of_ticks", total, "events", _REFERENCE, _LIMIT, with_orders)
    yield Figure(
        "history_with_orders_closed", closed + sum(orders), "events", config={"position": closed, "orders": orders}
    )


async def push_an_hour(system: MeasuredSystem, entry: Decimal) -> Decimal:
    """Trades evenly over the hour; the highest price."""
    prices = list(rising(entry))
    began = time.monotonic()
    for start in range(0, TICKS, _BATCH):
        due = began + (start + _BATCH) / TICKS * _MARKET_SECONDS / _SPEED
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await system.push(Category.SPOT, *prices[start : start + _BATCH])
    return max(prices)


def rising(entry: Decimal, seed: int = 1) -> Iterator[Decimal]:
    """Prices that climb 12 % with waves of under 1 %: the stop ratchets thousands of times and is never crossed."""
    noise = random.Random(seed)
    for number in range(1, TICKS + 1):
        part = number / TICKS
        height = 0.12 * part + 0.005 * math.sin(80 * math.pi * part) + noise.uniform(-0.001, 0.001)
        yield (entry * Decimal(1 + height)).quantize(Decimal("0.01"))


async def seen(system: MeasuredSystem, handle: PositionHandle, peak: Decimal) -> None:
    """Wait until the guard's last noted state has the peak: every trade up to it went through the guard."""

    async def look() -> bool | None:
        async with system.database.session() as session:
            row = await session.scalar(
                select(PositionEvaluation)
                .where(PositionEvaluation.position_id == position_id_of(handle))
                .order_by(PositionEvaluation.id.desc())
                .limit(1)
            )
        return True if row is not None and Decimal(row.state["best_price"]) == peak else None

    await until(look, f"the guard to note the peak {peak}")


async def events_of(system: MeasuredSystem, workflow_id: str) -> int:
    described = await system.client.get_workflow_handle(workflow_id).describe()
    return described.history_length


async def sent_orders(system: MeasuredSystem, handle: PositionHandle) -> list[str]:
    """The position's orders that have a workflow; an exit written ahead has none yet."""
    async with system.database.session() as session:
        wanted = (
            select(Order.order_link_id)
            .where(Order.position_id == position_id_of(handle), Order.state != OrderState.PREPARED)
            .order_by(Order.role)
        )
        return list(await session.scalars(wanted))


async def ratchets(system: MeasuredSystem, handle: PositionHandle) -> int:
    async with system.database.session() as session:
        wanted = select(func.count()).where(PositionEvaluation.position_id == position_id_of(handle))
        return await session.scalar(wanted) or 0
