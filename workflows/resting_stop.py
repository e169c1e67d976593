"""The stop that rests at the exchange for a spot position: kept there until it is filled or the position is left."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

from activities.audit import AuditActivities
from activities.order_placing import OrderIntent, OrderView
from activities.protecting import ProtectionActivities, StopCheck, StopPlanRequest
from domain.ids import OrderRole, order_link_id, parse_order_link_id
from domain.order import is_final
from workflows.options import BOOKS, EXIT_AGAIN_FIRST, EXIT_AGAIN_LAST, STOP_CHECK
from workflows.order import OrderWorkflow
from workflows.order_child import final_view, start_order


class RestingStop:
    """One stop after the other under numbers that rise: one that ends unfilled (refused, cancelled by somebody) is an
    operator's matter, paged, and replaced. ``filled`` says that one did its work."""

    def __init__(self) -> None:
        self.filled = False
        self._leaving = False
        self._ended = False
        self._checking = False
        self._wanted_now = False
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

    async def check(self, position_id: str) -> None:
        """Have the stop looked for at the exchange and repaired. Nothing while that is being done, or while leaving."""
        if self._checking or self._leaving:
            return
        self._checking = True
        try:
            told = await workflow.execute_activity_method(ProtectionActivities.check_stop, position_id, **STOP_CHECK)
            await self._take_in(position_id, told)
        except ActivityError as error:
            workflow.logger.warning("stop not checked", extra={"error": str(error.cause)})
        finally:
            self._checking = False

    async def _take_in(self, position_id: str, told: StopCheck) -> None:
        if told.order is not None and is_final(told.order.state):
            await self._tell(told.order)
        if told.outcome != "missing":
            return
        self._wanted_now = True  # the wait for the next one is over
        if self._kept is None:  # when the position was opened it held too little for a stop
            request = StopPlanRequest(position_id=position_id, ended=position_id)
            plan = await workflow.execute_activity_method(ProtectionActivities.plan_stop, request, **BOOKS)
            if plan.order is not None and self._kept is None and not self._leaving:
                self.keep(plan.order)

    async def _tell(self, view: OrderView) -> None:
        """What became of the stop order, to its own workflow, which has not heard of it."""
        handle = workflow.get_external_workflow_handle_for(OrderWorkflow.run, f"order/{view.order_link_id}")
        try:
            await handle.signal(OrderWorkflow.order_fact, view)
        except ApplicationError as over:
            workflow.logger.info("stop order is over", extra={"error": str(over)})

    async def _keep(self, stop: OrderIntent) -> None:
        pause = EXIT_AGAIN_FIRST
        while not self._leaving:
            view = await self._see_through(stop)
            self._order_id = None
            self.filled = view is not None and view.cum_exec_qty > 0
            if self.filled or self._leaving:
                return
            replaced = await self._next(stop, pause)
            pause = min(pause * 2, EXIT_AGAIN_LAST)
            if replaced is None:
                return
            stop = replaced

    async def _next(self, ended: OrderIntent, pause: timedelta) -> OrderIntent | None:
        """The stop to take the place of ``ended``, after a pause; None when the position is being left."""
        if not workflow.patched("stop-planned-anew"):
            return await self._same_again(ended, pause)
        request = StopPlanRequest(position_id=ended.position_id, ended=ended.order_link_id)
        while True:
            await self._wait(pause)
            if self._leaving:
                return None
            plan = await workflow.execute_activity_method(ProtectionActivities.plan_stop, request, **BOOKS)
            if plan.order is not None:
                return plan.order
            pause = EXIT_AGAIN_LAST  # too little for an order: until that changes

    async def _same_again(self, ended: OrderIntent, pause: timedelta) -> OrderIntent | None:
        """As positions of older versions do it: the same stop under the next number."""
        await workflow.execute_activity_method(
            AuditActivities.page_operator, args=["stop_not_resting", ended.order_link_id, {}], **BOOKS
        )
        await self._wait(pause)
        identity = parse_order_link_id(ended.order_link_id)
        assert identity is not None
        numbered = order_link_id(ended.position_id, OrderRole.STOP, identity.number + 1)
        return ended.model_copy(update={"order_link_id": numbered})

    async def _wait(self, pause: timedelta) -> None:
        self._wanted_now = False
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._leaving or self._wanted_now, timeout=pause)

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
