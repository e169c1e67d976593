"""Executions into the database: recorded, attributed and booked, whoever learned of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from db.models import OrderExecution, Position
from db.repositories.executions import apply_executions, attribute, record_executions
from exchange.protocol import Execution


@dataclass(frozen=True, slots=True)
class Booking:
    """What booking executions did to one position: how many were new to it, what it still holds."""

    position_id: str
    booked: int
    qty_left: Decimal


def execution_row(execution: Execution) -> dict[str, object]:
    row = execution.model_dump(exclude={"closed_size", "order_id"})
    return {**row, "exchange_order_id": execution.order_id}


async def take_in(session: AsyncSession, executions: Sequence[Execution]) -> list[Booking]:
    """Record executions and book those of our positions. Repeats change nothing; foreign ones are kept unbooked.

    Positions are locked in the order of their ids, so that two processes taking in the same executions can't deadlock.
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
    bookings = []
    for position_id in sorted(touched):
        booked = await apply_executions(session, position_id)
        position = await session.get(Position, position_id)
        assert position is not None
        bookings.append(Booking(position_id, booked, position.qty))
    return bookings
