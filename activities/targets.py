"""New targets for a position: a version written, and the guard's acknowledgement awaited."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.failures import BAD_INPUT, NOT_FOUND, TARGETS_MOVED, failure
from db.repositories import positions as position_rows
from db.repositories.audit import record_event
from db.repositories.orders import orders_of
from db.session import Database
from domain.exits import ExitPolicy, stop_price_for
from domain.ids import OrderRole
from domain.market import PositionSide

ACKNOWLEDGEMENT_SECONDS = 8.0
"""How long a change of targets waits for its guard: longer than a failover's heartbeat timeout."""


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

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def change_targets(self, change: TargetChange) -> TargetsWritten:
        """Write the next version and wait until the guard works by it (up to 8 s, else ``acknowledged`` is False)."""
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

    async def _write_targets(self, session: AsyncSession, change: TargetChange) -> int:
        policy = change.policy.model_dump(mode="json")
        await self._check(session, change)
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

    async def _check(self, session: AsyncSession, change: TargetChange) -> None:
        """Refuse what can't be reached on the position's side, and a stop beyond the one that rests at the exchange."""
        position = await position_rows.find_position(session, change.position_id)
        if position is None:
            raise failure(NOT_FOUND, f"no position {change.position_id}")
        side = PositionSide(position.side)
        try:
            change.policy.check_side(side)
        except ValueError as error:
            raise failure(BAD_INPUT, f"policy: {error}", field="policy", rule=str(error)) from error
        resting = await _resting_stop(session, change.position_id)
        if position.entry_price is None or resting is None:
            return
        stop = stop_price_for(side, position.entry_price, change.policy)
        if side.sign * (stop - resting) <= 0:
            rule = f"the stop at {stop:f} would lie beyond the one that rests at the exchange at {resting:f}"
            raise failure(BAD_INPUT, f"stop_loss_pct: {rule}", field="stop_loss_pct", rule=rule)


async def _resting_stop(session: AsyncSession, position_id: str) -> Decimal | None:
    """Trigger of the stop at the exchange: of the newest stop order, or attached to the entry."""
    orders = await orders_of(session, position_id)
    stops = [order.trigger_price for order in orders if order.role == OrderRole.STOP]
    attached = [order.stop_loss for order in orders if order.role == OrderRole.ENTRY]
    return (stops or attached or [None])[-1]
