"""Commands to workflows: started and updated, their refusals told as problems."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.problems import ApiError, unavailable
from api.services import Services, temporal_unreachable
from domain.views import FieldFault
from workflows.inputs import WorkflowInput
from workflows.options import TRADING_QUEUE, WORKFLOW_TASK_TIMEOUT
from workflows.position import CloseRequest, CloseResult, PositionInput, PositionWorkflow, SetTargets, TargetsWritten
from workflows.reconciliation import WORKFLOW_ID as RECONCILIATION_ID
from workflows.reconciliation import Reconciled, ReconciliationWorkflow

VERDICT_SECONDS = 3.0
"""How long a trade's answer waits for the reservation; after it the trade goes on by itself."""
UPDATE_SECONDS = 16.0
"""How long a command's answer waits: new targets wait for their guard, which may be failing over."""
_RPC_TIMEOUT = timedelta(seconds=3)

Result = TypeVar("Result")

# Denials that the state of the account or the market causes: the same request may pass later. The rest can't.
_CONFLICTS = frozenset(
    {
        "position_exists",
        "insufficient_balance",
        "stale_price",
        "clock_drift",
        "trading_halted",
        "cooldown_active",
        "strategy_position_cap",
        "portfolio_position_cap",
        "symbol_exposure_cap",
        "trade_rate_limit",
        "daily_loss_limit",
        "targets_moved",
        "position_not_open",
        "position_closing",
        "stop_not_moved",
    }
)


class Finished(Exception):
    """The workflow is over (or never was): what became of it is in the database."""


def denied(code: str, field: str | None, rule: str) -> ApiError:
    """The problem a denial is told as: 409 when it may pass later, 422 when it can't; names the field and the rule."""
    status = 409 if code in _CONFLICTS else 422
    title = code.replace("_", " ").capitalize()
    fields = [FieldFault(field=field, rule=rule)] if field else []
    return ApiError(status, code.replace("_", "-"), title, rule, fields)


def workflow_id(position_id: str) -> str:
    return f"position/{position_id}"


async def open_position(services: Services, wanted: PositionInput) -> str | None:
    """Start the position's workflow (once) and wait a little for its verdict.

    Returns the position's state, or None when the verdict is still to come. Raises ApiError for a denial and 503 when
    Temporal can't be reached, and Finished when a workflow of this id is over already.
    """
    client = await services.temporal.client()
    await start_once(services, PositionWorkflow.run, wanted, workflow_id(wanted.position_id))
    handle = client.get_workflow_handle_for(PositionWorkflow.run, workflow_id(wanted.position_id))
    try:
        async with asyncio.timeout(VERDICT_SECONDS):
            verdict = await handle.execute_update(PositionWorkflow.reserved)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return None
    except WorkflowUpdateFailedError as error:
        raise _refusal(error) from error
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            return None  # it is started, and Temporal went away before it could say more
        raise Finished(str(error)) from error
    if not verdict.accepted:
        raise denied(verdict.code or "denied", verdict.field, verdict.rule or "refused")
    return verdict.state


async def start_once(services: Services, workflow: Any, wanted: WorkflowInput, identity: str) -> None:
    """Start ``workflow`` under an id that is its own for ever; one that runs already is left to run.

    Raises Finished for one that is over, ApiError 503 when Temporal can't be reached.
    """
    client = await services.temporal.client()
    await _reached(services, _start(client, workflow, wanted, identity))


async def _start(client: Client, workflow: Any, wanted: WorkflowInput, identity: str) -> None:
    try:
        await client.start_workflow(
            workflow,
            wanted,
            id=identity,
            task_queue=TRADING_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            rpc_timeout=_RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError as error:
        raise Finished(str(error)) from error


async def close_position(services: Services, position_id: str, request: CloseRequest) -> CloseResult:
    """Ask the position to close. Raises ApiError for a refusal and Finished when it is over."""
    client = await services.temporal.client()
    handle = client.get_workflow_handle_for(PositionWorkflow.run, workflow_id(position_id))
    return await _updated(services, handle.execute_update(PositionWorkflow.close, request))


async def set_targets(services: Services, position_id: str, request: SetTargets) -> TargetsWritten:
    """Give the position a new exit policy. Raises ApiError for a refusal and Finished when it is over."""
    client = await services.temporal.client()
    handle = client.get_workflow_handle_for(PositionWorkflow.run, workflow_id(position_id))
    return await _updated(services, handle.execute_update(PositionWorkflow.set_targets, request))


async def compare_now(services: Services, key: str) -> Reconciled:
    """Have the whole account compared now, once a key. Raises ApiError 503 when nobody does it in time."""
    client = await services.temporal.client()
    handle = client.get_workflow_handle_for(ReconciliationWorkflow.run, RECONCILIATION_ID)
    try:
        return await _updated(services, handle.execute_update(ReconciliationWorkflow.run_now, id=f"run-now-{key}"))
    except Finished as error:
        detail = "reconciliation is not running yet; a trading worker starts it within seconds"
        raise unavailable("worker-unreachable", detail) from error


async def _updated(services: Services, update: Awaitable[Result]) -> Result:
    try:
        async with asyncio.timeout(UPDATE_SECONDS):
            return await _reached(services, update)
    except WorkflowUpdateFailedError as error:
        raise _refusal(error) from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        detail = "no trading worker answered in time; the command may still take effect"
        raise unavailable("worker-unreachable", detail) from error


async def _reached(services: Services, call: Awaitable[Result]) -> Result:
    """``call``'s result, with Temporal's own failures as Finished (no such running workflow) or ApiError 503."""
    try:
        return await call
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION):
            raise Finished(str(error)) from error
        if error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise temporal_unreachable(services.settings) from error
        raise


def _refusal(error: WorkflowUpdateFailedError) -> ApiError:
    """What a validator or handler refused with: an ApplicationError whose type is the problem's code."""
    cause: BaseException | None = error.cause
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    if not isinstance(cause, ApplicationError) or not cause.type:
        raise error
    details: dict[str, Any] = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    return denied(cause.type, details.get("field"), cause.message)
