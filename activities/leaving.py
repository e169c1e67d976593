"""Leaving a position: which exit order to see through next, and closing the books."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.execution_intake import take_in
from activities.failures import EXCHANGE_UNAVAILABLE, NOT_FOUND, failure
from activities.intents import exit_intent, intent_of
from activities.order_placing import OrderIntent
from activities.resting_stops import RestingStops, StopNotMoved
from activities.settlement import settle
from db.models import Order, Position
from db.repositories import orders as order_rows
from db.repositories import positions as position_rows
from db.repositories.audit import record_event
from db.repositories.executions import apply_executions
from db.repositories.market import find_instrument
from db.repositories.order_versions import OrderVersions, versions_of, versions_of_exit
from db.session import Database
from domain.exits import ExitReason
from domain.ids import OrderRole, parse_order_link_id
from domain.market import Category, Instrument
from domain.order import OrderState, is_final
from domain.position import PositionState
from domain.sizing import exit_qty
from exchange.protocol import Exchange, ExchangeError
from observability.logs import bind, get_logger

log = get_logger(__name__)

_RESIZE_SECONDS = 3.0
_TOO_SMALL = frozenset({170136, 170140, 110094})
"""Refusals of an order for being under the exchange's minimum quantity or amount."""


class ExitRequest(BaseModel):
    """``takeover`` says why the workflow itself leaves (raising the epoch); None continues an exit a guard fired."""

    position_id: str
    takeover: ExitReason | None = None
    requested_by: str = "position"
    note: str = ""
    ask_exchange: bool = False


class ExitPlan(BaseModel):
    """The order to see through next (None: nothing left to sell), and what the position still holds."""

    order: OrderIntent | None
    qty_left: Decimal


class Settled(BaseModel):
    """How a position ended. ``realised_pnl`` in quote coin, net of fees; seconds are wall time."""

    position_id: str
    state: PositionState
    exit_reason: ExitReason | None = None
    realised_pnl: Decimal = Decimal(0)
    unprotected_seconds: float | None = None
    unwatched_seconds: float | None = None


