"""The watchlist: who is interesting now and why, the places a symbol had, and what the list was worth. Market times."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from api.authentication import Viewer
from api.changes import bad_value
from api.paging import Cursor, Limit, bad_cursor, cut
from api.presenting_watchlist import capture_side_view, entry_view, place_view
from api.problems import unavailable
from api.services import ServicesDep
from db.cursors import BadCursor, encode_cursor
from db.repositories.capture import captures
from db.repositories.settings import current_settings
from db.repositories.watchlist import kept_at, last_close, place_history, places_at, scores_of
from domain.candle import Timeframe
from domain.capture import WINDOW
from domain.faults import BadValue
from domain.market import PositionSide
from domain.views import Instant, Page
from domain.watchlist_views import CaptureView, WatchlistEntryView, WatchlistView

router = APIRouter(prefix="/watchlist", tags=["decisions"])

_DEFAULT_SPAN = 4 * WINDOW
_LONGEST_SPAN = timedelta(days=183)

SideFilter = Annotated[PositionSide | None, Query()]
StrategyFilter = Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,40}$", description="only what it scored")]
Symbol = Annotated[str, Query(pattern=r"^[A-Z0-9]{2,30}$")]
SymbolFilter = Annotated[str | None, Query(pattern=r"^[A-Z0-9]{2,30}$")]


@router.get("")
async def show_watchlist(
    services: ServicesDep,
    _caller: Viewer,
    side: SideFilter = None,
    strategy: StrategyFilter = None,
    symbol: SymbolFilter = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="places of each side")] = 100,
) -> list[WatchlistView]:
    """Both sides at the close decided last, longs first, the highest composite first, with the scores behind it."""
    async with services.database.session() as session:
        last = await last_close(session)
        if last is None:
            return []
        size = int((await current_settings(session))["watchlist_size"])
        found = [
            each
            for each in await places_at(session, last[1])
            if side in (None, each.side)
            and symbol in (None, each.symbol)
            and (strategy is None or strategy in each.scores)
        ]
        shown = [each for one in PositionSide for each in [each for each in found if each.side is one][:limit]]
        scored = await scores_of(session, {each.symbol for each in shown})
    return [place_view(each, scored, last[1], size) for each in shown]


@router.get("/kept")
async def show_kept(
    services: ServicesDep,
    _caller: Viewer,
    as_of: Annotated[Instant | None, Query(description="market time; default: the close decided last")] = None,
    side: SideFilter = None,
    strategy: StrategyFilter = None,
    symbol: SymbolFilter = None,
) -> list[WatchlistEntryView]:
    """The list as it was kept at the newest close decided by ``as_of``, longs first, by rank: it is never rewritten."""
    async with services.database.session() as session:
        last = await last_close(session)
        rows = await kept_at(session, last[0], as_of) if last is not None else []
    return [
        entry_view(row)
        for row in rows
        if side in (None, row.side) and symbol in (None, row.symbol) and (strategy is None or strategy in row.scores)
    ]


@router.get("/history")
async def show_history(
    services: ServicesDep,
    _caller: Viewer,
    symbol: Symbol,
    side: SideFilter = None,
    since: Annotated[Instant | None, Query(description="earliest candle close")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[WatchlistEntryView]:
    """The places a symbol had on the kept lists of this market, newest close first."""
    try:
        async with services.database.session() as session:
            last = await last_close(session)
            if last is None:
                return Page(items=[])
            rows = await place_history(session, last[0], symbol, side=side, since=since, cursor=cursor, limit=limit + 1)
    except BadCursor as error:
        raise bad_cursor(error) from error
    return cut(rows, limit, entry_view, lambda row: encode_cursor(row.close_at, row.side))


@router.get("/capture")
async def show_capture(
    services: ServicesDep,
    _caller: Viewer,
    since: Annotated[Instant | None, Query(alias="from", description="default: four weeks before the end")] = None,
    until: Annotated[Instant | None, Query(alias="to", description="default: the close decided last")] = None,
    k: Annotated[int, Query(ge=1, le=100, description="movers of each side in each seven days")] = 10,
) -> CaptureView:
    """How many of the top movers of each seven days were listed, how purely and how early."""
    async with services.database.session() as session:
        last = await last_close(session)
        if last is None:
            raise unavailable("nothing-watched", "no candle close was decided yet; ask again")
        end = Timeframe.H1.floor(min(until or last[1], last[1]))
        start = since if since is not None else end - _DEFAULT_SPAN
        if not WINDOW <= end - start <= _LONGEST_SPAN:
            rule = f"must be {WINDOW.days} to {_LONGEST_SPAN.days} days before {end.isoformat()}"
            raise bad_value(BadValue("from", rule))
        found = await captures(session, last[0], start, end, k)
    sides = [capture_side_view(side, each) for side, each in found.items()]
    return CaptureView(since=start, until=end, k=k, sides=sides)
