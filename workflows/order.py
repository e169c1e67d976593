"""``order/<orderLinkId>``: one order, from its intent to its final state by exchange evidence.

The order is sent once. If the answer is lost it is UNKNOWN, and only evidence ends that: found at the exchange, sent
again under the same id and accepted or refused as a duplicate, or proved absent. Then the workflow waits for the word
of the account stream, with polls behind it, until the order is final and every execution of it is recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field, model_validator
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.failures import DENIED
from activities.order_placing import OrderIntent, OrderView
from activities.orders import OrderActivities
from domain.ids import OrderRole, parse_order_link_id
from domain.market import Category
from domain.order import (
    NEGATIVE_ROUNDS_NEEDED,
    OrderState,
    UnknownAction,
    absence_counts_from,
    decide_unknown,
    is_final,
)
from workflows.inputs import WorkflowInput
from workflows.options import (
    BOOKS,
    FIRST_POLL,
    LAST_POLL,
    LOOK,
    LOOK_AGAIN_PAUSE,
    ORDER,
    RECV_WINDOW,
    RETRY_LATER_FIRST,
    RETRY_LATER_LAST,
    STOP_POLL,
)


class OrderInput(WorkflowInput, OrderIntent):
    """An order of a position. ``known`` carries the order over a continue-as-new."""

    known: OrderView | None = Field(default=None, description="set by the workflow itself")

    @model_validator(mode="after")
    def _consistent(self) -> OrderInput:
        identity = parse_order_link_id(self.order_link_id)
        if identity is None:
            raise ValueError("order_link_id must be <position_id>-E1, -X1 or -S1 (entry, exit, stop)")
        if (identity.position_id, identity.role) != (self.position_id, self.role):
            raise ValueError("order_link_id must begin with position_id and name the role")
        if self.qty <= 0:
            raise ValueError("qty must be above 0")
        if self.category is Category.LINEAR and self.trigger_price is not None and self.trigger_rises is None:
            raise ValueError("trigger_rises must say from which side a linear trigger_price is crossed")
        return self


@workflow.defn
class OrderWorkflow:
    def __init__(self) -> None:
        self._view: OrderView | None = None
        self._news = False
        self._cancel = False

    @workflow.run
    async def run(self, order: OrderInput) -> OrderView:
        """See the order through. Fails with type ``denied`` if it breaks a rule of ours (nothing was sent)."""
        if order.known is None:
            intent = OrderIntent.model_validate(order.model_dump(exclude={"known"}))
            self._learn(await workflow.execute_activity_method(OrderActivities.submit_order, intent, **ORDER))
        else:
            self._learn(order.known)
        await self._out_of_doubt(order)
        await self._until_final(order)
        view = self._known()
        if view.state is OrderState.DENIED:
            raise ApplicationError(view.error or "denied", type=DENIED, non_retryable=True)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return view

    @workflow.signal
    def order_fact(self, view: OrderView) -> None:
        """The account stream's word on this order, already in the database."""
        self._learn(view)
        self._news = True

    @workflow.signal
    def cancel(self) -> None:
        """Ask for the order's cancel. What was filled stays filled."""
        self._cancel = True

    @workflow.query
    def snapshot(self) -> OrderView | None:
        """The order as this workflow knows it."""
        return self._view

    async def _out_of_doubt(self, order: OrderInput) -> None:
        negative_rounds = 0
        in_doubt_since: datetime | None = None
        later = RETRY_LATER_FIRST
        if self._known().state is OrderState.UNKNOWN and order.role is not OrderRole.ENTRY:
            await self._resend(order)  # the way out of a position is not kept waiting: a repeat does no harm
        while self._known().state in (OrderState.SENT, OrderState.UNKNOWN):
            view = self._known()
            if view.retry_later and view.state is OrderState.SENT:
                await self._try_later(order, later)
                later = min(later * 2, RETRY_LATER_LAST)
                continue
            if not view.refused_again and (view.sent_at or in_doubt_since) != in_doubt_since:
                in_doubt_since, negative_rounds = view.sent_at, 0  # sent again since: absence is to be proved anew
            in_doubt_since = in_doubt_since or workflow.now()
            began = workflow.now()
            found = await workflow.execute_activity_method(OrderActivities.seek_order, order.order_link_id, **LOOK)
            self._learn(found)
            if self._known().state not in (OrderState.SENT, OrderState.UNKNOWN):
                return
            negative_rounds += began >= absence_counts_from(in_doubt_since, RECV_WINDOW)
            await self._act_on_doubt(order, view, in_doubt_since, negative_rounds)

    async def _act_on_doubt(
        self, order: OrderInput, before: OrderView, in_doubt_since: datetime, negative_rounds: int
    ) -> None:
        """One step out of doubt: the same id again, proof of absence, or another look."""
        if before.refused_again:
            # the repeat was refused: sending again proves nothing more, only time and empty rounds do
            if negative_rounds >= NEGATIVE_ROUNDS_NEEDED:
                await self._conclude(order, OrderState.REJECTED, f"absent, and refused: {before.error}")
                return
            await workflow.sleep(LOOK_AGAIN_PAUSE)
            self._learn(self._known().model_copy(update={"refused_again": True, "error": before.error}))
            return
        action = decide_unknown(
            order.role, workflow.now(), in_doubt_since, RECV_WINDOW, negative_rounds, order.expires_at
        )
        if action is UnknownAction.NOT_PLACED:
            await self._conclude(order, OrderState.NOT_PLACED, f"{negative_rounds} empty rounds after the window")
        elif action is UnknownAction.RESEND_SAME_ID:
            view = await self._resend(order)
            if view.state is OrderState.UNKNOWN and not view.refused_again:
                await workflow.sleep(LOOK_AGAIN_PAUSE)
        else:
            await workflow.sleep(LOOK_AGAIN_PAUSE)

    async def _try_later(self, order: OrderInput, pause: timedelta) -> None:
        """The exchange did not take it (rate limit, time window), which had no effect: again, while it is wanted."""
        expired = order.expires_at is not None and workflow.now() >= order.expires_at
        if order.role is OrderRole.ENTRY and expired:
            await self._conclude(order, OrderState.NOT_PLACED, "the exchange took no orders until it was stale")
            return
        await workflow.sleep(pause)
        await self._resend(order)

    async def _resend(self, order: OrderInput) -> OrderView:
        view = await workflow.execute_activity_method(OrderActivities.resend_order, order.order_link_id, **ORDER)
        self._learn(view)
        return view

    async def _conclude(self, order: OrderInput, state: OrderState, evidence: str) -> None:
        view = await workflow.execute_activity_method(
            OrderActivities.conclude_order, args=[order.order_link_id, state, evidence], **BOOKS
        )
        self._learn(view)

    async def _until_final(self, order: OrderInput) -> None:
        pause = STOP_POLL if order.role is OrderRole.STOP else FIRST_POLL
        while not self._over():
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(order.model_copy(update={"known": self._known()}))
            if self._cancel:
                self._cancel = False
                self._learn(
                    await workflow.execute_activity_method(OrderActivities.cancel_order, order.order_link_id, **LOOK)
                )
                pause = FIRST_POLL  # its end is near: don't leave it to the slow poll of a resting stop
                continue
            # final but not all its executions are here: that is a matter of moments, also for a stop
            if await self._news_within(FIRST_POLL if is_final(self._known().state) else pause):
                continue
            self._learn(await workflow.execute_activity_method(OrderActivities.seek_order, order.order_link_id, **LOOK))
            pause = pause if pause == STOP_POLL else min(pause * 2, LAST_POLL)

    def _over(self) -> bool:
        view = self._known()
        return is_final(view.state) and view.complete

    async def _news_within(self, pause: timedelta) -> bool:
        self._news = False
        try:
            await workflow.wait_condition(lambda: self._news or self._cancel, timeout=pause)
        except TimeoutError:
            return False
        return True

    def _learn(self, view: OrderView) -> None:
        """Take in a view unless it is older than what is known: a final order does not open again."""
        known = self._view
        if known is not None and is_final(known.state) and not is_final(view.state):
            return
        if known is not None and view.cum_exec_qty < known.cum_exec_qty:
            return
        self._view = view

    def _known(self) -> OrderView:
        assert self._view is not None, "the order was submitted before anything is asked of it"
        return self._view
