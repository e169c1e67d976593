"""Positions: what is and was held, and the two commands an operator has over one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api import commands
from api.authentication import Operator, Viewer
from api.paging import Cursor, Limit, SymbolFilter, bad_cursor, cut
from api.presenting import position_detail, position_view
from api.problems import ApiError, not_found
from api.services import Services, ServicesDep
from db import reading
from db.cursors import BadCursor, encode_cursor
from db.reading import PositionFacts
from domain.position import ACTIVE_STATES, PositionState
from domain.views import (
    CloseAccepted,
    CloseRequest,
    FieldFault,
    Page,
    PositionDetail,
    PositionView,
    TargetsAccepted,
    TargetsRequest,
)
from workflows.position import CloseRequest as CloseCommand
from workflows.position import SetTargets

router = APIRouter(prefix="/positions", tags=["positions"])

PositionId = Annotated[str, Path(max_length=64)]
StateFilter = Annotated[
    PositionState | Literal["active", "final"] | None,
    Query(description="a state; active: any that holds its symbol; final: the others"),
]


@router.get("")
async def list_positions(
    services: ServicesDep,
    _caller: Viewer,
    state: StateFilter = None,
    symbol: SymbolFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[PositionView]:
    """Positions, newest first, with live prices and protection."""
    now = datetime.now(UTC)
    try:
        async with services.database.session() as session:
            facts = await reading.list_positions(session, state=state, symbol=symbol, cursor=cursor, limit=limit + 1)
    except BadCursor as error:
        raise bad_cursor(error) from error
    return cut(
        facts,
        limit,
        lambda each: position_view(each, now),
        lambda each: encode_cursor(each.row.created_wall, each.row.position_id),
    )


@router.get("/{position_id}")
async def show_position(services: ServicesDep, _caller: Viewer, position_id: PositionId) -> PositionDetail:
    """One position with its targets, evaluations, orders, executions, lots and matches."""
    async with services.database.session() as session:
        facts = await _found(session, position_id)
        history = await reading.position_history(session, position_id)
    return position_detail(facts, history, datetime.now(UTC))


@router.post("/{position_id}/close", status_code=202)
async def close_position(
    services: ServicesDep, caller: Operator, position_id: PositionId, request: CloseRequest
) -> CloseAccepted:
    """Close at market. 409 when it is not open, or holds another quantity than expected."""
    facts = await _active(services, position_id)
    if request.expected_qty is not None and request.expected_qty != facts.row.qty:
        rule = f"the position now holds {facts.row.qty:f}, not {request.expected_qty:f}"
        fault = FieldFault(field="expected_qty", rule=rule)
        raise ApiError(409, "position-changed", "Position changed", rule, [fault])
    command = CloseCommand(reason=request.reason, requested_by=caller.who)
    try:
        result = await commands.close_position(services, position_id, command)
    except commands.Finished as error:
        raise await _over(services, position_id) from error
    return CloseAccepted(position_id=position_id, state=result.state, order_link_id=result.order_link_id)


@router.post("/{position_id}/targets", status_code=200)
async def change_targets(
    services: ServicesDep, caller: Operator, position_id: PositionId, request: TargetsRequest
) -> TargetsAccepted:
    """Give a position another exit policy. 409 when its targets moved since the version seen."""
    facts = await _active(services, position_id)
    if request.expected_version != facts.row.target_version:
        rule = f"the targets are at version {facts.row.target_version}, not {request.expected_version}: read them again"
        fault = FieldFault(field="expected_version", rule=rule)
        raise ApiError(409, "targets-moved", "Targets moved", rule, [fault])
    command = SetTargets(
        policy=request.policy,
        expected_version=request.expected_version,
        reason=request.reason,
        requested_by=caller.who,
    )
    try:
        result = await commands.set_targets(services, position_id, command)
    except commands.Finished as error:
        raise await _over(services, position_id) from error
    return TargetsAccepted(position_id=position_id, version=result.version, acknowledged=result.acknowledged)


async def _found(session: AsyncSession, position_id: str) -> PositionFacts:
    facts = await reading.find_position(session, position_id)
    if facts is None:
        raise not_found("position", position_id)
    return facts


async def _active(services: Services, position_id: str) -> PositionFacts:
    async with services.database.session() as session:
        facts = await _found(session, position_id)
    if facts.row.state not in ACTIVE_STATES:
        raise _not_open(position_id, facts.row.state)
    return facts


async def _over(services: Services, position_id: str) -> ApiError:
    """The problem when the workflow of a position that should have one does not run."""
    async with services.database.session() as session:
        facts = await _found(session, position_id)
    if facts.row.state not in ACTIVE_STATES:
        return _not_open(position_id, facts.row.state)
    detail = f"position {position_id} is {facts.row.state}, but its workflow does not run; it is being restored"
    return ApiError(503, "workflow-missing", "Workflow missing", detail, headers={"Retry-After": "5"})


def _not_open(position_id: str, state: str) -> ApiError:
    return ApiError(
        409, "position-not-open", "Position not open", f"position {position_id} is {state}: there is nothing left to do"
    )
