"""The guard of a position: a heartbeating activity that ends when its exit is out or somebody else has the position."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.exit_firing import Firing
from activities.failures import NOT_FOUND, failure
from activities.guard_book import GuardBook, Watch
from activities.orders import request_of
from db.models import Order, Position
from db.repositories.guards import acknowledge, last_evaluation, open_lease
from db.repositories.orders import find_order
from db.repositories.positions import lock_position, raise_epoch, targets_of
from db.session import Database
from domain.exits import ExitPolicy, ExitReason, GuardState, retarget
from domain.ids import OrderRole, order_link_id
from domain.market import Category, PositionSide
from domain.order import OrderState
from domain.position import PositionState
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


class GuardActivities:
    """The guard activity; the book and its streams belong to the worker."""

    def __init__(self, database: Database, book: GuardBook) -> None:
        self._database = database
        self._book = book

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
            finally:
                self._book.leave(watch)

    async def _until_over(self, watch: Watch) -> GuardResult:
        while not watch.outcome.done():
            state = self._book.state_of(watch)
            activity.heartbeat(GuardCursor(state=state, target_version=watch.target_version).model_dump(mode="json"))
            await asyncio.wait([watch.outcome], timeout=HEARTBEAT_SECONDS)
        if watch.outcome.result() is Firing.FIRED:
            return GuardResult(outcome="fired", reason=watch.reason)
        return GuardResult(outcome="superseded")

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
            await open_lease(session, position_id, position.guard_epoch, self._book.worker)
            return await self._watch_of(session, position, order, cursor)

    async def _watch_of(
        self, session: AsyncSession, position: Position, order: Order, cursor: GuardCursor | None
    ) -> Watch:
        version = position.target_version
        policy = ExitPolicy.model_validate((await targets_of(session, position.position_id, version)).policy)
        state, seen_version = await self._last_state(session, position, policy, cursor)
        if seen_version != version:
            state = retarget(state, policy)
        await acknowledge(session, position.position_id, position.guard_epoch, version)
        return Watch(
            position_id=position.position_id,
            category=Category(position.category),
            symbol=position.symbol,
            guard_epoch=position.guard_epoch,
            target_version=version,
            policy=policy,
            state=state,
            exit_request=request_of(order),
            outcome=asyncio.get_running_loop().create_future(),
        )

    async def _last_state(
        self, session: AsyncSession, position: Position, policy: ExitPolicy, cursor: GuardCursor | None
    ) -> tuple[GuardState, int]:
        """The newest of heartbeat and evaluation; for a position never watched, its state at the entry."""
        noted = await last_evaluation(session, position.position_id)
        found: list[tuple[datetime, GuardState, int]] = []
        if cursor is not None:
            found.append((cursor.state.as_of, cursor.state, cursor.target_version))
        if noted is not None:
            state = GuardState.model_validate(noted.state)
            found.append((state.as_of, state, noted.target_version))
        if found:
            _, state, version = max(found, key=lambda each: (each[2], each[0]))
            return state, version
        assert position.entry_price is not None
        assert position.opened_at is not None
        side = PositionSide(position.side)
        return GuardState.opened(side, position.entry_price, position.opened_at, policy), position.target_version


def _cursor(details: Any) -> GuardCursor | None:
    return GuardCursor.model_validate(details[0]) if details else None
