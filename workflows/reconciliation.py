"""``reconcile/account``: compares rows, workflows and the exchange, at its start and then every minute of wall time.

The whole account (balances against the exchange's log too) is compared at the start, every few rounds, after the
account stream was broken, and when somebody asks.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from temporalio import workflow

from activities.reconciling import ReconcileActivities, Reconciled, ReconcileRequest
from workflows.inputs import WorkflowInput
from workflows.options import RECONCILE, WHOLE_COMPARISON_EVERY

WORKFLOW_ID = "reconcile/account"


class ReconciliationInput(WorkflowInput):
    every_seconds: int = Field(default=60, ge=1, le=86_400, description="wall seconds between two comparisons")
    rounds: int = Field(default=500, ge=1, le=2000, description="comparisons until a fresh history begins")


@workflow.defn
class ReconciliationWorkflow:
    def __init__(self) -> None:
        self._begun = 0
        self._done = 0
        self._soon = False
        self._wanted = 0
        """The round that somebody waits for."""
        self._last: Reconciled | None = None

    @workflow.run
    async def run(self, wanted: ReconciliationInput) -> None:
        while self._done < wanted.rounds or self._wanted > self._done:
            await self._compare()
            await self._pause(timedelta(seconds=wanted.every_seconds))
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(wanted)

    async def _compare(self) -> None:
        self._begun += 1
        asked, soon, self._soon = self._wanted >= self._begun, self._soon, False
        regular = self._begun % WHOLE_COMPARISON_EVERY == 1
        request = ReconcileRequest(whole=asked or soon or regular, recorded=asked)
        self._last = await workflow.execute_activity_method(ReconcileActivities.reconcile, request, **RECONCILE)
        self._done = self._begun

    async def _pause(self, pause: timedelta) -> None:
        try:
            await workflow.wait_condition(lambda: self._soon or self._wanted > self._done, timeout=pause)
        except TimeoutError:
            return

    @workflow.update
    async def run_now(self) -> Reconciled:
        """Compare the whole account now: what the comparison that begins after this did."""
        mine = self._begun + 1
        self._wanted = max(self._wanted, mine)
        await workflow.wait_condition(lambda: self._done >= mine)
        assert self._last is not None
        return self._last

    @workflow.signal
    def compare_soon(self) -> None:
        """Something may have been missed: compare the whole account without waiting for the next round."""
        self._soon = True
