"""``flatten/<flatten_id>``: close every open position at market, and be sure of it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.flattening import FlattenActivities, FlattenRequest
from activities.workflow_names import position_workflow_id
from domain.exits import ExitReason
from workflows.inputs import WorkflowInput
from workflows.options import BOOKS, FLATTEN_LOOK_FIRST, FLATTEN_LOOK_LAST, FLATTEN_TELL_AGAIN
from workflows.position import PositionWorkflow
from workflows.position_messages import CloseRequest


class FlattenInput(WorkflowInput):
    """``symbol`` limits it to one and halts nothing; without it entries are halted first."""

    flatten_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")
    symbol: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,30}$")
    requested_by: str = Field(default="temporal", min_length=1, max_length=200)
    reason: str = Field(default="flatten", min_length=1, max_length=2000)
    positions: list[str] | None = Field(default=None, description="what is to be closed; set by the workflow itself")


class FlattenResult(BaseModel):
    """``positions`` were active when it began, and none of them is left."""

    flatten_id: str
    positions: int


def flatten_workflow_id(flatten_id: str) -> str:
    return f"flatten/{flatten_id}"


@workflow.defn
class FlattenWorkflow:
    """Signals each position that was active to leave until none of them is left.

    What is entered after somebody has lifted the halt is not its business. One without a running workflow is told when
    reconciliation has brought it back.
    """

    def __init__(self) -> None:
        self._left: list[str] = []
        self._told_at: dict[str, datetime] = {}

    @workflow.run
    async def run(self, flatten: FlattenInput) -> FlattenResult:
        request = FlattenRequest(**flatten.model_dump(exclude={"positions"}))
        wanted = flatten.positions
        if wanted is None:
            wanted = await workflow.execute_activity_method(FlattenActivities.begin_flatten, request, **BOOKS)
        pause = FLATTEN_LOOK_FIRST
        while await self._look(wanted):
            await self._tell(flatten)
            await workflow.sleep(pause)
            pause = min(pause * 2, FLATTEN_LOOK_LAST)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(flatten.model_copy(update={"positions": wanted}))
        count = len(wanted)
        await workflow.execute_activity_method(FlattenActivities.end_flatten, args=[request, count], **BOOKS)
        return FlattenResult(flatten_id=flatten.flatten_id, positions=count)

    async def _look(self, wanted: list[str]) -> bool:
        self._left = await workflow.execute_activity_method(FlattenActivities.positions_left, wanted, **BOOKS)
        return bool(self._left)

    async def _tell(self, flatten: FlattenInput) -> None:
        leave = CloseRequest(reason=flatten.reason, requested_by=flatten.requested_by, exit_reason=ExitReason.FLATTEN)
        for position_id in self._left:
            told = self._told_at.get(position_id)
            if told is not None and workflow.now() - told < FLATTEN_TELL_AGAIN:
                continue
            handle = workflow.get_external_workflow_handle_for(PositionWorkflow.run, position_workflow_id(position_id))
            try:
                await handle.signal(PositionWorkflow.leave, leave)
            except ApplicationError as error:
                workflow.logger.warning(
                    "position can't be told yet", extra={"position_id": position_id, "error": str(error)}
                )
                continue
            self._told_at[position_id] = workflow.now()

    @workflow.query
    def left(self) -> list[str]:
        """Ids of the positions that were still there at the last look."""
        return self._left
