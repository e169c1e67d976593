"""A guard book on a real database and a market pushed by hand, without Temporal: activities run one by one."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text
from temporalio.testing import ActivityEnvironment

from activities.guard import GuardActivities, GuardCursor, GuardRequest, GuardResult
from activities.guard_book import GuardBook
from db.models import GuardLease, Order, Position, PositionTarget
from db.repositories.guards import leases_of
from db.repositories.orders import insert_intent
from db.repositories.positions import write_targets
from db.session import Database
from domain.exits import ExitPolicy
from domain.ids import OrderRole, manual_position_id, order_link_id
from domain.market import Category, PositionSide
from domain.order import OrderState
from domain.position import PositionState
from exchange.bybit import BybitExchange
from tests.support.paper import PaperExchange
from tests.support.waiting import eventually

QTY = Decimal("0.01")


@dataclass
class Desk:
    """One worker's guards. ``hold`` makes an open linear position, ``guard`` runs its guard's activity."""

    database: Database
    paper: PaperExchange
    gateway: BybitExchange
    book: GuardBook
    guards: list[asyncio.Task[GuardResult]] = field(default_factory=list)

    async def hold(
        self, policy: ExitPolicy, symbol: str = "BTCUSDT", side: PositionSide = PositionSide.LONG, entry: str = "60000"
    ) -> str:
        position_id = manual_position_id(uuid.uuid4().hex)
        clock = await self.gateway.market_clock()
        async with self.database.session() as session:
            session.add(
                Position(
                    position_id=position_id,
                    market_epoch=clock.epoch,
                    strategy="manual",
                    category=Category.LINEAR,
                    symbol=symbol,
                    side=side,
                    state=PositionState.OPEN,
                    policy=policy.model_dump(mode="json"),
                    disaster_buffer_pct=Decimal(1),
                    settings_version=1,
                    planned_qty=QTY,
                    reference_price=Decimal(entry),
                    entry_qty=QTY,
                    entry_price=Decimal(entry),
                    qty=QTY,
                    requested_by="test",
                    reason="test",
                    trace_id="",
                    reserved_at=clock.now,
                    opened_at=clock.now,
                )
            )
            await session.flush()
            session.add(_targets(position_id, 1, policy))
            await insert_intent(
                session,
                OrderState.PREPARED,
                order_link_id=order_link_id(position_id, OrderRole.EXIT),
                position_id=position_id,
                role=OrderRole.EXIT,
                category=Category.LINEAR,
                symbol=symbol,
                side=side.exit_side,
                qty=QTY,
                reduce_only=True,
            )
        return position_id

    def guard(self, position_id: str, cursor: GuardCursor | None = None) -> asyncio.Task[GuardResult]:
        environment = ActivityEnvironment()
        details = [] if cursor is None else [cursor.model_dump(mode="json")]
        environment.info = dataclasses.replace(environment.info, heartbeat_details=details)
        activities = GuardActivities(self.database, self.book)
        request = GuardRequest(position_id=position_id)
        self.guards.append(asyncio.ensure_future(environment.run(activities.guard_position, request)))
        return self.guards[-1]

    async def push(self, symbol: str, *prices: str) -> None:
        ticks = [{"category": "linear", "symbol": symbol, "price": price} for price in prices]
        await asyncio.to_thread(self.paper.push_ticks, ticks)

    async def set_targets(self, position_id: str, seen: int, policy: ExitPolicy) -> None:
        async with self.database.session() as session:
            await write_targets(session, position_id, policy.model_dump(mode="json"), seen, "test", "test")

    async def position(self, position_id: str) -> Position:
        async with self.database.session() as session:
            row = await session.get(Position, position_id)
        assert row is not None
        return row

    async def exit_order(self, position_id: str) -> Order:
        async with self.database.session() as session:
            return (await session.scalars(select(Order).where(Order.position_id == position_id))).one()

    async def leases(self, position_id: str) -> Sequence[GuardLease]:
        async with self.database.session() as session:
            return await leases_of(session, position_id)

    async def sql(self, statement: str) -> None:
        async with self.database.session() as session:
            await session.execute(text(statement))

    async def until_acknowledged(self, position_id: str, version: int) -> None:
        """Until the guard is in the rows and works by this version."""

        async def acknowledged() -> bool:
            return (await self.position(position_id)).acknowledged_version == version

        await eventually(acknowledged, f"targets {version} in force")

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        async def met() -> bool:
            return bool(condition())

        await eventually(met, what)


def _targets(position_id: str, version: int, policy: ExitPolicy) -> PositionTarget:
    return PositionTarget(
        position_id=position_id, version=version, policy=policy.model_dump(mode="json"), set_by="test", reason="test"
    )


@pytest.fixture
async def quiet_desk(database: str, paper_exchange: Callable[..., PaperExchange]) -> AsyncIterator[Desk]:
    """A desk whose book has not been started: it neither beats nor hears of new targets."""
    paper = await asyncio.to_thread(paper_exchange, "--manual")
    data = Database(database)
    gateway = BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 5.0)
    await gateway.start()
    desk = Desk(data, paper, gateway, GuardBook(data, gateway))
    try:
        yield desk
    finally:
        for guard in desk.guards:
            guard.cancel()
        await asyncio.gather(*desk.guards, return_exceptions=True)
        await desk.book.close()
        await gateway.close()
        await data.close()


@pytest.fixture
async def desk(quiet_desk: Desk) -> Desk:
    """A desk at work."""
    await quiet_desk.book.start()
    return quiet_desk
