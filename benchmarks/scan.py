"""A scan of a whole market, 200 symbols x eleven strategies: from the closed candle to stored decisions."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from sqlalchemy import func, select, update
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.deciding import DecisionActivities
from activities.due_strategies import due_strategies, windows_of
from activities.regime import RegimeActivities
from activities.scan_candles import ScanCandleActivities
from activities.scan_exits import ScanExitActivities
from benchmarks.registry import Figure, benchmark
from benchmarks.scan_market import SYMBOLS, TIMEFRAMES, ScanMarket, monday
from benchmarks.timing import machine_load, percentile
from config.credentials import postgres_dsn
from config.settings import Settings
from db.models import Scan, Signal, StrategyConfiguration, StrategyScan, SystemSetting
from db.repositories.market import upsert_candles, upsert_instruments
from db.repositories.strategies import seed_strategies
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from domain.strategies import STRATEGIES
from exchange.bybit import BybitExchange
from workers.connections import connect_temporal, exchange_of
from workers.stack import Stack, spare_settings
from workers.stack.services import EXCHANGE, MIGRATIONS, POSTGRES, TEMPORAL
from workflows.options import TRADING_QUEUE
from workflows.scan import ScanInput, ScanWorkflow, scan_id

START = monday("2025-03-03")
SCANS = 30
_DAY = timedelta(days=1)
_NOW = START + (SCANS + 2) * _DAY
"""At the exchange: after every scan, so that it has what settles at their closes."""
_PLAIN = """
    SELECT symbol, open_time, open, high, low, close, volume FROM candles
    WHERE category = $1 AND timeframe = $2 AND symbol = ANY($3) AND open_time BETWEEN $4 AND $5
"""
_STEPS = ("open_scan", "complete_candles", "advance_regime", "decide", "find_exits", "finish_scan")


@dataclass(frozen=True, slots=True)
class ScanTimes:
    """Wall milliseconds of one scan: ``decided`` from before its candles were stored; ``steps`` are its activities."""

    candles: float
    decided: float
    steps: dict[str, float]


@dataclass
class ScannedSystem:
    """A system whose market is stored up to ``START`` and whose scans are started by hand."""

    market: ScanMarket
    client: Client
    database: Database
    exchange: BybitExchange
    epoch: str

    async def scan(self, close_at: datetime) -> ScanTimes:
        """Bring the candles that closed at ``close_at`` and scan them; what was before has to be stored."""
        closing = self.market.closing_at(close_at)
        began = datetime.now(UTC)
        for first in range(0, len(closing), 1000):
            async with self.database.session() as session:
                await upsert_candles(session, closing[first : first + 1000])
        stored = datetime.now(UTC)
        wanted = ScanInput(
            epoch=self.epoch,
            close_at=close_at,
            timeframes=[each for each in TIMEFRAMES if each.floor(close_at) == close_at],
        )
        handle = await self.client.start_workflow(
            ScanWorkflow.run, wanted, id=scan_id(close_at), task_queue=TRADING_QUEUE
        )
        await handle.result()
        ends, steps = await _steps(handle)
        return ScanTimes(_ms(stored - began), _ms(ends["decide"] - began), steps)


async def _steps(handle: WorkflowHandle[ScanWorkflow, object]) -> tuple[dict[str, datetime], dict[str, float]]:
    """By activity, when it had ended and how many ms it took, as Temporal wrote it down."""
    names: dict[int, tuple[str, datetime]] = {}
    ends: dict[str, datetime] = {}
    took: dict[str, float] = {}
    async for event in handle.fetch_history_events():
        at = event.event_time.ToDatetime(UTC)
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            names[event.event_id] = (event.activity_task_scheduled_event_attributes.activity_type.name, at)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            name, scheduled = names[event.activity_task_completed_event_attributes.scheduled_event_id]
            ends[name], took[name] = at, took.get(name, 0.0) + _ms(at - scheduled)
    return ends, took


def _ms(took: timedelta) -> float:
    return took.total_seconds() * 1000


@asynccontextmanager
async def scanned_system(market: ScanMarket) -> AsyncIterator[ScannedSystem]:
    """PostgreSQL, Temporal and paper exchange as ``ats up`` starts them, a worker that scans and does nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="ats-bench-"))
    folder.chmod(0o711)  # PostgreSQL's own user must reach its data
    symbols = [f"{symbol}={market.last_price(symbol):.4f}" for symbol in market.symbols]
    paper: dict[str, object] = {"manual": True, "symbols": symbols, "start": _NOW.isoformat()}
    settings = spare_settings(folder, exchange={"paper": paper})
    try:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(Stack(settings, (POSTGRES, TEMPORAL, EXCHANGE, MIGRATIONS)))
            yield await _opened(opened, settings, market)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _opened(opened: AsyncExitStack, settings: Settings, market: ScanMarket) -> ScannedSystem:
    database = Database(postgres_dsn(settings))
    opened.push_async_callback(database.close)
    exchange = exchange_of(settings)
    await exchange.start()
    opened.push_async_callback(exchange.close)
    client = await connect_temporal(settings)
    await _configure(database, exchange)
    await market.store_past(database.dsn)
    candles, exits = ScanCandleActivities(database, exchange), ScanExitActivities(database)
    decisions, regime = DecisionActivities(database, exchange), RegimeActivities(database, exchange)
    worker = Worker(
        client,
        task_queue=TRADING_QUEUE,
        workflows=[ScanWorkflow],
        activities=[
            candles.open_scan,
            candles.complete_candles,
            regime.advance_regime,
            decisions.decide,
            exits.find_exits,
            exits.finish_scan,
        ],
    )
    await opened.enter_async_context(worker)
    return ScannedSystem(market, client, database, exchange, (await exchange.market_clock()).epoch)


