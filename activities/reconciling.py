"""Rows, workflows and the exchange compared: what should be under way is, and no execution was missed.

Temporal may have lost a workflow (its file was deleted, somebody terminated it); the row knows what it was for. A
workflow brought back finds every step so far done in the database and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.account_stream import CURSOR
from activities.backfill_range import workflow_id_of
from activities.execution_intake import take_in
from activities.workflow_names import (
    BACKFILL,
    MARKET_QUEUE,
    ORDER,
    POSITION,
    TRADING_QUEUE,
    backfill_input,
    order_input,
    order_workflow_id,
    position_input,
    position_workflow_id,
    start_unless_running,
)
from activities.workflow_news import WorkflowNews
from db.models import Backfill, Order, Position
from db.repositories.audit import record_event
from db.repositories.backfills import RUNNING, find_backfill, open_backfills
from db.repositories.orders import find_order
from db.repositories.positions import active_positions, find_position
from db.repositories.reconciliations import (
    last_reconciled,
    orders_left_alone,
    record_reconciliation,
    unknown_executions,
)
from db.repositories.streams import read_cursor
from db.session import Database
from domain.candle import Timeframe
from domain.clock import MarketClock
from domain.market import Category
from domain.order import OrderState, is_final
from domain.position import ACTIVE_STATES
from exchange.protocol import Exchange, ExchangeError, Execution
from observability.logs import get_logger

log = get_logger(__name__)

_AT_ONCE = 16
_ORDER_GRACE = timedelta(seconds=30)
_EXECUTION_GRACE = timedelta(seconds=10)
_OVERLAP = timedelta(minutes=2)
_STEP_OVERLAP = timedelta(hours=6)
_FIRST_LOOK_BACK = timedelta(days=7)
_RECORD_EVERY = timedelta(hours=1)


class Reconciled(BaseModel):
    """What one comparison did: workflows brought back (their ids), executions nobody had recorded (how many)."""

    workflows_started: list[str] = []
    executions_fetched: int = 0


@dataclass(frozen=True)
class _Lost:
    """A workflow that a row wants and Temporal doesn't run."""

    workflow: str
    workflow_id: str
    wanted: dict[str, Any]
    subject: str
    state: str
    queue: str = TRADING_QUEUE


@dataclass
class _Round:
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    brought_back: list[_Lost] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)


