"""A system to measure: PostgreSQL, Temporal, paper exchange and trading worker as ``ats up`` starts them.

On spare ports and throw-away data, durable as in earnest, with a market whose trades the benchmark pushes by hand.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import httpx
from sqlalchemy import exists, or_, select, update
from temporalio.client import Client, WorkflowHandle

from activities.leaving import Settled
from config.credentials import postgres_dsn
from config.settings import Settings
from db.models import Order, Position, PositionEvaluation, SystemSetting
from db.session import Database
from domain.exits import ExitPolicy
from domain.ids import OrderRole, manual_position_id
from domain.market import Category
from domain.order import OrderState
from domain.position import PositionState
from workers.connections import connect_temporal
from workers.stack import Stack, spare_settings
from workers.stack.services import EXCHANGE, MIGRATIONS, POSTGRES, TEMPORAL, TRADING
from workflows.options import TRADING_QUEUE
from workflows.position import PositionInput, PositionWorkflow

SYMBOL = "BTCUSDT"
DEPOSIT = {"USDT": "10000000", "BTC": "10"}
_PATIENCE_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 0.05

Answer = TypeVar("Answer")
PositionHandle = WorkflowHandle[PositionWorkflow, Settled]


async def until(condition: Callable[[], Awaitable[Answer | None]], what: str) -> Answer:
    """The first answer of ``condition`` that isn't None. Raises TimeoutError naming ``what`` after a minute.

    Asks twenty times a second: often enough to wait, seldom enough not to be what is measured.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (answer := await condition()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_PATIENCE_SECONDS:g} s for: {what}")
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return answer


@dataclass
class MeasuredSystem:
    """A running system and what a benchmark does with it. Everything is about ``SYMBOL``."""

    stack: Stack
    settings: Settings
    client: Client
    database: Database
    http: httpx.AsyncClient

    async def push(self, category: Category, *prices: Decimal) -> int:
        """Make trades at these prices happen now. Returns the wall time (ns) at which they were published."""
        ticks = [{"category": category, "symbol": SYMBOL, "price": str(price)} for price in prices]
        answer = (await self.http.post("/paper/ticks", json=ticks)).raise_for_status().json()
        return answer["published_ns"]

    async def arrivals(self) -> dict[str, float]:
        """When each order reached the exchange: wall time in ms (fractions count) by orderLinkId."""
        books = (await self.http.get("/paper/books")).raise_for_status().json()
        return {order["orderLinkId"]: order["received_wall_ms"] for order in books["orders"] if order["orderLinkId"]}

    async def open(self, category: Category, policy: ExitPolicy, strategy: str = "manual") -> PositionHandle:
        """Start a long position of 1,000 USDT; one a strategy fits on spot, one in all on linear."""
        position_id = manual_position_id(uuid.uuid4().hex)
        wanted = PositionInput(
            position_id=position_id,
            strategy=strategy,
            category=category,
            symbol=SYMBOL,
            usd=Decimal(1000),
            policy=policy,
            requested_by="benchmark",
            reason="measuring",
        )
        return await self.client.start_workflow(
            PositionWorkflow.run, wanted, id=f"position/{position_id}", task_queue=TRADING_QUEUE
        )

    async def watched(self, handle: PositionHandle, after_epoch: int = 0) -> Position:
        """Wait until a guard newer than ``after_epoch`` sees the market for the position and its spot stop rests."""

        joined = (
            exists(1)
            .where(PositionEvaluation.position_id == Position.position_id)
            .where(PositionEvaluation.guard_epoch == Position.guard_epoch)
        )
        resting = (
            exists(1)
            .where(Order.position_id == Position.position_id, Order.role == OrderRole.STOP)
            .where(Order.state == OrderState.UNTRIGGERED)
        )
        wanted = (
            select(Position)
            .where(Position.position_id == position_id_of(handle), Position.state == PositionState.OPEN)
            .where(Position.guard_epoch > after_epoch, joined)
            .where(or_(Position.category == Category.LINEAR, resting))
        )

        async def look() -> Position | None:
            async with self.database.session() as session:
                return await session.scalar(wanted)

        return await until(look, f"{handle.id} to be watched and protected")


def position_id_of(handle: PositionHandle) -> str:
    return handle.id.removeprefix("position/")


def priced(position: Position, percent: Decimal) -> Decimal:
    """The price ``percent`` % above the position's entry, on both categories' tick."""
    assert position.entry_price is not None, "the position was opened"
    return (position.entry_price * (100 + percent) / 100).quantize(Decimal("0.1"))


async def _lift_caps(database: Database) -> None:
    """Room for as many guards as are measured: caps are for trading."""
    async with database.session(actor="benchmark", reason="measuring many guards") as session:
        for key, value in (("max_open_positions", 10_000), ("symbol_exposure_usd", "1000000000")):
            await session.execute(update(SystemSetting).where(SystemSetting.key == key).values(value=value))


@asynccontextmanager
async def measured_system(speed: float = 1.0) -> AsyncIterator[MeasuredSystem]:
    """A running system, ended and its data removed at the end. ``speed`` is market seconds a wall second."""
    folder = Path(tempfile.mkdtemp(prefix="ats-bench-"))
    folder.chmod(0o711)  # PostgreSQL's own user must reach its data
    settings = spare_settings(folder, exchange={"paper": {"manual": True, "speed": speed, "deposit": DEPOSIT}})
    try:
        async with AsyncExitStack() as opened:
            parts = (POSTGRES, TEMPORAL, EXCHANGE, MIGRATIONS, TRADING)
            stack = await opened.enter_async_context(Stack(settings, parts))
            client = await connect_temporal(settings)
            database = Database(postgres_dsn(settings))
            opened.push_async_callback(database.close)
            await _lift_caps(database)
            http = httpx.AsyncClient(base_url=settings.paper_url, timeout=60, trust_env=False)
            await opened.enter_async_context(http)
            yield MeasuredSystem(stack, settings, client, database, http)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
