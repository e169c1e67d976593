"""New targets for a position: a version written, and the guard's acknowledgement awaited."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import BAD_INPUT, EXCHANGE_UNAVAILABLE, NOT_FOUND, TARGETS_MOVED, failure
from activities.resting_stops import HeldStop, RestingStops, StopNotMoved, guard_stop_of
from db.repositories import positions as position_rows
from db.repositories.audit import record_event
from db.session import Database
from domain.exits import ExitPolicy
from domain.market import FilterViolation, PositionSide
from domain.position import PositionState
from domain.protection import is_tighter
from domain.sizing import disaster_trigger
from exchange.protocol import Exchange
from observability.logs import bind

ACKNOWLEDGEMENT_SECONDS = 8.0
"""How long a change of targets waits for its guard: longer than a failover's heartbeat timeout."""
NOT_OPEN = "position_not_open"
STOP_NOT_MOVED = "stop_not_moved"
_ATTEMPTS = 5


class TargetChange(BaseModel):
    position_id: str
    policy: ExitPolicy
    expected_version: int
    requested_by: str
    reason: str


class TargetsWritten(BaseModel):
    version: int
    acknowledged: bool


class TargetActivities:
    """The activity behind the update ``set_targets``."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._stops = RestingStops(database, exchange)

    @activity.defn
    async def change_targets(self, change: TargetChange) -> TargetsWritten:
        """Write the next version and wait until the guard works by it (up to 8 s, else ``acknowledged`` is False).

        The guard's stop never lies beyond the one at the exchange: targets that are looser than it come into force
        only when it has been moved; after tighter ones it follows the guard.
        """
        with bind(position_id=change.position_id):
            async with self._stops.alone(change.position_id):
                await self._make_room(change)
                async with self._database.session() as session:
                    version = await self._write_targets(session, change)
        deadline = time.monotonic() + ACKNOWLEDGEMENT_SECONDS
        while time.monotonic() < deadline:
            async with self._database.session() as session:
                position = await position_rows.find_position(session, change.position_id)
                if position is not None and position.acknowledged_version >= version:
                    return TargetsWritten(version=version, acknowledged=True)
            await asyncio.sleep(0.05)
        return TargetsWritten(version=version, acknowledged=False)

    async def _make_room(self, change: TargetChange) -> None:
        """Move the stop at the exchange if the new targets are too loose for where it rests. Nothing else is done."""
        async with self._database.session() as session:
            position = await position_rows.find_position(session, change.position_id)
            if position is None:
                raise failure(NOT_FOUND, f"no position {change.position_id}")
            _check_side(change, PositionSide(position.side))
            if position.target_version != change.expected_version or position.entry_price is None:
                return  # refused when it is written, or written by an attempt before this one
            guard_stop = await guard_stop_of(session, position, change.policy)
        held = await self._stops.held(change.position_id)
        if held is None or position.state != PositionState.OPEN:
            raise failure(NOT_OPEN, f"the position is not open: it is {position.state}")
        if held.under_way:
            raise _not_moved(StopNotMoved("gone", "the stop at the exchange does not rest at this moment"))
        trigger = _trigger(held, guard_stop)
        if held.rests is None or not is_tighter(held.side, held.rests.trigger, trigger):
            return
        try:
            await self._stops.move(
                held, trigger, f"room for targets {change.expected_version + 1}", change.requested_by
            )
        except StopNotMoved as missed:
            raise _not_moved(missed) from missed

    async def _write_targets(self, session: AsyncSession, change: TargetChange) -> int:
        policy = change.policy.model_dump(mode="json")
        try:
            version = await position_rows.write_targets(
                session, change.position_id, policy, change.expected_version, change.requested_by, change.reason
            )
        except LookupError as error:
            raise failure(NOT_FOUND, str(error)) from error
        except position_rows.TargetsMoved as moved:
            current = await position_rows.targets_of(session, change.position_id, moved.current)
            mine = moved.current == change.expected_version + 1 and current.policy == policy
            if mine and current.set_by == change.requested_by and current.reason == change.reason:
                return moved.current  # our own write, whose answer was lost
            raise failure(TARGETS_MOVED, str(moved), field="expected_version", current=moved.current) from moved
        record_event(
            session,
            "targets_set",
            change.position_id,
            who=change.requested_by,
            detail={"version": version, "policy": policy, "reason": change.reason},
        )
        return version


def _check_side(change: TargetChange, side: PositionSide) -> None:
    """Refuse what can't be reached on the position's side."""
    try:
        change.policy.check_side(side)
    except ValueError as error:
        raise failure(BAD_INPUT, f"policy: {error}", field="policy", rule=str(error)) from error


def _trigger(held: HeldStop, guard_stop: Decimal) -> Decimal:
    """Where the stop at the exchange belongs for a guard's stop; refused where there is no such price."""
    try:
        return disaster_trigger(held.instrument, held.side, guard_stop, held.position.disaster_buffer_pct)
    except FilterViolation as violation:
        rule = f"leaves no room for a stop at the exchange beyond {guard_stop:f}: {violation.rule}"
        raise failure(BAD_INPUT, f"stop_loss_pct: {rule}", field="stop_loss_pct", rule=rule) from violation


def _not_moved(missed: StopNotMoved) -> ApplicationError:
    """Tried again while the stop is being replaced or the exchange doesn't answer, but not for ever."""
    rule = f"the targets stay as they are: {missed}"
    tries_left = missed.outcome != "refused" and activity.info().attempt < _ATTEMPTS
    kind = EXCHANGE_UNAVAILABLE if tries_left else STOP_NOT_MOVED
    return failure(kind, f"stop_loss_pct: {rule}", field="stop_loss_pct", rule=rule)
