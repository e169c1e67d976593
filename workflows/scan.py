"""``scan/<close instant>``: one candle close, from complete candles to positions asked for and strategies' exits."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, Field
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from activities.deciding import Accepted, DecisionActivities
from activities.due_strategies import ScanRequest
from activities.regime import RegimeActivities
from activities.scan_candles import ScanCandleActivities
from activities.scan_exits import ScanEnd, ScanExitActivities
from activities.workflow_names import position_workflow_id
from domain.candle import Timeframe
from domain.exits import ExitReason
from workflows.inputs import WorkflowInput
from workflows.options import EXIT_TELL_AGAIN, EXIT_TELLS, SCAN, WORKFLOW_TASK_TIMEOUT
from workflows.position import PositionWorkflow
from workflows.position_messages import CloseRequest, PositionInput


class ScanInput(WorkflowInput):
    epoch: str = Field(min_length=1, max_length=200, description="the market, as its clock names it")
    close_at: AwareDatetime = Field(description="the instant at which the candles closed (market time)")
    timeframes: list[Timeframe] = Field(min_length=1, description="timeframes scanned that close then")


class ScanResult(BaseModel):
    """``candidates`` are -1 for a close that was scanned before."""

    close_at: AwareDatetime
    candidates: int = -1
    accepted: int = 0
    exits: int = 0


def scan_id(close_at: datetime) -> str:
    """The workflow's id."""
    return f"scan/{close_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@workflow.defn
class ScanWorkflow:
    """Scanning a close again changes nothing: what was decided is stored, and a position's id follows from it."""

    @workflow.run
    async def run(self, scan: ScanInput) -> ScanResult:
        request = ScanRequest(epoch=scan.epoch, close_at=scan.close_at, timeframes=scan.timeframes)
        opened = await workflow.execute_activity_method(ScanCandleActivities.open_scan, request, **SCAN)
        if opened.done:
            return ScanResult(close_at=scan.close_at)
        await workflow.execute_activity_method(ScanCandleActivities.complete_candles, request, **SCAN)
        if workflow.patched("regime-before-deciding"):
            await workflow.execute_activity_method(RegimeActivities.advance_regime, request, **SCAN)
        decided = await workflow.execute_activity_method(DecisionActivities.decide, request, **SCAN)
        for accepted in decided.accepted:
            await self._open(accepted)
        told, silent = await self._leave(request)
        end = ScanEnd(request=request, exits=told, undelivered=silent)
        await workflow.execute_activity_method(ScanExitActivities.finish_scan, end, **SCAN)
        return ScanResult(
            close_at=scan.close_at, candidates=decided.candidates, accepted=len(decided.accepted), exits=told
        )

    async def _open(self, accepted: Accepted) -> None:
        """Start the position's workflow; it outlives the scan. One that was started for this signal is enough."""
        wanted = PositionInput(
            **accepted.model_dump(), signal_id=accepted.position_id, requested_by="scan", reason="signal"
        )
        try:
            await workflow.start_child_workflow(
                PositionWorkflow.run,
                wanted,
                id=position_workflow_id(accepted.position_id),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                task_timeout=WORKFLOW_TASK_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("position was started before", extra={"position_id": accepted.position_id})

    async def _leave(self, request: ScanRequest) -> tuple[int, list[str]]:
        """Tell every position that is to leave at this close; how many were told, and whom nobody could tell."""
        told: set[str] = set()
        silent: list[str] = []
        for attempt in range(EXIT_TELLS):
            if attempt:
                await workflow.sleep(EXIT_TELL_AGAIN)
            exits = await workflow.execute_activity_method(ScanExitActivities.find_exits, request, **SCAN)
            silent = [
                each
                for each in exits.position_ids
                if each not in told and not await _told(each, exits.reason(each), request)
            ]
            told.update(each for each in exits.position_ids if each not in silent)
            if not silent:
                break
        return len(told), silent


async def _told(position_id: str, why: ExitReason, request: ScanRequest) -> bool:
    cause = "the market left its regimes" if why is ExitReason.REGIME_EXIT else "exit signal"
    leave = CloseRequest(reason=f"{cause} at {request.close_at:%Y-%m-%d %H:%M}", requested_by="scan", exit_reason=why)
    handle = workflow.get_external_workflow_handle_for(PositionWorkflow.run, position_workflow_id(position_id))
    try:
        await handle.signal(PositionWorkflow.leave, leave)
    except ApplicationError as error:
        workflow.logger.warning("position can't be told", extra={"position_id": position_id, "error": str(error)})
        return False
    return True
