"""Executions into the database: recorded, attributed and booked, whoever learned of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from db.models import OrderExecution, Position
from db.repositories.audit import record_event
from db.repositories.executions import apply_executions, attribute, record_executions
from domain.position import PositionState
from exchange.protocol import Execution
from observability.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Booking:
    """What booking executions did to one position: how many were new to it, what it still holds, where it stands."""

    position_id: str
    booked: int
    qty_left: Decimal
    state: PositionState

    @property
    def came_late(self) -> bool:
        """Something is held by a position whose process is over: an entry that filled after it was given up."""
        over = (PositionState.NOT_ENTERED, PositionState.CLOSED)
        return self.booked > 0 and self.qty_left > 0 and self.state in over


def execution_row(execution: Execution) -> dict[str, object]:
    row = execution.model_dump(exclude={"closed_size", "order_id"})
    return {**row, "exchange_order_id": execution.order_id}


async def take_in(session: AsyncSession, executions: Sequence[Execution]) -> list[Booking]:
    """Record executions and book those of our positions. Repeats change nothing; foreign ones are kept unbooked.

    Positions are locked in the order of their ids, so that two processes taking in the same executions can't deadlock.
    An execution the ledger can't book stays recorded and is paged; it does not hold up the others.
    """
    # Funding settlements are told as executions too; they move the wallet, not the position.
    trades = sorted((e for e in executions if e.exec_type != "Funding"), key=lambda e: (e.executed_at, e.exec_id))
    await record_executions(session, [execution_row(execution) for execution in trades])
    touched: set[str] = set()
    for execution in trades:
        row = await session.get(OrderExecution, execution.exec_id)
        position_id = await attribute(session, row) if row is not None else None
        if position_id is not None:
            touched.add(position_id)
    bookings = [await _book(session, position_id) for position_id in sorted(touched)]
    for booking in bookings:
        if booking.came_late:
            detail = {"state": booking.state, "qty": str(booking.qty_left)}
            record_event(session, "late_fill", booking.position_id, who="ledger", severity="page", detail=detail)
    return bookings


async def _book(session: AsyncSession, position_id: str) -> Booking:
    booked = 0
    try:
        async with session.begin_nested():
            booked = await apply_executions(session, position_id)
    except ValueError as error:
        log.error("executions can't be booked", position_id=position_id, error=str(error))
        record_event(session, "not_booked", position_id, who="ledger", severity="page", detail={"error": str(error)})
    position = await session.get(Position, position_id, populate_existing=True)
    assert position is not None
    return Booking(position_id, booked, position.qty, PositionState(position.state))
