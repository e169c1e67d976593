"""What a test does with a running system: orders positions, pushes prices, asks the books and the database.

The system's worker runs in the test's own process (``running_trading``) or in processes that can be killed
(``tests.support.worker``).
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy import select
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from activities.guard_book import GuardBook
from config.settings import Settings
from db.models import Order, OrderExecution, Position, PositionEvaluation, SystemEvent
from db.session import Database
from domain.exits import ExitPolicy
from domain.ids import OrderRole, manual_position_id
from domain.market import Category, PositionSide
from domain.order import OrderState
from domain.position import PositionState
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from tests.support.paper import PaperExchange
from tests.support.waiting import eventually
from workers.always_on import ALWAYS_ON, AlwaysOn
from workers.connections import Connections, exchange_of
from workers.trading import market_worker, trading_worker
from workflows import market_clock
from workflows.options import TRADING_QUEUE, WORKFLOW_TASK_TIMEOUT
from workflows.plugin import ats_plugin
from workflows.position import PositionInput, PositionWorkflow

WITHOUT_CLOCK = tuple(wanted for wanted in ALWAYS_ON if wanted.workflow_id != market_clock.WORKFLOW_ID)
DEFAULT_POLICY = ExitPolicy(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(6))


@dataclass
class Trading:
    """A running system without its surfaces."""

    client: Client
    database: Database
    exchange: PaperExchange
    http: httpx.AsyncClient

    async def push(self, category: Category, symbol: str, *prices: str) -> Any:
        """Make trades at these prices happen now, in order."""
        ticks = [{"category": category, "symbol": symbol, "price": price} for price in prices]
        answer = await self.http.post("/paper/ticks", json=ticks)
        answer.raise_for_status()
        return answer.json()

    async def fault(self, **fault: Any) -> None:
        (await self.http.post("/paper/faults", json=fault)).raise_for_status()

    async def books(self) -> dict[str, Any]:
        return (await self.http.get("/paper/books")).raise_for_status().json()

    async def open(
        self,
        category: Category = Category.SPOT,
        symbol: str = "BTCUSDT",
        side: PositionSide = PositionSide.LONG,
        usd: str = "1000",
        policy: ExitPolicy = DEFAULT_POLICY,
        **fields: Any,
    ) -> WorkflowHandle[Any, Any]:
        """Start a position and return its handle; ``positions`` tells how it stands."""
        position_id = manual_position_id(uuid.uuid4().hex)
        wanted = PositionInput(
            position_id=position_id,
            category=category,
            symbol=symbol,
            side=side,
            usd=Decimal(usd),
            policy=policy,
            requested_by="test",
            reason="test",
            **fields,
        )
        return await self.client.start_workflow(
            PositionWorkflow.run,
            wanted,
            id=f"position/{position_id}",
            task_queue=TRADING_QUEUE,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
        )

    async def position(self, handle: WorkflowHandle[Any, Any]) -> Position | None:
        async with self.database.session() as session:
            return await session.get(Position, handle.id.removeprefix("position/"))

    async def until_watched(self, handle: WorkflowHandle[Any, Any]) -> Position:
        """Wait until a guard sees the market for the position and, on spot, its stop rests."""

        async def watched() -> Position | None:
            position = await self.position(handle)
            if position is None or position.state != PositionState.OPEN:
                return None
            async with self.database.session() as session:
                joined = await session.scalar(
                    select(PositionEvaluation.id)
                    .where(PositionEvaluation.position_id == position.position_id)
                    .where(PositionEvaluation.guard_epoch == position.guard_epoch)
                    .limit(1)
                )
            if joined is None:
                return None
            if position.disaster_stop is None:
                return None
            if position.category == Category.SPOT:
                stops = [o for o in await self.orders(position.position_id) if o.role == OrderRole.STOP]
                if not stops or stops[-1].state != OrderState.UNTRIGGERED:
                    return None
            return position

        found = await eventually(watched, f"{handle.id} watched and protected", timeout=60)
        assert found is not None
        return found

    async def orders(self, position_id: str | None = None) -> Sequence[Order]:
        wanted = select(Order).order_by(Order.created_at)
        if position_id is not None:
            wanted = wanted.where(Order.position_id == position_id)
        async with self.database.session() as session:
            return (await session.scalars(wanted)).all()

    async def executions(self) -> Sequence[OrderExecution]:
        async with self.database.session() as session:
            return (await session.scalars(select(OrderExecution))).all()

    async def events(self, kind: str | None = None) -> Sequence[SystemEvent]:
        wanted = select(SystemEvent).order_by(SystemEvent.id)
        if kind is not None:
            wanted = wanted.where(SystemEvent.kind == kind)
        async with self.database.session() as session:
            return (await session.scalars(wanted)).all()


def settings_for(dsn: str, temporal_address: str, exchange: PaperExchange, **changes: Any) -> Settings:
    """Settings that point at running servers, read from nowhere else."""
    return Settings.model_validate(
        {
            "postgres": {"dsn": dsn},
            "temporal": {"address": temporal_address},
            "exchange": {"url": exchange.url, "api_key": exchange.key, "api_secret": exchange.secret},
            **changes,
        }
    )


@asynccontextmanager
async def trading_on(settings: Settings, exchange: PaperExchange) -> AsyncIterator[Trading]:
    """The tester's own connections to a system whose workers run elsewhere."""
    assert settings.postgres.dsn is not None
    async with AsyncExitStack() as opened:
        database = Database(settings.postgres.dsn.get_secret_value())
        opened.push_async_callback(database.close)
        client = await Client.connect(settings.temporal_address, plugins=[ats_plugin()])
        http = await opened.enter_async_context(httpx.AsyncClient(base_url=exchange.url, timeout=10, verify=False))
        yield Trading(client, database, exchange, http)


@asynccontextmanager
async def running_trading(
    settings: Settings, exchange: PaperExchange, strategies: Mapping[str, Strategy] = STRATEGIES, *, clock: bool = False
) -> AsyncIterator[Trading]:
    """The same with the trading worker's parts in this process. What still runs at the end is terminated.

    ``clock``: the market clock runs too, with its warm-up, scans and snapshots.
    """
    async with trading_on(settings, exchange) as trading, AsyncExitStack() as opened:
        gateway = exchange_of(settings)
        opened.push_async_callback(gateway.close)
        await gateway.start()
        connections = Connections(settings, trading.database, gateway, trading.client)
        book = GuardBook(trading.database, gateway)
        await book.start()
        opened.push_async_callback(book.close)
        await opened.enter_async_context(trading_worker(connections, book, strategies))
        await opened.enter_async_context(market_worker(connections))
        await AlwaysOn(trading.client, ALWAYS_ON if clock else WITHOUT_CLOCK).ensure()
        opened.push_async_callback(_end_all, trading.client)
        yield trading


async def _end_all(client: Client) -> None:
    async for execution in client.list_workflows("ExecutionStatus = 'Running'"):
        with contextlib.suppress(RPCError):  # it ended by itself since
            await client.get_workflow_handle(execution.id).terminate("the test is over")
