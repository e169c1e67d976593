"""Telling workflows what is already in the database; one that is over, or not there, needs no telling."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from pydantic import BaseModel
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.order_placing import OrderView
from db.repositories.positions import find_position
from db.session import Database
from observability.logs import get_logger

log = get_logger(__name__)

_QUEUE = "trading"
_TASK_TIMEOUT = timedelta(seconds=5)


class PositionFact(BaseModel):
    """That executions which no order of ours made were booked; ``qty_left`` is what the position holds now."""

    qty_left: Decimal


class WorkflowNews:
    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def order(self, view: OrderView) -> None:
        await self._signal(f"order/{view.order_link_id}", "order_fact", view)

    async def position(self, position_id: str, fact: PositionFact) -> None:
        await self._signal(f"position/{position_id}", "executions_booked", fact)

    async def revive(self, position_id: str) -> None:
        """Start a position's workflow again: an entry it had given up was filled after all.

        The workflow finds every step so far done in the database and goes on from there.
        """
        async with self._database.session() as session:
            row = await find_position(session, position_id)
        if row is None:
            return
        wanted = {
            "position_id": position_id,
            "strategy": row.strategy,
            "category": row.category,
            "symbol": row.symbol,
            "side": row.side,
            "qty": str(row.planned_qty),
            "policy": row.policy,
            "requested_by": row.requested_by,
            "reason": row.reason,
        }
        log.error("late fill: the position's workflow is started again", position_id=position_id)
        await self._client.start_workflow(
            "PositionWorkflow",
            wanted,
            id=f"position/{position_id}",
            task_queue=_QUEUE,
            task_timeout=_TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )

    async def _signal(self, workflow_id: str, name: str, fact: BaseModel) -> None:
        try:
            await self._client.get_workflow_handle(workflow_id).signal(name, fact)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
