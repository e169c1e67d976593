"""The end of a scan: positions whose strategy wants to leave, and closing the scan's books."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.beating import beating
from activities.deciding import evaluate, load_panels
from activities.due_strategies import DueStrategy, ScanRequest, due_strategies
from db.models import Position, SystemEvent
from db.repositories.audit import record_event
from db.repositories.positions import targets_of
from db.repositories.scans import DONE, finish_scan, lock_scan
from db.session import Database
from domain.candidates import exit_symbols
from domain.exit_policy import ExitPolicy
from domain.position import PositionState
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy

EXIT_SIGNAL = "strategy_exit_signal"
EXIT_IGNORED = "strategy_exit_ignored"
EXIT_NOT_DELIVERED = "strategy_exit_not_delivered"


class Exits(BaseModel):
    """Ids of open positions that their strategy wants to leave."""

    position_ids: list[str]


class ScanEnd(BaseModel):
    """``exits`` were told to leave; ``undelivered`` could not be told: nothing runs for them."""

    request: ScanRequest
    exits: int
    undelivered: list[str]


class ScanExitActivities:
    def __init__(self, database: Database, strategies: Mapping[str, Strategy] = STRATEGIES) -> None:
        self._database = database
        self._strategies = strategies

    @activity.defn
    async def find_exits(self, request: ScanRequest) -> Exits:
        """Open positions whose strategy's exit is true on the bar that closed, held long enough, sell gate on.

        Where the sell gate is off a warning says so: the position is left to its guard and its stop.
        """
        async with beating(), self._database.session() as session:
            leaving: list[str] = []
            for due in await due_strategies(session, self._strategies, request.timeframes):
                held = await self._held(session, due, request.close_at)
                if not held:
                    continue
                panels = await load_panels(session, due, request.close_at)
                evaluation = await asyncio.to_thread(evaluate, due, panels)
                wanted = set(exit_symbols(evaluation, panels[due.config.timeframe]))
                for position in held:
                    if position.symbol not in wanted:
                        continue
                    await _tell_once(session, position, due, request.close_at)
                    if due.config.sell_gate:
                        leaving.append(position.position_id)
            return Exits(position_ids=leaving)

    async def _held(self, session: AsyncSession, due: DueStrategy, close_at: datetime) -> list[Position]:
        """The strategy's open positions that were held before the bar closed, for their minimum time."""
        rows = await session.scalars(
            select(Position)
            .where(
                Position.strategy == due.config.strategy,
                Position.category == due.config.category,
                Position.state == PositionState.OPEN,
                Position.opened_at < close_at,
            )
            .order_by(Position.position_id)
        )
        held = []
        for position in rows.all():
            policy = ExitPolicy.model_validate(
                (await targets_of(session, position.position_id, position.target_version)).policy
            )
            assert position.opened_at is not None
            if position.opened_at + timedelta(seconds=policy.min_hold_seconds) <= close_at:
                held.append(position)
        return held

    @activity.defn
    async def finish_scan(self, end: ScanEnd) -> None:
        """The scan is done and its close is behind the market clock, in one transaction."""
        async with self._database.session() as session:
            scan = await lock_scan(session, end.request.epoch, end.request.close_at)
            if scan.state == DONE:
                return
            await finish_scan(session, scan, end.exits)
            for position_id in end.undelivered:
                record_event(session, EXIT_NOT_DELIVERED, position_id, who="scan", severity="page")
            record_event(
                session,
                "scan_done",
                f"{scan.close_at:%Y-%m-%dT%H:%M:%SZ}",
                who="scan",
                market_at=scan.close_at,
                detail={
                    "timeframes": scan.timeframes,
                    "symbols": scan.symbols,
                    "incomplete": scan.incomplete,
                    "candidates": scan.candidates,
                    "accepted": scan.accepted,
                    "blocked": scan.blocked,
                    "exits": end.exits,
                },
            )


async def _tell_once(session: AsyncSession, position: Position, due: DueStrategy, close_at: datetime) -> None:
    """The audit row of an exit signal; a repeat of the activity finds it there."""
    kind = EXIT_SIGNAL if due.config.sell_gate else EXIT_IGNORED
    known = await session.scalar(
        select(SystemEvent.id)
        .where(SystemEvent.subject == position.position_id, SystemEvent.kind == kind)
        .where(SystemEvent.market_at == close_at)
        .limit(1)
    )
    if known is None:
        record_event(
            session,
            kind,
            position.position_id,
            who="scan",
            severity="info" if due.config.sell_gate else "warning",
            market_at=close_at,
            detail={"strategy": due.config.strategy, "symbol": position.symbol, "sell_gate": due.config.sell_gate},
        )
