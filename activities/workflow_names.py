"""What activities know of workflows, which they can't import: names, ids, queues, and inputs made from rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from db.models import Backfill, Order, Position

POSITION: Final = "PositionWorkflow"
ORDER: Final = "OrderWorkflow"
BACKFILL: Final = "BackfillWorkflow"
RECONCILIATION_ID: Final = "reconcile/account"
TRADING_QUEUE: Final = "trading"
MARKET_QUEUE: Final = "market"
_TASK_TIMEOUT: Final = timedelta(seconds=5)


def position_workflow_id(position_id: str) -> str:
    return f"position/{position_id}"


def order_workflow_id(order_link_id: str) -> str:
    return f"order/{order_link_id}"


def position_input(row: Position) -> dict[str, Any]:
    """The input with which a position's workflow finds every step so far done in the database and goes on."""
    return {
        "position_id": row.position_id,
        "strategy": row.strategy,
        "category": row.category,
        "symbol": row.symbol,
        "side": row.side,
        "qty": str(row.planned_qty),
        "policy": row.policy,
        "requested_by": row.requested_by,
        "reason": row.reason,
        "signal_id": row.signal_id,
        "config_version": row.config_version,
    }


def order_input(row: Order) -> dict[str, Any]:
    """The input of an order's workflow from its row. An order that was let out is looked for, not sent again."""
    trigger, stop_loss = row.trigger_price, row.stop_loss
    return {
        "order_link_id": row.order_link_id,
        "position_id": row.position_id,
        "role": row.role,
        "category": row.category,
        "symbol": row.symbol,
        "side": row.side,
        "qty": str(row.qty),
        "trigger_price": None if trigger is None else str(trigger),
        "trigger_rises": row.trigger_rises,
        "reduce_only": row.reduce_only,
        "stop_loss": None if stop_loss is None else str(stop_loss),
    }


def backfill_input(row: Backfill) -> dict[str, Any]:
    """The input with which a backfill goes on: over the same range."""
    return {
        "symbol": row.symbol,
        "timeframe": row.timeframe,
        "categories": row.categories,
        "start": row.start_at.isoformat(),
        "end": row.end_at.isoformat(),
        "requested_by": row.requested_by,
    }


async def start_unless_running(
    client: Client, workflow: str, wanted: dict[str, Any], workflow_id: str, queue: str = TRADING_QUEUE
) -> None:
    """Start a workflow by name; one that runs under this id is left alone. Raises RPCError."""
    await client.start_workflow(
        workflow,
        wanted,
        id=workflow_id,
        task_queue=queue,
        task_timeout=_TASK_TIMEOUT,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