async def _configure(database: Database, exchange: BybitExchange) -> None:
    """Every strategy watches and wants to buy, all symbols are the universe, and nothing may be opened: no position's
    workflow is part of a scan."""
    async with database.session(actor="benchmark", reason="measuring a scan") as session:
        await seed_strategies(session, "paper")
        await session.execute(update(StrategyConfiguration).values(watchlist_gate=True, buy_gate=True))
        for key, value in (("universe", list(SYMBOLS)), ("trading_halted", True)):
            await session.execute(update(SystemSetting).where(SystemSetting.key == key).values(value=value))
        for category in Category:
            await upsert_instruments(session, await exchange.instruments(category))


async def _plain_reads(system: ScannedSystem, close_at: datetime) -> float:
    """Milliseconds to read the same candles and nothing more, a query a strategy and timeframe, a row a candle."""
    async with system.database.session() as session:
        asked = await due_strategies(session, STRATEGIES, TIMEFRAMES)
    windows = [window for due in asked for window in windows_of(due, close_at)]
    connection = await asyncpg.connect(system.database.dsn)
    try:
        began = time.perf_counter()
        for each in windows:
            given = each.category.value, each.timeframe.value, list(each.symbols), each.first, each.last
            await connection.fetch(_PLAIN, *given)
        return (time.perf_counter() - began) * 1000
    finally:
        await connection.close()


async def _figures(system: ScannedSystem, times: list[ScanTimes], plain: list[float]) -> AsyncIterator[Figure]:
    async with system.database.session() as session:
        scans = (await session.execute(select(func.count(), func.sum(Scan.candidates)).select_from(Scan))).one()
        evaluated = await session.scalar(select(func.count()).select_from(StrategyScan))
        signals = await session.scalar(select(func.count()).select_from(Signal))
    if evaluated != len(STRATEGIES) * scans[0] or signals != scans[1]:
        raise AssertionError(f"{evaluated} decisions of {scans[0]} scans, {signals} signals stored of {scans[1]}")
    decided = [each.decided for each in times]
    config = {
        "symbols": len(system.market.symbols),
        "strategies": len(STRATEGIES),
        "scans": len(times),
        "signals": signals,
        "candles_ms": round(percentile([each.candles for each in times], 50)),
        **{f"{step}_ms": round(percentile([each.steps.get(step, 0.0) for each in times], 50)) for step in _STEPS},
        **machine_load(),
    }
    reference = "reading the candles of each strategy's windows alone, a row a candle"
    for percent in (50, 99):
        read = percentile(plain, percent)
        yield Figure(f"scan_decided_p{percent}", percentile(decided, percent), "ms", reference, read, config)


@benchmark("scan")
async def scan() -> AsyncIterator[Figure]:
    """Milliseconds from the candles' close to stored decisions, at midnights, when every timeframe in use closes."""
    market = ScanMarket(START, SCANS + 2)
    times, plain = [], []
    async with scanned_system(market) as system:
        for day in range(SCANS + 1):
            close_at = START + (day + 1) * _DAY
            await market.store(system.database.dsn, close_at - _DAY, close_at - Timeframe.H1.duration)
            took = await system.scan(close_at)
            if day:  # the first one learns the instruments and the past's regimes
                times.append(took)
                plain.append(await _plain_reads(system, close_at))
        async for figure in _figures(system, times, plain):
            yield figure
