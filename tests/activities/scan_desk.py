"""A scan's activities on a real database and exchange, run one by one and again, without Temporal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from temporalio.testing import ActivityEnvironment

from activities.deciding import Decided, DecisionActivities
from activities.due_strategies import ScanRequest
from activities.scan_candles import Completeness, ScanCandleActivities
from activities.scan_exits import Exits, ScanEnd, ScanExitActivities
from db.models import Scan
from db.repositories.regimes import NewRegime, append_regimes
from db.session import Database
from domain.candle import Timeframe
from domain.regime import Regime
from domain.strategies.contract import Strategy
from exchange.bybit import BybitExchange
from tests.support.paper import paper_exchange_process
from tests.workflows.scanning import LEVEL


@dataclass
class ScanDesk:
    """The activities, and the newest close of the market they are for."""

    database: Database
    gateway: BybitExchange
    request: ScanRequest
    strategies: Mapping[str, Strategy]

    async def complete(self) -> Completeness:
        activities = ScanCandleActivities(self.database, self.gateway, self.strategies)
        await activities.open_scan(self.request)
        return await ActivityEnvironment().run(activities.complete_candles, self.request)

    async def decide(self) -> Decided:
        activities = DecisionActivities(self.database, self.gateway, self.strategies)
        return await ActivityEnvironment().run(activities.decide, self.request)

    async def exits(self) -> Exits:
        return await ActivityEnvironment().run(
            ScanExitActivities(self.database, self.strategies).find_exits, self.request
        )

    async def sql(self, statement: str, **values: Any) -> None:
        """A change behind every trigger's back."""
        async with self.database.session() as session:
            await session.execute(text("SET LOCAL session_replication_role = replica"))
            await session.execute(text(statement), values)

    async def finish(self) -> None:
        end = ScanEnd(request=self.request, exits=0, undelivered=[])
        await ScanExitActivities(self.database, self.strategies).finish_scan(end)

    async def scan(self) -> Scan:
        async with self.database.session() as session:
            row = await session.get(Scan, (self.request.epoch, self.request.close_at))
        assert row is not None
        return row

    async def count(self, model: type) -> int:
        async with self.database.session() as session:
            return await session.scalar(select(func.count()).select_from(model)) or 0


@asynccontextmanager
async def scan_desk(dsn: str, folder: Path, strategies: Mapping[str, Strategy] = LEVEL) -> AsyncIterator[ScanDesk]:
    """At the newest close of a manual market with BTCUSDT at 60,000 and ETHUSDT at 3,000, in a neutral regime."""
    (folder / "exchange").mkdir()
    market = ("--manual", "--speed", "step", "--symbols", "BTCUSDT=60000", "ETHUSDT=3000")
    paper = paper_exchange_process(folder / "exchange", *market).start()
    database = Database(dsn)
    gateway = BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 5.0)
    await gateway.start()
    try:
        clock = await gateway.advance_clock()
        request = ScanRequest(epoch=clock.epoch, close_at=clock.now, timeframes=[Timeframe.M15])
        await know_regime(database, clock.epoch, clock.now, Regime.NEUTRAL)
        yield ScanDesk(database, gateway, request, strategies)
    finally:
        await gateway.close()
        await database.close()
        paper.stop()


async def know_regime(database: Database, epoch: str, at: datetime, regime: Regime) -> None:
    """A confirmed regime since the last 4h close before ``at``."""
    row = NewRegime(
        valid_from=Timeframe.H4.floor(at),
        state=regime,
        effective=regime,
        confirmed=True,
        streak=3,
        pending=None,
        score=0.0,
        components={},
        inputs={},
        source="scan",
    )
    async with database.session() as session:
        await append_regimes(session, epoch, [row])
