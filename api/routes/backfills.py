"""Backfills: what history is being fetched, and asking for more."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.authentication import Operator, Viewer
from api.problems import ApiError, unavailable
from api.services import Services, ServicesDep, temporal_unreachable
from db.models import Backfill
from db.repositories.backfills import FAILED, find_backfill, list_backfills
from db.repositories.market import newest_market_time
from db.repositories.strategies import current_configs
from db.repositories.universe import members
from domain.candle import Timeframe
from domain.decision_views import BackfillRequest, BackfillsAccepted, BackfillView
from domain.history import OLDEST, STORED_TIMEFRAMES, bars_between, bars_to_decide
from domain.views import FieldFault
from workflows.backfill import BackfillInput, BackfillWorkflow, workflow_id_of
from workflows.options import MARKET_QUEUE, WORKFLOW_TASK_TIMEOUT

router = APIRouter(prefix="/backfills", tags=["backfills"])

_VERDICT_SECONDS = 3.0
"""How long the answer waits to hear that the range makes sense; after it the backfills go on by themselves."""
_RPC_TIMEOUT = timedelta(seconds=3)
_STARTS_AT_ONCE = 16
_UNREACHABLE = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


@router.get("")
async def show_backfills(services: ServicesDep, _caller: Viewer) -> list[BackfillView]:
    """The last backfill of each symbol and timeframe, running ones first."""
    async with services.database.session() as session:
        return [_view(row) for row in await list_backfills(session)]


@router.post("", status_code=202)
async def start_backfills(services: ServicesDep, caller: Operator, request: BackfillRequest) -> BackfillsAccepted:
    """Fetch history, one workflow a symbol and timeframe; one that runs already is left alone. 422 names the field."""
    wanted = await _wanted(services, request, caller.who)
    client = await services.temporal.client()
    places = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def start(backfill: BackfillInput) -> WorkflowHandle:
        async with places:
            return await _start(services, client, backfill)

    handles = await asyncio.gather(*(start(each) for each in wanted))
    if request.symbol is not None:  # the universe is listed; a symbol that was typed may not be
        await _verdict(services, handles[0], wanted[0])
    return BackfillsAccepted(workflow_ids=[handle.id for handle in handles])


async def _wanted(services: Services, request: BackfillRequest, who: str) -> list[BackfillInput]:
    async with services.database.session() as session:
        symbols = [request.symbol] if request.symbol is not None else await _universe(session)
        now = await newest_market_time(session)
        needed = bars_to_decide(await current_configs(session))
    if now is None:  # the wall's time may be years away from a paper market's
        raise unavailable("market-time-unknown", "no price has come from the exchange yet; ask again")
    timeframes = [request.timeframe] if request.timeframe is not None else list(STORED_TIMEFRAMES)
    _check(request, now)
    return [
        BackfillInput(
            symbol=symbol,
            timeframe=timeframe,
            start=request.since or timeframe.floor(request.until or now) - needed[timeframe] * timeframe.duration,
            end=request.until,
            requested_by=who,
        )
        for symbol in symbols
        for timeframe in timeframes
    ]


async def _universe(session: AsyncSession) -> list[str]:
    tradable = sorted({each.symbol for each in await members(session) if each.tradable})
    if not tradable:
        raise unavailable("universe-unknown", "the exchange has not told its instruments yet; name a symbol or wait")
    return tradable


def _check(request: BackfillRequest, now: datetime) -> None:
    """What no market could answer, before anything is started."""
    if request.timeframe is Timeframe.M1:
        raise _invalid("timeframe", f"1m candles are not stored: take one of {', '.join(STORED_TIMEFRAMES)}")
    for name, instant in (("since", request.since), ("until", request.until)):
        if instant is not None and instant > now:
            raise _invalid(name, f"{instant.isoformat()} is in the future: the market is at {now.isoformat()}")
        if instant is not None and instant < OLDEST:
            raise _invalid(name, f"nothing is older than {OLDEST:%Y-%m-%d}")
    if request.since is not None and request.since >= (request.until or now):
        raise _invalid("since", f"{request.since.isoformat()} must be before until")


async def _start(services: Services, client: Client, backfill: BackfillInput) -> WorkflowHandle:
    try:
        return await client.start_workflow(
            BackfillWorkflow.run,
            backfill,
            id=workflow_id_of(backfill.symbol, backfill.timeframe),
            task_queue=MARKET_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            rpc_timeout=_RPC_TIMEOUT,
        )
    except RPCError as error:
        if error.status in _UNREACHABLE:
            raise temporal_unreachable(services.settings) from error
        raise


async def _verdict(services: Services, handle: WorkflowHandle, backfill: BackfillInput) -> None:
    """Wait a little for whether the exchange has it. Raises ApiError 422 with field and rule if it hasn't."""
    try:
        async with asyncio.timeout(_VERDICT_SECONDS):
            await handle.execute_update(BackfillWorkflow.opened)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return
    except WorkflowUpdateFailedError as error:
        raise _refusal(error) from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:  # it is over already
            await _stored_verdict(services, backfill)


async def _stored_verdict(services: Services, backfill: BackfillInput) -> None:
    async with services.database.session() as session:
        row = await find_backfill(session, backfill.symbol, backfill.timeframe)
    field, _, rule = (row.error or "").partition(": ") if row is not None and row.state == FAILED else ("", "", "")
    if field == "symbol":
        raise _invalid(field, rule, "unknown-symbol")


def _refusal(error: WorkflowUpdateFailedError) -> ApiError:
    cause = error.cause
    details = cause.details[0] if isinstance(cause, ApplicationError) and cause.details else {}
    if not isinstance(details, dict) or "rule" not in details:
        raise error
    field = {"start": "since", "end": "until"}.get(str(details["field"]), str(details["field"]))
    code = str(details.get("code", "invalid-request")).replace("_", "-")
    return _invalid(field, str(details["rule"]), "invalid-request" if code == "bad-request" else code)


def _invalid(field: str, rule: str, code: str = "invalid-request") -> ApiError:
    title = code.replace("-", " ").capitalize()
    return ApiError(422, code, title, f"{field}: {rule}", [FieldFault(field=field, rule=rule)])


def _view(row: Backfill) -> BackfillView:
    timeframe = Timeframe(row.timeframe)
    whole = bars_between(timeframe, row.start_at, row.end_at)
    done = bars_between(timeframe, row.start_at, row.cursor or row.start_at)
    return BackfillView(
        symbol=row.symbol,
        timeframe=row.timeframe,
        categories=row.categories,
        start_at=row.start_at,
        end_at=row.end_at,
        cursor=row.cursor,
        state=row.state,
        progress=min(done / whole, 1.0) if whole else 1.0,
        pages=row.pages,
        candles=row.candles,
        error=row.error,
        requested_by=row.requested_by,
        updated_wall=row.updated_wall,
    )
