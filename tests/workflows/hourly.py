"""A trading system on a market that runs an hour in seconds, with its snapshots and what tests ask of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, text

from activities.snapshots import SnapshotTaken
from db.models import MarketClockCursor, PortfolioHourlySnapshot
from domain.exits import ExitPolicy
from exchange.bybit import BybitExchange
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, running_trading, settings_for
from tests.support.waiting import eventually
from workflows.options import TRADING_QUEUE
from workflows.position import CloseRequest, PositionWorkflow
from workflows.snapshot import SnapshotInput, SnapshotWorkflow, snapshot_id

START = datetime(2026, 3, 1, 21, 5, tzinfo=UTC)
SPEED = 400  # an hour in nine seconds
HOUR = timedelta(hours=1)
WIDE = ExitPolicy(stop_loss_pct=Decimal(20), take_profit_pct=Decimal(50))


@dataclass
class Books:
    """A running system on a fast market, and its snapshots."""

    trading: Trading
    paper: PaperExchange
    gateway: BybitExchange
    epoch: str
    rows: dict[datetime, PortfolioHourlySnapshot] = field(default_factory=dict)

    async def market(self) -> datetime:
        return (await self.gateway.market_clock()).now

    async def until(self, instant: datetime) -> None:
        async def passed() -> bool:
            return await self.market() >= instant

        await eventually(passed, f"the market at {instant}", timeout=60)

    async def take(self, hour: datetime) -> SnapshotTaken:
        return await self.trading.client.execute_workflow(
            SnapshotWorkflow.run,
            SnapshotInput(epoch=self.epoch, hour=hour),
            id=snapshot_id(hour),
            task_queue=TRADING_QUEUE,
        )

    async def catch_up(self) -> datetime:
        """Take every hour not taken yet, up to the next one that is full. Returns it."""
        async with self.trading.database.session() as session:
            newest = await session.scalar(select(func.max(PortfolioHourlySnapshot.hour)))
        hour = newest or START.replace(minute=0)
        end = (await self.market()).replace(minute=0, second=0, microsecond=0) + HOUR
        while hour < end:
            hour += HOUR
            await self.take(hour)
        return hour

    async def row(self, hour: datetime) -> PortfolioHourlySnapshot:
        async with self.trading.database.session() as session:
            found = await session.get(PortfolioHourlySnapshot, (self.epoch, hour))
        assert found is not None
        return found

    async def sql(self, statement: str, **values: Any) -> Any:
        async with self.trading.database.session() as session:
            return (await session.execute(text(statement), values)).all()


@asynccontextmanager
async def running_books(database: str) -> AsyncIterator[Books]:
    with scratch_folder() as folder, running_temporal(folder) as temporal:
        (folder / "exchange").mkdir()
        options = ("--manual", "--speed", str(SPEED), "--start", START.isoformat())
        paper = paper_exchange_process(folder / "exchange", *options).start()
        gateway = BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 5.0)
        try:
            async with running_trading(settings_for(database, temporal.address, paper), paper) as trading:
                await gateway.start()
                clock = await gateway.market_clock()
                async with trading.database.session() as session:
                    session.add(
                        MarketClockCursor(
                            epoch=clock.epoch,
                            began_at=START,
                            scanned_until=START,
                            snapshot_until=START.replace(minute=0),
                        )
                    )
                yield Books(trading, paper, gateway, clock.epoch)
        finally:
            await gateway.close()
            paper.stop()


async def close(handle: Any) -> None:
    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="enough", requested_by="test"))
    await handle.result()
