"""What others do on the account, and comparisons of it with our books: those that were made, and one made now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from api.authentication import Operator, Viewer
from api.commands import compare_now
from api.idempotency import KeyHeader, Once
from api.keys import Caller
from api.paging import Limit, cut
from api.presenting_exchange import (
    foreign_coin_view,
    foreign_order_view,
    foreign_position_view,
    reconciliation_view,
)
from api.problems import not_found, unavailable
from api.services import Services, ServicesDep
from db.repositories.audit import record_event
from db.repositories.foreign import foreign_coins, list_foreign_orders, list_foreign_positions
from db.repositories.reconciliations import find_reconciliation, list_reconciliations
from domain.exchange_views import ForeignView, ReconcileNow, ReconciliationView
from domain.views import Page

router = APIRouter(tags=["reconciliation"])

_ACCOUNT = "unified"
_MOST = 500


@router.get("/foreign")
async def show_foreign(
    services: ServicesDep,
    _caller: Viewer,
    gone_hours: Annotated[int, Query(ge=0, le=720, description="also what went within so many hours")] = 24,
) -> ForeignView:
    """Orders, positions and coins on the account that are none of ours."""
    since = datetime.now(UTC) - timedelta(hours=gone_hours)
    async with services.database.session() as session:
        return ForeignView(
            orders=[foreign_order_view(row) for row in await list_foreign_orders(session, since, _MOST)],
            positions=[foreign_position_view(row) for row in await list_foreign_positions(session, since, _MOST)],
            coins=[foreign_coin_view(coin) for coin in await foreign_coins(session, _ACCOUNT)],
            gone_hours=gone_hours,
        )


@router.get("/reconciliations")
async def show_reconciliations(
    services: ServicesDep, _caller: Viewer, limit: Limit = 50, cursor: Annotated[int | None, Query(ge=1)] = None
) -> Page[ReconciliationView]:
    """Comparisons that did or found anything, and one an hour, newest first."""
    async with services.database.session() as session:
        rows = await list_reconciliations(session, before=cursor, limit=limit + 1)
    return cut(rows, limit, reconciliation_view, lambda row: str(row.id))


@router.get("/reconciliations/{identity}")
async def show_reconciliation(
    services: ServicesDep, _caller: Viewer, identity: Annotated[int, Path(ge=1)]
) -> ReconciliationView:
    """One comparison."""
    return await _stored(services, identity)


@router.post("/reconciliations", response_model=ReconciliationView)
async def reconcile(services: ServicesDep, caller: Operator, key: KeyHeader, request: ReconcileNow) -> Response:
    """Compare the whole account now; the answer is the comparison's row."""
    once = Once(services.database, "POST /v1/reconciliations", key, request, "/v1/reconciliations")
    return await once.answer(200, lambda: _reconcile(services, caller, key, request))


async def _reconcile(services: Services, caller: Caller, key: str, request: ReconcileNow) -> ReconciliationView:
    done = await compare_now(services, key)
    if done.reconciliation_id is None:
        raise unavailable("comparison-not-recorded", "the comparison left no row; ask again")
    async with services.database.session() as session:
        detail = {"reason": request.reason, "drift": done.drift}
        subject = str(done.reconciliation_id)
        record_event(session, "reconciliation_requested", subject, who=caller.who, detail=detail)
    return await _stored(services, done.reconciliation_id)


async def _stored(services: Services, identity: int) -> ReconciliationView:
    async with services.database.session() as session:
        row = await find_reconciliation(session, identity)
    if row is None:
        raise not_found("reconciliation", str(identity))
    return reconciliation_view(row)
