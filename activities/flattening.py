"""Getting out of everything: no entries any more, and which positions are still there."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy import select
from temporalio import activity

from db.models import Position, SystemSetting
from db.repositories.audit import record_event
from db.repositories.book import holding, lock_reservations
from db.session import Database
from domain.system_settings import TRADING_HALTED


class FlattenRequest(BaseModel):
    """``symbol`` None: everything, and nothing is entered any more."""

    flatten_id: str
    symbol: str | None
    requested_by: str
    reason: str


class FlattenActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def begin_flatten(self, request: FlattenRequest) -> list[str]:
        """Halt entries unless it is one symbol only, and the ids of what holds its place then, the oldest first.

        A reservation is over before the halt or sees it: nothing that was wanted before can come after.
        """
        async with self._database.session(actor=request.requested_by, reason=request.reason) as session:
            await lock_reservations(session)
            if request.symbol is None:
                halted = await session.get(SystemSetting, TRADING_HALTED, with_for_update=True)
                assert halted is not None, "seeded by the migrations"
                halted.value = True  # nothing is written, and no history, where it is so already
            record_event(
                session,
                "flatten_requested",
                request.flatten_id,
                who=request.requested_by,
                severity="warning",
                detail={"symbol": request.symbol, "reason": request.reason},
            )
            query = select(Position.position_id).where(holding())
            if request.symbol is not None:
                query = query.where(Position.symbol == request.symbol)
            return list(await session.scalars(query.order_by(Position.created_wall)))

    @activity.defn
    async def positions_left(self, position_ids: list[str]) -> list[str]:
        """Those of ``position_ids`` that are still there, the oldest first."""
        query = select(Position.position_id).where(holding()).order_by(Position.created_wall)
        async with self._database.session() as session:
            return list(await session.scalars(query.where(Position.position_id.in_(position_ids))))

    @activity.defn
    async def end_flatten(self, request: FlattenRequest, positions: int) -> None:
        async with self._database.session() as session:
            record_event(
                session,
                "flatten_done",
                request.flatten_id,
                who=request.requested_by,
                detail={"symbol": request.symbol, "positions": positions},
            )