class ExitActivities:
    """Activities of ``position/<position_id>`` from its exit on. Each is safe to repeat."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._stops = RestingStops(database, exchange)

    @activity.defn
    async def plan_exit(self, request: ExitRequest) -> ExitPlan:
        """The exit order to see through next: one already out, the prepared one, or a new one for what is left."""
        with bind(position_id=request.position_id):
            if request.ask_exchange or await self._was_refused(request.position_id):
                await self._ask_exchange(request.position_id)
            async with self._database.session() as session:
                await apply_executions(session, request.position_id)
                position = await position_rows.lock_position(session, request.position_id)
                if position.state == PositionState.CLOSED:
                    return ExitPlan(order=None, qty_left=Decimal(0))
                if position.state == PositionState.OPEN:
                    position_rows.step(position, PositionState.EXITING)
                await self._take_over(session, position, request)
                plan = await self._next_exit(session, position, request)
            if plan.order is not None and plan.order.category is Category.SPOT and not _is_first(plan.order):
                await self._resize_stop(request.position_id)
            return plan

    async def _resize_stop(self, position_id: str) -> None:
        """After an exit that sold a part: the stop beside the next one must not sell more than is left.

        The way out is not kept waiting for it: what doesn't work is tried again with the next exit.
        """
        try:
            async with asyncio.timeout(_RESIZE_SECONDS):
                await self._stops.resize(position_id, "a part was sold")
        except (StopNotMoved, TimeoutError) as error:
            log.warning("stop not re-sized", position_id=position_id, error=str(error))

    async def _take_over(self, session: AsyncSession, position: Position, request: ExitRequest) -> None:
        if request.takeover is None:
            return
        await position_rows.raise_epoch(session, position)
        record_event(
            session,
            "exit_requested",
            position.position_id,
            who=request.requested_by,
            detail={"reason": request.takeover, "note": request.note},
        )

    async def _next_exit(self, session: AsyncSession, position: Position, request: ExitRequest) -> ExitPlan:
        instrument = await find_instrument(session, Category(position.category), position.symbol)
        assert instrument is not None
        exits = [o for o in await order_rows.orders_of(session, position.position_id) if o.role == OrderRole.EXIT]
        exits.sort(key=_number)
        for order in exits:
            if not is_final(OrderState(order.state)):
                return await self._go_on(session, position, order, instrument, request)
        intent = exit_intent(position, instrument, len(exits) + 1)
        if intent is not None and exits and exits[-1].error_code in _TOO_SMALL:
            detail = {"qty": str(position.qty), "code": exits[-1].error_code, "error": exits[-1].error}
            record_event(
                session, "rest_too_small", position.position_id, who="position", severity="page", detail=detail
            )
            intent = None  # the exchange takes no order for so little: what is left goes to the dust ledger
        if intent is None:
            return ExitPlan(order=None, qty_left=position.qty)
        reason, versions = await self._decided(session, position, exits, request)
        fields = intent.model_dump(exclude={"expires_at"}) | versions.columns()
        await order_rows.insert_intent(session, OrderState.PREPARED, exit_reason=reason, **fields)
        return ExitPlan(order=intent, qty_left=position.qty)

    async def _decided(
        self, session: AsyncSession, position: Position, exits: list[Order], request: ExitRequest
    ) -> tuple[str | None, OrderVersions]:
        """Why the next exit is made and by which versions: those of the one before it, whose rest it sells."""
        before = next((order for order in reversed(exits) if order.exit_reason), None)
        if before is not None:
            return before.exit_reason, versions_of(before)
        return request.takeover, await versions_of_exit(session, position, request.takeover)

    async def _go_on(
        self, session: AsyncSession, position: Position, order: Order, instrument: Instrument, request: ExitRequest
    ) -> ExitPlan:
        order = await order_rows.lock_order(session, order.order_link_id)
        if order.state == OrderState.PREPARED:
            held, _ = exit_qty(instrument, position.qty)
            if held != order.qty:  # what it would sell is no longer what is held: this one never goes out
                order_rows.move(session, order, OrderState.DENIED, f"the position now holds {position.qty}")
                return await self._next_exit(session, position, request)
            if order.exit_reason is None and request.takeover is not None:
                order.exit_reason = request.takeover
                (await versions_of_exit(session, position, request.takeover)).write(order)
        return ExitPlan(order=intent_of(order), qty_left=position.qty)

    async def _was_refused(self, position_id: str) -> bool:
        """Whether the newest exit was refused: then somebody else may have closed the position already."""
        async with self._database.session() as session:
            exits = [o for o in await order_rows.orders_of(session, position_id) if o.role == OrderRole.EXIT]
        return bool(exits) and max(exits, key=_number).state == OrderState.REJECTED

    async def _ask_exchange(self, position_id: str) -> None:
        """Fetch the executions since the entry: an exit refused for want of a position was done by somebody."""
        async with self._database.session() as session:
            position = await position_rows.find_position(session, position_id)
            if position is None:
                raise failure(NOT_FOUND, f"no position {position_id}")
            category, symbol = Category(position.category), position.symbol
            since = (position.opened_at or position.reserved_at) - timedelta(minutes=1)
        try:
            executions = await self._exchange.executions(category, symbol=symbol, since=since)
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"can't read executions: {error}") from error
        async with self._database.session() as session:
            await take_in(session, executions)

    @activity.defn
    async def settle_position(self, position_id: str) -> Settled:
        """Close the books of a position: dust, exit reason, seconds without guard and protection. Safe to repeat."""
        with bind(position_id=position_id):
            async with self._database.session() as session:
                await apply_executions(session, position_id)
                position = await position_rows.lock_position(session, position_id)
                if position.state in (PositionState.OPEN, PositionState.EXITING):
                    await settle(session, position)
                return Settled(
                    position_id=position_id,
                    state=PositionState(position.state),
                    exit_reason=ExitReason(position.exit_reason) if position.exit_reason else None,
                    realised_pnl=position.realised_pnl,
                    unprotected_seconds=position.unprotected_seconds,
                    unwatched_seconds=position.unwatched_seconds,
                )


def _number(order: Order | OrderIntent) -> int:
    identity = parse_order_link_id(order.order_link_id)
    return identity.number if identity else 0


def _is_first(order: OrderIntent) -> bool:
    return _number(order) == 1
