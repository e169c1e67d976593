"""The stop at the exchange looked for and repaired, and the next one planned when one ended unfilled."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.failures import EXCHANGE_UNAVAILABLE, NOT_FOUND, failure
from activities.intents import intent_of, stop_intent
from activities.order_placing import OrderIntent, OrderView, learn_report, view_of
from activities.resting_stops import HeldStop, RestingStops, Rests, StopNotMoved, guard_stop_of
from db.models import Order, SystemEvent
from db.repositories import orders as order_rows
from db.repositories.audit import record_event
from db.repositories.executions import executed_qty
from db.repositories.market import find_instrument
from db.repositories.positions import lock_position
from db.repositories.stops import (
    STOP_MISSING,
    STOP_REPAIRED,
    STOP_RESTORED,
    confirm_stop,
    last_confirmed,
    newest_stop,
    stop_gaps,
    stop_number,
    told_too_small,
)
from db.session import Database
from domain.market import Category
from domain.order import OrderState, is_final
from domain.position import PositionState
from domain.protection import is_tighter
from domain.sizing import disaster_trigger, stop_qty
from exchange.protocol import Exchange, ExchangeError
from observability.logs import bind, get_logger

log = get_logger(__name__)

NOT_RESTING = "stop_not_resting"
_ABSENT_LOOKS = 2
_ABSENT_PAUSE_SECONDS = 1.0


class StopCheck(BaseModel):
    """``repaired``: set again or put right. ``gone``: the order ended (``order`` says how). ``missing``: none is out.

    ``not_held``: there is nothing to protect any more.
    """

    outcome: Literal["fine", "repaired", "gone", "missing", "not_held"]
    order: OrderView | None = None


class StopPlanRequest(BaseModel):
    """``ended`` is the stop order that ended unfilled."""

    position_id: str
    ended: str


class StopPlan(BaseModel):
    """The stop to keep resting next; None when nothing is held, or too little for an order."""

    order: OrderIntent | None


class ProtectionActivities:
    """Activities of ``position/<position_id>`` about the stop at the exchange. Each is safe to repeat."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._stops = RestingStops(database, exchange)

    @activity.defn
    async def check_stop(self, position_id: str) -> StopCheck:
        """Compare the stop of an open position with what rests at the exchange, and repair what is wrong."""
        with bind(position_id=position_id):
            async with self._stops.alone(position_id):
                held = await self._stops.held(position_id)
                if held is None or held.position.state != PositionState.OPEN:
                    return StopCheck(outcome="not_held")
                try:
                    return await (self._check_linear(held) if held.linear else self._check_spot(held))
                except ExchangeError as error:
                    raise failure(EXCHANGE_UNAVAILABLE, f"can't look for the stop: {error}") from error
                except StopNotMoved as missed:
                    if missed.outcome == "gone":  # its fill or cancel is on its way to us
                        return StopCheck(outcome="gone")
                    raise failure(EXCHANGE_UNAVAILABLE, f"stop not repaired: {missed}") from missed

    async def _check_linear(self, held: HeldStop) -> StopCheck:
        found = await self._stops.look(held)
        wanted = Rests(await self._belongs_at(held), None)
        if found == wanted:
            await self._confirm(held, wanted)
            return StopCheck(outcome="fine")
        if found is None:
            await self._say_missing(held, wanted)
        await self._stops.bring(held, wanted, "not as it should be", "check", surely=True)
        await self._say_repaired(held, found, wanted)
        return StopCheck(outcome="repaired")

    async def _check_spot(self, held: HeldStop) -> StopCheck:
        order = held.order
        if order is None or is_final(OrderState(order.state)):
            return StopCheck(outcome="missing")
        if order.state in (OrderState.PREPARED, OrderState.SENT, OrderState.UNKNOWN):
            return StopCheck(outcome="fine")  # its workflow is about it
        view = await self._learn(order)
        if view is None or view.state is not OrderState.UNTRIGGERED:
            return StopCheck(outcome="gone", order=view)
        found, trigger = await self._stops.look(held), await self._belongs_at(held)
        qty = stop_qty(held.instrument, held.position.qty, trigger)
        if found is None:
            raise failure(EXCHANGE_UNAVAILABLE, f"{order.order_link_id} was there a moment ago")
        if qty == 0:
            await self._stops.move(held, trigger, "checked")
            return StopCheck(outcome="repaired")
        wanted = Rests(trigger, qty)
        if found == wanted:
            await self._confirm(held, wanted)
            return StopCheck(outcome="fine")
        await self._stops.bring(held, wanted, "not as it should be", "check", surely=True)
        await self._say_repaired(held, found, wanted)
        return StopCheck(outcome="repaired")

    async def _belongs_at(self, held: HeldStop) -> Decimal:
        """Where it was last confirmed, unless that is inside the guard's own stop."""
        async with self._database.session() as session:
            guard_stop = await guard_stop_of(session, held.position)
        known = held.rests.trigger if held.rests is not None else held.position.disaster_stop
        if known is not None and is_tighter(held.side, guard_stop, known):
            return known
        return disaster_trigger(held.instrument, held.side, guard_stop, held.position.disaster_buffer_pct)

    async def _learn(self, order: Order) -> OrderView | None:
        """The exchange's word on a stop order, written down; one it does not know at all is over."""
        for look in range(_ABSENT_LOOKS):
            report = await self._exchange.find_order(Category.SPOT, order.symbol, order.order_link_id)
            if report is not None:
                async with self._database.session() as session:
                    return await learn_report(session, report, "stop check")
            resting = await self._exchange.open_orders(Category.SPOT, order.symbol)
            if any(each.order_link_id == order.order_link_id for each in resting):
                return None
            if look + 1 < _ABSENT_LOOKS:
                await asyncio.sleep(_ABSENT_PAUSE_SECONDS)
        async with self._database.session() as session:
            await lock_position(session, order.position_id)
            row = await order_rows.lock_order(session, order.order_link_id)
            if not is_final(OrderState(row.state)):
                order_rows.learn(session, row, OrderState.DEACTIVATED, "neither open nor in the history")
            await session.flush()
            return view_of(row, await executed_qty(session, row.order_link_id))

    async def _confirm(self, held: HeldStop, rests: Rests) -> None:
        if held.position.disaster_stop != rests.trigger:
            async with self._database.session() as session:
                await confirm_stop(session, held.position.position_id, rests.trigger)

    async def _say_missing(self, held: HeldStop, wanted: Rests) -> None:
        """Before it is set again: what was unprotected stays on record even if this attempt goes no further."""
        position_id = held.position.position_id
        async with self._database.session() as session:
            gaps = await stop_gaps(session, position_id)
            if gaps and gaps[-1][1] is None:
                return
            since = await last_confirmed(session, position_id) or held.position.opened_wall
            assert since is not None, "an open position has its time of opening"
            detail = {"since": since.isoformat(), "set_to": str(wanted.trigger), "symbol": held.position.symbol}
            record_event(session, STOP_MISSING, position_id, who="check", severity="page", detail=detail)

    async def _say_repaired(self, held: HeldStop, found: Rests | None, wanted: Rests) -> None:
        kind = STOP_RESTORED if found is None else STOP_REPAIRED
        detail = {
            "found": None if found is None else {"trigger": str(found.trigger), "qty": str(found.qty)},
            "now": {"trigger": str(wanted.trigger), "qty": str(wanted.qty)},
        }
        async with self._database.session() as session:
            record_event(session, kind, held.position.position_id, who="check", severity="warning", detail=detail)

    @activity.defn
    async def plan_stop(self, request: StopPlanRequest) -> StopPlan:
        """The stop that takes the place of one that ended unfilled, for what is held and where the guard's stop is."""
        with bind(position_id=request.position_id):
            async with self._database.session() as session:
                try:
                    position = await lock_position(session, request.position_id)
                except LookupError as error:
                    raise failure(NOT_FOUND, str(error)) from error
                if position.state != PositionState.OPEN:
                    return StopPlan(order=None)
                newest = await newest_stop(session, request.position_id)
                if newest is not None and (not is_final(OrderState(newest.state)) or newest.cum_exec_qty > 0):
                    return StopPlan(order=intent_of(newest))
                await confirm_stop(session, request.position_id, None)
                await _say_not_resting(session, request)
                instrument = await find_instrument(session, Category(position.category), position.symbol)
                assert instrument is not None
                guard_stop = await guard_stop_of(session, position)
                number = 1 if newest is None else stop_number(newest) + 1
                return StopPlan(order=stop_intent(position, instrument, guard_stop, number))


async def _say_not_resting(session: AsyncSession, request: StopPlanRequest) -> None:
    """A page for each stop that ended unfilled, but for one that was taken away for being too small."""
    if await told_too_small(session, request.position_id, request.ended):
        return
    told = select(SystemEvent.id).where(SystemEvent.kind == NOT_RESTING, SystemEvent.subject == request.ended)
    if await session.scalar(told.limit(1)) is None:
        record_event(session, NOT_RESTING, request.ended, who="position", severity="page")
