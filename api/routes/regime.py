"""The market's regime: the one in force and why, every one there was, and computing a past nobody computed."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.authentication import Operator, Viewer
from api.changes import bad_value
from api.paging import Cursor, Limit, bad_cursor, cut
from api.presenting_regime import regime_view
from api.problems import ApiError
from api.services import Services, ServicesDep, temporal_unreachable
from db.cursors import BadCursor, decode_cursor, encode_cursor
from db.repositories.market import newest_market_time
from db.repositories.portfolio import current_epoch, market_now
from db.repositories.regimes import known_wall, list_regimes, newest_known, newest_regime, regime_at
from domain.faults import BadValue
from domain.history import OLDEST
from domain.regime import Regime
from domain.regime_views import RegimeNowView, RegimeRebuildAccepted, RegimeRebuildRequest, RegimeView
from domain.views import Instant, Page
from workflows.options import MARKET_QUEUE, WORKFLOW_TASK_TIMEOUT
from workflows.regime import WORKFLOW_ID, RegimeRebuildInput, RegimeRebuildWorkflow

router = APIRouter(prefix="/regime", tags=["decisions"])

AsOf = Annotated[Instant | None, Query(description="market time: only what was known then; default: now")]

_RPC_TIMEOUT = timedelta(seconds=3)
_UNREACHABLE = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


@router.get("")
async def show_regime(services: ServicesDep, _caller: Viewer, as_of: AsOf = None) -> RegimeNowView:
    """The regime that decides now, or that was known to decide ``as_of`` then, and the newest one with its terms."""
    async with services.database.session() as session:
        epoch = await current_epoch(session)
        if epoch is None:
            return RegimeNowView(as_of=None, in_force=None, newest=None)
        if as_of is None:
            now, known_by = await market_now(session, epoch), None
            newest = await newest_regime(session, epoch)
        else:
            now, known_by = as_of, await known_wall(session, epoch, as_of)
            newest = await newest_known(session, epoch, as_of, known_by)
        ruling = await regime_at(session, epoch, now, known_by) if now is not None else None
    return RegimeNowView(
        as_of=now,
        in_force=Regime(ruling.effective) if ruling is not None and ruling.effective else None,
        newest=regime_view(newest) if newest is not None else None,
    )


@router.get("/history")
async def show_history(
    services: ServicesDep,
    _caller: Viewer,
    since: Annotated[Instant | None, Query(description="earliest 4h close")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
) -> Page[RegimeView]:
    """The regime at every 4h close of this market, newest first."""
    try:
        before = decode_cursor(cursor)[0] if cursor is not None else None
    except BadCursor as error:
        raise bad_cursor(error) from error
    async with services.database.session() as session:
        epoch = await current_epoch(session)
        if epoch is None:
            return Page(items=[])
        rows = await list_regimes(session, epoch=epoch, since=since, before=before, limit=limit + 1, as_of=as_of)
    return cut(rows, limit, regime_view, lambda row: encode_cursor(row.valid_from, str(row.id)))


@router.post("/rebuild", status_code=202)
async def rebuild(services: ServicesDep, caller: Operator, request: RegimeRebuildRequest) -> RegimeRebuildAccepted:
    """Compute the regime of 4h closes that have none, one rebuild at a time; what is recorded is never replaced."""
    async with services.database.session() as session:
        now = await newest_market_time(session)
    if request.since < OLDEST:
        raise bad_value(BadValue("from", f"nothing is older than {OLDEST:%Y-%m-%d}"))
    if now is not None and request.since > now:
        raise bad_value(BadValue("from", f"is in the future: the market is at {now.isoformat()}"))
    wanted = RegimeRebuildInput(start=request.since, end=request.until, requested_by=caller.who, reason=request.reason)
    await _start(services, wanted)
    return RegimeRebuildAccepted(workflow_id=WORKFLOW_ID)


async def _start(services: Services, wanted: RegimeRebuildInput) -> None:
    client = await services.temporal.client()
    try:
        await client.start_workflow(
            RegimeRebuildWorkflow.run,
            wanted,
            id=WORKFLOW_ID,
            task_queue=MARKET_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            rpc_timeout=_RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError as error:
        rule = "a rebuild is under way: ask again when it is done"
        raise ApiError(409, "rebuild-running", "Rebuild running", rule) from error
    except RPCError as error:
        if error.status in _UNREACHABLE:
            raise temporal_unreachable(services.settings) from error
        raise
