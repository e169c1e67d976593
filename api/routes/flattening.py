"""Leave everything: a workflow that closes position after position until none is left."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter
from fastapi.responses import Response

from api.authentication import Operator
from api.commands import Finished, start_once
from api.idempotency import KeyHeader, Once
from api.services import Services, ServicesDep
from db import reading
from domain.decision_views import FlattenAccepted, FlattenRequest
from domain.ids import flatten_id
from workflows.flatten import FlattenInput, FlattenWorkflow, flatten_workflow_id

router = APIRouter(prefix="/system", tags=["system"])


@router.post("/flatten", status_code=202, response_model=FlattenAccepted)
async def flatten(services: ServicesDep, caller: Operator, key: KeyHeader, request: FlattenRequest) -> Response:
    """Halt entries and close every open position, or those of one symbol (which halts nothing)."""
    wanted = FlattenInput(
        flatten_id=flatten_id(key), symbol=request.symbol, requested_by=caller.who, reason=request.reason
    )
    once = Once(services.database, "POST /v1/system/flatten", key, request, "/v1/system/flatten")
    return await once.answer(202, lambda: _flatten(services, wanted))


async def _flatten(services: Services, wanted: FlattenInput) -> FlattenAccepted:
    async with services.database.session() as session:
        positions = await reading.count_open_positions(session, wanted.symbol)
    identity = flatten_workflow_id(wanted.flatten_id)
    with suppress(Finished):  # a repeat of one that is over: it did what was asked
        await start_once(services, FlattenWorkflow.run, wanted, identity)
    return FlattenAccepted(workflow_id=identity, positions=positions)
