"""The latency-minded worker: queues ``trading`` and ``market`` (``python -m workers.trading``)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import Worker

from activities.account_stream import AccountStreamActivities
from activities.audit import AuditActivities
from activities.entering import EntryActivities
from activities.guard import GuardActivities
from activities.guard_book import GuardBook
from activities.leaving import ExitActivities
from activities.market_stream import MarketStreamActivities
from activities.orders import OrderActivities
from activities.targets import TargetActivities
from config.settings import Settings
from domain.exits import warm_up
from observability.logs import get_logger
from workers.connections import Connections, open_connections
from workers.process import run_process
from workflows import account_stream, market_stream
from workflows.account_stream import AccountStreamInput, AccountStreamWorkflow
from workflows.market_stream import MarketStreamInput, MarketStreamWorkflow
from workflows.options import HEARTBEAT_THROTTLE, MARKET_QUEUE, STICKY_TIMEOUT, TRADING_QUEUE, WORKFLOW_TASK_TIMEOUT
from workflows.order import OrderWorkflow
from workflows.position import PositionWorkflow

log = get_logger(__name__)

_GRACE = timedelta(seconds=3)
_MAX_ACTIVITIES = 3000
"""Every guard is a running activity: room for the guards of a large book beside the orders."""


def trading_worker(connections: Connections, book: GuardBook) -> Worker:
    """The worker of queue ``trading``: orders, positions, guards, account stream."""
    database, exchange, client = connections.database, connections.exchange, connections.client
    orders, entries = OrderActivities(database, exchange), EntryActivities(database, exchange)
    exits, targets = ExitActivities(database, exchange), TargetActivities(database)
    return Worker(
        client,
        task_queue=TRADING_QUEUE,
        workflows=[OrderWorkflow, PositionWorkflow, AccountStreamWorkflow],
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
            GuardActivities(database, book).guard_position,
            AccountStreamActivities(database, exchange, client).stream_account,
            *_audit(connections),
        ],
        max_concurrent_activities=_MAX_ACTIVITIES,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=_GRACE,
    )


def market_worker(connections: Connections) -> Worker:
    """The worker of queue ``market``: market data."""
    stream = MarketStreamActivities(connections.database, connections.exchange)
    return Worker(
        connections.client,
        task_queue=MARKET_QUEUE,
        workflows=[MarketStreamWorkflow],
        activities=[stream.stream_market, *_audit(connections)],
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=_GRACE,
    )


def _audit(connections: Connections) -> list:
    audit = AuditActivities(connections.database)
    return [audit.page_operator, audit.record_refusal]


async def start_streams(client: Client) -> None:
    """Start the stream workflows unless they run: their ids are theirs alone."""
    always = {
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "task_timeout": WORKFLOW_TASK_TIMEOUT,
    }
    await client.start_workflow(
        AccountStreamWorkflow.run,
        AccountStreamInput(),
        id=account_stream.WORKFLOW_ID,
        task_queue=TRADING_QUEUE,
        **always,
    )
    await client.start_workflow(
        MarketStreamWorkflow.run, MarketStreamInput(), id=market_stream.WORKFLOW_ID, task_queue=MARKET_QUEUE, **always
    )


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    warm_up()
    async with open_connections(settings) as connections, AsyncExitStack() as running:
        book = GuardBook(connections.database, connections.exchange)
        await book.start()
        running.push_async_callback(book.close)
        workers = [trading_worker(connections, book), market_worker(connections)]
        for worker in workers:
            await running.enter_async_context(worker)
        await start_streams(connections.client)
        log.info("ready", queues=[TRADING_QUEUE, MARKET_QUEUE])
        await stop.wait()
        await asyncio.gather(*(worker.shutdown() for worker in workers))  # together: each may take its whole grace


if __name__ == "__main__":
    run_process("worker-trading", serve)
