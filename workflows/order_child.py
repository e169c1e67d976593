"""Orders as children of another workflow, also when that workflow began again and the order's own runs already."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.order_placing import OrderIntent, OrderView
from activities.orders import OrderActivities
from domain.order import is_final
from workflows.options import FIRST_POLL, LAST_POLL, LOOK, WORKFLOW_TASK_TIMEOUT
from workflows.order import OrderInput, OrderWorkflow

OrderHandle = workflow.ChildWorkflowHandle[Any, OrderView]


async def start_order(intent: OrderIntent) -> OrderHandle:
    """Start ``order/<orderLinkId>``. It outlives its parent. Raises WorkflowAlreadyStartedError."""
    return await workflow.start_child_workflow(
        OrderWorkflow.run,
        OrderInput.model_validate(intent.model_dump()),
        id=f"order/{intent.order_link_id}",
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
    )


async def see_through(intent: OrderIntent) -> OrderView:
    """The order's final state, by its own workflow. Raises ChildWorkflowError when that fails (denied, terminated)."""
    try:
        handle = await start_order(intent)
    except WorkflowAlreadyStartedError:
        return await final_view(intent.order_link_id)
    return await handle


async def final_view(order_link_id: str) -> OrderView:
    """The final state of an order that another workflow sees through: asked for until it is final."""
    pause = FIRST_POLL
    while True:
        view = await workflow.execute_activity_method(OrderActivities.seek_order, order_link_id, **LOOK)
        if is_final(view.state) and view.complete:
            return view
        await workflow.sleep(pause)
        pause = min(pause * 2, LAST_POLL)
