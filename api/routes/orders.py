"""Orders and executions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.authentication import Viewer
from api.paging import Cursor, IdFilter, Limit, SymbolFilter, bad_cursor, cut
from api.presenting import execution_view, order_view
from api.presenting_exchange import doubt_view, order_evidence_view
from api.problems import not_found
from api.services import ServicesDep
from db import reading
from db.cursors import BadCursor, encode_cursor
from db.models import Order
from db.repositories.evidence import doubts, evidence_of, transitions_of
from domain.exchange_views import OrderEvidenceView, UnknownOrdersView
from domain.order import OrderState
from domain.views import ExecutionView, OrderView, Page

router = APIRouter(tags=["orders"])

_MOST_LOOKS = 500


@router.get("/orders")
async def list_orders(
    services: ServicesDep,
    _caller: Viewer,
    symbol: SymbolFilter = None,
    state: Annotated[OrderState | None, Query()] = None,
    position: IdFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OrderView]:
    """Orders of ours, newest first."""
    try:
        async with services.database.session() as session:
            rows = await reading.list_orders(
                session, symbol=symbol, state=state, position=position, cursor=cursor, limit=limit + 1
            )
    except BadCursor as error:
        raise bad_cursor(error) from error
    return cut(rows, limit, order_view, lambda row: encode_cursor(row.created_at, row.order_link_id))


@router.get("/orders/unknown")
async def show_unknown(
    services: ServicesDep,
    _caller: Viewer,
    hours: Annotated[int, Query(ge=0, le=720, description="also doubts that ended within so many hours")] = 24,
    limit: Limit = 50,
) -> UnknownOrdersView:
    """Orders whose answer was lost: those in doubt now, and those whose doubt ended lately."""
    now = datetime.now(UTC)
    since = now - timedelta(hours=hours)
    async with services.database.session() as session:
        views = [doubt_view(doubt, now) for doubt in await doubts(session, since, limit)]
    return UnknownOrdersView(
        in_doubt=[view for view in views if view.resolved_at is None],
        resolved=[view for view in views if view.resolved_at is not None],
        resolved_since=since,
    )


@router.get("/orders/{order_link_id}/evidence")
async def show_evidence(
    services: ServicesDep, _caller: Viewer, order_link_id: Annotated[str, Path(max_length=64)]
) -> OrderEvidenceView:
    """How an order came to stand where it does: its changes of state, and each look for it while it was in doubt."""
    async with services.database.session() as session:
        row = await session.get(Order, order_link_id)
        if row is None:
            raise not_found("order", order_link_id)
        story = await transitions_of(session, order_link_id)
        looks = await evidence_of(session, order_link_id, _MOST_LOOKS)
    return order_evidence_view(row, story, looks)


@router.get("/orders/{order_link_id}")
async def show_order(
    services: ServicesDep, _caller: Viewer, order_link_id: Annotated[str, Path(max_length=64)]
) -> OrderView:
    """One order by its orderLinkId."""
    async with services.database.session() as session:
        row = await session.get(Order, order_link_id)
    if row is None:
        raise not_found("order", order_link_id)
    return order_view(row)


@router.get("/executions")
async def list_executions(
    services: ServicesDep,
    _caller: Viewer,
    symbol: SymbolFilter = None,
    position: IdFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ExecutionView]:
    """Fills, newest first, ours and foreign ones."""
    try:
        async with services.database.session() as session:
            rows = await reading.list_executions(
                session, symbol=symbol, position=position, cursor=cursor, limit=limit + 1
            )
    except BadCursor as error:
        raise bad_cursor(error) from error
    return cut(
        rows, limit, lambda row: execution_view(*row), lambda row: encode_cursor(row[0].executed_at, row[0].exec_id)
    )
