"""A position workflow somebody changed without thinking of those that run: it must not replay their histories."""

from __future__ import annotations

from temporalio import workflow

from activities.entering import EntryActivities, EntryBooked
from activities.leaving import Settled
from activities.order_placing import OrderIntent
from workflows.options import BOOKS
from workflows.position import PositionInput, PositionWorkflow


@workflow.defn(name="PositionWorkflow")
class ChangedPositionWorkflow(PositionWorkflow):
    """Books the entry before it begins it."""

    @workflow.run
    async def run(self, position: PositionInput) -> Settled:
        return await super().run(position)

    async def _enter(self, position_id: str, entry: OrderIntent) -> EntryBooked:
        await workflow.execute_activity_method(EntryActivities.book_entry, position_id, **BOOKS)
        return await super()._enter(position_id, entry)
