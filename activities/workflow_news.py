"""Telling workflows what is already in the database; one that is over, or not there, needs no telling."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.execution_intake import Booking
from activities.order_placing import OrderView
from activities.workflow_names import (
    POSITION,
    RECONCILIATION_ID,
    order_workflow_id,
    position_input,
    position_workflow_id,
    start_unless_running,
)
from db.repositories.positions import find_position
from db.session import Database
from domain.ids import parse_order_link_id
from exchange.protocol import Execution
from observability.logs import get_logger

log = get_logger(__name__)


class PositionFact(BaseModel):
    """That executions which no order of ours made were booked; ``qty_left`` is what the position holds now."""

    qty_left: Decimal


class WorkflowNews:
    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def order(self, view: OrderView) -> None:
        await self._signal(order_workflow_id(view.order_link_id), "order_fact", view)

    async def position(self, position_id: str, fact: PositionFact) -> None:
        await self._signal(position_workflow_id(position_id), "executions_booked", fact)

    async def check_stop(self, position_id: str) -> None:
        """Ask the position's process to look after its stop at the exchange: nobody else repairs one."""
        await self._signal(position_workflow_id(position_id), "check_stop")

    async def compare_soon(self) -> None:
        """Ask for a comparison of the whole account: something may have happened while nobody listened."""
        await self._signal(RECONCILIATION_ID, "compare_soon")

    async def booked(self, executions: Sequence[Execution], bookings: Sequence[Booking]) -> None:
        """What taking in ``executions`` led to, told to the positions that can't know it from an order of theirs."""
        not_ours = any(parse_order_link_id(execution.order_link_id) is None for execution in executions)
        for booking in bookings:
            if booking.came_late:
                await self.revive(booking.position_id)
            elif not_ours:
                await self.position(booking.position_id, PositionFact(qty_left=booking.qty_left))

    async def revive(self, position_id: str) -> None:
        """Start a position's workflow again: an entry it had given up was filled after all.

        The workflow finds every step so far done in the database and goes on from there.
        """
        async with self._database.session() as session:
            row = await find_position(session, position_id)
        if row is None:
            return
        log.error("late fill: the position's workflow is started again", position_id=position_id)
        await start_unless_running(self._client, POSITION, position_input(row), position_workflow_id(position_id))

    async def _signal(self, workflow_id: str, name: str, fact: BaseModel | None = None) -> None:
        try:
            await self._client.get_workflow_handle(workflow_id).signal(name, args=[] if fact is None else [fact])
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
