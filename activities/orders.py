"""Orders at the exchange: let out once, looked for until there is evidence, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.execution_intake import take_in
from activities.failures import BAD_INPUT, EXCHANGE_UNAVAILABLE, failure
from activities.order_placing import OrderIntent, OrderView, PlacedOrder, learn_report, request_of, view_of
from db.models import Order, OrderEvidence
from db.repositories import orders as order_rows
from db.repositories import positions as position_rows
from db.repositories.audit import record_event
from db.repositories.evidence import IN_DOUBT, add_evidence
from db.repositories.executions import executed_qty
from db.repositories.market import find_instrument
from db.repositories.order_versions import versions_of_intent
from db.repositories.settings import current_settings
from db.session import Database
from domain.ids import OrderRole
from domain.market import Category, FilterViolation
from domain.order import OrderState, is_final
from domain.position import PositionState
from domain.system_settings import TRADING_HALTED
from exchange.protocol import (
    Exchange,
    ExchangeError,
    Execution,
    OrderReport,
    OrderRequest,
    OutcomeUnknown,
    Refused,
    RetryLater,
)
from observability.logs import bind, get_logger

log = get_logger(__name__)

DUPLICATE_CODES = frozenset({110072, 170141})
"""Refusals that say that the id was used before: the order exists."""


class OrderActivities:
    """Activities of ``order/<orderLinkId>``. All are safe to repeat: the row says how far an order got."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._placed = PlacedOrder(database, exchange)

    @activity.defn
    async def submit_order(self, intent: OrderIntent) -> OrderView:
        """Write the intent, commit, then send. An order whose row says it was sent before is not sent: UNKNOWN.

        A row that breaks a filter is denied: no row, an audit event, and a view in state DENIED naming field and rule.
        """
        with bind(order_link_id=intent.order_link_id, position_id=intent.position_id):
            denied = await self._deny_if_wrong(intent)
            if denied is not None:
                return denied
            request = await self._take_out(intent)
            if isinstance(request, OrderView):
                return request
            return await self._placed.place(request)

    @activity.defn
    async def resend_order(self, order_link_id: str) -> OrderView:
        """Send an order that is in doubt, or was not taken yet, again under the same id."""
        with bind(order_link_id=order_link_id):
            async with self._database.session() as session:
                order = await order_rows.lock_order(session, order_link_id)
                if order.state not in (OrderState.SENT, OrderState.UNKNOWN):
                    return view_of(order, await executed_qty(session, order_link_id))
                if activity.info().attempt > 1 and order.state == OrderState.SENT:
                    # an earlier attempt of this activity may have sent it: "had no effect" is no longer known
                    order_rows.move(session, order, OrderState.UNKNOWN, "sent again, answer not recorded")
                    return view_of(order, await executed_qty(session, order_link_id))
                order.sent_at = datetime.now(UTC)
                request = request_of(order)
            view = await self._placed.place(request)
            await self._note_resend(view)
            return view

    @activity.defn
    async def seek_order(self, order_link_id: str) -> OrderView:
        """One round of evidence: realtime, history, executions. The view's state tells whether there was any."""
        with bind(order_link_id=order_link_id):
            async with self._database.session() as session:
                order = await order_rows.find_order(session, order_link_id)
                if order is None:
                    raise failure(BAD_INPUT, f"no order {order_link_id}", field="order_link_id", rule="must exist")
                category, symbol, in_doubt = Category(order.category), order.symbol, order.state in IN_DOUBT
            try:
                report, executions = await asyncio.gather(
                    self._exchange.find_order(category, symbol, order_link_id),
                    self._exchange.executions(category, symbol=symbol, order_link_id=order_link_id),
                )
            except ExchangeError as error:
                await self._note_silence(order_link_id, error)
                raise failure(EXCHANGE_UNAVAILABLE, f"can't look for the order: {error}") from error
            if in_doubt:
                async with self._database.session() as session:
                    _note_look(session, await order_rows.lock_order(session, order_link_id), report, executions)
            async with self._database.session() as session:
                await take_in(session, executions)
                if report is not None:
                    view = await learn_report(session, report, "found by query")
                    assert view is not None
                    return view
                order = await order_rows.lock_order(session, order_link_id)
                if executions and order.state in (OrderState.SENT, OrderState.UNKNOWN, OrderState.NOT_PLACED):
                    filled = sum((execution.qty for execution in executions), Decimal(0))
                    order.cum_exec_qty = max(order.cum_exec_qty, filled)
                    full = filled >= order.qty
                    reported = OrderState.FILLED if full else OrderState.PARTIALLY_FILLED
                    order_rows.learn(session, order, reported, "found by its executions")
                    await session.flush()
                return view_of(order, await executed_qty(session, order_link_id))

    @activity.defn
    async def conclude_order(self, order_link_id: str, state: OrderState, evidence: str) -> OrderView:
        """Close an order in doubt by proof: NOT_PLACED (absent) or REJECTED (absent, and the repeat was refused)."""
        async with self._database.session() as session:
            order = await order_rows.lock_order(session, order_link_id)
            if order.state in (OrderState.SENT, OrderState.UNKNOWN):
                order_rows.move(session, order, state, evidence)
                record_event(
                    session,
                    f"order_{state}",
                    order_link_id,
                    who="order",
                    severity="warning",
                    detail={"evidence": evidence},
                )
                await session.flush()
                await session.refresh(order)
            return view_of(order, await executed_qty(session, order_link_id))

    @activity.defn
    async def cancel_order(self, order_link_id: str) -> OrderView:
        """Ask for the cancel of an open order; what it led to is told by the stream or by ``seek_order``."""
        with bind(order_link_id=order_link_id):
            async with self._database.session() as session:
                order = await order_rows.find_order(session, order_link_id)
                if order is None:
                    raise failure(BAD_INPUT, f"no order {order_link_id}", field="order_link_id", rule="must exist")
                if is_final(OrderState(order.state)):
                    return view_of(order, await executed_qty(session, order_link_id))
                category, symbol, in_doubt = Category(order.category), order.symbol, order.state in IN_DOUBT
            refused: dict[str, object] = {}
            try:
                await self._exchange.cancel_order(category, symbol, order_link_id)
            except Refused as error:
                log.info("nothing to cancel", code=error.code, error=str(error))
                refused = {"code": error.code, "error": str(error)}
            except (RetryLater, OutcomeUnknown) as error:
                raise failure(EXCHANGE_UNAVAILABLE, f"can't cancel: {error}") from error
            if in_doubt:
                async with self._database.session() as session:
                    order = await order_rows.lock_order(session, order_link_id)
                    add_evidence(session, order, "cancel", not refused, **refused)
        return await self.seek_order(order_link_id)

    async def _note_resend(self, view: OrderView) -> None:
        """What sending the same id again told: accepted, or refused as a duplicate, means that the order exists."""
        known = view.state not in IN_DOUBT
        duplicate = view.error_code in DUPLICATE_CODES
        async with self._database.session() as session:
            session.add(
                OrderEvidence(
                    order_link_id=view.order_link_id,
                    source="resend",
                    found=known or duplicate,
                    detail={"state": view.state, "code": view.error_code, "error": view.error},
                )
            )

    async def _note_silence(self, order_link_id: str, error: ExchangeError) -> None:
        """A look that was not answered proves nothing: the first of a row of them is written down."""
        if activity.info().attempt > 1:
            return
        async with self._database.session() as session:
            order = await order_rows.lock_order(session, order_link_id)
            add_evidence(session, order, "query", False, unanswered=str(error) or type(error).__name__)

    async def _take_out(self, intent: OrderIntent) -> OrderRequest | OrderView:
        """Row written or found; the request if it is ours to send now, else how the order stands."""
        async with self._database.session() as session:
            position = await position_rows.lock_position(session, intent.position_id)  # before its order, as all do
            versions = await versions_of_intent(session, position, intent.role)
            fields = intent.model_dump(exclude={"expires_at"}) | versions.columns()
            await order_rows.insert_intent(session, OrderState.PREPARED, **fields)
            order = await order_rows.lock_order(session, intent.order_link_id)
            _check_same(order, intent)
            if order.state == OrderState.PREPARED and _stale(intent):
                order_rows.move(session, order, OrderState.DENIED, f"no longer wanted since {intent.expires_at}")
                order.error = f"expires_at: the entry was no longer wanted since {intent.expires_at}"
            elif order.state == OrderState.PREPARED and await _halted(session, intent):
                order_rows.move(session, order, OrderState.DENIED, "trading was halted before it was sent")
                order.error = "trading_halted: trading was halted before the entry was sent"
            elif order.state == OrderState.PREPARED:
                if intent.role is OrderRole.ENTRY and position.state == PositionState.RESERVED:
                    position_rows.step(position, PositionState.ENTERING)
                order_rows.move(session, order, OrderState.SENT, "submitted")
                await session.flush()
                await session.refresh(order)
                return request_of(order)
            if order.state == OrderState.SENT:
                order_rows.move(session, order, OrderState.UNKNOWN, "sent before, answer not recorded")
            return view_of(order, await executed_qty(session, intent.order_link_id))

    async def _deny_if_wrong(self, intent: OrderIntent) -> OrderView | None:
        async with self._database.session() as session:
            if await order_rows.find_order(session, intent.order_link_id) is not None:
                return None
            try:
                await self._check(session, intent)
            except FilterViolation as violation:
                record_event(
                    session,
                    "order_denied",
                    intent.order_link_id,
                    who="order",
                    severity="warning",
                    detail={"field": violation.field, "rule": violation.rule},
                )
                return OrderView(
                    order_link_id=intent.order_link_id, state=OrderState.DENIED, qty=intent.qty, error=str(violation)
                )
        return None

    async def _check(self, session: AsyncSession, intent: OrderIntent) -> None:
        if await position_rows.find_position(session, intent.position_id) is None:
            raise FilterViolation("position_id", f"there is no position {intent.position_id}")
        instrument = await find_instrument(session, intent.category, intent.symbol)
        if instrument is None:
            raise FilterViolation("symbol", f"{intent.symbol} is not listed on {intent.category}")
        instrument.check_qty(intent.qty)
        if intent.trigger_price is not None:
            instrument.check_price(intent.trigger_price, "trigger_price")
        if intent.stop_loss is not None:
            instrument.check_price(intent.stop_loss, "stop_loss")


