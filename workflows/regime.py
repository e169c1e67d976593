"""``regime/rebuild``: computes the regime of a past where none is recorded, stretch by stretch."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel
from temporalio import workflow

from activities.regime_rebuild import RebuildRange, Rebuilt, RegimeRebuildActivities, Stretch
from domain.history import REGIME_STEP
from workflows.inputs import WorkflowInput
from workflows.options import BOOKS, REGIME_STRETCH, SCAN

WORKFLOW_ID = "regime/rebuild"


class RegimeRebuildInput(RebuildRange, WorkflowInput):
    """What to compute; see ``RebuildRange``."""


class RebuildResult(BaseModel):
    """``written`` rows of the closes from ``first`` to ``last``; ``unknown`` ones have none for want of candles."""

    first: AwareDatetime
    last: AwareDatetime
    written: int
    unknown: int


@workflow.defn
class RegimeRebuildWorkflow:
    """What is recorded stays as it was known; rows only ever fill closes that have none."""

    @workflow.run
    async def run(self, rebuild: RegimeRebuildInput) -> RebuildResult:
        wanted = RebuildRange(**rebuild.model_dump())
        whole = await workflow.execute_activity_method(RegimeRebuildActivities.open_rebuild, wanted, **BOOKS)
        rebuilt = Rebuilt(written=0, unknown=0)
        first = whole.first
        while first <= whole.last:
            last = min(first + (REGIME_STRETCH - 1) * REGIME_STEP.duration, whole.last)
            stretch = Stretch(epoch=whole.epoch, first=first, last=last)
            part = await workflow.execute_activity_method(RegimeRebuildActivities.rebuild_stretch, stretch, **SCAN)
            rebuilt = Rebuilt(written=rebuilt.written + part.written, unknown=rebuilt.unknown + part.unknown)
            first = last + REGIME_STEP.duration
        end = [wanted, whole, rebuilt]
        await workflow.execute_activity_method(RegimeRebuildActivities.close_rebuild, args=end, **BOOKS)
        return RebuildResult(first=whole.first, last=whole.last, **rebuilt.model_dump())
