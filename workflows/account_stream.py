"""``stream/account``: owns the activity that reads the account stream, for ever, one history a day."""

from __future__ import annotations

from pydantic import Field
from temporalio import workflow

from activities.account_stream import AccountStreamActivities, AccountStreamRequest
from workflows.inputs import WorkflowInput
from workflows.options import ALWAYS_ON

WORKFLOW_ID = "stream/account"


class AccountStreamInput(WorkflowInput):
    run_seconds: int = Field(default=86_400, ge=10, description="wall seconds until a fresh history begins")


@workflow.defn
class AccountStreamWorkflow:
    @workflow.run
    async def run(self, stream: AccountStreamInput) -> None:
        await workflow.execute_activity_method(
            AccountStreamActivities.stream_account,
            AccountStreamRequest(run_seconds=stream.run_seconds),
            **ALWAYS_ON,
        )
        workflow.continue_as_new(stream)
