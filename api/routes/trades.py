"""Trades by hand: a buy opens a long position, a sell a short one, each once per Idempotency-Key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api import commands
from api.authentication import Operator, Viewer
from api.idempotency import KeyHeader, Once
from api.problems import ApiError
from api.services import Services, ServicesDep
from db import reading
from db.repositories.settings import current_settings
from domain.exit_policy import ExitPolicy
from domain.ids import manual_position_id
from domain.market import Category, PositionSide
from domain.position import PositionState
from domain.views import FieldFault, Problem, TradeAccepted, TradeDefaults, TradeRequest
from workflows.position import PositionInput

router = APIRouter(prefix="/trades", tags=["trades"])

_DENIALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {"application/problem+json": {}}} for code in (409, 422)
}


@router.post("", status_code=202, response_model=TradeAccepted, responses=_DENIALS)
async def trade(services: ServicesDep, caller: Operator, key: KeyHeader, request: TradeRequest) -> Response:
    """Open a position. 202: reserved or on its way; 409 or 422: refused, naming field and rule."""
    _check_market(request)
    wanted = PositionInput(
        position_id=manual_position_id(key),
        strategy=request.strategy,
        category=request.market,
        symbol=request.symbol,
        side=request.position_side,
        usd=request.usd,
        qty=request.qty,
        policy=request.exit_policy,
        requested_by=caller.who,
        reason=request.reason,
    )
    once = Once(services.database, "POST /v1/trades", key, request, "/v1/trades")
    return await once.answer(202, lambda: _open(services, wanted))


@router.get("/defaults")
async def defaults(services: ServicesDep, _caller: Viewer) -> TradeDefaults:
    """What a trade uses when it names none."""
    async with services.database.session() as session:
        settings = await current_settings(session)
    return TradeDefaults(exit_policy=ExitPolicy.model_validate(settings["manual_exit_policy"]))


def _check_market(request: TradeRequest) -> None:
    """What no market allows, before anything is started."""
    if request.position_side is PositionSide.SHORT and request.market is Category.SPOT:
        rule = "a spot position is long only: sell on linear, or close the position you hold"
        raise ApiError(422, "short-on-spot", "Short on spot", rule, [FieldFault(field="category", rule=rule)])
    try:
        if request.exit_policy is not None:
            request.exit_policy.check_side(request.position_side)
    except ValueError as error:
        fault = FieldFault(field="exit_policy", rule=str(error))
        raise ApiError(422, "invalid-request", "Invalid request", str(error), [fault]) from error


async def _open(services: Services, wanted: PositionInput) -> TradeAccepted:
    try:
        state = await commands.open_position(services, wanted)
    except commands.Finished:
        state = await _stored_state(services, wanted.position_id)
    link = f"/v1/positions/{wanted.position_id}"
    return TradeAccepted(position_id=wanted.position_id, state=state or "requested", link=link)


async def _stored_state(services: Services, position_id: str) -> str:
    """State of a position whose workflow is over: it was denied unless it left a row."""
    async with services.database.session() as session:
        facts = await reading.find_position(session, position_id)
        refusals = await reading.list_events(session, kind=None, subject=position_id, before=None, limit=20)
    if facts is not None:
        return PositionState(facts.row.state).value
    for event in refusals:
        if "rule" in event.detail:
            code, field = str(event.detail.get("code", "denied")), event.detail.get("field")
            raise commands.denied(code, field, str(event.detail["rule"]))
    raise commands.denied("not_opened", None, f"position {position_id} was not opened; see its events")
