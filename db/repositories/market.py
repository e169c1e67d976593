"""Instruments, candles and the live price cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import CandleRow, InstrumentRow, LivePrice
from domain.market import Category, Instrument

_INSTRUMENT_FIELDS = tuple(Instrument.model_fields)


async def upsert_instruments(session: AsyncSession, instruments: Sequence[Instrument]) -> None:
    """Store what the exchange tells of ``instruments``; those it no longer lists are left as they are."""
    for chunk in in_chunks(instruments):
        statement = insert(InstrumentRow).values([instrument.model_dump() for instrument in chunk])
        changed = {name: statement.excluded[name] for name in _INSTRUMENT_FIELDS if name not in ("category", "symbol")}
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["category", "symbol"], set_={**changed, "updated_at": func.now()}
            )
        )


async def find_instrument(session: AsyncSession, category: Category, symbol: str) -> Instrument | None:
    row = await session.get(InstrumentRow, (category, symbol))
    if row is None:
        return None
    return Instrument.model_validate({name: getattr(row, name) for name in _INSTRUMENT_FIELDS})


async def list_instruments(session: AsyncSession) -> list[Instrument]:
    rows = await session.scalars(select(InstrumentRow).order_by(InstrumentRow.category, InstrumentRow.symbol))
    return [Instrument.model_validate({name: getattr(row, name) for name in _INSTRUMENT_FIELDS}) for row in rows]


async def upsert_live_prices(
    session: AsyncSession,
    prices: Sequence[tuple[Category, str, Decimal, Decimal | None, Decimal | None, datetime, datetime]],
) -> None:
    """Store (category, symbol, price, bid, ask, market_at, received_at) rows; an older row never replaces a newer."""
    if not prices:
        return
    names = ("category", "symbol", "price", "bid", "ask", "market_at", "received_at")
    statement = insert(LivePrice).values([dict(zip(names, row, strict=True)) for row in prices])
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["category", "symbol"],
            set_={name: statement.excluded[name] for name in names[2:]},
            where=LivePrice.received_at <= statement.excluded.received_at,
        )
    )


async def upsert_candles(session: AsyncSession, candles: Sequence[CandleRow]) -> None:
    """Store closed candles; the same candle again replaces its row."""
    for chunk in in_chunks(candles):
        names = [column.key for column in CandleRow.__table__.columns]
        statement = insert(CandleRow).values([{name: getattr(row, name) for name in names} for row in chunk])
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["category", "symbol", "timeframe", "open_time"],
                set_={name: statement.excluded[name] for name in names[4:]},
            )
        )
