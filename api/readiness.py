"""Whether the system can trade now: database, Temporal, prices. Each part says in words what is wrong with it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.service import RPCError

from api.problems import ApiError, database_is_down
from api.services import Services
from db import reading
from db.repositories.links import read_links, read_rates
from domain.views import ComponentView, LinkView, RateView, StreamView, age_seconds

FRESH_SECONDS = 10.0
"""The market stream writes every second; prices older than this say that it doesn't."""
RPC_TIMEOUT = timedelta(seconds=2)
TASK_QUEUES = ("trading", "market", "research")
_KINDS = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
_POLLER_SEEN_SECONDS = 70.0
"""A poll lasts up to a minute, so a worker counts as present this long after its last one."""


async def components(services: Services) -> list[ComponentView]:
    """Database, Temporal and prices, in this order. Never raises for a part that is down."""
    (database, prices), temporal = await asyncio.gather(_database_and_prices(services), _temporal(services))
    return [database, temporal, prices]


async def _database_and_prices(services: Services) -> tuple[ComponentView, ComponentView]:
    try:
        async with services.database.session() as session:
            prices = await _prices(session)
    except Exception as error:
        if not database_is_down(error):
            raise
        down = ComponentView(name="database", ok=False, detail="does not answer; is PostgreSQL running?")
        return down, ComponentView(name="prices", ok=False, detail="unknown without the database")
    return ComponentView(name="database", ok=True, detail="answers"), prices


async def _prices(session: AsyncSession) -> ComponentView:
    newest = await reading.newest_price_at(session)
    age = age_seconds(newest, datetime.now(UTC))
    if age is None:
        return ComponentView(name="prices", ok=False, detail="none arrived yet; is the market worker running?")
    if age > FRESH_SECONDS:
        detail = f"the newest is {age:.0f} s old; does the market worker run, and does it reach the exchange?"
        return ComponentView(name="prices", ok=False, detail=detail, age_seconds=age)
    return ComponentView(name="prices", ok=True, detail="arriving", age_seconds=age)


async def _temporal(services: Services) -> ComponentView:
    try:
        client = await services.temporal.client()
        serving = await client.service_client.check_health(timeout=RPC_TIMEOUT)
    except (ApiError, RPCError):
        serving = False
    address = services.settings.temporal_address
    detail = "answers" if serving else f"does not answer at {address}"
    return ComponentView(name="temporal", ok=serving, detail=detail)


async def workers(services: Services) -> list[ComponentView]:
    """A line a task queue: which processes poll it, both for workflows and activities."""
    try:
        client = await services.temporal.client()
        found = await asyncio.gather(*(_pollers(client, queue) for queue in TASK_QUEUES))
    except (ApiError, RPCError):
        return [ComponentView(name=queue, ok=False, detail="unknown without Temporal") for queue in TASK_QUEUES]
    return [_worker_line(queue, pollers) for queue, pollers in zip(TASK_QUEUES, found, strict=True)]


async def _pollers(client: Client, queue: str) -> dict[str, float]:
    """Wall seconds since each process last polled ``queue``, by its identity."""

    async def describe(kind: Any) -> DescribeTaskQueueResponse:
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
        )
        return await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)

    now = datetime.now(UTC)
    ages: dict[str, float] = {}
    for answer in await asyncio.gather(*(describe(kind) for kind in _KINDS)):
        for poller in answer.pollers:
            seen = poller.last_access_time.ToDatetime(tzinfo=UTC)
            age = max((now - seen).total_seconds(), 0.0)
            ages[poller.identity] = min(age, ages.get(poller.identity, age))
    return ages


def _worker_line(queue: str, pollers: dict[str, float]) -> ComponentView:
    present = sorted(identity for identity, age in pollers.items() if age < _POLLER_SEEN_SECONDS)
    if not present:
        return ComponentView(name=queue, ok=False, detail="no worker polls this queue")
    age = min(pollers[identity] for identity in present)
    return ComponentView(name=queue, ok=True, detail=", ".join(present), age_seconds=age)


async def streams(session: AsyncSession) -> list[StreamView]:
    now = datetime.now(UTC)
    return [
        StreamView(
            name=row.name,
            process=row.process,
            connected=row.connected,
            age_seconds=age_seconds(row.last_message_at, now),
            reconnects=row.reconnects,
            updated_seconds=age_seconds(row.updated_at, now) or 0.0,
        )
        for row in await reading.streams(session)
    ]


async def links(session: AsyncSession) -> tuple[list[LinkView], list[RateView]]:
    """How the living processes stand with the exchange, and their rate limits."""
    now = datetime.now(UTC)
    ways = [
        LinkView(
            process=row.process,
            order_entry=row.order_entry,
            clock_offset_ms=row.clock_offset_ms,
            clock_age_seconds=age_seconds(row.measured_at, now),
        )
        for row in await read_links(session, now)
    ]
    rates = [
        RateView(
            name=row.name,
            process=row.process,
            per_second=row.per_second,
            available=row.available,
            waiting=row.waiting,
            refused=row.refused,
        )
        for row in await read_rates(session, now)
    ]
    return ways, rates
