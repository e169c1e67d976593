"""Guards that say when their prices are stale: once at the beginning, once at the end, by the stream itself."""

from __future__ import annotations

import asyncio
import json

from sqlalchemy import select

from db.models import SystemEvent
from domain.exits import ExitPolicy
from tests.activities.conftest import Desk
from tests.support.waiting import eventually

STREAM = "linear:publicTrade.BTCUSDT"


async def told(desk: Desk) -> list[tuple[str, str]]:
    async with desk.database.session() as session:
        wanted = (
            select(SystemEvent).where(SystemEvent.kind.in_(("guard_stale", "guard_fresh"))).order_by(SystemEvent.id)
        )
        return [(event.kind, event.subject) for event in await session.scalars(wanted)]


async def stale_after(desk: Desk, seconds: float) -> None:
    await desk.sql(f"UPDATE system_settings SET value = '{json.dumps(seconds)}' WHERE key = 'stale_price_seconds'")


async def test_a_stream_that_breaks_is_said_once_and_once_when_it_is_back(quiet_desk: Desk) -> None:
    desk = quiet_desk
    await stale_after(desk, 2)
    await desk.book.start()
    position_id = await desk.hold(ExitPolicy.model_validate({"stop_loss_pct": 5}))
    desk.guard(position_id)
    await desk.until_acknowledged(position_id, 1)
    desk.paper.kill()
    await eventually(lambda: told(desk), "the guard to say that its prices are stale", timeout=30)
    await asyncio.to_thread(desk.paper.start)

    async def over() -> bool:
        return ("guard_fresh", STREAM) in await told(desk)

    await eventually(over, "the guard to say that it sees again", timeout=30)
    assert await told(desk) == [("guard_stale", STREAM), ("guard_fresh", STREAM)]


async def test_a_market_in_which_nobody_trades_is_not_stale(quiet_desk: Desk) -> None:
    desk = quiet_desk
    await stale_after(desk, 4)
    await desk.book.start()
    position_id = await desk.hold(ExitPolicy.model_validate({"stop_loss_pct": 5}))
    desk.guard(position_id)
    await desk.until_acknowledged(position_id, 1)
    began = (await desk.leases(position_id))[0].watching_from if await desk.leases(position_id) else None

    async def watched_for_six_seconds() -> bool:
        leases = await desk.leases(position_id)
        return bool(leases) and (leases[-1].last_seen_at - (began or leases[0].watching_from)).total_seconds() > 6

    await eventually(watched_for_six_seconds, "six quiet seconds", timeout=30)
    assert await told(desk) == []
