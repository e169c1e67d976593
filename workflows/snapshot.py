"""``snapshot/<hour>``: the portfolio at one full hour of market time, written down once."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, Field, field_validator
from temporalio import workflow

from activities.snapshots import SnapshotActivities, SnapshotRequest, SnapshotTaken
from workflows.inputs import WorkflowInput
from workflows.options import SNAPSHOT


class SnapshotInput(WorkflowInput):
    epoch: str = Field(min_length=1, max_length=200, description="the market, as its clock names it")
    hour: AwareDatetime = Field(description="a full hour of market time")

    @field_validator("hour")
    @classmethod
    def _full_hour(cls, hour: datetime) -> datetime:
        hour = hour.astimezone(UTC)
        if hour != hour.replace(minute=0, second=0, microsecond=0):
            raise ValueError(f"must be a full hour, not {hour.isoformat()}")
        return hour


def snapshot_id(hour: datetime) -> str:
    """The workflow's id."""
    return f"snapshot/{hour.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@workflow.defn
class SnapshotWorkflow:
    """Answers with the row that stands for the hour. Asking again for an hour that has one changes nothing."""

    @workflow.run
    async def run(self, snapshot: SnapshotInput) -> SnapshotTaken:
        return await workflow.execute_activity_method(
            SnapshotActivities.take_snapshot,
            SnapshotRequest(epoch=snapshot.epoch, hour=snapshot.hour),
            **SNAPSHOT,
        )
