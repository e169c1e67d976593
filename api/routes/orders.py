"""Orders and executions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.authentication import Viewer
from api.paging import Cursor, IdFilter, Limit, SymbolFilter, bad_cursor, cut
from api.presenting import execution_view, order_view
from api.problems import not_found
from api.services import ServicesDep
from db import reading
from db.cursors import BadCursor, encode_cursor
from db.models import Order
from domain.order import OrderState
from domain.views import ExecutionView, OrderView, Page

router = APIRouter(tags=["orders"])


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
