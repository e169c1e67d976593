"""The stop that rests at the exchange for a spot position: kept there until it is filled or the position is left."""

from __future__ import annotations

import asyncio
import contextlib

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

from activities.audit import AuditActivities
from activities.order_placing import OrderIntent, OrderView
from domain.ids import OrderRole, order_link_id
from workflows.options import BOOKS, EXIT_AGAIN_FIRST, EXIT_AGAIN_LAST
from workflows.order import OrderWorkflow
from workflows.order_child import final_view, start_order


class RestingStop:
    """One stop after the other under numbers that rise: one that ends unfilled (refused, cancelled by somebody) is an
    operator's matter, paged, and replaced. ``filled`` says that one did its work."""

    def __init__(self) -> None:
        self.filled = False
        self._leaving = False
        self._ended = False
        self._order_id: str | None = None
        self._kept: asyncio.Task[None] | None = None

    def keep(self, stop: OrderIntent) -> None:
        """Begin to keep ``stop`` resting, in the background of the workflow."""
        self._kept = asyncio.create_task(self._keep(stop))

    async def end(self) -> None:
        """The position is left: cancel the stop and wait for its end. It may fill all the same."""
        self._leaving = self._ended = True
        if self._kept is not None:
            await self._cancel()
            await self._kept

    def leave(self) -> None:
        """Say that the position is being left: the stop stays for now, but is not replaced any more."""
        self._leaving = True

    async def _keep(self, stop: OrderIntent) -> None:
        number, pause = 1, EXIT_AGAIN_FIRST
        while not self._leaving:
            numbered = order_link_id(stop.position_id, OrderRole.STOP, number)
            view = await self._see_through(stop.model_copy(update={"order_link_id": numbered}))
            self._order_id = None
            self.filled = view is not None and view.cum_exec_qty > 0
            if self.filled or self._leaving:
                return
            await workflow.execute_activity_method(
                AuditActivities.page_operator, args=["stop_not_resting", numbered, {}], **BOOKS
            )
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._leaving, timeout=pause)
            number, pause = number + 1, min(pause * 2, EXIT_AGAIN_LAST)

    async def _see_through(self, stop: OrderIntent) -> OrderView | None:
        """The stop's end; None when its workflow failed."""
        try:
            handle = await start_order(stop)
        except WorkflowAlreadyStartedError:  # the position's process began again: its stop still rests
            return await self._watched_from_afar(stop.order_link_id)
        self._order_id = stop.order_link_id
        if self._ended:  # it was being started when the position had been left: nobody else cancels it
            await self._cancel()
        try:
            return await handle
        except ChildWorkflowError as error:
            workflow.logger.warning("stop order failed", extra={"error": str(error.cause)})
            return None

    async def _watched_from_afar(self, order_id: str) -> OrderView:
        self._order_id = order_id
        if self._ended:
            await self._cancel()
        return await final_view(order_id)

    async def _cancel(self) -> None:
        if self._order_id is None:
            return
        try:
            await workflow.get_external_workflow_handle_for(OrderWorkflow.run, f"order/{self._order_id}").signal(
                OrderWorkflow.cancel
            )
        except ApplicationError as over:  # it ended while the signal was under way
            workflow.logger.info("stop order is over", extra={"error": str(over)})
