"""The latency-minded worker: queues ``trading`` and ``market`` (``python -m workers.trading``)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta

from temporalio.worker import Worker

from activities.account_stream import AccountStreamActivities
from activities.audit import AuditActivities
from activities.backfill import BackfillActivities
from activities.deciding import DecisionActivities
from activities.entering import EntryActivities
from activities.flattening import FlattenActivities
from activities.guard import GuardActivities
from activities.guard_book import GuardBook
from activities.history import PacedHistory
from activities.leaving import ExitActivities
from activities.market_stream import MarketStreamActivities
from activities.market_time import MarketTimeActivities
from activities.orders import OrderActivities
from activities.protecting import ProtectionActivities
from activities.quiet import StepActivities
from activities.reconciling import ReconcileActivities
from activities.regime import RegimeActivities
from activities.regime_rebuild import RegimeRebuildActivities
from activities.scan_candles import ScanCandleActivities
from activities.scan_exits import ScanExitActivities
from activities.snapshots import SnapshotActivities
from activities.targets import TargetActivities
from config.settings import Settings
from db.repositories.strategies import seed_strategies
from domain.exits import warm_up
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from observability.logs import get_logger
from workers.always_on import AlwaysOn
from workers.connections import Connections, open_connections
from workers.process import run_process
from workflows.account_stream import AccountStreamWorkflow
from workflows.backfill import BackfillWorkflow
from workflows.flatten import FlattenWorkflow
from workflows.market_clock import MarketClockWorkflow
from workflows.market_stream import MarketStreamWorkflow
from workflows.options import HEARTBEAT_THROTTLE, MARKET_QUEUE, STICKY_TIMEOUT, TRADING_QUEUE
from workflows.order import OrderWorkflow
from workflows.position import PositionWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.regime import RegimeRebuildWorkflow
from workflows.scan import ScanWorkflow
from workflows.snapshot import SnapshotWorkflow

log = get_logger(__name__)

_GRACE = timedelta(seconds=3)
_MAX_ACTIVITIES = 3000
"""Every guard is a running activity: room for the guards of a large book beside the orders."""


def trading_worker(
    connections: Connections, book: GuardBook, strategies: Mapping[str, Strategy] = STRATEGIES
) -> Worker:
    """The worker of queue ``trading``: orders, positions, guards, streams, market clock, scans, reconciliation."""
    database, exchange, client = connections.database, connections.exchange, connections.client
    steps = StepActivities(database, exchange, book)
    orders, entries = OrderActivities(database, exchange), EntryActivities(database, exchange)
    exits, targets = ExitActivities(database, exchange), TargetActivities(database, exchange)
    protection = ProtectionActivities(database, exchange)
    return Worker(
        client,
        task_queue=TRADING_QUEUE,
        workflows=[
            OrderWorkflow,
            PositionWorkflow,
            AccountStreamWorkflow,
            ReconciliationWorkflow,
            SnapshotWorkflow,
            MarketClockWorkflow,
            ScanWorkflow,
            FlattenWorkflow,
        ],
        activities=[
            orders.submit_order,
            orders.resend_order,
            orders.seek_order,
            orders.conclude_order,
            orders.cancel_order,
            entries.reserve_position,
            entries.book_entry,
            exits.plan_exit,
            exits.settle_position,
            targets.change_targets,
            protection.check_stop,
            protection.plan_stop,
            GuardActivities(database, book).guard_position,
            AccountStreamActivities(database, exchange, client).stream_account,
            ReconcileActivities(database, exchange, client).reconcile,
            SnapshotActivities(database, exchange).take_snapshot,
            MarketTimeActivities(database, exchange).next_due,
            steps.advance_market,
            steps.await_quiet,
            *_scanning(connections, strategies),
            *_flattening(connections),
            *_audit(connections),
        ],
        max_concurrent_activities=_MAX_ACTIVITIES,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=_GRACE,
    )


def market_worker(connections: Connections) -> Worker:
    """The worker of queue ``market``: market data. Whatever it fetches of the past is fetched at one pace."""
    history = PacedHistory(connections.exchange)
    stream = MarketStreamActivities(connections.database, connections.exchange, history)
    backfills = BackfillActivities(connections.database, connections.exchange, history)
    rebuilds = RegimeRebuildActivities(connections.database, connections.exchange)
    return Worker(
        connections.client,
        task_queue=MARKET_QUEUE,
        workflows=[MarketStreamWorkflow, BackfillWorkflow, RegimeRebuildWorkflow],
        activities=[
            stream.stream_market,
            backfills.plan_warm_up,
            backfills.open_backfill,
            backfills.fetch_history,
            backfills.give_up_backfill,
            rebuilds.open_rebuild,
            rebuilds.rebuild_stretch,
            rebuilds.close_rebuild,
            *_audit(connections),
        ],
        max_concurrent_activities=_MAX_ACTIVITIES,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=_GRACE,
    )


def _scanning(connections: Connections, strategies: Mapping[str, Strategy]) -> list:
    database, exchange = connections.database, connections.exchange
    candles, exits = ScanCandleActivities(database, exchange, strategies), ScanExitActivities(database, strategies)
    decisions, regime = DecisionActivities(database, exchange, strategies), RegimeActivities(database, exchange)
    return [
        candles.open_scan,
        candles.complete_candles,
        regime.advance_regime,
        decisions.decide,
        exits.find_exits,
        exits.finish_scan,
    ]


def _flattening(connections: Connections) -> list:
    flatten = FlattenActivities(connections.database)
    return [flatten.begin_flatten, flatten.positions_left, flatten.end_flatten]


def _audit(connections: Connections) -> list:
    audit = AuditActivities(connections.database)
    return [audit.page_operator, audit.record_refusal]


async def _seed(connections: Connections) -> None:
    """Configurations of strategies that have none yet; those that are there stay as the operator left them."""
    async with connections.database.session(actor="system", reason="first start") as session:
        seeded = await seed_strategies(session, connections.settings.exchange.mode)
    if seeded:
        log.info("strategies seeded", strategies=seeded)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    warm_up()
    async with open_connections(settings, trading=True) as connections, AsyncExitStack() as running:
        book = GuardBook(connections.database, connections.exchange)
        await book.start()
        running.push_async_callback(book.close)
        workers = [trading_worker(connections, book), market_worker(connections)]
        for worker in workers:
            await running.enter_async_context(worker)
        await _seed(connections)
        always_on = AlwaysOn(connections.client)
        await always_on.ensure()
        running.push_async_callback(always_on.keep().stop)
        log.info("ready", queues=[TRADING_QUEUE, MARKET_QUEUE])
        await stop.wait()
        await asyncio.gather(*(worker.shutdown() for worker in workers))  # together: each may take its whole grace


if __name__ == "__main__":
    run_process("worker-trading", serve)
