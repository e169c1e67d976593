"""The guard of a position: a heartbeating activity that ends when its exit is out or somebody else has the position."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.exit_firing import Firing
from activities.failures import NOT_FOUND, failure
from activities.guard_book import GuardBook
from activities.guard_notes import state_from_json
from activities.guard_watch import Seen, Targets, Watch
from activities.order_placing import request_of
from activities.resting_stops import RestingStops
from activities.stop_following import StopFollowing
from db.models import Order, Position
from db.repositories.guards import last_evaluation
from db.repositories.orders import find_order
from db.repositories.positions import lock_position, raise_epoch, targets_of
from db.session import Database
from domain.exits import ExitPolicy, ExitReason, GuardState
from domain.ids import OrderRole, order_link_id
from domain.market import Category, PositionSide
from domain.order import OrderState
from domain.position import PositionState
from exchange.protocol import ExchangeError
from observability.logs import bind, get_logger

log = get_logger(__name__)

HEARTBEAT_SECONDS = 1.0


class GuardRequest(BaseModel):
    position_id: str


class GuardResult(BaseModel):
    """``fired``: the exit order is out. ``superseded``: the position left another way. ``nothing``: none to guard."""

    outcome: Literal["fired", "superseded", "nothing"]
    reason: ExitReason | None = None


class GuardCursor(BaseModel):
    """What a heartbeat carries: enough for the next attempt to go on from."""

    state: GuardState
    target_version: int
    seen: Seen | None = None


class GuardActivities:
    """The guard activity; the book and its streams belong to the worker."""

    def __init__(self, database: Database, book: GuardBook) -> None:
        self._database = database
        self._book = book
        self._stops = RestingStops(database, book.exchange)

    @activity.defn
    async def guard_position(self, request: GuardRequest) -> GuardResult:
        """Watch every trade until the exit fires. Each attempt first raises the epoch: the one before can't fire."""
        with bind(position_id=request.position_id):
            cursor = _cursor(activity.info().heartbeat_details)
            watch = await self._take_over(request.position_id, cursor)
            if isinstance(watch, GuardResult):
                return watch
            log.info("guarding", guard_epoch=watch.guard_epoch, attempt=activity.info().attempt)
            self._book.watch(watch)
            try:
                return await self._until_over(watch)
            except asyncio.CancelledError:  # Temporal gave the guard to another worker, or this one ends
                log.info("guard was called off", guard_epoch=watch.guard_epoch)
                raise
            finally:
                self._book.leave(watch)

    async def _until_over(self, watch: Watch) -> GuardResult:
        following = StopFollowing(self._stops, watch, in_steps=await self._in_steps())
        while not watch.outcome.done():
            self._book.refresh(watch)
            following.look()
            cursor = GuardCursor(state=watch.state, target_version=watch.targets.version, seen=watch.seen)
            activity.heartbeat(cursor.model_dump(mode="json"))
            await asyncio.wait([watch.outcome], timeout=HEARTBEAT_SECONDS)
        if watch.outcome.result() is Firing.FIRED:
            return GuardResult(outcome="fired", reason=watch.reason)
        return GuardResult(outcome="superseded")

    async def _in_steps(self) -> bool:
        try:
            return (await self._book.exchange.market_clock()).step
        except ExchangeError:  # a market in steps stands on this machine and answers
            return False

    async def _take_over(self, position_id: str, cursor: GuardCursor | None) -> Watch | GuardResult:
        async with self._database.session() as session:
            try:
                position = await lock_position(session, position_id)
            except LookupError as error:
                raise failure(NOT_FOUND, str(error)) from error
            if position.state != PositionState.OPEN:
                return GuardResult(outcome="superseded")
            await raise_epoch(session, position)
            order = await find_order(session, order_link_id(position_id, OrderRole.EXIT))
            if order is None:
                return GuardResult(outcome="nothing")
            if order.state != OrderState.PREPARED:  # fired before this attempt: its workflow asks what became of it
                reason = ExitReason(order.exit_reason) if order.exit_reason else None
                return GuardResult(outcome="fired", reason=reason)
            return await self._watch_of(session, position, order, cursor)

    async def _watch_of(
        self, session: AsyncSession, position: Position, order: Order, cursor: GuardCursor | None
    ) -> Watch:
        """The guard where the last one stood, under the targets that one had: newer ones judge from its joining on."""
        last = await self._last(session, position, cursor)
        return Watch(
            position_id=position.position_id,
            category=Category(position.category),
            symbol=position.symbol,
            guard_epoch=position.guard_epoch,
            targets=await _targets(session, position.position_id, last.target_version),
            newest=await _targets(session, position.position_id, position.target_version),
            state=last.state,
            seen=last.seen,
            exit_request=request_of(order),
            buffer_pct=position.disaster_buffer_pct,
            held=position.qty,
            resting=position.disaster_stop,
            outcome=asyncio.get_running_loop().create_future(),
        )

    async def _last(self, session: AsyncSession, position: Position, cursor: GuardCursor | None) -> GuardCursor:
        """The newest of heartbeat and evaluation; for a position never watched, its state at the entry."""
        noted = await last_evaluation(session, position.position_id)
        found = [] if cursor is None else [cursor]
        if noted is not None:
            state, seen = state_from_json(noted.state)
            found.append(GuardCursor(state=state, target_version=noted.target_version, seen=seen))
        if found:
            return max(found, key=lambda each: (each.target_version, each.state.as_of))
        assert position.entry_price is not None
        assert position.opened_at is not None
        first = await _targets(session, position.position_id, max(position.acknowledged_version, 1))
        state = GuardState.opened(PositionSide(position.side), position.entry_price, position.opened_at, first.policy)
        return GuardCursor(state=state, target_version=first.version)


async def _targets(session: AsyncSession, position_id: str, version: int) -> Targets:
    row = await targets_of(session, position_id, version)
    return Targets(version, ExitPolicy.model_validate(row.policy))


def _cursor(details: Any) -> GuardCursor | None:
    return GuardCursor.model_validate(details[0]) if details else None
