"""Backfills: one row a symbol and timeframe, which says how far it is and is enough to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Backfill
from domain.candle import Timeframe
from domain.market import Category

RUNNING, DONE, FAILED = "running", "done", "failed"


async def open_backfills(session: AsyncSession) -> Sequence[Backfill]:
    """Those that are not at their end, oldest first: each should have a running workflow."""
    return (
        await session.scalars(select(Backfill).where(Backfill.state == RUNNING).order_by(Backfill.started_wall))
    ).all()


async def list_backfills(session: AsyncSession) -> Sequence[Backfill]:
    """All of them, running ones first, then by when they last moved."""
    order = (Backfill.state != RUNNING, Backfill.updated_wall.desc(), Backfill.symbol, Backfill.timeframe)
    return (await session.scalars(select(Backfill).order_by(*order))).all()


async def find_backfill(session: AsyncSession, symbol: str, timeframe: Timeframe) -> Backfill | None:
    return await session.get(Backfill, (symbol, timeframe.value), populate_existing=True)


async def begin_backfill(
    session: AsyncSession,
    symbol: str,
    timeframe: Timeframe,
    categories: Sequence[Category],
    start: datetime,
    end: datetime,
    requested_by: str,
) -> Backfill:
    """The row of a backfill of [start, end). One that is running over the same range goes on; any other begins anew."""
    range_ = {"categories": [category.value for category in categories], "start_at": start, "end_at": end}
    known = await session.get(Backfill, (symbol, timeframe.value), with_for_update=True, populate_existing=True)
    if known is not None and known.state == RUNNING and _range_of(known) == range_:
        return known
    anew = {**range_, "state": RUNNING, "requested_by": requested_by, "cursor": None, "error": None}
    await _put(session, symbol, timeframe, {**anew, "pages": 0, "candles": 0, "started_wall": func.clock_timestamp()})
    row = await find_backfill(session, symbol, timeframe)
    assert row is not None, "just written"
    return row


async def note_page(
    session: AsyncSession, symbol: str, timeframe: Timeframe, cursor: datetime | None, *, pages: int, candles: int
) -> None:
    """Count a page and, once every category has it, raise the cursor; it never goes back."""
    raised: dict[str, Any] = {} if cursor is None else {"cursor": func.greatest(Backfill.cursor, cursor)}
    counted = {"pages": Backfill.pages + pages, "candles": Backfill.candles + candles}
    await _change(session, symbol, timeframe, {**raised, **counted})


async def end_backfill(session: AsyncSession, symbol: str, timeframe: Timeframe, error: str | None = None) -> None:
    """Done, or failed with ``error``."""
    await _change(session, symbol, timeframe, {"state": FAILED if error else DONE, "error": error})


async def refuse_backfill(
    session: AsyncSession,
    symbol: str,
    timeframe: Timeframe,
    categories: Sequence[Category],
    start: datetime,
    end: datetime,
    requested_by: str,
    error: str,
) -> None:
    """The row of a backfill that could not begin."""
    range_ = {"categories": [category.value for category in categories], "start_at": start, "end_at": end}
    await _put(session, symbol, timeframe, {**range_, "state": FAILED, "error": error, "requested_by": requested_by})


def _range_of(row: Backfill) -> dict[str, Any]:
    return {"categories": row.categories, "start_at": row.start_at, "end_at": row.end_at}


async def _put(session: AsyncSession, symbol: str, timeframe: Timeframe, values: dict[str, Any]) -> None:
    statement = insert(Backfill).values(symbol=symbol, timeframe=timeframe.value, **values)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["symbol", "timeframe"], set_={**values, "updated_wall": func.clock_timestamp()}
        )
    )


async def _change(session: AsyncSession, symbol: str, timeframe: Timeframe, values: dict[str, Any]) -> None:
    mine = (Backfill.symbol == symbol) & (Backfill.timeframe == timeframe.value)
    statement = update(Backfill).where(mine).values(**values, updated_wall=func.clock_timestamp())
    await session.execute(statement.execution_options(synchronize_session=False))
