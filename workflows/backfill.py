"""``backfill/<symbol>/<timeframe>``: fetches a stretch of history until it is there, however often interrupted."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities.audit import AuditActivities
from activities.backfill import BackfillActivities
from activities.backfill_range import (
    BackfillName,
    BackfillProgress,
    BackfillRange,
    BackfillResult,
    workflow_id_of,
)
from activities.failures import BAD_INPUT
from workflows.inputs import WorkflowInput
from workflows.options import BOOKS, HISTORY, LOOK

__all__ = ["BackfillInput", "BackfillProgress", "BackfillResult", "BackfillWorkflow", "workflow_id_of"]


class BackfillInput(BackfillRange, WorkflowInput):
    """What to fetch; see ``BackfillRange``."""


@workflow.defn
class BackfillWorkflow:
    def __init__(self) -> None:
        self._progress: BackfillProgress | None = None
        self._refusal: ApplicationError | None = None

    @workflow.run
    async def run(self, backfill: BackfillInput) -> BackfillResult:
        """Until everything the exchange has is stored. Fails at once for what it doesn't have at all."""
        await self._require_own_id(backfill)
        name = BackfillName(symbol=backfill.symbol, timeframe=backfill.timeframe)
        try:
            result = await self._fetch(backfill, name)
        except ActivityError as error:
            if is_cancelled_exception(error):
                await self._give_up(name)
                raise
            self._refusal = _refusal_of(error)
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self._refusal from error
        except asyncio.CancelledError:
            await self._give_up(name)
            raise
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    async def _fetch(self, backfill: BackfillInput, name: BackfillName) -> BackfillResult:
        wanted = BackfillRange(**backfill.model_dump())
        progress = await workflow.execute_activity_method(BackfillActivities.open_backfill, wanted, **LOOK)
        self._progress = progress
        while True:
            fetched = await workflow.execute_activity_method(BackfillActivities.fetch_history, name, **HISTORY)
            self._progress = fetched.progress
            if fetched.result is not None:
                return fetched.result
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                settled = {"categories": progress.categories, "start": progress.start, "end": progress.end}
                workflow.continue_as_new(backfill.model_copy(update=settled))

    async def _give_up(self, name: BackfillName) -> None:
        await workflow.execute_activity_method(BackfillActivities.give_up_backfill, name, **BOOKS)

    async def _require_own_id(self, backfill: BackfillInput) -> None:
        """One workflow a row: refuse any other id."""
        info, own = workflow.info(), workflow_id_of(backfill.symbol, backfill.timeframe)
        if info.workflow_id == own:
            return
        rule = f"must be in the workflow id: start it as {own}"
        wrong = [info.workflow_type, info.workflow_id, [{"field": "symbol", "rule": rule}]]
        await workflow.execute_activity_method(AuditActivities.record_refusal, args=wrong, **BOOKS)
        self._refusal = ApplicationError(
            f"symbol: {rule}", {"field": "symbol", "rule": rule}, type=BAD_INPUT, non_retryable=True
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        raise self._refusal

    @workflow.update
    async def opened(self) -> BackfillProgress:
        """The range that is being fetched, as soon as it is known to make sense. Fails with the refusal."""
        await workflow.wait_condition(lambda: self._progress is not None or self._refusal is not None)
        if self._progress is None:
            assert self._refusal is not None
            raise self._refusal
        return self._progress

    @workflow.query
    def progress(self) -> BackfillProgress | None:
        """How far it is, to within a stretch of pages; None before the range is known."""
        return self._progress


def _refusal_of(error: ActivityError) -> ApplicationError:
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return ApplicationError(str(cause or error), type=BAD_INPUT, non_retryable=True)
    return ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True)
