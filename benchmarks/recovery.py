"""How long a position is without its guard after kill -9 of the worker, as long as one worker is all there is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal

from sqlalchemy import select

from benchmarks.registry import Figure, benchmark
from benchmarks.system import MeasuredSystem, PositionHandle, measured_system, position_id_of, priced, until
from benchmarks.timing import machine_load, percentile
from db.models import Position, PositionEvaluation
from domain.exits import ExitPolicy, ExitReason
from domain.market import Category
from workers.stack.services import TRADING

KILLS = 5
_TARGET_SECONDS = 15.0
_REFERENCE = "target"
_TRAILING = ExitPolicy.model_validate(
    {"stop_loss_pct": "3", "trailing_activation_pct": "1", "trailing_distance_pct": "1"}
)


@benchmark("recovery")
async def recovery() -> AsyncIterator[Figure]:
    """Seconds from kill -9 of the trading worker until the guard of a trailing position watches again."""
    async with measured_system() as system:
        handle = await system.open(Category.LINEAR, _TRAILING)
        position = await system.watched(handle)
        await arm(system, handle, position)
        seconds = [await kill_once(system, handle) for _ in range(KILLS)]
        await still_trails(system, handle, position)
        config = {"kills": KILLS, "restarted_by": "the stack's supervisor", **machine_load()}
    yield Figure("recovery_p50", percentile(seconds, 50), "s", _REFERENCE, _TARGET_SECONDS, config)
    yield Figure("recovery_max", max(seconds), "s", _REFERENCE, _TARGET_SECONDS, config)


async def arm(system: MeasuredSystem, handle: PositionHandle, position: Position) -> None:
    """Lead the price to where the trailing stop is armed, and wait until that is noted."""
    for percent in ("0.5", "1", "2"):  # one at a time: each at an instant of its own
        await system.push(Category.LINEAR, priced(position, Decimal(percent)))

    async def look() -> bool | None:
        async with system.database.session() as session:
            row = await session.scalar(
                select(PositionEvaluation)
                .where(PositionEvaluation.position_id == position_id_of(handle))
                .order_by(PositionEvaluation.id.desc())
                .limit(1)
            )
        return True if row is not None and row.state["trailing_armed"] else None

    await until(look, "the trailing stop to be armed")


async def kill_once(system: MeasuredSystem, handle: PositionHandle) -> float:
    before = await system.watched(handle)
    began = time.monotonic()
    system.stack.kill(TRADING)
    await system.watched(handle, after_epoch=before.guard_epoch)
    return time.monotonic() - began


async def still_trails(system: MeasuredSystem, handle: PositionHandle, position: Position) -> None:
    """The last guard must still know the peak of the first: it leaves 1 % under it. Raises AssertionError if not."""
    await system.push(Category.LINEAR, priced(position, Decimal("0.9")))
    settled = await handle.result()
    if settled.exit_reason is not ExitReason.TRAILING_TAKE_PROFIT:
        raise AssertionError(f"after {KILLS} kills the position left by {settled.exit_reason}")
