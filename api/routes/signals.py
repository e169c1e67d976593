"""Decisions: scans, signals with every gate's verdict, and what blocked them. Times are market time."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from api.authentication import Viewer
from api.paging import Cursor, Limit, SymbolFilter, bad_cursor, cut
from api.presenting_decisions import blocked_view, scan_view, signal_view
from api.presenting_records import signal_detail
from api.problems import not_found
from api.services import ServicesDep
from db import deciding, replaying
from db.cursors import BadCursor, encode_cursor
from domain.decision_views import BlockedSignalView, ScanView, SignalView
from domain.gate_facts import GateCode
from domain.position import PositionState
from domain.replay_views import SignalDetail
from domain.views import Instant, Page

router = APIRouter(tags=["decisions"])

StrategyFilter = Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,40}$")]
Since = Annotated[Instant | None, Query(description="earliest candle close")]
OutcomeFilter = Annotated[
    Literal["blocked", "accepted"] | PositionState | None,
    Query(description="blocked; accepted: a position was asked for and has no row yet; or the state of the position"),
]


@router.get("/signals")
async def list_signals(
    services: ServicesDep,
    _caller: Viewer,
    symbol: SymbolFilter = None,
    strategy: StrategyFilter = None,
    outcome: OutcomeFilter = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SignalView]:
    """Signals and what became of them, newest first."""
    try:
        async with services.database.session() as session:
            found = await deciding.list_signals(
                session,
                symbol=symbol,
                strategy=strategy,
                outcome=outcome,
                since=since,
                cursor=cursor,
                limit=limit + 1,
            )
    except BadCursor as error:
        raise bad_cursor(error) from error
    return cut(found, limit, signal_view, lambda each: encode_cursor(each.row.close_at, each.row.signal_id))


@router.get("/signals/{signal_id}")
async def show_signal(
    services: ServicesDep, _caller: Viewer, signal_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
) -> SignalDetail:
    """The whole record of one signal: evidence, inputs, what the gates saw and said, the regime it knew."""
    async with services.database.session() as session:
        facts = await deciding.find_signal(session, signal_id)
        if facts is None:
            raise not_found("signal", signal_id)
        scan = await replaying.scan_of(session, facts.row)
        regime = await replaying.regime_of(session, facts.row)
    return signal_detail(facts, scan, regime)


@router.get("/blocked-signals")
async def list_blocked_signals(
    services: ServicesDep,
    _caller: Viewer,
    symbol: SymbolFilter = None,
    strategy: StrategyFilter = None,
    gate: Annotated[GateCode | None, Query()] = None,
    since: Since = None,
    every: Annotated[bool, Query(description="every gate that blocked, not only the one that is the reason")] = False,
    limit: Limit = 50,
    cursor: Annotated[int | None, Query(ge=1)] = None,
) -> Page[BlockedSignalView]:
    """Why signals did not become positions, newest first."""
    async with services.database.session() as session:
        found = await deciding.list_blocks(
            session,
            symbol=symbol,
            strategy=strategy,
            gate=gate,
            since=since,
            every=every,
            before=cursor,
            limit=limit + 1,
        )
    return cut(found, limit, lambda pair: blocked_view(*pair), lambda pair: str(pair[0].id))


@router.get("/scans")
async def list_scans(
    services: ServicesDep, _caller: Viewer, limit: Limit = 50, cursor: Cursor = None
) -> Page[ScanView]:
    """Scans of candle closes, newest first."""
    try:
        async with services.database.session() as session:
            rows = await deciding.list_scans(session, cursor=cursor, limit=limit + 1)
    except BadCursor as error:
        raise bad_cursor(error) from error
    return cut(rows, limit, scan_view, lambda row: encode_cursor(row.close_at, row.epoch))
