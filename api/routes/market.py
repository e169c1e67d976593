"""Market data as it is stored: the closed candles of one series."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.authentication import Viewer
from api.changes import bad_value
from api.paging import Cursor, bad_cursor, cut
from api.services import ServicesDep
from db.cursors import BadCursor, decode_cursor, encode_cursor
from db.repositories.candles import list_candles
from domain.candle import Timeframe
from domain.candle_views import CandleView
from domain.faults import BadValue
from domain.history import OLDEST
from domain.market import Category
from domain.views import Instant, Page

router = APIRouter(prefix="/market", tags=["market"])


@router.get("/candles")
async def show_candles(
    services: ServicesDep,
    _caller: Viewer,
    symbol: Annotated[str, Query(pattern=r"^[A-Z0-9]{2,30}$")],
    timeframe: Annotated[Timeframe, Query()],
    category: Annotated[Category, Query()] = Category.SPOT,
    since: Annotated[Instant | None, Query(alias="from", description="earliest open time")] = None,
    until: Annotated[Instant | None, Query(alias="to", description="only candles that were closed by then")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="candles on a page")] = 200,
    cursor: Cursor = None,
) -> Page[CandleView]:
    """Closed candles of one series, newest first. A series nobody stored is an empty page."""
    if since is not None and until is not None and since > until:
        raise bad_value(BadValue("from", "must not be after to"))
    if until is not None and until < OLDEST:
        raise bad_value(BadValue("to", f"nothing is older than {OLDEST:%Y-%m-%d}"))
    try:
        before = decode_cursor(cursor)[0] if cursor is not None else None
    except BadCursor as error:
        raise bad_cursor(error) from error
    async with services.database.session() as session:
        rows = await list_candles(
            session, category, symbol, timeframe, since=since, closed_by=until, before=before, limit=limit + 1
        )
    return cut(
        rows,
        limit,
        lambda row: CandleView.model_validate(row, from_attributes=True),
        lambda row: encode_cursor(row.open_time, row.symbol),
    )
