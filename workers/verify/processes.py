"""Rows that say something is under way, and no workflow that does it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client

from db.models import Backfill, Order, Position
from db.repositories.backfills import open_backfills
from db.repositories.positions import active_positions
from domain.candle import Timeframe
from domain.order import FINAL_STATES, OrderState
from domain.position import ACTIVE_STATES
from workers.always_on import ALWAYS_ON
from workers.verify.verdict import Finding, Kind
from workflows.backfill import workflow_id_of


async def running_workflows(client: Client) -> frozenset[str]:
    """Ids of the workflows that run now. Raises RPCError."""
    return frozenset([each.id async for each in client.list_workflows("ExecutionStatus = 'Running'")])


async def judge_processes(session: AsyncSession, running: frozenset[str]) -> list[Finding]:
    """Active positions, orders of positions that are over, open backfills, and what always runs."""
    wanted = {each.workflow_id: f"{each.workflow_id} always runs" for each in ALWAYS_ON}
    for position in await active_positions(session):
        wanted[f"position/{position.position_id}"] = _says(position)
    for order in await _late_orders(session):
        wanted[f"order/{order.order_link_id}"] = f"order {order.order_link_id} is {order.state}"
    for backfill in await open_backfills(session):
        wanted[workflow_id_of(backfill.symbol, Timeframe(backfill.timeframe))] = _range(backfill)
    return [
        Finding(Kind.ROWS_WITHOUT_WORKFLOW, workflow_id, f"{says}, and no workflow {workflow_id} is running")
        for workflow_id, says in wanted.items()
        if workflow_id not in running
    ]


async def _late_orders(session: AsyncSession) -> list[Order]:
    """Orders let out and not final whose position is over: nobody but their own workflow cares for them."""
    rows = await session.scalars(
        select(Order)
        .join(Position, Position.position_id == Order.position_id)
        .where(Order.state.not_in([*FINAL_STATES, OrderState.PREPARED]))
        .where(Position.state.not_in(ACTIVE_STATES))
    )
    return list(rows.all())


def _says(position: Position) -> str:
    return f"position {position.position_id} ({position.symbol}) is {position.state}"


def _range(backfill: Backfill) -> str:
    return f"the backfill of {backfill.symbol} {backfill.timeframe} is {backfill.state}"