def _note_look(
    session: AsyncSession, order: Order, report: OrderReport | None, executions: Sequence[Execution]
) -> None:
    """What one round of evidence told of an order in doubt: the query of the order, and that of its executions."""
    told = {} if report is None else {"status": report.status, "executed": str(report.cum_exec_qty)}
    add_evidence(session, order, "query", report is not None, **told)
    filled = sum((execution.qty for execution in executions), Decimal(0))
    add_evidence(session, order, "executions", bool(executions), count=len(executions), qty=str(filled))


def _stale(intent: OrderIntent) -> bool:
    """An entry whose signal's time to live is over before it was ever sent."""
    return intent.role is OrderRole.ENTRY and intent.expires_at is not None and datetime.now(UTC) >= intent.expires_at


async def _halted(session: AsyncSession, intent: OrderIntent) -> bool:
    """Whether an entry comes too late because somebody halted trading after its place was taken."""
    return intent.role is OrderRole.ENTRY and bool((await current_settings(session))[TRADING_HALTED])


def _check_same(order: Order, intent: OrderIntent) -> None:
    amended = intent.role is OrderRole.STOP and order.state != OrderState.PREPARED  # it moves and is re-sized
    fixed = () if amended else ("qty", "trigger_price")
    for name in ("position_id", "category", "symbol", "side", "reduce_only", *fixed):
        if getattr(order, name) != getattr(intent, name):
            raise failure(
                BAD_INPUT,
                f"order {intent.order_link_id} exists with another {name}: {getattr(order, name)}",
                field="order_link_id",
                rule="an order id is used once",
            )
