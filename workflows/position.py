"""``position/<position_id>``: a position from its reservation to its settled books.

reserve -> enter (-E1) -> resting stop (-S1 on spot; part of the entry on linear) and guard -> exit (-X1, -X2 ...) ->
cancel the resting stop -> settle. Whatever ends the guard (its own firing, the operator, the stop at the exchange), the
way out is the same.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError, ChildWorkflowError

from activities.audit import AuditActivities
from activities.entering import EntryActivities, EntryBooked, Reservation, ReserveRequest
from activities.failures import BAD_INPUT, DENIED
from activities.guard import GuardActivities, GuardRequest, GuardResult
from activities.leaving import ExitActivities, ExitRequest, Settled
from activities.order_placing import OrderIntent
from activities.targets import TargetActivities, TargetChange, TargetsWritten
from activities.workflow_news import PositionFact
from domain.exits import ExitReason
from domain.order import OrderState
from domain.position import PositionState
from workflows.options import (
    ALWAYS_ON,
    BOOKS,
    EXIT_AGAIN_FIRST,
    EXIT_AGAIN_LAST,
    GUARD_AGAIN_PAUSE,
    TARGETS,
)
from workflows.order_child import see_through
from workflows.position_messages import CloseRequest, CloseResult, PositionInput, PositionSnapshot, SetTargets
from workflows.resting_stop import RestingStop

SYMBOL = SearchAttributeKey.for_keyword("Symbol")
STRATEGY = SearchAttributeKey.for_keyword("Strategy")
CATEGORY = SearchAttributeKey.for_keyword("Category")

NOT_OPEN = "position_not_open"
CLOSING = "position_closing"


@workflow.defn
class PositionWorkflow:
    def __init__(self) -> None:
        self._state: PositionState | None = None
        self._reservation: Reservation | None = None
        self._qty = Decimal(0)
        self._entry_price: Decimal | None = None
        self._guard = "none"
        self._close: CloseRequest | None = None
        self._closed_elsewhere = False
        self._exit_order: str | None = None
        self._exit_planned = False
        self._stop = RestingStop()
        self._settled: Settled | None = None

    @workflow.run
    async def run(self, position: PositionInput) -> Settled:
        """The whole life. A refusal fails the workflow with type ``denied`` and leaves an audit event alone."""
        if workflow.info().workflow_id != f"position/{position.position_id}":
            rule = f"must be the workflow id: start it as position/{position.position_id}"
            wrong = [
                workflow.info().workflow_type,
                workflow.info().workflow_id,
                [{"field": "position_id", "rule": rule}],
            ]
            await workflow.execute_activity_method(AuditActivities.record_refusal, args=wrong, **BOOKS)
            raise ApplicationError(f"position_id: {rule}", type=BAD_INPUT, non_retryable=True)
        workflow.upsert_search_attributes(
            [
                SYMBOL.value_set(position.symbol),
                STRATEGY.value_set(position.strategy),
                CATEGORY.value_set(position.category),
            ]
        )
        entry = await self._reserve(position)
        booked = await self._enter(position.position_id, entry)
        if booked.state in (PositionState.OPEN, PositionState.EXITING):
            self._qty, self._entry_price = booked.qty, booked.entry_price
            if booked.stop is not None:  # linear: the stop came with the entry
                self._stop.keep(booked.stop)
            if booked.state is PositionState.OPEN:
                await self._watch(position)
            await self._leave(position)
        settled = await self._settle(position.position_id)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return settled

    async def _reserve(self, position: PositionInput) -> OrderIntent:
        request = ReserveRequest(**position.model_dump(), requested_at=workflow.now())
        reservation = await workflow.execute_activity_method(EntryActivities.reserve_position, request, **BOOKS)
        self._reservation, self._state = reservation, reservation.state
        if reservation.entry is None:
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise ApplicationError(
                f"{reservation.field}: {reservation.rule}",
                {"code": reservation.code, "field": reservation.field, "rule": reservation.rule},
                type=DENIED,
                non_retryable=True,
            )
        return reservation.entry

    async def _enter(self, position_id: str, entry: OrderIntent) -> EntryBooked:
        self._state = PositionState.ENTERING
        try:
            await see_through(entry)
        except ChildWorkflowError as error:
            workflow.logger.warning("entry order failed", extra={"error": str(error.cause)})
        booked = await workflow.execute_activity_method(EntryActivities.book_entry, position_id, **BOOKS)
        self._state = booked.state
        return booked

    async def _watch(self, position: PositionInput) -> None:
        """Until the guard fired, the operator wants out, or the stop at the exchange closed the position."""
        while not self._must_leave():
            guard = workflow.start_activity_method(
                GuardActivities.guard_position,
                GuardRequest(position_id=position.position_id),
                cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
                **ALWAYS_ON,
            )
            self._guard = "watching"
            await workflow.wait_condition(
                lambda: guard.done() or self._must_leave() or _history_is_long()  # noqa: B023
            )
            if not guard.done():
                guard.cancel()
                self._guard = "ended"
                await self._begin_again_if_long(position)
                return
            result: GuardResult = guard.result()
            self._guard = result.outcome
            if result.outcome != "superseded":
                return
            await workflow.sleep(GUARD_AGAIN_PAUSE)

    def _must_leave(self) -> bool:
        return self._close is not None or self._closed_elsewhere or self._stop.filled

    async def _begin_again_if_long(self, position: PositionInput) -> None:
        """Go on in a fresh history: every step so far finds itself done in the database."""
        if _history_is_long() and not self._must_leave():
            await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._must_leave())
            if not self._must_leave():
                workflow.continue_as_new(position)

    async def _leave(self, position: PositionInput) -> None:
        """Exit orders one after the other until nothing that can be sold is left."""
        self._stop.leave()
        position_id = position.position_id
        request = ExitRequest(position_id=position_id, **self._why())
        pause = EXIT_AGAIN_FIRST
        while True:
            order = await self._plan_exit(request)
            if order is None:
                return
            self._exit_order = order.order_link_id
            refused = await self._exit_refused(order)
            request = ExitRequest(position_id=position_id, ask_exchange=refused)
            if refused:
                # the stop at the exchange may have been quicker: then there is nothing to page
                if workflow.patched("refusal-looked-into") and await self._plan_exit(request) is None:
                    return
                await self._page("exit_refused", order.order_link_id)
                await workflow.sleep(pause)
                pause = min(pause * 2, EXIT_AGAIN_LAST)

    async def _plan_exit(self, request: ExitRequest) -> OrderIntent | None:
        plan = await workflow.execute_activity_method(ExitActivities.plan_exit, request, **BOOKS)
        self._state, self._qty, self._exit_planned = PositionState.EXITING, plan.qty_left, True
        return plan.order

    def _why(self) -> dict[str, Any]:
        """Why the workflow itself leaves; nothing when a guard fired, whose order carries the reason."""
        if self._close is not None:
            reason, by, note = self._close.exit_reason, self._close.requested_by, self._close.reason
            return {"takeover": reason, "requested_by": by, "note": note}
        if self._closed_elsewhere or self._stop.filled:
            return {"takeover": ExitReason.DISASTER_STOP, "note": "the stop at the exchange", "ask_exchange": True}
        return {}

    async def _exit_refused(self, order: OrderIntent) -> bool:
        try:
            view = await see_through(order)
        except ChildWorkflowError as error:
            workflow.logger.warning("exit order failed", extra={"error": str(error.cause)})
            return True
        return view.cum_exec_qty == 0 or view.state is OrderState.REJECTED

    async def _page(self, kind: str, subject: str) -> None:
        await workflow.execute_activity_method(AuditActivities.page_operator, args=[kind, subject, {}], **BOOKS)

    async def _settle(self, position_id: str) -> Settled:
        await self._stop.end()
        settled = await workflow.execute_activity_method(ExitActivities.settle_position, position_id, **BOOKS)
        self._state, self._qty, self._settled = settled.state, Decimal(0), settled
        return settled

    # what others may ask and say

    @workflow.update
    async def reserved(self) -> Reservation:
        """The verdict on the reservation, as soon as it stands."""
        await workflow.wait_condition(lambda: self._reservation is not None)
        assert self._reservation is not None
        return self._reservation

    @workflow.update
    async def close(self, request: CloseRequest) -> CloseResult:
        """Leave now, at market. Answers when the exit order is on its way."""
        self._close = request
        await workflow.wait_condition(lambda: self._exit_planned or self._settled is not None)
        assert self._state is not None
        return CloseResult(order_link_id=self._exit_order, state=self._state)

    @close.validator
    def _may_close(self, request: CloseRequest) -> None:
        self._require_open()

    @workflow.update
    async def set_targets(self, request: SetTargets) -> TargetsWritten:
        """Change the exit policy. Answers when the guard works by it, or says that it doesn't yet."""
        info = workflow.info()
        change = TargetChange(
            position_id=info.workflow_id.removeprefix("position/"),
            policy=request.policy,
            expected_version=request.expected_version,
            requested_by=request.requested_by,
            reason=request.reason,
        )
        return await workflow.execute_activity_method(TargetActivities.change_targets, change, **TARGETS)

    @set_targets.validator
    def _may_set_targets(self, request: SetTargets) -> None:
        self._require_open()

    def _require_open(self) -> None:
        if self._close is not None or self._state is PositionState.EXITING:
            raise ApplicationError("the position is being closed already", type=CLOSING, non_retryable=True)
        if self._state is not PositionState.OPEN:
            raise ApplicationError(f"the position is not open: it is {self._state}", type=NOT_OPEN, non_retryable=True)

    @workflow.signal
    def leave(self, request: CloseRequest) -> None:
        """Leave at market, said by somebody who needs no answer: at once if it is open, else as soon as it is."""
        if self._close is None and not self._exit_planned and self._settled is None:
            self._close = request

    @workflow.signal
    def executions_booked(self, fact: PositionFact) -> None:
        """Executions that no order of ours made were booked: the exchange's own stop, or somebody by hand."""
        if fact.qty_left == 0:
            self._closed_elsewhere = True

    @workflow.signal
    async def check_stop(self) -> None:
        """Look for the stop at the exchange and repair it; said at any time, heeded while the position is open."""
        if self._state is PositionState.OPEN and not self._must_leave():
            await self._stop.check(workflow.info().workflow_id.removeprefix("position/"))

    @workflow.query
    def snapshot(self) -> PositionSnapshot:
        info = workflow.info()
        refused = self._reservation is not None and not self._reservation.accepted
        return PositionSnapshot(
            position_id=info.workflow_id.removeprefix("position/"),
            state=self._state,
            qty=self._qty,
            entry_price=self._entry_price,
            guard=self._guard,
            exit_order=self._exit_order,
            exit_reason=self._settled.exit_reason if self._settled else None,
            denied=self._reservation.rule if refused and self._reservation else None,
        )


def _history_is_long() -> bool:
    return workflow.info().is_continue_as_new_suggested()
