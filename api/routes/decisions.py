"""Decisions asked again: what strategies decided on, and whether the same inputs lead to the same answer."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path

from api.authentication import Viewer
from api.paging import Cursor, Limit, bad_cursor, cut
from api.presenting_records import strategy_scan_view
from api.problems import ApiError, not_found
from api.routes.signals import Since, StrategyFilter
from api.services import ServicesDep
from db import replaying
from db.cursors import BadCursor, encode_cursor
from domain.replay_views import ReplayView, StrategyScanView
from domain.strategies import STRATEGIES
from domain.views import Page

router = APIRouter(tags=["decisions"])

Decision = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9_@:.+-]{1,100}$",
        description="a signal's id, or STRATEGY@CLOSE for all that a strategy decided at a close",
    ),
]


@router.get("/decisions")
async def list_decisions(
    services: ServicesDep,
    _caller: Viewer,
    strategy: StrategyFilter = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[StrategyScanView]:
    """What strategies decided on, whether they wanted anything or not, newest first."""
    try:
        async with services.database.session() as session:
            rows = await replaying.list_decisions(
                session, strategy=strategy, since=since, cursor=cursor, limit=limit + 1
            )
    except BadCursor as error:
        raise bad_cursor(error) from error
    return cut(rows, limit, strategy_scan_view, lambda row: encode_cursor(row.close_at, f"{row.strategy}@{row.epoch}"))


@router.get("/decisions/{decision}/replay")
async def replay_decision(services: ServicesDep, _caller: Viewer, decision: Decision) -> ReplayView:
    """Ask a decision again, a block just as an acceptance, and tell everything that is different now."""
    try:
        async with services.database.session() as session:
            asked = await replaying.load_decision(session, decision, STRATEGIES)
    except replaying.UnknownDecision:
        raise not_found("decision", decision) from None
    except replaying.NotReplayable as error:
        raise ApiError(409, "not-replayable", "Not replayable", str(error)) from error
    return await asyncio.to_thread(asked.again)
