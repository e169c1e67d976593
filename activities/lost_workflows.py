"""Workflows that rows want and Temporal doesn't run, brought back from their rows.

Temporal may have lost a workflow (its file was deleted, somebody terminated it); the row knows what it was for. A
workflow brought back finds every step so far done in the database and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.backfill_range import workflow_id_of
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
from db.models import Backfill, Order, Position
from db.repositories.audit import record_event
from db.repositories.backfills import RUNNING, find_backfill, open_backfills
from db.repositories.orders import find_order
from db.repositories.positions import active_positions, find_position, late_filled_positions
from db.repositories.reconciliations import orders_left_alone
from db.session import Database
from domain.candle import Timeframe
from domain.order import OrderState, is_final
from domain.position import ACTIVE_STATES
from observability.logs import get_logger

log = get_logger(__name__)

_AT_ONCE = 16
_ORDER_GRACE = timedelta(seconds=30)


@dataclass(frozen=True)
class Lost:
    """A workflow that a row wants and Temporal doesn't run."""

    workflow: str
    workflow_id: str
    wanted: dict[str, Any]
    subject: str
    state: str
    queue: str = TRADING_QUEUE


class LostWorkflows:
    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def bring_back(self) -> list[Lost]:
        """Start every workflow that is missing: positions first, then orders nobody sees through, then backfills."""
        positions = await self._start(await self._lost_positions())
        orders = await self._start(await self._lost_orders({lost.subject for lost in positions}))
        return [*positions, *orders, *await self._start(await self._lost_backfills())]

    async def _lost_positions(self) -> list[Lost]:
        async with self._database.session() as session:
            rows = [*await active_positions(session), *await late_filled_positions(session)]
        missing = await self._not_running([position_workflow_id(row.position_id) for row in rows])
        lost = [row for row in rows if position_workflow_id(row.position_id) in missing]
        found = []
        async with self._database.session() as session:
            for row in lost:  # read again: it may have come to its end between the row and the question
                still = await find_position(session, row.position_id)
                if still is not None and (still.state in ACTIVE_STATES or still.qty > 0):
                    found.append(_position(still))
        return found

    async def _lost_orders(self, cared_for: set[str]) -> list[Lost]:
        """Orders nobody sees through. A position brought back just now (``cared_for``) sees to its own."""
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

    async def _lost_backfills(self) -> list[Lost]:
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

    async def _start(self, lost: Sequence[Lost]) -> list[Lost]:
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
        return list(lost)


def _position(row: Position) -> Lost:
    workflow_id = position_workflow_id(row.position_id)
    return Lost(POSITION, workflow_id, position_input(row), row.position_id, row.state)


def _order(row: Order) -> Lost:
    return Lost(ORDER, order_workflow_id(row.order_link_id), order_input(row), row.order_link_id, row.state)


def _backfill(row: Backfill) -> Lost:
    workflow_id = workflow_id_of(row.symbol, Timeframe(row.timeframe))
    return Lost(BACKFILL, workflow_id, backfill_input(row), workflow_id, row.state, MARKET_QUEUE)
