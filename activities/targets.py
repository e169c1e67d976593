"""New targets for a position: a version written, and the guard's acknowledgement awaited."""

from __future__ import annotations

import asyncio
import time

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.failures import NOT_FOUND, TARGETS_MOVED, failure
from db.repositories import positions as position_rows
from db.repositories.audit import record_event
from db.session import Database
from domain.exits import ExitPolicy

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