class ReconcileActivities:
    """The activity of ``reconcile/account``; safe to repeat, and harmless beside everything else."""

    def __init__(self, database: Database, exchange: Exchange, client: Client) -> None:
        self._database = database
        self._exchange = exchange
        self._client = client
        self._tell = WorkflowNews(database, client)

    @activity.defn
    async def reconcile(self) -> Reconciled:
        """One round. An exchange that doesn't answer is asked again in the next: the workflows come first."""
        done = _Round()
        await self._bring_back(done, await self._lost_positions())
        await self._bring_back(done, await self._lost_orders(done))
        await self._bring_back(done, await self._lost_backfills())
        try:
            await self._fetch_executions(done)
        except ExchangeError as error:
            log.warning("executions not compared", error=str(error))
        await self._record(done)
        return Reconciled(
            workflows_started=[lost.workflow_id for lost in done.brought_back],
            executions_fetched=len(done.executions),
        )

    # workflows

    async def _lost_positions(self) -> list[_Lost]:
        async with self._database.session() as session:
            rows = await active_positions(session)
        missing = await self._not_running([position_workflow_id(row.position_id) for row in rows])
        lost = [row for row in rows if position_workflow_id(row.position_id) in missing]
        found = []
        async with self._database.session() as session:
            for row in lost:  # read again: it may have come to its end between the row and the question
                still = await find_position(session, row.position_id)
                if still is not None and still.state in ACTIVE_STATES:
                    found.append(_position(still))
        return found

    async def _lost_orders(self, done: _Round) -> list[_Lost]:
        """Orders nobody sees through. A position brought back just now sees to its own."""
        cared_for = {lost.subject for lost in done.brought_back}
        async with self._database.session() as session:
            rows = await orders_left_alone(session, datetime.now(UTC) - _ORDER_GRACE)
        rows = [row for row in rows if row.position_id not in cared_for]
        missing = await self._not_running([order_workflow_id(row.order_link_id) for row in rows])
        lost = [row for row in rows if order_workflow_id(row.order_link_id) in missing]
        found = []
        async with self._database.session() as session:
            for row in lost:
                still = await find_order(session, row.order_link_id)
                if still is not None and not is_final(OrderState(still.state)):
                    found.append(_order(still))
        return found

    async def _lost_backfills(self) -> list[_Lost]:
        async with self._database.session() as session:
            rows = {workflow_id_of(row.symbol, Timeframe(row.timeframe)): row for row in await open_backfills(session)}
        missing = await self._not_running(rows)
        found = []
        async with self._database.session() as session:
            for row in (rows[workflow_id] for workflow_id in sorted(missing)):
                still = await find_backfill(session, row.symbol, Timeframe(row.timeframe))
                if still is not None and still.state == RUNNING:
                    found.append(_backfill(still))
        return found

    async def _not_running(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those of the ids under which nothing runs now."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(workflow_id: str) -> str | None:
            async with gate:
                return None if await self._runs(workflow_id) else workflow_id

        asked = await asyncio.gather(*(ask(workflow_id) for workflow_id in workflow_ids))
        return {workflow_id for workflow_id in asked if workflow_id is not None}

    async def _runs(self, workflow_id: str) -> bool:
        try:
            told = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return told.status is WorkflowExecutionStatus.RUNNING

    async def _bring_back(self, done: _Round, lost: Sequence[_Lost]) -> None:
        for each in lost:
            await start_unless_running(self._client, each.workflow, each.wanted, each.workflow_id, each.queue)
            log.warning("workflow brought back", workflow_id=each.workflow_id, state=each.state)
            async with self._database.session() as session:
                record_event(
                    session,
                    "workflow_brought_back",
                    each.subject,
                    who="reconciliation",
                    severity="warning",
                    detail={"workflow_id": each.workflow_id, "state": each.state},
                )
            done.brought_back.append(each)

    # executions

    async def _fetch_executions(self, done: _Round) -> None:
        """Executions that happened a while ago and that nobody recorded."""
        clock = await self._exchange.market_clock()
        since = await self._since(clock)
        settled = clock.now - _EXECUTION_GRACE * max(clock.speed, 1.0)
        for category in Category:
            told = [e for e in await self._exchange.executions(category, since=since) if e.exec_type != "Funding"]
            await self._take_missed(done, [e for e in told if e.executed_at <= settled])

    async def _since(self, clock: MarketClock) -> datetime:
        async with self._database.session() as session:
            cursor = await read_cursor(session, CURSOR)
        if cursor is None:
            return clock.now - _FIRST_LOOK_BACK
        return min(cursor, clock.now) - (_STEP_OVERLAP if clock.step else _OVERLAP * max(clock.speed, 1.0))

    async def _take_missed(self, done: _Round, told: Sequence[Execution]) -> None:
        async with self._database.session() as session:
            unknown = await unknown_executions(session, [execution.exec_id for execution in told])
            missed = [execution for execution in told if execution.exec_id in unknown]
            bookings = await take_in(session, missed)
            for execution in missed:
                detail = {"symbol": execution.symbol, "qty": str(execution.qty), "order": execution.order_link_id}
                record_event(
                    session,
                    "execution_missed",
                    execution.exec_id,
                    who="reconciliation",
                    severity="warning",
                    market_at=execution.executed_at,
                    detail=detail,
                )
        done.executions += [execution.exec_id for execution in missed]
        await self._tell.booked(missed, bookings)

    # the record

    async def _record(self, done: _Round) -> None:
        """A row when something was done, and one an hour to show that it was looked."""
        async with self._database.session() as session:
            last = await last_reconciled(session)
            due = last is None or done.started_at - last >= _RECORD_EVERY
            if not (due or done.brought_back or done.executions):
                return
            record_reconciliation(
                session,
                done.started_at,
                workflows_started=len(done.brought_back),
                executions_fetched=len(done.executions),
                detail={
                    "workflows": [lost.workflow_id for lost in done.brought_back],
                    "executions": done.executions,
                },
            )


def _position(row: Position) -> _Lost:
    workflow_id = position_workflow_id(row.position_id)
    return _Lost(POSITION, workflow_id, position_input(row), row.position_id, row.state)


def _order(row: Order) -> _Lost:
    return _Lost(ORDER, order_workflow_id(row.order_link_id), order_input(row), row.order_link_id, row.state)


def _backfill(row: Backfill) -> _Lost:
    workflow_id = workflow_id_of(row.symbol, Timeframe(row.timeframe))
    return _Lost(BACKFILL, workflow_id, backfill_input(row), workflow_id, row.state, MARKET_QUEUE)
