"""``clock/market``: market time drives the work. One piece at a time, each kind in order, none left out.

What is done is known by the database alone (``market_clock``): this workflow may be lost, and another one goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError

from activities.audit import AuditActivities
from activities.backfill import BackfillActivities
from activities.market_time import Due, MarketTimeActivities
from activities.quiet import Advance, StepActivities
from workflows.backfill import BackfillInput, BackfillWorkflow, workflow_id_of
from workflows.inputs import WorkflowInput
from workflows.options import (
    ALWAYS_ON,
    BOOKS,
    DUE_AGAIN_FIRST,
    DUE_AGAIN_LAST,
    MARKET_OVER_PAUSE,
    MARKET_QUEUE,
    TRADING_QUEUE,
    WARM_UP,
    WARM_UP_AT_ONCE,
    WARM_UP_MOST,
    WARM_UP_PATIENCE,
    WORKFLOW_TASK_TIMEOUT,
)
from workflows.scan import ScanInput, ScanWorkflow, scan_id
from workflows.snapshot import SnapshotInput, SnapshotWorkflow, snapshot_id

WORKFLOW_ID = "clock/market"


class MarketClockInput(WorkflowInput):
    warmed_epoch: str = Field(
        default="", description="the market whose history was asked for; set by the workflow itself"
    )


class MarketClockView(BaseModel):
    """Where the clock stands: what it does now, the last thing it did, and how often that failed in a row."""

    doing: str
    epoch: str | None
    market_at: AwareDatetime | None
    next_at: AwareDatetime | None
    failures: int


@workflow.defn
class MarketClockWorkflow:
    def __init__(self) -> None:
        self._due: Due | None = None
        self._doing = "starting"
        self._failures = 0
        self._pause = DUE_AGAIN_FIRST
        self._warmed = ""

    @workflow.run
    async def run(self, clock: MarketClockInput) -> None:
        self._warmed = clock.warmed_epoch
        while True:
            self._doing = "reading"
            due = await workflow.execute_activity_method(MarketTimeActivities.next_due, **BOOKS)
            self._due = due
            if due.epoch != self._warmed:
                await self._warm_up()
                self._warmed = due.epoch
            elif due.kind == "nothing":
                await self._wait(due)
            else:
                await self._work(due)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(MarketClockInput(warmed_epoch=self._warmed))

    async def _work(self, due: Due) -> None:
        """One scan or snapshot to its end. One that fails is somebody's to look at, and is tried again."""
        name = scan_id(due.at) if due.kind == "scan" else snapshot_id(due.at)
        self._doing = name
        if due.step:  # whatever the market's last step set off comes before what is decided at its end
            advance = Advance(epoch=due.epoch, now=due.now)
            await workflow.execute_activity_method(StepActivities.await_quiet, advance, **ALWAYS_ON)
        try:
            if due.kind == "scan":
                scan = ScanInput(epoch=due.epoch, close_at=due.at, timeframes=due.timeframes)
                await _to_its_end(ScanWorkflow.run, scan, name)
            else:
                await _to_its_end(SnapshotWorkflow.run, SnapshotInput(epoch=due.epoch, hour=due.at), name)
        except ChildWorkflowError as error:
            await self._failed(due, name, str(error.cause or error))
        except WorkflowAlreadyStartedError:
            await self._rest()  # somebody started it by hand: its end will be seen in the database
        else:
            self._failures, self._pause = 0, DUE_AGAIN_FIRST

    async def _failed(self, due: Due, name: str, error: str) -> None:
        self._failures += 1
        page = [f"{due.kind}_failed", name, {"error": error, "failures": self._failures}, "market_clock"]
        await workflow.execute_activity_method(AuditActivities.page_operator, args=page, **BOOKS)
        await self._rest()

    async def _rest(self) -> None:
        await workflow.sleep(self._pause)
        self._pause = min(self._pause * 2, DUE_AGAIN_LAST)

    async def _wait(self, due: Due) -> None:
        self._doing = "waiting"
        if not due.step:
            await workflow.sleep(timedelta(seconds=due.wait_seconds))
            return
        self._doing = "advancing"
        advance = Advance(epoch=due.epoch, now=due.now)
        advanced = await workflow.execute_activity_method(StepActivities.advance_market, advance, **ALWAYS_ON)
        if advanced.over:
            self._doing = "the market is over"
            await workflow.sleep(MARKET_OVER_PAUSE)

    async def _warm_up(self) -> None:
        """Fetch the history that decisions need, before the first of them. What can't be had is a gate's matter."""
        self._doing = "warming up"
        try:
            planned = await workflow.execute_activity_method(BackfillActivities.plan_warm_up, **WARM_UP)
        except ActivityError as error:
            page = ["warm_up_failed", WORKFLOW_ID, {"error": str(error.cause)}, "market_clock"]
            await workflow.execute_activity_method(AuditActivities.page_operator, args=page, **BOOKS)
            return
        room = asyncio.Semaphore(WARM_UP_AT_ONCE)

        async def fetch(wanted: BackfillInput) -> None:
            name = workflow_id_of(wanted.symbol, wanted.timeframe)
            async with room:
                try:
                    await _to_its_end(BackfillWorkflow.run, wanted, name, MARKET_QUEUE)
                except (ChildWorkflowError, WorkflowAlreadyStartedError) as error:
                    workflow.logger.warning("history not fetched", extra={"backfill": name, "error": str(error)})

        if len(planned) > WARM_UP_MOST:
            workflow.logger.warning("not all history is fetched before the first scan", extra={"left": len(planned)})
        fetches = [asyncio.create_task(fetch(BackfillInput(**each.model_dump()))) for each in planned[:WARM_UP_MOST]]
        if not fetches:
            return
        _, late = await workflow.wait(fetches, timeout=WARM_UP_PATIENCE.total_seconds())
        if late:
            page = ["warm_up_slow", "warm-up", {"still_fetching": len(late)}, "market_clock"]
            await workflow.execute_activity_method(AuditActivities.page_operator, args=page, **BOOKS)

    @workflow.query
    def where(self) -> MarketClockView:
        due = self._due
        return MarketClockView(
            doing=self._doing,
            epoch=due.epoch if due else None,
            market_at=due.now if due else None,
            next_at=due.at if due else None,
            failures=self._failures,
        )


def _to_its_end(run: Any, wanted: WorkflowInput, workflow_id: str, queue: str = TRADING_QUEUE) -> Awaitable[Any]:
    """A child by its domain id: that it happens once is the database's to keep, not the id's."""
    return workflow.execute_child_workflow(
        run,
        wanted,
        id=workflow_id,
        task_queue=queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
    )
