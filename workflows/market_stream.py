"""``stream/market``: owns the activity that reads the market stream, for ever, one history a day."""

from __future__ import annotations

from pydantic import Field
from temporalio import workflow

from activities.market_stream import MarketStreamActivities, MarketStreamRequest
from workflows.inputs import WorkflowInput
from workflows.options import ALWAYS_ON

WORKFLOW_ID = "stream/market"


class MarketStreamInput(WorkflowInput):
    run_seconds: int = Field(default=86_400, ge=10, description="wall seconds until a fresh history begins")


@workflow.defn
class MarketStreamWorkflow:
    @workflow.run
    async def run(self, stream: MarketStreamInput) -> None:
        await workflow.execute_activity_method(
            MarketStreamActivities.stream_market,
            MarketStreamRequest(run_seconds=stream.run_seconds),
            **ALWAYS_ON,
        )
        workflow.continue_as_new(stream)
