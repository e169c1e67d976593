"""``reconcile/account``: compares rows, workflows and the exchange, at its start and then every minute of wall time."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from temporalio import workflow

from activities.reconciling import ReconcileActivities
from workflows.inputs import WorkflowInput
from workflows.options import RECONCILE

WORKFLOW_ID = "reconcile/account"


class ReconciliationInput(WorkflowInput):
    every_seconds: int = Field(default=60, ge=1, le=86_400, description="wall seconds between two comparisons")
    rounds: int = Field(default=500, ge=1, le=2000, description="comparisons until a fresh history begins")


@workflow.defn
class ReconciliationWorkflow:
    @workflow.run
    async def run(self, wanted: ReconciliationInput) -> None:
        for _ in range(wanted.rounds):
            await workflow.execute_activity_method(ReconcileActivities.reconcile, **RECONCILE)
            await workflow.sleep(timedelta(seconds=wanted.every_seconds))
        workflow.continue_as_new(wanted)
